"""The deadline rule: when an item counts, for or against its promise, and what state a promise is in."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from lineage.model import SlaState, Verdict

SKEW: Final = timedelta(minutes=2)
"""An end this little before its start is two clocks that differ, and counts as no time at all."""

MILLION: Final = 1_000_000


class Judged(Struct, frozen=True):
    verdict: Verdict
    decided_at: datetime | None = None
    overdue: bool = False  # bad and still open
    late_seconds: float = 0.0  # past the deadline, to the end or to now


def judge(
    *,
    started_at: datetime,
    due_at: datetime,
    ended_at: datetime | None,
    stopped_at: datetime | None,
    now: datetime,
    spoiled_at: datetime | None = None,
) -> Judged:
    """Decided at min(end, deadline): late completion never un-burns an item.

    ``stopped_at`` is when it was cancelled, ``spoiled_at`` when it became bad whatever follows. What lies after ``now``
    has not happened yet.
    """
    ended_at, stopped_at, spoiled_at = _until(ended_at, now), _until(stopped_at, now), _until(spoiled_at, now)
    if ended_at and ended_at < started_at:
        if started_at - ended_at > SKEW:
            return Judged("refused", started_at)
        ended_at = started_at
    is_open = ended_at is None and stopped_at is None
    if spoiled_at:
        spoiled_at = max(spoiled_at, started_at)
        if all(spoiled_at <= other for other in (due_at, ended_at, stopped_at) if other):
            return Judged("bad", spoiled_at, is_open, max(0.0, ((ended_at or now) - due_at).total_seconds()))
    if ended_at and ended_at <= due_at and not (stopped_at and stopped_at < ended_at):
        return Judged("good", ended_at)
    if stopped_at and stopped_at <= due_at:
        return Judged("excused", stopped_at)
    if now <= due_at:
        return Judged("pending")
    late = ((ended_at or now) - due_at).total_seconds()
    return Judged("bad", due_at, is_open, late)


def judged_once(
    *, started_at: datetime, due_at: datetime, stopped_at: datetime | None, spoiled_at: datetime | None, now: datetime
) -> Judged:
    """Of what is judged at its deadline: bad when something spoiled it first, and over then; else good."""
    spoiled_at = spoiled_at if spoiled_at and max(spoiled_at, started_at) <= due_at else None
    ended_at = max(spoiled_at, started_at) if spoiled_at else due_at
    return judge(
        started_at=started_at, due_at=due_at, ended_at=ended_at, stopped_at=stopped_at, now=now, spoiled_at=spoiled_at
    )


def paused_until(
    due_at: datetime, started_at: datetime, marks: Iterable[tuple[datetime, int, bool]], now: datetime
) -> datetime:
    """The deadline after the pauses that began before it. A mark begins (true) or ends the pause of a number.

    While a pause lasts the deadline moves on with ``now``, and what waits is pending.
    """
    under_way: set[int] = set()
    since = started_at
    for at, number, begins in sorted(mark for mark in marks if mark[0] <= now):
        before = bool(under_way)
        (under_way.add if begins else under_way.discard)(number)
        if begins and not before:
            since = max(at, started_at)
        elif before and not under_way and since < due_at:
            due_at += max(at, started_at) - since
    return due_at + (now - since) if under_way and since < due_at else due_at


def _until(at: datetime | None, now: datetime) -> datetime | None:
    return at if at and at <= now else None


class Tally(Struct, frozen=True, kw_only=True):
    """Judged items of one window and segment."""

    good: int = 0
    bad: int = 0
    pending: int = 0
    excused: int = 0
    refused: int = 0
    overdue_open: int = 0

    @property
    def decided(self) -> int:
        return self.good + self.bad

    @property
    def value(self) -> float | None:
        return self.good / self.decided if self.decided else None


class Thresholds(Struct, frozen=True, kw_only=True):
    target_ppm: int
    low_volume_under: int = 50  # decided items
    overdue_allowed: int = 2  # the count rule of low volume
    at_risk_below: float = 0.25  # share of the budget left
    stale_after: timedelta = timedelta(hours=26)  # age of the newest event seen


def budget_left(tally: Tally, target_ppm: int) -> float | None:
    """Share of the bad items that the target allows which is unspent; negative when overspent, None when none is."""
    allowed = tally.decided * (MILLION - target_ppm)
    return 1 - tally.bad * MILLION / allowed if allowed else None


def burn(recent: Tally, target_ppm: int) -> float | None:
    """How many times as fast as allowed the budget is spent: 1 spends all of it in just one window."""
    return recent.bad * MILLION / (recent.decided * (MILLION - target_ppm)) if recent.decided else None


def exhausted_in(left: float | None, rate: float | None, window: timedelta) -> timedelta | None:
    """Until the budget is spent at this rate: nothing when it is; None when it never will be."""
    if left is None or rate is None:
        return None
    if left <= 0:
        return timedelta()
    return window * (left / rate) if rate > 0 else None


def state(tally: Tally, rules: Thresholds, watermark: datetime | None, now: datetime) -> tuple[SlaState, str]:
    """The state word and, in words, why."""
    if not tally.decided and not tally.pending and not tally.overdue_open:
        return "no_data", "nothing was due in the window"
    if watermark is None or now - watermark > rules.stale_after:
        return "stale", f"nothing arrived since {watermark:%Y-%m-%d %H:%M} UTC" if watermark else "nothing arrived"
    if tally.decided < rules.low_volume_under:
        return "low_volume", _few(tally, rules)
    left = budget_left(tally, rules.target_ppm)
    missed = f"{tally.bad:,} of {tally.decided:,} missed the deadline"
    if tally.bad * MILLION > tally.decided * (MILLION - rules.target_ppm):
        return "breached", f"{missed}, {_allowed(tally.decided * (MILLION - rules.target_ppm) // MILLION)}"
    if left is not None and left < rules.at_risk_below:
        return "at_risk", f"{left:.0%} of the budget is left"
    return "meeting", missed


def _few(tally: Tally, rules: Thresholds) -> str:
    count = f"{tally.decided:,} decided, fewer than {rules.low_volume_under}"
    if tally.overdue_open > rules.overdue_allowed:
        return f"{count}; {tally.overdue_open:,} are overdue, {_allowed(rules.overdue_allowed)}"
    return f"{count}; {tally.overdue_open:,} overdue"


def _allowed(number: int) -> str:
    return f"{number:,} {'is' if number == 1 else 'are'} allowed"
