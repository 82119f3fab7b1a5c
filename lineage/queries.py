"""Every question that lineage asks of ClickHouse, by the name of its file in sql/."""

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from collector.storage import Storage
from lineage.deadlines import Calendar, Deadline
from lineage.flows import ANY_OBJECT, Step
from lineage.rolling import DayRow
from lineage.rows import (
    EventRow,
    ItemRow,
    JournalRow,
    KeyRow,
    LinkRow,
    OwnerRow,
    SampleRow,
    SpanRow,
    StretchRow,
    TraceRow,
    micros,
)
from lineage.slas import Hours, Sla

SQL: Final = Path(__file__).with_name("sql")
MOST_SPANS: Final = 20_000
MOST_LINKS: Final = 5_000
MOST_KEYS: Final = 50
_DAY: Final = timedelta(days=1)
_EPOCH_DAY: Final = date(1970, 1, 1)
_ALL_DAY: Final = Hours(0, 1440)
_PARTS: Final = ("judged", "fresh_stretches")
LONG: Final = 60.0
"""Seconds that a query over every item of a promise may take."""

Params = dict[str, Any]

T = TypeVar("T")


@cache
def text(name: str) -> str:
    """The SQL of a query, with the queries that it is built on where it names them."""
    sql = (SQL / f"{name}.sql").read_text()
    for part in _PARTS:
        if f"/*{part}*/" in sql:
            sql = sql.replace(f"/*{part}*/", text(part))
    return sql


class Window(NamedTuple):
    """``now``, the start of the window that ends now, and the local days that items may have started on."""

    now: datetime
    since: datetime
    oldest: datetime  # of the store


class Filter(Struct, frozen=True, kw_only=True):
    """Which judged items to list; empty = all. ``verdicts`` also takes "overdue"."""

    verdicts: tuple[str, ...] = ()
    channel: str = ""
    location: str = ""
    provider: str = ""
    most: int = 100


