"""Alert states, messages and runs in PostgreSQL; the only file that knows the schema ``alerts``."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import resources
from typing import Any, Final, Literal, Self

import msgspec
import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from alerts.delivery import Delivery, DeliveryState, Settlement
from alerts.evaluate import AlertState, Transition
from alerts.page import Page
from lineage.model import Money

Row = Mapping[str, Any]

_SQL: Final = resources.files("alerts") / "sql"
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.sql$")
_parts = _NAME.split((_SQL / "queries.sql").read_text(encoding="utf-8"))
QUERIES: Final = {name: sql.encode() for name, sql in zip(_parts[1::2], _parts[2::2], strict=True)}


class StoreUnavailableError(RuntimeError):
    """PostgreSQL does not answer; what was not committed did not happen."""


class Alert(Struct, frozen=True, kw_only=True):
    """One time that a rule fired for one channel. ``told`` is the owner whose contacts were written to."""

    alert_id: str
    rule: str
    sla: str
    channel: str
    owner: str
    told: str
    severity: str
    summary: str
    reason: str
    next_step: str
    link: str
    overdue_open: int
    at_risk: tuple[Money, ...]
    oldest_due_at: datetime | None
    opened_at: datetime
    resolved_at: datetime | None = None
    resolved_reason: str = ""


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    dedup_key: str
    transition: Transition
    contact: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    not_before: datetime
    delivered_at: datetime | None
    status_code: int | None
    error: str


class RuleRun(Struct, frozen=True, kw_only=True):
    """One evaluation of one rule. ``watermark``: the time of the newest measurement that it saw."""

    rule: str
    due_at: datetime
    started_at: datetime
    finished_at: datetime
    outcome: Literal["ok", "no_data", "failed"]
    watermark: datetime | None
    reason: str


class Desk:
    """What one evaluation of a rule reads and writes; all of it commits together or not at all."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection

    def states(self, rule: str) -> dict[str, AlertState]:
        rows = self._connection.execute(QUERIES["states"], {"rule": rule}).fetchall()
        return {row["group"]: msgspec.convert(row, AlertState) for row in rows}

    def save(self, state: AlertState) -> None:
        self._connection.execute(QUERIES["save_state"], _parameters(state))

    def open(self, alert: Alert) -> None:
        self._connection.execute(QUERIES["open_alert"], _parameters(alert))

    def refresh(self, state: AlertState) -> None:
        self._connection.execute(QUERIES["refresh_alert"], _parameters(state))

    def resolve(self, alert_id: str, reason: str, now: datetime) -> None:
        named = {"alert_id": alert_id, "reason": reason, "resolved_at": now}
        self._connection.execute(QUERIES["resolve_alert"], named)

    def tell(self, page: Page, contacts: Iterable[str], now: datetime) -> None:
        body = msgspec.json.encode(page).decode()
        head = {"dedup_key": page.dedup_key, "transition": page.transition, "body": body, "now": now}
        for contact in contacts:
            self._connection.execute(QUERIES["add_delivery"], {**head, "contact": contact})

    def record(self, run: RuleRun) -> None:
        self._connection.execute(QUERIES["record_run"], _parameters(run))


class Store:
    def __init__(self, pool: ConnectionPool[Connection[DictRow]]) -> None:
        self._pool = pool

    @classmethod
    def connect(cls, url: str, *, connections: int = 3, patience_seconds: float = 5) -> Self:
        """Raises psycopg_pool.PoolTimeout when the server does not answer within 30 s.

        ``patience_seconds``: how long a later call waits for a server that is away.
        """
        options = {"autocommit": True, "row_factory": dict_row, "options": "-c TimeZone=UTC"}
        pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            timeout=patience_seconds,
            check=ConnectionPool.check_connection,
            kwargs=options,
            name="alerts",
            open=False,
        )
        pool.open(wait=True, timeout=30)
        return cls(pool)

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def _connection(self) -> Iterator[Connection[DictRow]]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise StoreUnavailableError(str(error)) from error

    def migrate(self) -> tuple[str, ...]:
        """Applies what is missing and returns the names; safe from several processes at once."""
        applied = []
        with self._connection() as connection, connection.transaction():
            connection.execute(QUERIES["lock_migrations"])
            connection.execute(QUERIES["prepare_schema"])
            done = {row["number"] for row in connection.execute(QUERIES["applied_migrations"]).fetchall()}
            for number, name, sql in migrations():
                if number not in done:
                    connection.execute(sql)
                    connection.execute(QUERIES["record_migration"], {"number": number, "name": name})
                    applied.append(name)
        return tuple(applied)

    @contextmanager
    def evaluation(self) -> Iterator[Desk | None]:
        """A desk for the one evaluator that may judge at this moment; None while another one does."""
        with self._connection() as connection, connection.transaction():
            row = connection.execute(QUERIES["try_lock_evaluation"]).fetchone()
            yield Desk(connection) if row and row["locked"] else None

    def record(self, run: RuleRun) -> None:
        """A run that left nothing else behind."""
        with self._connection() as connection:
            Desk(connection).record(run)

    def claim(
        self, now: datetime, lease_until: datetime, contacts: Sequence[str], *, limit: int = 100
    ) -> list[Delivery]:
        """Messages that are due, oldest first; nobody else gets them before the lease ends."""
        named = {"now": now, "lease_until": lease_until, "contacts": list(contacts), "limit": limit}
        with self._connection() as connection:
            rows = connection.execute(QUERIES["claim_deliveries"], named).fetchall()
        return sorted(msgspec.convert(rows, list[Delivery]), key=lambda each: each.delivery_id)

    def settle(self, settlement: Settlement) -> None:
        with self._connection() as connection:
            connection.execute(QUERIES["settle_delivery"], _parameters(settlement))

    def put_back(self, delivery_ids: Sequence[int], not_before: datetime) -> None:
        named = {"delivery_ids": list(delivery_ids), "not_before": not_before}
        with self._connection() as connection:
            connection.execute(QUERIES["put_back_deliveries"], named)

    def open_alerts(self, *, limit: int) -> list[Alert]:
        return msgspec.convert(self._rows("open_alerts", limit=limit), list[Alert])

    def resolved_alerts(self, *, limit: int) -> list[Alert]:
        return msgspec.convert(self._rows("resolved_alerts", limit=limit), list[Alert])

    def alert(self, alert_id: str) -> Alert | None:
        rows = self._rows("one_alert", alert_id=alert_id)
        return msgspec.convert(rows[0], Alert) if rows else None

    def deliveries_of(self, alert_ids: Sequence[str]) -> list[DeliveryRecord]:
        return msgspec.convert(self._rows("deliveries_of", alert_ids=list(alert_ids)), list[DeliveryRecord])

    def last_runs(self) -> list[RuleRun]:
        return msgspec.convert(self._rows("last_runs"), list[RuleRun])

    def _rows(self, query: str, **named: object) -> list[DictRow]:
        with self._connection() as connection:
            return connection.execute(QUERIES[query], named).fetchall()


def migrations() -> list[tuple[int, str, bytes]]:
    """Number, name and text of every migration, in the order in which they apply."""
    found = [(match, file) for file in _SQL.iterdir() if (match := _MIGRATION.match(file.name))]
    return sorted((int(match[1]), file.name, file.read_bytes()) for match, file in found)


def _parameters(value: Struct) -> dict[str, object]:
    named = msgspec.structs.asdict(value)
    if "at_risk" in named:
        named["at_risk"] = Jsonb(msgspec.to_builtins(named["at_risk"]))
    return named
