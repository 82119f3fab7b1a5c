"""Deadlines as people write them ("4 h", "next business day 09:00") and the calendar that they are read in."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

_NOON: Final = 12 * 3600
_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400}
_SPAN: Final = re.compile(r"(\d+) ?([a-z]+)")
_DAYS: Final = re.compile(r"(?:next|(\d+)) (business )?days?(?: (\d\d):(\d\d))?")


class InvalidDeadlineError(ValueError):
    """The text is no deadline."""


class Calendar(Struct, frozen=True, kw_only=True):
    """When an owner works: the zone, the days of the week off (Monday = 0) and the holidays."""

    zone: str = "UTC"
    days_off: tuple[int, ...] = (5, 6)
    holidays: tuple[date, ...] = ()

    def works_on(self, day: date) -> bool:
        return day.weekday() not in self.days_off and day not in self.holidays


class Deadline(Struct, frozen=True, kw_only=True):
    """``seconds`` after the start, or ``days`` later at ``clock_seconds`` after local midnight (None: same time)."""

    text: str
    seconds: int = 0
    days: int = 0
    business: bool = False
    clock_seconds: int | None = None

    def due(self, started_at: datetime, calendar: Calendar) -> datetime:
        if not self.days:
            return started_at + timedelta(seconds=self.seconds)
        seconds = self.of_day(started_at.astimezone(ZoneInfo(calendar.zone)).date(), calendar)
        if self.clock_seconds is None:
            return started_at + timedelta(seconds=seconds)
        return datetime.fromtimestamp(seconds, UTC)

    def of_day(self, day: date, calendar: Calendar) -> int:
        """For what starts on that local day: the due time in seconds since the epoch; without a clock time, how many
        seconds later it is due (counted at noon, so that a change of the clocks keeps the time of day)."""
        zone = ZoneInfo(calendar.zone)
        due_day = day
        for _ in range(self.days):
            due_day += timedelta(days=1)
            while self.business and not calendar.works_on(due_day):
                due_day += timedelta(days=1)
        if self.clock_seconds is None:
            return int((_at(due_day, _NOON, zone) - _at(day, _NOON, zone)).total_seconds())
        return int(_at(due_day, self.clock_seconds, zone).timestamp())


def _at(day: date, clock_seconds: int, zone: ZoneInfo) -> datetime:
    clock = time(clock_seconds // 3600, clock_seconds // 60 % 60)
    return datetime.combine(day, clock, zone).astimezone(UTC)


def parse(text: str) -> Deadline:
    """Reads "90 s", "15 min", "4 h", "3 d", "3 business days", "next day 06:00", "next business day 09:00".

    Raises InvalidDeadlineError with the accepted forms.
    """
    if (span := _SPAN.fullmatch(text)) and span[2] in _UNITS and int(span[1]):
        return Deadline(text=text, seconds=int(span[1]) * _UNITS[span[2]])
    days = _DAYS.fullmatch(text)
    if days is None or days[1] == "0" or (days[3] and (int(days[3]) > 23 or int(days[4]) > 59)):
        raise InvalidDeadlineError(f'{text!r} is no deadline; write "15 min", "4 h" or "next business day 09:00"')
    clock = int(days[3]) * 3600 + int(days[4]) * 60 if days[3] else None
    return Deadline(text=text, days=int(days[1] or 1), business=bool(days[2]), clock_seconds=clock)


def require_zone(name: str) -> None:
    """Raises InvalidDeadlineError when the time zone does not exist."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidDeadlineError(f"unknown time zone {name!r}") from error
