"""What the queries over items are given: milestones, deadlines as tables over days, moments of a calendar. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from lineage.deadlines import Calendar, Deadline
from lineage.rows import micros
from lineage.sla_checks import MOST_ENDS, Hours, Keyed
from lineage.slas import Sla

Params = dict[str, Any]

_DAY: Final = timedelta(days=1)
_EPOCH_DAY: Final = date(1970, 1, 1)
_ALL_DAY: Final = Hours(0, 1440)
_DAYS_OFF: Final = 60
"""No more days than this follow each other in which so much work is done as on one day."""


RECENT: Final = timedelta(days=1)
"""The end of a window by which the burn of its budget is told."""


class Window(NamedTuple):
    """``now``, the start of the window that ends now, and the oldest moment of the store."""

    now: datetime
    since: datetime
    oldest: datetime

    @property
    def recent(self) -> datetime:
        return max(self.since, self.now - RECENT)


def of_sla(sla: Sla, window: Window) -> Params:
    """For any kind of promise that has items of its own, but freshness."""
    params = _window(window, sla.calendar)
    params |= _deadlines(sla.deadline, sla.deadline_by, sla.deadlines, sla.calendar, window)
    if sla.kind == "reconciliation":
        return params | {"level": sla.level, "first_date": window.oldest.date() - _DAY}
    start_entity, _, start = sla.start.partition(".")
    if sla.kind == "volume":
        return params | {
            "start_entity": start_entity,
            "start": start,
            "names": _milestones(sla.allowed_shares),
            "shares": list(sla.allowed_shares.values()),
            "announced": _milestones(sla.announced.get(one, "") for one in sla.allowed_shares),
            "floor": sla.floor,
        }
    if sla.kind == "backlog":
        params |= _instants(sla, window)
    return params | _items(
        sla.start,
        sla.ends,
        stops=sla.excused,
        id_prefix=sla.end_id.partition("{id}")[0],
        due_from_hop=sla.due_from_hop,
        far_ends=sla.or_ends,
        spoils=sla.spoiled_by,
    ) | {
        "spoiled_kinds": list(sla.spoiled_kinds),
        "only_kinds": list(sla.only_kinds),
        "pauses": _milestones(one for pair in sla.paused for one in pair),
        "weighted": int(sla.weighted),
        "parked_too": int(sla.even_when_parked),
    }  # fmt: skip


def milestones_of(sla: Sla) -> Iterator[str]:
    """Every milestone that items of the promise are told by."""
    pauses = (one for pair in sla.paused for one in pair)
    yield from (sla.start, *sla.ends, *sla.or_ends, *sla.excused, *sla.spoiled_by, *pauses)


def _items(
    start: str,
    ends: Sequence[str],
    *,
    stops: Iterable[str],
    id_prefix: str,
    due_from_hop: bool,
    far_ends: Sequence[str] = (),
    spoils: Sequence[str] = (),
) -> Params:
    """What spoils and is of another entity than the start is sought on any object of the transaction."""
    start_entity, _, milestone = start.partition(".")
    far_spoils = [one for one in spoils if one.partition(".")[0] != start_entity]
    far = [*far_ends, *far_spoils]
    return {
        "start_entity": start_entity,
        "start": milestone,
        "stops": _milestones(stops),
        "spoils": _milestones(one for one in spoils if one not in far_spoils),
        "pauses": [],
        "end_entity": ends[0].partition(".")[0] if ends else "",
        "ends": _milestones(ends),
        "end_count": len(ends) or MOST_ENDS + 1,
        "id_prefix": id_prefix,
        "far_entities": sorted({one.partition(".")[0] for one in far}),
        "far_milestones": sorted(set(_milestones(far))),
        "far_ends": list(far_ends),
        "far_spoils": far_spoils,
        "spoiled_kinds": [],
        "only_kinds": [],
        "due_from_hop": int(due_from_hop),
        "weighted": 0,
        "parked_too": 0,
    }


def _milestones(names: Iterable[str]) -> list[str]:
    return [name.partition(".")[2] for name in names]


def of_freshness(sla: Sla, window: Window) -> Params:
    assert sla.interval is not None, "checked when the definition was loaded"
    channels = sorted({*sla.deadlines, *sla.intervals, *sla.hours_by_channel})
    rules = ["", *channels]
    hours = [sla.hours_by_channel.get(channel, _ALL_DAY) for channel in rules]
    return _window(window, sla.calendar) | {
        "rule_channels": channels,
        "rule_limits": [sla.deadline_for(channel).seconds for channel in rules],
        "rule_silences": [
            sla.intervals.get(channel, sla.interval).seconds * sla.heartbeats_missed for channel in rules
        ],
        "rule_opens": [hour.opens for hour in hours],
        "rule_closes": [hour.closes for hour in hours],
    }


def _window(window: Window, calendar: Calendar) -> Params:
    return {"now_us": micros(window.now), "since_us": micros(window.since), "zone": calendar.zone}


def _deadlines(
    general: Deadline, by: Keyed, others: Mapping[str, Deadline], calendar: Calendar, window: Window
) -> Params:
    """The general rule first, then one for each key; a rule by calendar as a table over the days of the store."""
    days = _days(window, calendar)
    rules = (general, *others.values())
    works = [_working_days(rule, days, calendar) if rule.works else ([], []) for rule in rules]
    return {
        "rule_by": by,
        "rule_keys": list(others),
        "rule_seconds": [rule.seconds for rule in rules],
        "rule_tables": [[rule.of_day(day, calendar) for day in days] if rule.days else [] for rule in rules],
        "rule_shifts": [int(rule.clock_seconds is None) for rule in rules],
        "rule_opens": [opens for opens, _ in works],
        "rule_worked": [worked for _, worked in works],
        "work_days": max((_work_days(rule, calendar) for rule in rules if rule.works), default=0),
        "first_day": (days[0] - _EPOCH_DAY).days,
    }


def _days(window: Window, calendar: Calendar) -> list[date]:
    """The local days that items may have started on."""
    zone = ZoneInfo(calendar.zone)
    first = window.oldest.astimezone(zone).date() - _DAY
    return [first + _DAY * ahead for ahead in range((window.now.astimezone(zone).date() - first).days + 2)]


def _work_days(rule: Deadline, calendar: Calendar) -> int:
    """So many days are enough for the deadline to pass, wherever it begins."""
    opens, closes = next(
        (opens, closes) for day in range(_DAYS_OFF) for opens, closes in [calendar.hours(_EPOCH_DAY + _DAY * day)]
        if opens < closes
    )  # fmt: skip
    return int(rule.seconds / (closes - opens).total_seconds() + 1) * 7 + _DAYS_OFF


def _working_days(rule: Deadline, days: Sequence[date], calendar: Calendar) -> tuple[list[int], list[int]]:
    """Of each day until the deadline of the last has passed: when work begins, and seconds worked when it ends."""
    opens: list[int] = []
    worked: list[int] = []
    total = 0
    for ahead in range(len(days) + _work_days(rule, calendar)):
        begin, end = calendar.hours(days[0] + _DAY * ahead)
        total += int((end - begin).total_seconds())
        opens.append(int(begin.timestamp()))
        worked.append(total)
    return opens, worked


def _instants(sla: Sla, window: Window) -> Params:
    """When a backlog is measured, and what was due by when is then too old."""
    at = Deadline(text="", days=1, clock_seconds=sla.measured_at)
    zone = ZoneInfo(sla.calendar.zone)
    days = [day for day in _days(window, sla.calendar) if sla.calendar.works_on(day)]
    found = [datetime.fromtimestamp(at.of_day(day - _DAY, sla.calendar), tz=zone) for day in days]
    instants = [one for one in found if window.oldest <= one <= window.now]
    return {
        "instants": [micros(one) for one in instants],
        "oldest": [micros(_before(one, sla.allowed_age, sla.calendar)) for one in instants],
        "length_us": sla.window_days * 86_400_000_000,
        "allowed_share": sla.allowed_share,
    }


def _before(instant: datetime, age: Deadline, calendar: Calendar) -> datetime:
    """So long before, on the same clock."""
    if not age.days:
        return instant - timedelta(seconds=age.seconds)
    day, left = instant, age.days
    while left:
        day -= _DAY
        left -= not age.business or calendar.works_on(day.date())
    return day