class Queries:
    """Reads and writes lineage's tables through one Storage. Safe to share between threads, as Storage is."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def _rows(self, name: str, into: Callable[..., T], params: Params, max_seconds: float = 10) -> list[T]:
        return [into(*row) for row in self._storage.query(text(name), params, max_seconds=max_seconds)]

    # --- one transaction ---

    def spans_of(self, ids: Collection[str]) -> list[SpanRow]:
        rows = self._rows("spans_of", SpanRow, {"ids": sorted(ids), "most": MOST_SPANS})
        return [row._replace(events=tuple(EventRow(*event) for event in row.events)) for row in rows]

    def spans_linked(self, ids: Collection[str]) -> list[SpanRow]:
        """Without events, free attributes and other columns that the standing of a transaction does not need."""
        return self._rows("spans_linked", SpanRow, {"ids": sorted(ids), "most": MOST_SPANS})

    def links_of(self, ids: Collection[str]) -> list[LinkRow]:
        return self._rows("links_of", LinkRow, {"ids": sorted(ids), "most": MOST_LINKS})

    def journal_of(self, correlation_id: str) -> list[JournalRow]:
        return self._rows("journal_of", JournalRow, {"id": correlation_id, "most": MOST_SPANS})

    def trace(self, trace_id: str) -> list[TraceRow]:
        rows = self._rows("trace", TraceRow, {"id": trace_id, "most": MOST_SPANS})
        return [row._replace(events=tuple(EventRow(*event) for event in row.events)) for row in rows]

    # --- finding it ---

    def keys_exactly(self, values: Collection[str], most: int = MOST_KEYS) -> list[KeyRow]:
        return self._rows("keys_exactly", KeyRow, {"values": sorted(values), "most": most})

    def keys_alike(self, typed: str, stem: str, most: int = MOST_KEYS) -> list[KeyRow]:
        return self._rows("keys_alike", KeyRow, {"typed": typed, "stem": stem, "most": most})

    def transaction_known(self, correlation_id: str) -> list[KeyRow]:
        return self._rows("transaction_known", KeyRow, {"id": correlation_id})

    def transactions_in_trace(self, trace_id: str) -> list[KeyRow]:
        return self._rows("transactions_in_trace", KeyRow, {"id": trace_id, "most": MOST_KEYS})

    # --- promises ---

    def extent(self, now: datetime) -> tuple[int, int]:
        """Microseconds of the oldest and the newest event up to ``now``; 0 when the store is empty."""
        return self._rows("extent", lambda oldest, newest: (oldest, newest), {"now_us": micros(now)})[0]

    def day_counts(self, sla: Sla, window: Window) -> list[DayRow]:
        if sla.kind == "freshness":
            return self._rows("fresh_day_counts", DayRow, _freshness(sla, window), LONG)
        return self._judged("day_counts", DayRow, *_sla_items(sla, window))

    def items(self, sla: Sla, window: Window, wanted: Filter) -> list[ItemRow]:
        """For any kind but freshness."""
        name, params = _sla_items(sla, window)
        return self._judged("items", ItemRow, name, params | _wanted(wanted))

    def stretches(self, sla: Sla, window: Window, wanted: Filter) -> list[StretchRow]:
        return self._rows("fresh_items", StretchRow, _freshness(sla, window) | _wanted(wanted), LONG)

    def overdue(self, step: Step, calendar: Calendar, window: Window, most: int) -> list[ItemRow]:
        wanted = Filter(verdicts=("overdue",), most=most)
        return self._judged("items", ItemRow, "items_interval", _step_items(step, calendar, window) | _wanted(wanted))

    def overdue_by_owner(self, step: Step, calendar: Calendar, window: Window) -> list[OwnerRow]:
        return self._judged("overdue_by_owner", OwnerRow, "items_interval", _step_items(step, calendar, window))

    def overdue_cells(self, sla: Sla, window: Window) -> list[OwnerRow]:
        return self._judged("overdue_by_owner", OwnerRow, *_sla_items(sla, window))

    def _judged(self, name: str, into: Callable[..., T], items: str, params: Params) -> list[T]:
        sql = text(name).replace("/*items*/", text(items))
        return [into(*row) for row in self._storage.query(sql, params, max_seconds=LONG)]

    # --- measurements ---

    def samples_now(self, slas: Collection[str], since: datetime) -> list[SampleRow]:
        return self._rows("samples_now", SampleRow, {"slas": sorted(slas), "since_us": micros(since)})

    def samples_daily(
        self, slas: Collection[str], since: datetime, until: datetime, *, whole_only: bool
    ) -> list[SampleRow]:
        params = {
            "slas": sorted(slas),
            "since_us": micros(since),
            "until_us": micros(until),
            "whole_only": int(whole_only),
        }
        return self._rows("samples_daily", SampleRow, params)

    def write_samples(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._storage.insert("sli_samples", columns, rows)


def _wanted(wanted: Filter) -> Params:
    return {
        "verdicts": list(wanted.verdicts),
        "channel": wanted.channel,
        "location": wanted.location,
        "provider": wanted.provider,
        "most": wanted.most,
    }


def _window(window: Window, calendar: Calendar) -> Params:
    return {"now_us": micros(window.now), "since_us": micros(window.since), "zone": calendar.zone}


def _deadlines(general: Deadline, by_channel: dict[str, Deadline], calendar: Calendar, window: Window) -> Params:
    """The general rule first, then one for each channel; a rule by calendar as a table over the days of the store."""
    zone = ZoneInfo(calendar.zone)
    first = window.oldest.astimezone(zone).date() - _DAY
    days = [first + _DAY * ahead for ahead in range((window.now.astimezone(zone).date() - first).days + 2)]
    rules = (general, *by_channel.values())
    return {
        "rule_channels": list(by_channel),
        "rule_seconds": [rule.seconds for rule in rules],
        "rule_tables": [[rule.of_day(day, calendar) for day in days] if rule.days else [] for rule in rules],
        "rule_shifts": [int(rule.clock_seconds is None) for rule in rules],
        "first_day": (first - _EPOCH_DAY).days,
    }


def _sla_items(sla: Sla, window: Window) -> tuple[str, Params]:
    params = _window(window, sla.calendar)
    params |= _deadlines(sla.deadline, sla.deadline_by_channel, sla.calendar, window)
    if sla.kind == "reconciliation":
        return "items_reconciliation", params | {"level": sla.level, "first_date": window.oldest.date() - _DAY}
    start_entity, _, start = sla.start.partition(".")
    return "items_interval", params | {
        "start_entity": start_entity,
        "start": start,
        "stops": [stop.partition(".")[2] for stop in sla.excused],
        "end_entity": sla.ends[0].partition(".")[0],
        "ends": [end.partition(".")[2] for end in sla.ends],
        "id_prefix": sla.end_id.partition("{id}")[0],
        "any_object": 0,
        "due_from_hop": 0,
        "parked_too": 0,
        "not_prefixes": [],
    }


def _step_items(step: Step, calendar: Calendar, window: Window) -> Params:
    assert step.deadline is not None, "only steps with a deadline can be overdue"
    start_entity, _, start = step.after.partition(".")
    params = _window(window, calendar) | _deadlines(step.deadline, {}, calendar, window)
    return params | {
        "start_entity": start_entity,
        "start": start,
        "stops": [stop.partition(".")[2] for stop in step.unless],
        "end_entity": step.entity,
        "ends": [step.milestone],
        "id_prefix": "" if step.id == ANY_OBJECT else step.id.partition("{id}")[0],
        "any_object": int(step.id == ANY_OBJECT),
        "due_from_hop": int(step.due_from_hop),
        "parked_too": int(step.even_when_parked),
        "not_prefixes": list(step.leaves_to_others),
    }


def _freshness(sla: Sla, window: Window) -> Params:
    assert sla.interval is not None, "checked when the definition was loaded"
    channels = sorted({*sla.deadline_by_channel, *sla.interval_by_channel, *sla.hours_by_channel})
    rules = ["", *channels]
    hours = [sla.hours_by_channel.get(channel, _ALL_DAY) for channel in rules]
    return _window(window, sla.calendar) | {
        "rule_channels": channels,
        "rule_limits": [sla.deadline_for(channel).seconds for channel in rules],
        "rule_silences": [
            sla.interval_by_channel.get(channel, sla.interval).seconds * sla.heartbeats_missed for channel in rules
        ],
        "rule_opens": [hour.opens for hour in hours],
        "rule_closes": [hour.closes for hour in hours],
    }
