"""Every question that lineage asks of ClickHouse, by the name of its file in sql/."""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct, structs

from collector.storage import Storage
from lineage.brands import Brand, Within
from lineage.findings import CLOCKS_DIFFER
from lineage.item_params import Params, Window, milestones_of, of_freshness, of_sla
from lineage.model import View
from lineage.rolling import DAY_COLUMNS, DayRow
from lineage.rows import (
    ArrivalRow,
    BlocksRow,
    BuildRow,
    CountedRow,
    DisorderRow,
    EventRow,
    FeedRow,
    GenerationRow,
    HeldLinesRow,
    ItemRow,
    JournalRow,
    KeyRow,
    LinkedSumRow,
    LinkRow,
    LinksRead,
    MarkedRow,
    OpenRow,
    OverdueRow,
    OwnerRow,
    SampleRow,
    ShareRow,
    SpanRow,
    StretchRow,
    TraceRow,
    TroubleRow,
    micros,
)
from lineage.search import Criteria
from lineage.slas import Sla
from lineage.unchanged import Arrivals

SQL: Final = Path(__file__).with_name("sql")
MOST_SPANS: Final = 20_000
MOST_LINKS: Final = 100
"""Of one transaction; more than a walk shows and has seen."""
MOST_KEYS: Final = 50
_MICROSECOND: Final = timedelta(microseconds=1)
_MONTH: Final = timedelta(days=31)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ANY_AMOUNT: Final = 2**62
_EQUALS: Final = "= toFixedString(unhex({ids:Array(String)}[1]), 16)"  # a set costs 2 ms of processor time
_IS_AMONG: Final = "IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))"
_FOR_EVER: Final = datetime(2200, 1, 1, tzinfo=UTC)
_PARTS: Final = ("judged", "fresh_stretches", "samples", "recon_last_run", "items_of_place")
LONG: Final = 60.0
"""Seconds that a query over every item of a promise may take."""
SCANS: Final = 2
"""Threads of a question that reads a good part of what is stored."""

T = TypeVar("T")


@cache
def text(name: str) -> str:
    """The SQL of a query, with the queries that it is built on where it names them."""
    sql = (SQL / f"{name}.sql").read_text()
    for part in _PARTS:
        if f"/*{part}*/" in sql:
            sql = sql.replace(f"/*{part}*/", text(part))
    return sql


class Filter(Struct, frozen=True, kw_only=True):
    """Which judged items to list; empty = all. ``verdicts`` also takes "overdue"."""

    verdicts: tuple[str, ...] = ()
    channel: str = ""
    location: str = ""
    provider: str = ""
    kind: str = ""
    within: Within | None = None
    most: int = 100


