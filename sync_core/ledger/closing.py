"""The close of a period: what is still open, who closed it and why, and how long that took."""

import datetime as dt
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from collector.semconv import correlation_id
from sync_core.clock import Clock
from sync_core.ledger.ledger import PostingRules
from sync_core.ledger.periods import PeriodState, bounds, period_of
from sync_core.messages import Cause, Name
from sync_core.model import Hop
from sync_core.store import Session, Store, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

SOURCE: Final = "tallytrace.periods"
SHOWN: Final = 20
"""How many things of a point are named."""

PeriodAction = Literal["begin", "close", "reopen"]
_LEADS: Final[dict[PeriodAction, tuple[tuple[PeriodState, ...], PeriodState]]] = {
    "begin": (("open",), "closing"),
    "close": (("open", "closing"), "closed"),
    "reopen": (("closing", "closed"), "open"),
}
_POINTS: Final = {
    "exceptions": "close_exceptions", "events not processed": "close_events", "not in the ERP": "close_unposted",
    "not summarised": "close_unsummarised", "not settled in time": "close_unmatched",
    "accounts that should hold nothing": "close_accounts",
}  # fmt: skip


class ClosePoint(Struct, frozen=True):
    """One thing that should be done before a period is closed: how much of it is left, and the largest of it."""

    name: str
    count: int
    largest: list[tuple[str, int, str]]  # what, minor units, currency


class PeriodRecord(Struct, frozen=True):
    """Who did what to a period, and what was open then."""

    at: dt.datetime
    by: str
    action: str
    reason: str
    open_points: dict[str, int]


class PeriodStatus(Struct, frozen=True):
    """A period of a legal entity. ``days_to_close`` counts from its last day."""

    legal_entity: str
    period: str
    starts: dt.date
    ends: dt.date
    state: PeriodState
    days_to_close: int | None
    points: list[ClosePoint]
    record: list[PeriodRecord]


class PeriodOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a period, by whom and why. ``accept_open`` closes it although something is left."""

    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    legal_entity: str = ""
    accept_open: bool = False
    dry_run: bool = False


def status(session: Session, rules: PostingRules, entity: str, period: str, now: dt.datetime) -> PeriodStatus:
    """Raises ValueError for what is no period."""
    starts, ends = bounds(period)
    state, closed_at = session.run("period_state", entity=entity, period=period).fetchone() or ("open", None)
    record = [PeriodRecord(*row) for row in session.rows("period_actions", entity=entity, period=period)]
    days = (closed_at.date() - ends).days if state == "closed" else None
    points = _points(session, rules, entity, starts, ends, now) if state != "closed" else []
    return PeriodStatus(entity, period, starts, ends, state, days, points, record)


def change(
    session: Session, rules: PostingRules, entity: str, period: str, action: PeriodAction, wanted: PeriodOrder,
    now: dt.datetime,
) -> PeriodStatus | str:  # fmt: skip
    """Do it, or say in words why not. Whoever posts waits for it, and finds the period as it is then."""
    session.run("lock_periods")
    before = status(session, rules, entity, period, now)
    from_states, state = _LEADS[action]
    left = {point.name: point.count for point in before.points if point.count}
    if before.state not in from_states:
        return f"period {period} of {entity} is {before.state}"
    if action == "close" and before.ends >= now.date():
        return f"period {period} ends on {before.ends}"
    if action == "close" and left and not wanted.accept_open:
        return "still open: " + ", ".join(f"{count} {name}" for name, count in left.items())
    if wanted.dry_run:
        return before
    values = {"entity": entity, "period": period}
    session.run("save_period", **values, starts=before.starts, ends=before.ends, state=state,
                closed_at=now if state == "closed" else None)  # fmt: skip
    session.run("add_period_action", **values, now=now, by=wanted.by, action=action, reason=wanted.reason,
                points=msgspec.json.encode(left).decode())  # fmt: skip
    after = status(session, rules, entity, period, now)
    save_spans(session, encode([_told(after, action, wanted, left, now)]), now)
    return after


def _points(
    session: Session, rules: PostingRules, entity: str, starts: dt.date, ends: dt.date, now: dt.datetime
) -> list[ClosePoint]:
    values = {"entity": entity, "starts": starts, "ends": ends, "now": now, "limit": SHOWN}
    accounts = rules.accounts
    values |= {"clearing": rules.clearing(""), "accounts": [*rules.banked, accounts.bank_unidentified,
                                                            rules.settlement["unknown"]]}  # fmt: skip
    points = []
    for name, statement in _POINTS.items():
        rows = session.rows(statement, **values)
        points.append(ClosePoint(name, rows[0][3] if rows else 0, [row[:3] for row in rows]))
    return points


def _told(
    after: PeriodStatus, action: PeriodAction, wanted: PeriodOrder, left: dict[str, int], now: dt.datetime
) -> Told:
    number = f"{after.legal_entity}/{after.period}"
    open_points = "".join(f"; {count} {name} left open" for name, count in left.items()) if action == "close" else ""
    about = {"legal_entity": after.legal_entity, "reason": f"{wanted.by}: {wanted.reason}{open_points}",
             "owner": "finance"}  # fmt: skip
    hop = Hop(f"posting.{action}_period", "transformation", correlation_id(SOURCE, number), SOURCE, "period", number,
              {"close": "closed", "reopen": "reopened"}.get(action, ""), attributes=about)  # fmt: skip
    return Told(hop, Cause(SOURCE, f"{number}/{action}/{len(after.record)}", after.ends, "live"), now)


class PeriodEnds:
    """Says once of each legal entity with entries in a month that the month is over."""

    def __init__(self, db: Store, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._looked_on = dt.date.min

    def run_once(self) -> int:
        """Look until there are entries, and then once a day; returns how many periods ended."""
        now = self._clock()
        if now.date() == self._looked_on:
            return 0
        period = period_of(now.date().replace(day=1) - dt.timedelta(days=1))
        starts, ends = bounds(period)
        with self._db.transaction() as session:
            rows = session.rows("end_periods", period=period, starts=starts, ends=ends)
            ended = [entity for entity, is_new in rows if is_new]
            save_spans(session, encode([_ended(f"{entity}/{period}", entity, ends, now) for entity in ended]), now)
        if rows:
            self._looked_on = now.date()
        return len(ended)


def _ended(number: str, entity: str, ends: dt.date, now: dt.datetime) -> Told:
    midnight = dt.datetime.combine(ends + dt.timedelta(days=1), dt.time(), dt.UTC)
    hop = Hop("posting.end_period", "source", correlation_id(SOURCE, number), SOURCE, "period", number, "ended",
              occurred_at=midnight, attributes={"legal_entity": entity, "owner": "finance"})  # fmt: skip
    return Told(hop, Cause(SOURCE, f"{number}/end", ends, "live"), now)
