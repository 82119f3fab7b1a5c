"""Alert states, messages and runs in PostgreSQL; the only file that knows the schema ``alerts``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
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
from alerts.evaluate import AlertState
from alerts.incident import Incident, Transition
from alerts.page import Alert
from alerts.routing import Contact
from alerts.silence import Silence, Wanted

Row = Mapping[str, Any]

_SQL: Final = resources.files("alerts") / "sql"
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MARKED: Final = ("alert_id", "incident_id", "hidden", "announced")
MOST_SILENCES: Final = 1000
UNLIMITED: Final = 1_000_000  # messages in the seconds of a contact
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.sql$")
_parts = _NAME.split((_SQL / "queries.sql").read_text(encoding="utf-8"))
QUERIES: Final = {name: sql.encode() for name, sql in zip(_parts[1::2], _parts[2::2], strict=True)}


class StoreUnavailableError(RuntimeError):
    """PostgreSQL does not answer; what was not committed did not happen."""


class DeliveryRecord(Struct, frozen=True, kw_only=True):
    dedup_key: str
    transition: Transition
    ordinal: int
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
    outcome: Literal["ok", "no_data", "failed", "missed"]
    watermark: datetime | None
    reason: str


class Message(Struct, frozen=True, kw_only=True):
    """One message to one contact, as it goes into the outbox. A lower ``priority`` goes first."""

    dedup_key: str
    transition: Transition
    ordinal: int
    contact: str
    priority: int
    body: str
    not_before: datetime


class AuditFigures(Struct, frozen=True, kw_only=True):
    """Of what must never be: see the queries of the same name."""

    untold: int
    without_next_step: int
    unsent: int
    lost: int
    oldest_run_at: datetime | None
    rules_run: int


class Desk:
    """What one evaluation reads and writes; all of it commits together or not at all."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        self._connection = connection

    def states(self) -> dict[str, dict[str, AlertState]]:
        """By rule and group."""
        found: dict[str, dict[str, AlertState]] = {}
        for row in self._rows("states"):
            found.setdefault(row["rule"], {})[row["group"]] = msgspec.convert(row, AlertState)
        return found

    def save(self, states: Sequence[AlertState]) -> None:
        self._many("save_state", states)

    def open(self, alerts: Sequence[Alert]) -> None:
        self._many("open_alert", alerts)

    def refresh(self, states: Sequence[AlertState]) -> None:
        self._many("refresh_alert", states)

    def resolve(self, reasons: Mapping[str, str], now: datetime) -> None:
        """``reasons`` by ID of the alert."""
        rows = [{"alert_id": each, "reason": why, "resolved_at": now} for each, why in reasons.items()]
        if not rows:
            return
        with self._connection.cursor() as cursor:
            cursor.executemany(QUERIES["resolve_alert"], rows)

    def alerts(self) -> list[Alert]:
        """Those of which something may still be told."""
        return msgspec.convert(self._rows("alerts_of_open_incidents"), list[Alert])

    def mark(self, alerts: Sequence[Alert]) -> None:
        """Keep what was decided about telling them."""
        named = {field: [getattr(each, field) for each in alerts] for field in _MARKED}
        self._connection.execute(QUERIES["mark_alerts"], named)

    def incidents(self) -> dict[str, Incident]:
        return {one.incident_id: one for one in msgspec.convert(self._rows("open_incidents"), list[Incident])}

    def incident(self, incident_id: str) -> Incident | None:
        rows = self._rows("lock_incident", incident_id=incident_id)
        return msgspec.convert(rows[0], Incident) if rows else None

    def keep(self, incidents: Sequence[Incident]) -> None:
        self._many("save_incident", incidents)

    def silences(self, now: datetime) -> list[Silence]:
        return msgspec.convert(self._rows("silences", active_only=True, now=now, limit=MOST_SILENCES), list[Silence])

    def hid(self, pairs: Sequence[tuple[int, str]]) -> None:
        """Which silence kept which alert from being told."""
        named = {"silence_id": [each for each, _ in pairs], "alert_id": [each for _, each in pairs]}
        self._connection.execute(QUERIES["record_hidden"], named)

    def told_contacts(self, dedup_key: str) -> list[str]:
        return [row["contact"] for row in self._rows("told_contacts", dedup_key=dedup_key)]

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        rows = [{**msgspec.structs.asdict(each), "now": now} for each in messages]
        with self._connection.cursor() as cursor:
            cursor.executemany(QUERIES["add_delivery"], rows)

    def beat(self, message: Message, now: datetime) -> None:
        """Queue a heartbeat in place of those that still wait."""
        self._connection.execute(QUERIES["overtake_heartbeats"])
        self._connection.execute(QUERIES["drop_heartbeats"], {"now": now})
        self.send([message], now)

    def last_runs(self) -> dict[str, RuleRun]:
        return {row["rule"]: msgspec.convert(row, RuleRun) for row in self._rows("last_runs")}

    def record(self, runs: Sequence[RuleRun], now: datetime) -> None:
        """The newest run of each rule; what failed or was missed stays in the ledger."""
        newest = [one for one in runs if one.outcome != "missed"]
        named = {field: [getattr(one, field) for one in newest] for field in RuleRun.__struct_fields__}
        self._connection.execute(QUERIES["record_last_runs"], named)
        ledger = [one for one in runs if one.outcome in ("failed", "missed")]
        if ledger:
            self._many("record_run", ledger)
            self._connection.execute(QUERIES["drop_runs"], {"now": now})

    def _rows(self, query: str, **named: object) -> list[DictRow]:
        return self._connection.execute(QUERIES[query], named).fetchall()

    def _many(self, query: str, values: Sequence[Struct]) -> None:
        if values:
            with self._connection.cursor() as cursor:
                cursor.executemany(QUERIES[query], [_parameters(each) for each in values])


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

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """A desk for what a person does."""
        with self._connection() as connection, connection.transaction():
            yield Desk(connection)

    def claim(
        self, now: datetime, lease_until: datetime, contacts: Sequence[Contact], *, limit: int = 100
    ) -> list[Delivery]:
        """Messages that are due, the most severe first, within what each contact takes; nobody else gets them before
        the lease ends."""
        named = {
            "now": now,
            "lease_until": lease_until,
            "contacts": [one.name for one in contacts],
            "at_most": [one.at_most or UNLIMITED for one in contacts],
            "per_seconds": [float(one.per_seconds) for one in contacts],
            "limit": limit,
        }
        with self._connection() as connection:
            rows = connection.execute(QUERIES["claim_deliveries"], named).fetchall()
        return sorted(msgspec.convert(rows, list[Delivery]), key=lambda each: (each.priority, each.delivery_id))

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

    def deliveries_of(self, incident_ids: Sequence[str]) -> list[DeliveryRecord]:
        return msgspec.convert(self._rows("deliveries_of", incident_ids=list(incident_ids)), list[DeliveryRecord])

    def incidents_of(self, incident_ids: Sequence[str]) -> list[Incident]:
        return msgspec.convert(self._rows("incidents_of", incident_ids=list(incident_ids)), list[Incident])

    def silences(self, now: datetime, *, active_only: bool, limit: int) -> list[Silence]:
        return msgspec.convert(self._rows("silences", active_only=active_only, now=now, limit=limit), list[Silence])

    def add_silence(self, wanted: Wanted, now: datetime) -> int:
        (row,) = self._rows(
            "add_silence",
            kind=wanted.kind,
            match=Jsonb(msgspec.to_builtins(wanted.match)),
            starts_at=wanted.starts_at or now,
            ends_at=wanted.ends_at,
            author=wanted.by,
            reason=wanted.reason,
            created_at=now,
        )
        return int(row["silence_id"])

    def end_silence(self, silence_id: int, now: datetime) -> bool:
        """False when there is none that is not over."""
        return bool(self._rows("end_silence", silence_id=silence_id, now=now))

    def audit_figures(
        self, now: datetime, grace: timedelta, rules: Sequence[str], contacts: Sequence[str]
    ) -> AuditFigures:
        (row,) = self._rows("audit_figures", now=now, grace=grace, rules=list(rules), contacts=list(contacts))
        return msgspec.convert(row, AuditFigures)

    def missed_runs(self, *, limit: int) -> list[RuleRun]:
        return msgspec.convert(self._rows("missed_runs", limit=limit), list[RuleRun])

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
    for field in ("at_risk", "place"):
        if field in named:
            named[field] = Jsonb(msgspec.to_builtins(named[field]))
    return named