class Queries:
    """Reads and writes lineage's tables through one Storage. Safe to share between threads, as Storage is."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def _rows(
        self, name: str, into: Callable[..., T], params: Params, max_seconds: float = 10, threads: int = 1
    ) -> list[T]:
        return self._found(text(name), into, params, max_seconds, threads)

    def _of(self, name: str, into: Callable[..., T], ids: Collection[str], params: Params) -> list[T]:
        """A query that has /*is_one*/ after the column that is one of ``ids``; of a single one it is an equation."""
        sql = text(name).replace("/*is_one*/", _EQUALS if len(ids) == 1 else _IS_AMONG)
        return self._found(sql, into, {"ids": sorted(ids), **params})

    def _found(
        self, sql: str, into: Callable[..., T], params: Params, max_seconds: float = 10, threads: int = 1
    ) -> list[T]:
        found = self._storage.query(sql, params, max_seconds=max_seconds, threads=threads)
        return [into(*row) for row in found]

    # --- one transaction ---

    def spans_of(self, ids: Collection[str]) -> list[SpanRow]:
        rows = self._of("spans_of", SpanRow, ids, {"most": MOST_SPANS})
        return [row._replace(events=tuple(EventRow(*event) for event in row.events)) for row in rows]

    def spans_standing(self, ids: Collection[str]) -> list[SpanRow]:
        """With the columns alone that the standing of a transaction is made of: half the work."""
        return self._of("spans_standing", SpanRow, ids, {"most": MOST_SPANS})

    def spans_judged(self, ids: Collection[str]) -> list[SpanRow]:
        """With the events that findings are made of; without free attributes and what else they do not need."""
        rows = self._of("spans_judged", SpanRow, ids, {"most": MOST_SPANS})
        asked = {"ids": sorted(ids), "most": MOST_SPANS}
        told = {
            (identity, span_id): tuple(EventRow(*event) for event in events)
            for identity, span_id, events in self._rows("events_told", lambda *row: row, asked)
        }
        return [row._replace(events=told.get((row.correlation_id, row.span_id), ())) for row in rows]

    def links_of(self, ids: Collection[str], ends_only: Collection[str] = ()) -> LinksRead:
        """Of each transaction at most MOST_LINKS, and all those with the transactions that are told of.

        ``ends_only``: transactions of which only the links that end there are asked for.
        """
        found: dict[LinkRow, None] = {}  # a link between two of them stands at each
        more = False
        for of, outward in ((ids, 1), (ends_only, 0)):
            if of:
                rows = self._of("links_of", lambda *row: row, of, {"outward": outward, "each": MOST_LINKS + 1})
                for _, group in groupby(rows, itemgetter(0)):
                    links = list(group)
                    more = more or len(links) > MOST_LINKS
                    found |= dict.fromkeys(_link(*row) for row in _whole(links))
        return LinksRead(tuple(found), more)

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

    def search(self, wanted: Criteria, before: tuple[int, str], most: int) -> list[tuple[str, int]]:
        """Correlation IDs with the microsecond of their last hop in the time asked for."""
        conditions = wanted.conditions
        sql = text("search").replace("/*any*/", " OR ".join(conditions) or "true")
        sql = sql.replace("/*each*/", " AND ".join(f"countIf({one}) > 0" for one in conditions) or "true")
        params = structs.asdict(wanted) | {
            "since_us": micros(wanted.since),
            "until_us": micros(wanted.until),
            "before_us": before[0],
            "before_id": before[1],
            "least_minor": -_ANY_AMOUNT if wanted.least_minor is None else wanted.least_minor,
            "most_minor": _ANY_AMOUNT if wanted.most_minor is None else wanted.most_minor,
            "most": most,
        }
        return self._found(sql, lambda identity, last_us: (identity, last_us), params, threads=SCANS)

    def keys_exactly(self, values: Collection[str], most: int = MOST_KEYS) -> list[KeyRow]:
        return self._rows("keys_exactly", KeyRow, {"values": sorted(values), "most": most})

    def keys_alike(self, typed: str, stem: str, most: int = MOST_KEYS) -> list[KeyRow]:
        return self._rows("keys_alike", KeyRow, {"typed": typed, "stem": stem, "most": most})

    def transaction_known(self, correlation_id: str) -> list[KeyRow]:
        return self._rows("transaction_known", KeyRow, {"id": correlation_id})

    def transactions_in_trace(self, trace_id: str) -> list[KeyRow]:
        return self._rows("transactions_in_trace", KeyRow, {"id": trace_id, "most": MOST_KEYS})

    # --- promises ---

    def arrivals(self) -> Arrivals:
        """How often each kind of fact ever came: each milestone, and each table that promises read beside."""
        return Arrivals(tuple(sorted(self._rows("arrivals", ArrivalRow, {}))))

    def extent(self, now: datetime) -> tuple[int, int]:
        """Microseconds of the oldest and the newest event up to ``now``; 0 when the store is empty."""
        oldest, newest = self._rows("extent", lambda oldest, newest: (oldest, newest), {})[0]
        if newest > micros(now):  # few stores know what comes; what came is mostly of late
            newest = self._newest(now, now - _MONTH) or self._newest(now, _EPOCH)
        return (oldest, newest) if newest else (0, 0)

    def _newest(self, now: datetime, since: datetime) -> int:
        return self._rows("extent_until", int, {"now_us": micros(now), "from_us": micros(since)})[0]

    def day_counts(self, sla: Sla, window: Window) -> list[DayRow]:
        recent = {"recent_us": micros(window.recent)}
        if sla.kind == "freshness":
            return self._rows("fresh_day_counts", DayRow, of_freshness(sla, window) | recent, LONG)
        return self._judged("day_counts", DayRow, _items(sla), of_sla(sla, window) | recent)

    def items(self, sla: Sla, window: Window, wanted: Filter) -> list[ItemRow]:
        """For any kind of promise that has items of its own, but freshness."""
        return self._judged("items", ItemRow, _items(sla), of_sla(sla, window) | _wanted(wanted))

    def stretches(self, sla: Sla, window: Window, wanted: Filter) -> list[StretchRow]:
        return self._rows("fresh_items", StretchRow, of_freshness(sla, window) | _wanted(wanted), LONG)

    def overdue_cells(self, sla: Sla, window: Window) -> list[OwnerRow]:
        return self._judged("overdue_by_owner", OwnerRow, _items(sla), of_sla(sla, window))

    def _judged(self, name: str, into: Callable[..., T], items: str, params: Params) -> list[T]:
        sql = text(name).replace("/*items*/", items)
        return self._found(sql, into, params, LONG)

    # --- items of promises, kept judged ---

    def promise_builds(self) -> list[BuildRow]:
        return self._rows("promise_builds", BuildRow, {})

    def write_promise_builds(self, builds: Sequence[BuildRow]) -> None:
        version = time.time_ns()
        if builds:
            rows = [(*structs.astuple(one), version) for one in builds]
            self._storage.insert("promise_builds", (*BuildRow.__struct_fields__, "version"), rows)

    def mark_promises(
        self, generation: int, builds: Sequence[int], blocks: tuple[int, int], prior_us: int, now: datetime
    ) -> int:
        """Marks the transactions of which items in ``builds`` may have changed; returns how many there are."""
        milestones_block, corrections_block = blocks
        params = {"generation": generation, "builds": list(builds), "prior_us": prior_us, "now_us": micros(now),
                  "milestones_block": milestones_block, "corrections_block": corrections_block}  # fmt: skip
        self._storage.execute(text("promise_heard"), params)
        return self._rows("promise_marked", int, {"generation": generation})[0]

    def copy_promise_milestones(self, of: "Judged", slas: Sequence[Sla], now: datetime) -> None:
        entities = {name.partition(".")[0] for sla in slas for name in milestones_of(sla)}
        which = text("promise_among_heard") if of.marks else ""
        params = of.params() | {"entities": sorted(entities), "now_us": micros(now)}
        self._storage.execute(text("promise_milestones").replace("/*which*/", which), params)

    def change_promise_items(self, sla: Sla, build: int, of: "Judged", window: Window) -> None:
        items = _items(sla).replace("FROM milestones\n", f"FROM {text('promise_copied')}\n")
        sql = text("promise_changes").replace("/*items*/", items)
        self._storage.execute(sql, of_sla(sla, window) | of.params() | {"build": build})

    def forget_promise_items(self, sla: Sla, build: int, of: "Judged", window: Window) -> None:
        """Changes the items whose first milestone has expired."""
        start_entity, _, start = sla.start.partition(".")
        params = of.params() | {
            "build": build,
            "now_us": micros(window.now),
            "start_entity": start_entity,
            "start": start,
        }
        self._storage.execute(text("promise_forgotten"), params)

    def promise_day_changes(self, sla: Sla, build: int, generation: int) -> list[DayRow]:
        params = {"build": build, "generation": generation, "zone": sla.calendar.zone}
        sql = text("promise_day_changes").replace("/*changed*/", text("promise_of_generation"))
        return [DayRow(*row) for row in self._storage.query(sql, params, max_seconds=LONG)]

    def add_up_promise_days(self, sla: Sla, build: int) -> None:
        """All days of a build, from its items."""
        days = text("promise_day_changes").replace("/*changed*/", text("promise_of_build"))
        sql = text("promise_added_up").replace("/*days*/", days)
        self._storage.execute(sql, {"build": build, "zone": sla.calendar.zone})

    def take_promise_changes(self, generation: int) -> None:
        self._storage.execute(text("promise_taken"), {"generation": generation})

    def write_promise_days(self, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._storage.insert("promise_days", ("build", *DAY_COLUMNS), rows)

    def promise_counts(self, build: int, sla: Sla, window: Window, edges: tuple[int, int]) -> list[DayRow]:
        times = {"since_us": micros(window.since), "recent_us": micros(window.recent), "zone": sla.calendar.zone}
        days = {"since_day": edges[0], "recent_day": edges[1], "edges": sorted(set(edges))}
        counted = self._rows("promise_counts", DayRow, times | days | {"build": build}, LONG)
        return counted + self._rows("promise_oldest", DayRow, {"build": build}, LONG)

    def promise_daily(self, build: int, first_day: int) -> list[DayRow]:
        return self._rows("promise_daily", DayRow, {"build": build, "first_day": first_day}, LONG)

    def promise_items(self, build: int, window: Window, wanted: Filter) -> list[ItemRow]:
        params = {"build": build, "since_us": micros(window.since)} | _wanted(wanted)
        return self._rows("promise_items", ItemRow, params, LONG, SCANS)

    def promise_partitions(self) -> list[tuple[str, int]]:
        return self._rows("promise_partitions", lambda table, number: (table, number), {})

    def drop_promise_partition(self, table: str, number: int) -> None:
        self._storage.execute(f"ALTER TABLE {table} DROP PARTITION {number}")

    def drop_promise_items(self, kept: Collection[int]) -> None:
        """Of all builds but those ``kept``; they go when the engine has time."""
        self._storage.execute(text("promise_items_dropped"), {"kept": sorted(kept)})

    # --- what is wrong, and how far it reaches ---

    def trouble(self, hop: str, window: Window, grace: timedelta, most: int) -> list[TroubleRow]:
        asked = _trouble(hop, window, grace) | {"most": most}
        return self._held("held_oldest", TroubleRow, "trouble", asked)

    # --- open items ---

    def open_blocks(self) -> BlocksRow:
        return self._rows("open_blocks", BlocksRow, {})[0]

    def open_newest(self, definition: str) -> GenerationRow | None:
        return next(iter(self._rows("open_newest", GenerationRow, {"definition": definition})), None)

    def milestones_stored(self) -> int:
        return self._rows("milestones_stored", int, {})[0]

    def milestones_expire(self) -> bool:
        return bool(self._rows("milestones_expire", int, {})[0])

    def mark_heard(self, generation: int, prior: GenerationRow, now: datetime) -> int:
        """Of how many transactions something was heard since; they are marked."""
        params = prior._asdict() | {"prior": prior.generation, "generation": generation, "now_us": micros(now)}
        self._storage.execute(text("open_heard"), params)
        return self._marked(generation).heard

    def mark_foretold(self, generation: int, now: datetime, *, heard_only: bool) -> None:
        params = {"generation": generation, "now_us": micros(now)}
        self._storage.execute(_which("open_foretold", heard_only=heard_only), params)

    def foretold_us(self, generation: int) -> int:
        return self._marked(generation).later_us

    def _marked(self, generation: int) -> MarkedRow:
        return self._rows("open_marked", MarkedRow, {"generation": generation})[0]

    def open_items(
        self, watches: Params, generation: int, first_id: str, last_id: str, now: datetime, *, heard_only: bool
    ) -> list[OpenRow]:
        params = watches | {
            "generation": generation,
            "first_id": first_id,
            "last_id": last_id,
            "now_us": micros(now),
            "differ_us": CLOCKS_DIFFER // _MICROSECOND,
        }
        rows = self._storage.query(_which("open_items", heard_only=heard_only), params, max_seconds=LONG)
        return [OpenRow(*row) for row in rows]

    def write_open(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            self._storage.insert("open_items", columns, rows)

    def carry_open(self, generation: int, prior: int) -> None:
        self._storage.execute(text("open_carried"), {"generation": generation, "prior": prior})

    def write_open_generation(self, definition: str, made: GenerationRow) -> None:
        columns = ("definition", "generation", "milestones_block", "corrections_block", "as_of_us", "later")
        self._storage.insert("open_generations", columns, [(definition, *made)])

    def drop_open_generations(self, before: int) -> None:
        for generation in self._rows("open_generations_held", int, {}):
            if generation < before:
                self._storage.execute(text("open_generation_dropped"), {"generation": generation})

    def open_overdue(self, generation: int, watches: Collection[str], now: datetime, most: int) -> list[OverdueRow]:
        asked = {"generation": generation, "watches": list(watches), "now_us": micros(now), "most": most}
        return self._rows("open_overdue", OverdueRow, asked)

    def open_overdue_by_owner(self, generation: int, watches: Collection[str], now: datetime) -> list[OwnerRow]:
        asked = {"generation": generation, "watches": list(watches), "now_us": micros(now)}
        return self._rows("open_overdue_by_owner", OwnerRow, asked)

    def open_disorder(self, generation: int, watches: Collection[str], window: Window, most: int) -> list[DisorderRow]:
        asked = {"generation": generation, "watches": list(watches), "most": most}
        times = {"since_us": micros(window.since), "now_us": micros(window.now)}
        return self._rows("open_disorder", DisorderRow, asked | times)

    def feed_stands(self, feed: str, channel: str, location: str, now: datetime) -> list[FeedRow]:
        asked = {"feed": feed, "channel": channel, "location": location, "now_us": micros(now)}
        return self._rows("feed_stands", FeedRow, asked)

    def held_by(self, held: "Held") -> tuple[list[ShareRow], HeldLinesRow, list[TroubleRow]]:
        shares = self._held("held_shares", ShareRow, held.name, held.params)
        (lines,) = self._held("held_lines", HeldLinesRow, held.name, held.params)
        oldest = self._held("held_oldest", TroubleRow, held.name, held.params | {"most": 20})
        return shares, lines._replace(skus=tuple(lines.skus)), oldest

    def held_causes(self, held: "Held", hop: str, prefix: str) -> list[ShareRow]:
        return self._held("held_causes", ShareRow, held.name, held.params | {"hop": hop, "prefix": prefix})

    def _held(self, name: str, into: Callable[..., T], held: str, params: Params) -> list[T]:
        sql = text(name).replace("/*held*/", text(held))
        return self._found(sql, into, params, LONG, SCANS)

    # --- measurements ---

    def samples_now(self, slas: Collection[str], since: datetime, brand: Brand | None = None) -> list[SampleRow]:
        asked = {"slas": sorted(slas), "since_us": micros(since), **_branded(brand)}
        return self._rows("samples_now", SampleRow, asked)

    def samples_daily(
        self,
        slas: Collection[str],
        since: datetime,
        until: datetime,
        place: View | None = None,
        *,
        brand: Brand | None = None,
        every_brand: bool = False,
        known_at: datetime | None = None,
    ) -> list[SampleRow]:
        """Of every segment or of one place, within a brand, or of all, or of all and of every brand however declared.

        ``known_at``: as they were stored by then, without later versions.
        """
        params = {
            "slas": sorted(slas),
            "since_us": micros(since),
            "until_us": micros(until),
            "every": int(place is None),
            "channel": place.channel if place else "",
            "location": place.location if place else "",
            "every_brand": int(every_brand),
            **_branded(brand),
            "known_us": micros(known_at or _FOR_EVER),
        }
        return self._rows("samples_daily", SampleRow, params)

    def places(self, slas: Collection[str], since: datetime, brand: Brand | None) -> list[tuple[str, str]]:
        """Channels, each with its locations, that promises were measured of; of a brand its channels."""
        params = {"slas": sorted(slas), "since_us": micros(since), **_branded(brand)}
        return self._rows("places", lambda channel, location: (channel, location), params)

    def samples_counted(self, sla: str, instants: Collection[datetime], within: timedelta) -> list[CountedRow]:
        """What had been decided in all at each instant, by the newest measurement of up to ``within`` before it."""
        wanted = sorted(map(micros, instants))
        within_us = within // timedelta(microseconds=1)
        oldest_us = wanted[0] - within_us
        params = {"sla": sla, "instants_us": wanted, "within_us": within_us, "oldest_us": oldest_us}
        return self._rows("samples_counted", CountedRow, params)

    def samples_between(
        self, sla: str, since: datetime, until: datetime, *, step: timedelta, located: bool, most: int
    ) -> list[SampleRow]:
        """Of each ``step`` the newest; those of single locations only when ``located``."""
        params = {
            "sla": sla,
            "since_us": micros(since),
            "until_us": micros(until),
            "step_us": step // timedelta(microseconds=1),
            "located": int(located),
            "most": most,
        }
        return self._rows("samples_between", SampleRow, params, LONG)

    def write_samples(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._storage.insert("sli_samples", columns, rows)


class Judged(NamedTuple):
    """The transactions of a range of correlation IDs that a generation judges; those marked, or all where none are."""

    marks: int
    generation: int
    first_id: str
    last_id: str

    def params(self) -> Params:
        return self._asdict()


class Held(NamedTuple):
    """A question for what is held up: the name of its SQL and its parameters."""

    name: str
    params: Params


def held_by_hop(hop: str, window: Window) -> Held:
    """The objects that it failed for."""
    return Held("trouble", _trouble(hop, window, timedelta(0)))


def held_open(watch: str, generation: int, window: Window) -> Held:
    return Held("held_open", {"watch": watch, "generation": generation, "since_us": micros(window.since)})


def held_by_feed(channel: str, location: str, window: Window) -> Held:
    times = {"now_us": micros(window.now), "since_us": micros(window.since)}
    return Held("held_feed", times | {"channel": channel, "location": location})


def _whole(links: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without the last transaction that is joined, when there may be more links with it and others are told of."""
    first, last = links[0][1], links[-1][1]
    cut = len(links) > MOST_LINKS and first != last
    return [link for link in links if link[1] != last] if cut else links


