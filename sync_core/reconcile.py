"""Reconciliation, level L1: what the documents of a day say against what the journal holds of them."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from collector.semconv import EVENT_RECON_ITEM, correlation_id
from sync_core.clock import Clock
from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.store import Session, Store, save_spans
from sync_core.telemetry import encode, nanoseconds
from sync_core.unit import Told

LEVEL: Final = "L1"
CELL = tuple[str, str, str]  # channel, document, currency
REPORT_HOUR: Final = 9
LOOK_BACK: Final = 20_000
"""Events that may still become visible below the newest: numbers are given before transactions end."""


class Cell(Struct, frozen=True):
    """One day's documents of one kind in one channel and currency; amounts in minor units, net of tax."""

    channel: str
    document: str
    currency: str
    left_minor: int
    right_minor: int
    explained: Mapping[str, int]

    @property
    def unexplained_minor(self) -> int:
        return self.left_minor - self.right_minor - sum(self.explained.values())

    @property
    def reason(self) -> str:
        return ", ".join(f"{name} {amount}" for name, amount in sorted(self.explained.items()) if amount)


class Reconciler:
    """Closes business days that have ended; one whose documents became more is closed again."""

    def __init__(self, db: Store, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._days: set[dt.date] = set()
        self._seen = 0

    def run_once(self, limit: int = 50) -> int:
        """Reconcile the days that are due; returns how many."""
        now = self._clock()
        with self._db.transaction() as session:
            newest = session.one("newest_seq")[0]
            self._days.update(row[0] for row in session.rows("days_with_documents", since=self._seen - LOOK_BACK))
            found = session.rows("days_to_close", today=now.date(), days=sorted(self._days))
            due = [row[:4] for row in found if row[4]][:limit]
            for day, documents, offset, provenance in due:
                self._close(session, day, documents, offset, provenance)
        self._days = {row[0] for row in found}
        self._seen = newest
        return len(due)

    def _close(self, session: Session, day: dt.date, documents: int, offset: dt.timedelta, provenance: Any) -> None:
        now = self._clock()
        ended = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
        done_at = max(now + offset, ended)
        cells = compare(session, day)
        broken = sum(1 for cell in cells if cell.unexplained_minor)
        session.run("close_day", day=day, now=now, documents=documents, unexplained=broken)
        identity = f"{LEVEL}/{day}"
        hop = Hop(
            name="posting.reconcile",
            stage="transformation",
            correlation_id=correlation_id("reconciliation", identity),
            origin="reconciliation",
            entity="period",
            entity_id=identity,
            milestone="reconciled",
            attributes={"owner": "finance" if broken else ""},
            events=[(EVENT_RECON_ITEM, _event(cell, day)) for cell in cells],
        )
        cause = Cause("reconciliation", f"{identity}/{documents}", day, provenance)
        save_spans(session, encode([Told(hop, cause, done_at)]), now)


def compare(session: Session, day: dt.date) -> list[Cell]:
    """The cells of a day: control totals taken at the door on the left, journal lines on the right."""
    left: dict[CELL, int] = {}
    explained: dict[CELL, dict[str, int]] = {}
    for channel, document, currency, gross, parked, rejected in session.rows("business_cells", day=day):
        cell = (channel, document, currency)
        left[cell] = int(gross)
        explained[cell] = {"waiting": int(parked), "refused": int(rejected)}
    for channel, currency, amount in session.rows("unpaid_orders", day=day):
        explained.setdefault((channel, "order", currency), {})["not paid yet"] = int(amount)
    for channel, document, currency, amount in session.rows("parked_value", day=day):
        explained.setdefault((channel, document, currency), {})["parked lines"] = int(amount)
    right = {(ch, doc, cur): int(value) for ch, doc, cur, value in session.rows("journal_cells", day=day)}
    return [
        Cell(*cell, left.get(cell, 0), right.get(cell, 0), explained.get(cell, {})) for cell in sorted(left | right)
    ]


def next_business_day(day: dt.date) -> dt.date:
    """The first Monday to Friday after ``day``."""
    following = day + dt.timedelta(days=1)
    return following + dt.timedelta(days=max(0, 7 - following.weekday()) if following.weekday() > 4 else 0)


def _event(cell: Cell, day: dt.date) -> dict[str, Any]:
    due = dt.datetime.combine(next_business_day(day), dt.time(REPORT_HOUR), dt.UTC)
    return {
        "level": LEVEL,
        "business_date": day.isoformat(),
        "channel": cell.channel,
        "provider": "",
        "kind": cell.document,
        "currency": cell.currency,
        "left_minor": cell.left_minor,
        "right_minor": cell.right_minor,
        "unexplained_minor": cell.unexplained_minor,
        "reason": cell.reason,
        "due_at": nanoseconds(due),
    }
