"""The lineage service: what the API, the pages and the alert rules ask."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import chain
from threading import Event
from typing import Final

from msgspec import structs

from lineage import open_items, openslo
from lineage import overdue as obligations
from lineage import samples as measurements
from lineage.brands import NONE as NO_BRANDS
from lineage.brands import Brands
from lineage.clock import BusinessClock, Clock, Mode
from lineage.compare import with_flow, with_other
from lineage.deadlines import Calendar, midnight
from lineage.findings import STUCK_AFTER
from lineage.flows import Flows
from lineage.item_params import Window
from lineage.journey import Material, tell
from lineage.links import Linked, page, related, summed, sums, walk
from lineage.lookup import HEX_ID, candidates, clean, match, spellings, suggestions
from lineage.model import (
    WHOLE,
    Answer,
    BlastRadius,
    Choice,
    Comparison,
    FoundTransaction,
    Journey,
    LinkedPage,
    Match,
    Overdue,
    OverdueItem,
    Sample,
    SearchResult,
    SlaDetail,
    SlaItem,
    SlaItems,
    SlaTile,
    Trace,
    Troubled,
    Troubles,
    Unknown,
    View,
)
from lineage.open_items import NotJudgedError, OpenItems
from lineage.overdue import by_owner
from lineage.promise_items import SERVES, definition, kept
from lineage.queries import Filter, Queries, held_by_feed, held_by_hop, held_open
from lineage.rows import BuildRow, ItemRow, KeyRow, LinkedSumRow, OwnerRow, SpanRow, micros, moment
from lineage.search import MOST_LOOKED_AT, PAGE, Criteria, cursor, found
from lineage.shared import Shared
from lineage.slas import Sla
from lineage.standing import Standings
from lineage.troubles import Wanted, blast, feed_stage, of_transaction
from lineage.verdicts import of_row, of_stretch
from lineage.waterfall import waterfall

HISTORY: Final = timedelta(days=90)
MEASURED_WITHIN: Final = timedelta(days=3)  # of business time; an older measurement is none
SILENT_AFTER: Final = timedelta(minutes=10)  # of wall time without a measurement
MOST_OVERDUE: Final = 500
MOST_SUSPECTS: Final = 500
SUSPECTS_AT_ONCE: Final = 100  # judged
BESIDE: Final = 4  # queries of journeys that run while others of the same journey do
JUDGED_AT_ONCE: Final = 500_000  # milestones
OVERDUE_SERVES_SECONDS: Final = 15.0  # of wall time
OVERDUE_LATEST_SECONDS: Final = 120.0  # of wall time; `judge_open` is called more often than that


class Lineage:
    """Safe to share between threads. ``wall`` is the wall clock; ``mode`` says what the business present is.

    ``judged_at_once`` says of how many milestones items are still judged when they are asked for, and not read as kept.
    """

    def __init__(
        self,
        queries: Queries,
        flows: Flows,
        slas: Sequence[Sla],
        wall: Clock,
        *,
        mode: Mode = "wall",
        calendar: Calendar | None = None,
        judged_at_once: int = JUDGED_AT_ONCE,
        brands: Brands = NO_BRANDS,
        ends: Event | None = None,
    ) -> None:
        self.brands = brands
        self._queries = queries
        self._standings = Standings(flows)
        self._slas = {sla.name: sla for sla in slas}
        self._calendar = calendar or Calendar()
        self._judged_at_once = judged_at_once
        self._wall = wall
        self._open = OpenItems(queries, flows, self._calendar, ends)
        self._overdue = Shared[str, Overdue](
            OVERDUE_SERVES_SECONDS, OVERDUE_LATEST_SECONDS, 1, lambda: wall().timestamp()
        )
        self._beside = ThreadPoolExecutor(BESIDE, thread_name_prefix="lineage")
        self.now = BusinessClock(wall, mode, self._newest)

    @property
    def sla_names(self) -> tuple[str, ...]:
        return tuple(self._slas)

    def _newest(self, wall: datetime) -> datetime | None:
        newest_us = self._queries.extent(wall)[1]
        return moment(newest_us) if newest_us else None

    # --- transactions ---

    def journey(self, any_id: str, /) -> Answer:
        """The journey of the one transaction that the ID means, the choice between several, or near IDs."""
        found = self._one(any_id)
        return self._journey(any_id, found) if isinstance(found, Match) else found

    def _one(self, any_id: str) -> Match | Choice | Unknown:
        typed = clean(any_id)
        matches = self._matches(typed)
        if not matches:
            return Unknown(query=any_id, suggestions=suggestions(typed, self._near(typed)))
        return matches[0] if len(matches) == 1 else Choice(query=any_id, matches=matches)

    def _matches(self, typed: str) -> tuple[Match, ...]:
        if not typed:
            return ()
        found = candidates(typed, self._queries.keys_exactly([typed]))
        technical = typed.lower()
        if found or not HEX_ID.fullmatch(technical):
            return found
        rows = self._queries.transaction_known(technical) or self._queries.transactions_in_trace(technical)
        return tuple(map(match, rows))

    def _near(self, typed: str) -> list[KeyRow]:
        if not typed:
            return []
        spelled = self._queries.keys_exactly(spellings(typed))
        stem = typed[:-2] if len(typed) > 4 else typed
        return spelled + self._queries.keys_alike(typed, stem)

    def _journey(self, query: str, matched: Match) -> Answer:
        identity = matched.correlation_id
        ask, queries = self._beside.submit, self._queries
        asked = [ask(queries.spans_of, {identity})]
        journal = ask(queries.journal_of, identity)
        linked: list[Linked] = []
        sums_of_all: Future[list[LinkedSumRow]] | None = None
        cut = False
        for level in walk(identity, queries.links_of):
            if level.cut and not linked:
                sums_of_all = ask(queries.linked_sums, identity)
            linked += level.linked
            cut = cut or level.cut
            near = {one.other for one in level.linked if one.depth == 1 and one.shares_lines}
            far = {one.other for one in level.linked} - near
            asked += [ask(queries.spans_of, near)] if near else []
            asked += [ask(queries.spans_standing, far)] if far else []
        spans = _by_transaction(chain.from_iterable(some.result() for some in asked))
        if identity not in spans:  # the key is known, its spans are older than what is kept
            return Unknown(query=query, suggestions=())
        material = Material(
            query=query,
            matched=matched,
            spans=spans,
            journal=journal.result(),
            linked=tuple(linked),
            linked_cut=cut,
            linked_sums=sums_of_all.result() if sums_of_all else summed(linked),
        )
        return tell(material, self._standings, self._calendar, self.now())

    def linked(self, any_id: str, kind: str, after: str, limit: int, /) -> LinkedPage | Choice | Unknown:
        """What the transaction is joined to directly, ``limit`` links at a time."""
        found = self._one(any_id)
        if not isinstance(found, Match):
            return found
        own = found.correlation_id
        rows = self._queries.linked_page(own, kind, after, limit)
        joined = page(own, rows)
        more = len(rows) == limit and len(joined) > 1  # the links of the last may go on
        shown = joined[:-1] if more else joined
        spans = _by_transaction(self._queries.spans_standing({one.other for one in shown}) if shown else ())
        return LinkedPage(
            correlation_id=own,
            as_of=self.now(),
            linked=sums(self._queries.linked_sums(own)),
            items=related(shown, spans, self._standings),
            after=shown[-1].other if more else "",
        )

    def search(self, wanted: Criteria, limit: int, /) -> SearchResult:
        """The latest first. What is judged (state, owner, ...) is judged of at most MOST_LOOKED_AT transactions."""
        items: list[FoundTransaction] = []
        place, looked_at, now = wanted.place, 0, self.now()
        size = PAGE if wanted.judged else min(PAGE, limit)
        while looked_at < MOST_LOOKED_AT:
            page = self._queries.search(wanted, place, size)
            journeys = self._plain_journeys([identity for identity, _ in page], now)
            for identity, last_us in page:
                looked_at += 1
                place = (last_us, identity)
                one = found(journeys[identity])
                items += [one] if wanted.takes(one) else []
                if len(items) == limit:
                    return SearchResult(as_of=now, items=tuple(items), after=cursor(place), looked_at=looked_at)
            if len(page) < size:
                return SearchResult(as_of=now, items=tuple(items), after="", looked_at=looked_at)
        return SearchResult(as_of=now, items=tuple(items), after=cursor(place), looked_at=looked_at)

    def _plain_journeys(self, ids: Sequence[str], now: datetime) -> dict[str, Journey]:
        """Without what is linked and without journals."""
        spans = _by_transaction(self._queries.spans_judged(ids) if ids else ())
        told: dict[str, Journey] = {}
        for identity, own in spans.items():
            key = KeyRow(identity, "correlation_id", own[0].origin, identity, own[0].occurred_us, own[-1].occurred_us)
            material = Material(
                query=identity, matched=match(key), spans={identity: own}, journal=(), linked=(), linked_cut=False
            )
            told[identity] = tell(material, self._standings, self._calendar, now)
        return told

    def compare(self, any_id: str, other_id: str, /) -> Comparison | Choice | Unknown:
        """With another journey, or with its own flow when ``other_id`` is ""."""
        journey = self.journey(any_id)
        if not isinstance(journey, Journey):
            return journey
        if not other_id:
            return with_flow(journey, self._standings.flows)
        other = self.journey(other_id)
        return with_other(journey, other) if isinstance(other, Journey) else other

    def trace(self, trace_id: str, /) -> Trace | None:
        technical = trace_id.strip().lower()
        rows = self._queries.trace(technical) if HEX_ID.fullmatch(technical) else []
        return waterfall(technical, rows) if rows else None

    # --- promises ---

    def tiles(self, view: View = WHOLE, /) -> tuple[SlaTile, ...]:
        """Worst state first; of a place only the promises that are measured of it."""
        slas, at = self._slas.values(), self._measured_at(view)
        found = self._tiles_then(slas, at, at.until) if at.until else self._tiles_now(slas, at, self.current(at.brand))
        return tuple(sorted(found, key=lambda tile: measurements.WORST_FIRST.index(tile.state)))

    def _tiles_now(self, slas: Collection[Sla], view: View, measured: Iterable[Sample]) -> list[SlaTile]:
        newest: dict[str, list[Sample]] = {}
        for sample in measured:
            newest.setdefault(sample.sla, []).append(sample)
        wall, history = self._wall(), self._histories([sla.name for sla in slas], self.now(), view)
        found = (self._tile(sla, view, newest.get(sla.name, []), history.get(sla.name, []), wall) for sla in slas)
        return [tile for tile in found if tile]

    def _histories(self, slas: Collection[str], until: datetime, view: View) -> dict[str, list[Sample]]:
        history: dict[str, list[Sample]] = {}
        brand = self.brands.named(view.brand)
        for row in self._queries.samples_daily(slas, until - HISTORY, until, view, brand=brand):
            history.setdefault(row.sla, []).append(measurements.read(row))
        return history

    def _tile(
        self, sla: Sla, view: View, newest: list[Sample], history: list[Sample], wall: datetime
    ) -> SlaTile | None:
        at = next((one for one in newest if measurements.is_of(one, view)), None)
        if at is None or at.measured_at is None:
            return measurements.tile(sla, None, history, None) if measurements.is_all(view) else None
        parts = [one for one in newest if one.as_of >= at.as_of and measurements.is_part(one, view)]
        earlier = [one for one in history if one.as_of < at.as_of]
        unmeasured = at.measured_at if wall - at.measured_at > SILENT_AFTER else None
        return measurements.tile(sla, at, earlier, unmeasured, parts)

    def _tiles_then(self, slas: Collection[Sla], view: View, until: date) -> list[SlaTile]:
        by_end: dict[datetime, list[Sla]] = {}
        for sla in slas:
            by_end.setdefault(midnight(until + timedelta(days=1), sla.calendar.zone), []).append(sla)
        found = []
        for end, ending in by_end.items():
            history = self._histories([sla.name for sla in ending], end, view)
            for sla in ending:
                then = history.get(sla.name, [])
                measured = bool(then) and then[-1].as_of == end
                if measured or measurements.is_all(view):
                    at, earlier = (then[-1], then[:-1]) if measured else (None, [])
                    found.append(measurements.tile(sla, at, earlier, None))
        return found

    def places(self, brand: str = "", /) -> tuple[tuple[str, str], ...]:
        """Channels with "", and each with its locations, that promises are measured of; of a brand its channels."""
        return tuple(self._queries.places(self._slas, self.now() - MEASURED_WITHIN, self.brands.named(brand)))

    def sla(self, name: str, view: View = WHOLE, /) -> SlaDetail | None:
        sla = self._slas.get(name)
        if sla is None:
            return None
        samples = self._samples_of(sla, view.until, view.brand)
        if view.brand:
            every = self._samples_of(sla, view.until, "")
            samples = [*samples, *(one for one in every if one.location and self._is_within(view.brand, one))]
        at = self._measured_at(view)
        found = self._tiles_then([sla], at, at.until) if at.until else self._tiles_now([sla], at, samples)
        shown = found[0] if found else measurements.tile(sla, None, (), None)
        return SlaDetail(tile=shown, segments=measurements.segments(samples), rule=sla.rule())

    def _measured_at(self, view: View) -> View:
        """A channel at a location is of one brand, so it is not measured of brands again."""
        if view.location and self.brands.of(view.channel, view.location) == view.brand:
            return structs.replace(view, brand="")
        return view

    def _is_within(self, brand: str, one: Sample) -> bool:
        return self.brands.of(one.channel, one.location) == brand

    def _samples_of(self, sla: Sla, until: date | None, brand: str) -> Sequence[Sample]:
        if until is None:
            return self._newest_samples([sla.name], brand)
        end = midnight(until + timedelta(days=1), sla.calendar.zone)
        rows = self._queries.samples_daily([sla.name], end, end, brand=self.brands.named(brand))
        return [measurements.read(row) for row in rows]

    def current(self, brand: str = "") -> tuple[Sample, ...]:
        """The newest stored measurement of each segment of each promise, of all or within a brand."""
        return self._newest_samples(self._slas, brand)

    def _newest_samples(self, slas: Collection[str], brand: str) -> tuple[Sample, ...]:
        rows = self._queries.samples_now(slas, self.now() - MEASURED_WITHIN, self.brands.named(brand))
        return tuple(map(measurements.read, rows))

    def openslo(self) -> str:
        return openslo.yaml(self._slas.values(), self.tiles())

    def report(self, day: date, known_at: datetime | None = None, /) -> tuple[Sample, ...]:
        """The windows that ended with a local day, whole and by segment, as they were known at a moment."""
        found: list[Sample] = []
        for sla in self._slas.values():
            end = midnight(day + timedelta(days=1), sla.calendar.zone)
            rows = self._queries.samples_daily([sla.name], end, end, known_at=known_at)
            found += map(measurements.read, rows)
        return tuple(found)

    def items(self, name: str, wanted: Filter | None = None, /) -> SlaItems | None:
        """The items that count in the present window: overdue first, then bad, then pending.

        Raises NotJudgedError while they are not kept yet and to judge them now takes long.
        """
        sla = self._slas.get(name)
        if sla is None:
            return None
        window, chosen = self._window(sla), wanted or Filter()
        items: list[SlaItem] = []
        if sla.kind == "freshness":
            items = [of_stretch(sla, row) for row in self._queries.stretches(sla, window, chosen)]
        elif sla.counted_items:
            items = [
                of_row(sla, row, window.now) for row in self.judged(sla, window, chosen, at_once=open_items.AT_ONCE)
            ]
        return SlaItems(sla=name, as_of=window.now, items=tuple(items), cut=len(items) == chosen.most)

    def judged(self, sla: Sla, window: Window, wanted: Filter, *, at_once: int | None = None) -> list[ItemRow]:
        """Judged now while that is quick, then as they were kept at the last measurement, if it was of late.

        Raises NotJudgedError instead of judging more than ``at_once`` milestones now.
        """
        stored = self._queries.milestones_stored() if kept(sla) else 0
        if stored > self._judged_at_once:
            if build := self._kept(sla, window.now):
                return self._queries.promise_items(build.build, window, wanted)
            # What never began is never kept.
            if at_once is not None and stored > at_once and self._queries.arrivals().has(sla.start):
                raise NotJudgedError(None, "Each item of this promise")
        return self._queries.items(sla, window, wanted)

    def _kept(self, sla: Sla, now: datetime) -> BuildRow | None:
        wanted, least = definition(sla), micros(self._wall() - SERVES)
        builds = (one for one in self._queries.promise_builds() if one.definition == wanted and one.build)
        return next((one for one in builds if one.generation >= least and one.as_of_us <= micros(now)), None)

    def _window(self, length: timedelta | Sla) -> Window:
        now = self.now()
        oldest_us = self._queries.extent(now)[0]
        since = length.window_start(now) if isinstance(length, Sla) else now - length
        return Window(now, since, moment(oldest_us) if oldest_us else now)

    # --- obligations ---

    def overdue(self) -> Overdue:
        """Every step of every flow and every cell that is past its deadline and open, oldest first.

        Its answer serves everybody for fifteen seconds; an older one does while another is found, for two minutes.
        """
        return self._overdue.get("overdue", self._find_overdue)

    def judge_open(self) -> None:
        """Keeps what is open up to date, so that nobody who asks need wait until much is judged."""
        self._open.judge(self.now())
        self._overdue.renew("overdue", self._find_overdue)

    def forget(self) -> None:
        """The next answer about what is overdue is found anew."""
        self._overdue.forget()

    def _find_overdue(self) -> Overdue:
        window = self._window(timedelta(0))
        items: list[OverdueItem] = []
        owners: list[tuple[str, OwnerRow]] = []
        generation, listed = self._open.generation(window.now), self._open.listed
        late = self._queries.open_overdue(generation, listed, window.now, MOST_OVERDUE)
        items += obligations.of_steps(listed, late, list(self._slas.values()), window.now)
        owners += [("", row) for row in self._queries.open_overdue_by_owner(generation, listed, window.now)]
        for sla in self._slas.values():
            if sla.kind == "reconciliation":
                rows = self._queries.items(sla, window, Filter(verdicts=("overdue",), most=MOST_OVERDUE))
                items += obligations.of_sla(sla, rows, window.now)
                known = self._queries.overdue_cells(sla, window) if len(rows) == MOST_OVERDUE else by_owner(rows)
                owners += [(sla.owner, row) for row in known]
        return obligations.summed(items, owners, window.now, MOST_OVERDUE)

    # --- what is wrong, and how far it reaches ---

    def troubles(self, wanted: Wanted, /) -> Troubles:
        """What failed, is stuck, late, out of order or never came, of the last days; the oldest first.

        The store names the transactions that may have something wrong; what it is, their journeys say.
        """
        window = self._window(timedelta(days=wanted.days))
        since = self._suspects(wanted, window)
        suspects = sorted(since, key=lambda one: (since[one], one))[:MOST_SUSPECTS]
        chosen: list[Troubled] = []
        looked_at = 0
        while looked_at < len(suspects) and not self._all_older(chosen, wanted.most, since[suspects[looked_at]]):
            spans = _by_transaction(self._queries.spans_judged(suspects[looked_at : looked_at + SUSPECTS_AT_ONCE]))
            looked_at += SUSPECTS_AT_ONCE
            told = (of_transaction(own, self._standings, self._calendar, window.now) for own in spans.values())
            chosen += filter(wanted.takes, chain.from_iterable(told))
            chosen.sort(key=lambda one: (one.finding.since, one.finding.entity_id))
        return Troubles(
            as_of=window.now,
            since=window.since,
            items=tuple(chosen[: wanted.most]),
            counts=dict(Counter(one.finding.kind for one in chosen)),
            cut=len(chosen) > wanted.most or len(since) > looked_at,
        )

    @staticmethod
    def _all_older(chosen: Sequence[Troubled], most: int, since_us: int) -> bool:
        """Whether there are enough that are older than what is not judged yet."""
        return len(chosen) >= most and micros(chosen[most - 1].finding.since) <= since_us

    def _suspects(self, wanted: Wanted, window: Window) -> dict[str, int]:
        """Correlation IDs, with the microsecond since when."""
        since: dict[str, int] = {}
        if wanted.may_be("failed", "stuck"):
            trouble = self._queries.trouble(wanted.hop, window, STUCK_AFTER, MOST_SUSPECTS)
            since |= {row.correlation_id: row.since_us for row in trouble}
        if wanted.may_be("missing", "out_of_order"):
            generation = self._open.generation(window.now)
            disorder = self._queries.open_disorder(generation, self._open.needs, window, MOST_SUSPECTS)
            since |= {row.correlation_id: row.since_us for row in disorder}
        if wanted.may_be("overdue"):
            since |= {one.correlation_id: micros(one.since) for one in self.overdue().items if one.correlation_id}
        return since

    def blast_of_hop(self, hop: str, days: int, /) -> BlastRadius:
        window = self._window(timedelta(days=days))
        watch = self._open.brought_by(hop)
        if watch:
            held = held_open(watch.name, self._open.generation(window.now), window)
            shares, lines, oldest = self._queries.held_by(held)
            shares += self._queries.held_causes(held, hop, watch.end_prefix)
        else:
            shares, lines, oldest = self._queries.held_by(held_by_hop(hop, window))
        stage = watch.step.stage if watch and watch.step else next((row.stage for row in oldest), "")
        return blast(f"hop {hop}", stage, window.now, shares, lines, oldest)

    def blast_of_feed(self, feed: str, channel: str, location: str, /) -> BlastRadius | None:
        """The orders taken since the feed was last as far as its source; None when no such feed was ever heard of."""
        now = self.now()
        feeds = self._queries.feed_stands(feed, channel, location, now)
        if not feeds:
            return None
        stands = min(row.published_us or row.source_us or row.heard_us for row in feeds)
        window = Window(now, moment(stands), moment(stands))
        shares, lines, oldest = self._queries.held_by(held_by_feed(channel, location, window))
        where = f" of {channel}" if channel else ""
        where += f" at {location}" if location else ""
        return blast(f"feed {feed}{where}", feed_stage(feeds), now, shares, lines, oldest)

    def overdue_items(self, sla: str, channel: str, limit: int) -> list[OverdueItem]:
        """Items of the SLA past their deadline and still open, oldest deadline first; channel "" means all."""
        promise = self._slas.get(sla)
        if promise is None or not promise.counted_items:
            return []
        window = self._window(promise)
        wanted = Filter(verdicts=("overdue",), channel=channel, most=limit)
        return obligations.of_sla(promise, self.judged(promise, window, wanted), window.now)


def _by_transaction(spans: Iterable[SpanRow]) -> dict[str, list[SpanRow]]:
    found: dict[str, list[SpanRow]] = {}
    for span in spans:
        found.setdefault(span.correlation_id, []).append(span)
    return found