def _link(of_id: bytes, other_id: bytes, outward: bool, *told: Any) -> LinkRow:
    first, last = (of_id, other_id) if outward else (other_id, of_id)
    return LinkRow(first.hex(), last.hex(), *told)


def _trouble(hop: str, window: Window, grace: timedelta) -> Params:
    times = {"now_us": micros(window.now), "since_us": micros(window.since)}
    return times | {"hop": hop, "grace_us": grace // _MICROSECOND}


def _branded(brand: Brand | None) -> Params:
    return {"brand": brand.name if brand else "", "mark": brand.mark if brand else ""}


def _wanted(wanted: Filter) -> Params:
    within = wanted.within or Within()
    return {
        "verdicts": list(wanted.verdicts),
        "channel": wanted.channel,
        "location": wanted.location,
        "provider": wanted.provider,
        "kind": wanted.kind,
        "most": wanted.most,
        "branded": int(wanted.within is not None),
        "brand_channels": list(within.channels),
        "brand_locations": list(within.locations),
        "other_locations": list(within.others),
    }


def _which(name: str, *, heard_only: bool) -> str:
    return text(name).replace("/*which*/", text("open_among_heard") if heard_only else "")


def _items(sla: Sla) -> str:
    """The query for what a promise counts."""
    match sla.kind:
        case "reconciliation":
            return text("items_reconciliation")
        case "propagation":
            return text("items_propagation")
        case "volume":
            return text("items_volume")
        case "backlog":
            return text("items_backlog").replace("/*backlogged*/", text("judged").replace("/*items*/", _dated(sla)))
        case "ratio":
            return text("items_once").replace("/*dated*/", _dated(sla))
        case _ if sla.weighted:
            return text("items_weighted").replace("/*whole*/", _dated(sla))
        case _:
            return _dated(sla)


def _dated(sla: Sla) -> str:
    """Items with their deadline; what a promise does not need costs it nothing."""
    dated = text("due").replace("/*timed*/", text("items_interval"))
    if any(rule.works for rule in (sla.deadline, *sla.deadlines.values())):
        dated = text("due_in_working_time").replace("/*due*/", dated)
    return text("due_after_pauses").replace("/*dated*/", dated) if sla.paused else dated
