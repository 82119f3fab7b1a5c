"""Whether a promise measured again would be found as it was: nothing new came that it reads, and no moment passed.

Pure.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from lineage.deadlines import at_clock
from lineage.item_params import Window, milestones_of
from lineage.rolling import DayRow
from lineage.rows import ArrivalRow, micros
from lineage.slas import Sla

SETTLED_AFTER: Final = timedelta(seconds=30)
"""Of wall time. What an insert brings becomes visible table by table; by then all of it is."""

TRUSTED_FOR: Final = timedelta(hours=1)
"""Of wall time, before all is read again: rows that expire tell nobody."""

_FOR_EVER: Final = 2**62


class Arrivals(Struct, frozen=True):
    rows: tuple[ArrivalRow, ...]

    def of(self, facts: Iterable[str]) -> tuple[ArrivalRow, ...]:
        wanted = set(facts)
        return tuple(row for row in self.rows if row.fact in wanted)

    def has(self, fact: str) -> bool:
        return any(row.fact == fact for row in self.rows)


def facts_of(sla: Sla) -> set[str]:
    """The kinds of fact that a promise is measured by."""
    match sla.kind:
        case "freshness" | "propagation":
            return {"stock_marks"}
        case "reconciliation":
            return {"recon_items", "journal_lines"}
        case "volume":
            return {sla.start, *sla.allowed_shares, *sla.announced.values()}
        case _:
            return {*milestones_of(sla), "corrections"}


class Found(Struct, frozen=True):
    """What was found as of the end of a window, and until when it stays so."""

    window: Window
    arrived: tuple[ArrivalRow, ...]
    until_us: int  # the first moment that may change something
    since_until_us: int  # the last start of the window that changes nothing
    recent_until_us: int

    def holds(self, window: Window, arrived: tuple[ArrivalRow, ...]) -> bool:
        return (
            arrived == self.arrived
            and self.window.now <= window.now
            and micros(window.now) < self.until_us
            and self.window.since <= window.since
            and micros(window.since) <= self.since_until_us
            and micros(window.recent) <= self.recent_until_us
        )


def found(sla: Sla, window: Window, arrived: tuple[ArrivalRow, ...], rows: Sequence[DayRow]) -> Found:
    now_us = micros(window.now)
    until = [micros(_turn(sla, window.now)), *(row.due_us for row in rows if row.due_us)]
    if sla.hours_by_channel or any(row.newest_us > now_us for row in arrived):  # what is to come, comes by the clock
        until.append(now_us)
    return Found(
        window=window,
        arrived=arrived,
        until_us=min(until),
        since_until_us=min((row.first_us for row in rows if row.inside == 1), default=_FOR_EVER),
        recent_until_us=min((row.first_us for row in rows if row.inside == 2), default=_FOR_EVER),
    )


def _turn(sla: Sla, now: datetime) -> datetime:
    """When the calendar next adds something: a day, or a moment at which a backlog is measured."""
    zone = ZoneInfo(sla.calendar.zone)
    today = now.astimezone(zone).date()
    moments = [
        at_clock(today + timedelta(days=ahead), seconds, zone) for ahead in (0, 1) for seconds in {0, sla.measured_at}
    ]
    return min(one for one in moments if one > now)
