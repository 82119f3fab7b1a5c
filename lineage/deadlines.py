"""Deadlines as people write them ("4 h", "next business day 09:00") and the calendar that they are read in."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

_NOON: Final = 12 * 3600
_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400}
_SPAN: Final = re.compile(r"(\d+) ?([a-z]+)")
_WORK: Final = re.compile(r"(\d+) business (hour|minute)s?")
_DAYS: Final = re.compile(r"(?:next|(\d+)) (business )?days?(?: (\d\d):(\d\d))?")
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_CLOCK: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class InvalidDeadlineError(ValueError):
    """The text is no deadline."""


class Calendar(Struct, frozen=True, kw_only=True):
    """When an owner works: the zone, the hours of a day, the days of the week off (Monday = 0) and the holidays."""

    zone: str = "UTC"
    opens: str = "09:00"
    closes: str = "17:00"
    days_off: tuple[int, ...] = (5, 6)
    holidays: tuple[date, ...] = ()

    def works_on(self, day: date) -> bool:
        return day.weekday() not in self.days_off and day not in self.holidays

    def hours(self, day: date) -> tuple[datetime, datetime]:
        """From when to when work is done on a local day; both the same on a day off."""
        zone = ZoneInfo(self.zone)
        opens = at_clock(day, clock_seconds(self.opens), zone)
        return opens, at_clock(day, clock_seconds(self.closes), zone) if self.works_on(day) else opens


class Deadline(Struct, frozen=True, kw_only=True):
    """``seconds`` after the start, or ``days`` later at ``clock_seconds`` after local midnight (None: same time).

    ``business``: days off do not count, and of ``seconds`` only those in which work is done.
    """

    text: str
    seconds: int = 0
    days: int = 0
    business: bool = False
    clock_seconds: int | None = None

    @property
    def works(self) -> bool:
        """Whether it is a length of working time."""
        return self.business and not self.days

    @property
    def plain(self) -> bool:
        """Whether it is a length of time, whatever the calendar."""
        return not self.business and not self.days

    def due(self, started_at: datetime, calendar: Calendar) -> datetime:
        if self.works:
            return self._worked(started_at, calendar)
        if not self.days:
            return started_at + timedelta(seconds=self.seconds)
        seconds = self.of_day(started_at.astimezone(ZoneInfo(calendar.zone)).date(), calendar)
        if self.clock_seconds is None:
            return started_at + timedelta(seconds=seconds)
        return datetime.fromtimestamp(seconds, UTC)

    def _worked(self, started_at: datetime, calendar: Calendar) -> datetime:
        left = timedelta(seconds=self.seconds)
        day = started_at.astimezone(ZoneInfo(calendar.zone)).date()
        while True:
            opens, closes = calendar.hours(day)
            begin = max(started_at, opens)
            if left <= closes - begin:
                return begin + left
            left -= max(closes - begin, timedelta())
            day += timedelta(days=1)

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
            return int((at_clock(due_day, _NOON, zone) - at_clock(day, _NOON, zone)).total_seconds())
        return int(at_clock(due_day, self.clock_seconds, zone).timestamp())


def at_clock(day: date, seconds: int, zone: ZoneInfo) -> datetime:
    """When local clocks show so many seconds after midnight."""
    days, seconds = divmod(seconds, 86400)
    clock = time(seconds // 3600, seconds // 60 % 60)
    return datetime.combine(day + timedelta(days=days), clock, zone).astimezone(UTC)


def midnight(day: date, zone: str) -> datetime:
    """The first instant of a local day."""
    return at_clock(day, 0, ZoneInfo(zone))


def local_day(at: datetime, zone: str) -> int:
    """The local day of a moment, in days since the epoch."""
    return at.astimezone(ZoneInfo(zone)).toordinal() - _EPOCH_ORDINAL


def clock_seconds(text: str) -> int:
    """Seconds after midnight of "09:00". Raises InvalidDeadlineError."""
    if not _CLOCK.fullmatch(text):
        raise InvalidDeadlineError(f'{text!r} is no time of day; write "09:00"')
    return int(text[:2]) * 3600 + int(text[3:]) * 60


def parse(text: str) -> Deadline:
    """Reads "90 s", "15 min", "4 h", "3 d", "4 business hours", "3 business days", "next business day 09:00".

    Raises InvalidDeadlineError with the accepted forms.
    """
    if (span := _SPAN.fullmatch(text)) and span[2] in _UNITS and int(span[1]):
        return Deadline(text=text, seconds=int(span[1]) * _UNITS[span[2]])
    if (work := _WORK.fullmatch(text)) and int(work[1]):
        return Deadline(text=text, seconds=int(work[1]) * (3600 if work[2] == "hour" else 60), business=True)
    days = _DAYS.fullmatch(text)
    if days is None or days[1] == "0" or (days[3] and (int(days[3]) > 23 or int(days[4]) > 59)):
        raise InvalidDeadlineError(f'{text!r} is no deadline; write "15 min", "4 h" or "next business day 09:00"')
    clock = int(days[3]) * 3600 + int(days[4]) * 60 if days[3] else None
    return Deadline(text=text, days=int(days[1] or 1), business=bool(days[2]), clock_seconds=clock)


def require_sound(calendar: Calendar) -> None:
    """Raises InvalidDeadlineError when the zone does not exist or no work is ever done."""
    try:
        ZoneInfo(calendar.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidDeadlineError(f"unknown time zone {calendar.zone!r}") from error
    if clock_seconds(calendar.opens) >= clock_seconds(calendar.closes):
        raise InvalidDeadlineError(f"opens {calendar.opens} and closes {calendar.closes}")
    if not set(range(7)) - set(calendar.days_off):
        raise InvalidDeadlineError("every day of the week is off")
