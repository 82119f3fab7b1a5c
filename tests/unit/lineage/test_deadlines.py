from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from lineage.deadlines import Calendar, InvalidDeadlineError, parse, require_sound

LONDON = Calendar(zone="Europe/London", holidays=(date(2011, 4, 22), date(2011, 4, 25)))
UTC_WEEK = Calendar()


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "started", "calendar", "due"),
    [
        ("90 s", at(2011, 3, 1, 12), UTC_WEEK, at(2011, 3, 1, 12, 1, 30)),
        ("15 min", at(2011, 3, 1, 23, 50), UTC_WEEK, at(2011, 3, 2, 0, 5)),
        ("4 h", at(2011, 3, 1, 12), UTC_WEEK, at(2011, 3, 1, 16)),
        ("2 days", at(2011, 3, 4, 12), UTC_WEEK, at(2011, 3, 6, 12)),
        ("next day 06:00", at(2011, 3, 4, 23, 59), UTC_WEEK, at(2011, 3, 5, 6)),
        ("next business day 09:00", at(2011, 3, 4, 10), UTC_WEEK, at(2011, 3, 7, 9)),
        ("next business day 09:00", at(2011, 3, 5, 10), UTC_WEEK, at(2011, 3, 7, 9)),
        ("3 business days", at(2011, 3, 3, 10, 30), UTC_WEEK, at(2011, 3, 8, 10, 30)),
        # Good Friday and Easter Monday are off, and 09:00 in London is 08:00 UTC in summer.
        ("next business day 09:00", at(2011, 4, 21, 10), LONDON, at(2011, 4, 26, 8)),
        # The clocks go forward on 27 March: the same time of day is an hour earlier in UTC.
        ("1 business day", at(2011, 3, 25, 10), LONDON, at(2011, 3, 28, 9)),
        # 23:30 UTC on 1 July is already 2 July in London.
        ("next day 06:00", at(2011, 7, 1, 23, 30), LONDON, at(2011, 7, 3, 5)),
    ],
)
def test_due(text: str, started: datetime, calendar: Calendar, due: datetime) -> None:
    assert parse(text).due(started, calendar) == due


@pytest.mark.parametrize("text", ["", "soon", "4", "0 h", "-4 h", "4 weeks", "next day 24:00", "0 business days"])
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(InvalidDeadlineError, match="is no deadline"):
        parse(text)


def test_unknown_zone() -> None:
    require_sound(Calendar(zone="Europe/London"))
    with pytest.raises(InvalidDeadlineError, match="unknown time zone 'Europe/Londn'"):
        require_sound(Calendar(zone="Europe/Londn"))


@pytest.mark.parametrize(
    ("started", "due"),
    [
        ("2026-03-26 10:00", "2026-03-26 14:00"),
        ("2026-03-26 15:00", "2026-03-27 11:00"),
        ("2026-03-26 13:00", "2026-03-26 17:00"),  # as the day's work ends
        ("2026-03-27 16:00", "2026-03-30 12:00"),  # a weekend, in which the clocks change
        ("2026-03-26 20:00", "2026-03-27 13:00"),
        ("2026-04-02 16:30", "2026-04-07 12:30"),  # Easter
    ],
)
def test_working_time(started: str, due: str) -> None:
    calendar = Calendar(zone="Europe/London", holidays=(date(2026, 4, 3), date(2026, 4, 6)))
    london = ZoneInfo("Europe/London")
    found = parse("4 business hours").due(datetime.fromisoformat(started).replace(tzinfo=london), calendar)
    assert found == datetime.fromisoformat(due).replace(tzinfo=london)
