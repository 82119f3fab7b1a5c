"""Reconciliation at its six levels, L0 to L5: business days that have ended are compared, and what is wrong is named.

A day of which something changes later is reconciled again; each run that comes out otherwise is a version of its own.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from collector.semconv import EVENT_RECON_ENTRY, EVENT_RECON_ITEM, correlation_id
from sync_core.clock import Clock
from sync_core.ledger import taxes
from sync_core.ledger.ledger import PostingRules
from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.money import text
from sync_core.reconciliation.cells import (
    FINDINGS,
    LEVELS,
    WHYS,
    Cell,
    Day,
    Entry,
    Key,
    Level,
    add,
    due_at,
    pair,
)
from sync_core.reconciliation.onboarding import go_live
from sync_core.settlements.matching import cause, save
from sync_core.stock.buckets import EFFECTS, PHYSICAL
from sync_core.store import Session, Store
from sync_core.telemetry import nanoseconds
from sync_core.unit import Step, Told, Unit

ORIGIN: Final = "reconciliation"
MOST_ENTRIES: Final = 20_000
"""Differing transactions that are told one by one, of a question; what is beyond them stands in their cell."""
EVENTS_IN_A_SPAN: Final = 500
STATEMENTS: Final = (
    "pairs_at_source", "pairs_of_documents", "pairs_at_erp", "pairs_settled", "pairs_paid_out", "pairs_in_stock",
)  # fmt: skip
NOBODY: Final = bytes(16)
AT_COST: Final = [bucket for bucket in PHYSICAL if bucket != "refurbish"]


class Reconciler:
    """Reconciles business days that have ended."""

    def __init__(self, db: Store, posting: PostingRules, clock: Clock) -> None:
        self._db = db
        self._posting = posting
        self._clock = clock

    def run_once(self, limit: int = 50) -> int:
        """Reconcile the days that are due; returns how many."""
        now = self._clock()
        with self._db.transaction() as session:
            if not session.one("absorb_touched")[0]:
                return 0
            due = session.rows("days_due", today=now.date(), limit=limit)
            if due:
                self._reconcile(session, due, now)
            return len(due)

    def _reconcile(self, session: Session, due: Sequence[Sequence[Any]], now: dt.datetime) -> None:
        days = [row[0] for row in due]
        found = compare(session, self._posting, days)
        before = {(level, on): (runs, digest) for level, on, runs, digest in session.rows("last_runs", days=days)}
        unit, changed = Unit(self._posting), []
        done: dict[dt.date, dt.datetime] = {}
        for on, offset, provenance in due:
            done[on] = done_at = max(now + offset, dt.datetime.combine(on + dt.timedelta(days=1), dt.time(), dt.UTC))
            for level in LEVELS:
                day, (runs, digest) = found[level, on], before.get((level, on), (0, b""))
                if (day.cells or runs) and bytes(digest) != day.digest:
                    run = runs + 1
                    _tell(unit, level, on, run, day, done_at + dt.timedelta(microseconds=run), provenance)
                    changed.append((level, on, run, day))
        self._name_faults(session, unit, days, found, now)
        if changed:
            session.run(
                "keep_runs", now=now, level=[one[0] for one in changed], business_date=[one[1] for one in changed],
                runs=[one[2] for one in changed], digest=[one[3].digest for one in changed],
                unexplained_minor=[one[3].unexplained_minor for one in changed],
            )  # fmt: skip
        unit.told += go_live(session, found, done, due[-1][2])
        session.run("days_reconciled", days=days)
        save(session, unit, now)

    def _name_faults(
        self, session: Session, unit: Unit, days: list[dt.date], found: Mapping[tuple[Level, dt.date], Day],
        now: dt.datetime,
    ) -> None:  # fmt: skip
        """Open an exception about each unexplained difference that nobody has one of; close those that are gone."""
        still = {row[0]: row[1:] for row in session.rows("findings", days=days)}
        new = []
        for day in found.values():
            for one in day.wrong:
                if one.pair.cause not in FINDINGS:
                    continue
                exception_id = f"{ORIGIN}:{one.pair.cause}/{one.pair.about}"
                if still.pop(exception_id, None) is None:
                    _raise(unit, one, now)
                    about = one.pair.correlation_id or NOBODY
                    new.append((exception_id, one.pair.key.level, one.pair.key.business_date, about, one.pair.origin))
        for exception_id, (_, on, about, origin) in still.items():
            step = _step(unit, f"right/{exception_id}", on, now)
            step.resolve_exception(exception_id, bytes(about), origin or ORIGIN, "both sides are equal by now")
        if still:
            session.run("drop_findings", exception_id=list(still))
        if new:
            names = ("exception_id", "level", "business_date", "correlation_id", "origin")
            session.run("keep_findings", **dict(zip(names, map(list, zip(*new, strict=True)), strict=True)))


def compare(session: Session, posting: PostingRules, days: Sequence[dt.date]) -> dict[tuple[Level, dt.date], Day]:
    """Every level of business days; what stands in stock is compared as it is now, for the last of them."""
    accounts = posting.accounts
    values = {
        "days": list(days), "on": max(days), "limit": MOST_ENTRIES, "clearing": posting.clearing(""),
        "banked": list(posting.banked), "cash": accounts.cash_in_transit, "refunds": accounts.refunds_approved,
        "cards": accounts.gift_cards, "bucket": AT_COST,
        "account": [_account(posting, bucket) for bucket in AT_COST], "tax": list(taxes.accounts_of(posting)),
        "facts": list(posting.facts),
    }  # fmt: skip
    found = {(level, on): Day() for level in LEVELS for on in days}
    for statement in STATEMENTS:
        add(found, map(pair, session.pairs(statement, **values)))
    stock = found["L5", max(days)]
    stock.entries = [part for one in stock.entries for part in _drilled(session, posting, one)]
    return found


def _account(posting: PostingRules, bucket: str) -> str:
    accounts = posting.accounts
    return accounts.inventory if bucket == "good" else str(getattr(accounts, bucket))


def _drilled(session: Session, posting: PostingRules, one: Entry) -> list[Entry]:
    """The transactions that a difference in the value of stock is made of, and what is left of it."""
    if one.pair.cause != "stock_value_differs":
        return [one]
    bucket = one.pair.key.kind
    effects = [(kind, c, f) for kind, parts in EFFECTS.items() for c, f in parts if c == bucket]
    rows = session.rows(
        "stock_differences", location=one.pair.key.location, bucket=bucket, account=_account(posting, bucket),
        kind=[kind for kind, _, _ in effects], counter=[c for _, c, _ in effects], factor=[f for _, _, f in effects],
        limit=MOST_ENTRIES,
    )  # fmt: skip
    parts = []
    for about, journal_id, left, right in rows:
        origin, _, document = journal_id.partition(":")
        parts.append(_of(one, bytes(about), origin, document, left, right))
    rest = one.amount_minor - sum(part.amount_minor for part in parts)
    return [*parts, Entry(one.pair, "unexplained", rest)] if rest else parts


def _of(whole: Entry, about: bytes, origin: str, document: str, left: int, right: int) -> Entry:
    pair_of = type(whole.pair)(
        whole.pair.key, about, origin, "stock", document or about.hex(), left, right, 1, 1, 0, "", whole.pair.cause
    )
    return Entry(pair_of, "unexplained", left - right)


def _raise(unit: Unit, one: Entry, now: dt.datetime) -> None:
    pair, finding = one.pair, FINDINGS[one.pair.cause]
    key, origin = pair.key, pair.origin or ORIGIN
    step = _step(unit, f"wrong/{pair.about}", key.business_date, now)
    left, right = (f"{text(amount, key.currency)} {key.currency}" for amount in (pair.left_minor, pair.right_minor))
    about = pair.correlation_id or correlation_id(ORIGIN, pair.about)
    if finding.kind == "order_missing":  # nothing else is known of it
        step.tell(Hop("order.list", "source", about, origin, "order", pair.entity_id,
                      attributes={"order_id": pair.entity_id, "channel": key.channel}))  # fmt: skip
    step.raise_exception(
        finding.kind, origin=ORIGIN, correlation_id=about, entity=pair.entity, entity_id=pair.about,
        owner=finding.owner, amount_minor=abs(one.amount_minor) or max(abs(pair.left_minor), abs(pair.right_minor)),
        currency=key.currency, channel=key.channel,
        detail=finding.detail.format(id=pair.entity_id, left=left, right=right, date=key.business_date),
    )  # fmt: skip


def _step(unit: Unit, what: str, on: dt.date, now: dt.datetime) -> Step:
    return Step(unit, cause(ORIGIN, what, on, now), now, dt.timedelta())


def _tell(unit: Unit, level: Level, on: dt.date, run: int, day: Day, done_at: dt.datetime, provenance: Any) -> None:
    """The hops of a run: its cells in one, then its entries in as many as they need."""
    identity = f"{level}/{on}"
    why = Cause(ORIGIN, f"{identity}/{run}", on, provenance)
    about = {"owner": "finance" if day.broken else "", "rule_version": unit.rules.version}
    nothing = Key(level, on, "", "", "", "", "", "")  # that a run found nothing is told as well
    cells = [
        (EVENT_RECON_ITEM, _item(cell, run, due_at(cell.key, unit.rules)))
        for cell in day.cells.values() or (Cell(nothing),)
    ]
    whole = Hop("posting.reconcile", "transformation", correlation_id(ORIGIN, identity), ORIGIN, "period", identity,
                "reconciled", attributes=about, events=cells)  # fmt: skip
    unit.told.append(Told(whole, why, done_at))
    for first in range(0, len(day.entries), EVENTS_IN_A_SPAN):
        entries = day.entries[first : first + EVENTS_IN_A_SPAN]
        told = [(EVENT_RECON_ENTRY, _entry(one, run, place)) for place, one in enumerate(entries, first)]
        part = Hop("posting.explain", "transformation", whole.correlation_id, ORIGIN, "period", f"{identity}/{first}",
                   events=told)  # fmt: skip
        unit.told.append(Told(part, why, done_at))


def _place(key: Key) -> dict[str, Any]:
    return {
        "level": key.level, "business_date": key.business_date.isoformat(), "channel": key.channel,
        "provider": key.provider, "location": key.location, "kind": key.kind, "legal_entity": key.legal_entity,
        "currency": key.currency,
    }  # fmt: skip


def _item(cell: Cell, run: int, due: dt.datetime) -> dict[str, Any]:
    return _place(cell.key) | {
        "run": run,
        "left_minor": cell.left_minor,
        "right_minor": cell.right_minor,
        "left_count": cell.left_count,
        "right_count": cell.right_count,
        **{f"{why}_minor": cell.explained.get(why, 0) for why in WHYS},
        "unexplained_minor": cell.unexplained_minor,
        "reason": cell.reason,
        "due_at": nanoseconds(due),
    }


def _entry(one: Entry, run: int, place: int) -> dict[str, Any]:
    pair = one.pair
    return _place(pair.key) | {
        "run": run, "place": place, "correlation_id": (pair.correlation_id or NOBODY).hex(), "origin": pair.origin,
        "entity": pair.entity, "entity_id": pair.entity_id, "left_minor": pair.left_minor,
        "right_minor": pair.right_minor, "why": one.why, "cause": pair.cause, "amount_minor": one.amount_minor,
    }  # fmt: skip
