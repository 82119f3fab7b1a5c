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
from lineage.findings import CLOCKS_DIFFER, STUCK_AFTER
from lineage.flows import ANY_OBJECT, Need, Step
from lineage.rolling import DayRow
from lineage.rows import (
    DisorderRow,
    EventRow,
    FeedRow,
    HeldLinesRow,
    ItemRow,
    JournalRow,
    KeyRow,
    LinkedSumRow,
    LinkRow,
    OwnerRow,
    SampleRow,
    ShareRow,
    SpanRow,
    StretchRow,
    TraceRow,
    TroubleRow,
    micros,
)
from lineage.slas import Hours, Sla

SQL: Final = Path(__file__).with_name("sql")
MOST_SPANS: Final = 20_000
MOST_LINKS: Final = 5_000
MOST_KEYS: Final = 50
_MICROSECOND: Final = timedelta(microseconds=1)
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

    def links_of(self, ids: Collection[str], ends_only: Collection[str] = ()) -> list[LinkRow]:
        asked = {"ids": sorted(ids), "ends_only": sorted(ends_only), "most": MOST_LINKS}
        return self._rows("links_of", LinkRow, asked)

    def linked_page(self, correlation_id: str, kind: str, after: str, most: int) -> list[LinkRow]:
        asked = {"id": correlation_id, "kind": kind, "after": after, "most": most}
        return self._rows("linked_page", LinkRow, asked)

    def linked_sums(self, correlation_id: str) -> list[LinkedSumRow]:
        return self._rows("linked_sums", LinkedSumRow, {"id": correlation_id})

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

    # --- what is wrong, and how far it reaches ---

    def trouble(self, hop: str, window: Window, grace: timedelta, most: int) -> list[TroubleRow]:
        asked = _trouble(hop, window, grace) | {"most": most}
        return self._held("held_oldest", TroubleRow, "trouble", asked)

    def disorder(self, need: Need, window: Window, most: int) -> list[DisorderRow]:
        entity, _, milestone = need.reached.partition(".")
        needed = [one.partition(".") for one in need.any_of]
        params = {
            "entity": entity,
            "milestone": milestone,
            "prefix": need.prefix,
            "needed": list(need.any_of),
            "entities": sorted({one[0] for one in needed}),
            "milestones": sorted({one[2] for one in needed}),
            "same": int(need.same),
            "now_us": micros(window.now),
            "since_us": micros(window.since),
            "grace_us": STUCK_AFTER // _MICROSECOND,
            "differ_us": CLOCKS_DIFFER // _MICROSECOND,
            "most": most,
        }
        return self._rows("disorder", DisorderRow, params, LONG)

    def feed_stands(self, feed: str, channel: str, location: str, now: datetime) -> list[FeedRow]:
        asked = {"feed": feed, "channel": channel, "location": location, "now_us": micros(now)}
        return self._rows("feed_stands", FeedRow, asked)

    def held_by(self, held: "Held") -> tuple[list[ShareRow], HeldLinesRow, list[TroubleRow]]:
        shares = self._held("held_shares", ShareRow, held.name, held.params)
        (lines,) = self._held("held_lines", HeldLinesRow, held.name, held.params)
        oldest = self._held("held_oldest", TroubleRow, held.name, held.params | {"most": 20})
        return shares, lines._replace(skus=tuple(lines.skus)), oldest

    def _held(self, name: str, into: Callable[..., T], held: str, params: Params) -> list[T]:
        items = text(held).replace("/*items*/", text("items_interval"))
        sql = text(name).replace("/*held*/", items)
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


class Held(NamedTuple):
    """A question for what is held up: the name of its SQL and its parameters."""

    name: str
    params: Params


def held_by_hop(hop: str, step: Step | None, calendar: Calendar, window: Window) -> Held:
    """The open items of the step that the hop brings; of a hop of no step, the objects it failed for."""
    if step is None or step.deadline is None:
        return Held("trouble", _trouble(hop, window, timedelta(0)))
    return Held("held_open", _step_items(step, calendar, window))


def held_by_feed(channel: str, location: str, window: Window) -> Held:
    times = {"now_us": micros(window.now), "since_us": micros(window.since)}
    return Held("held_feed", times | {"channel": channel, "location": location})


def _trouble(hop: str, window: Window, grace: timedelta) -> Params:
    times = {"now_us": micros(window.now), "since_us": micros(window.since)}
    return times | {"hop": hop, "grace_us": grace // _MICROSECOND}


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
    params = _window(window, calendar) | _deadlines(step.deadline, step.deadline_by_channel, calendar, window)
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
