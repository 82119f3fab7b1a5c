"""Measures every promise as of a moment and stores what it found, once, for everybody who asks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from threading import Event
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from lineage.brands import NONE as NO_BRANDS
from lineage.brands import Brands
from lineage.deadlines import local_day, midnight
from lineage.derived import derive
from lineage.item_params import Window
from lineage.model import Sample
from lineage.promise_items import PromiseItems, kept
from lineage.queries import Queries
from lineage.rolling import DayRow, Measure, boundaries, by_segment, current, of_places
from lineage.rows import ArrivalRow, micros, moment
from lineage.samples import COLUMNS, naming_the_silent, read, sample, stored
from lineage.slas import Sla
from lineage.unchanged import SETTLED_AFTER, TRUSTED_FOR, Arrivals, Found, facts_of, found

MOST_DAYS: Final = 400
"""Midnights that are caught up with; older history is left as it is."""
_EPOCH_DAY: Final = date(1970, 1, 1)


class Measurer:
    """``clock`` gives the wall time that a measurement is stamped with; the time it is *of* is an argument.

    ``paced``: a promise that has items is measured again only when its ``measured_every`` has passed, and not at each
    tick; at once where the business present went back, as it does when a replay's first events arrive. Items that come
    of one transaction each are kept judged; of another promise about which nothing new came and no moment passed, what
    was found before is stored again, and nothing is read.
    """

    def __init__(
        self,
        queries: Queries,
        slas: Sequence[Sla],
        clock: Callable[[], datetime],
        *,
        catch_up_every: timedelta = timedelta(minutes=1),
        paced: bool = False,
        brands: Brands = NO_BRANDS,
        ends: Event | None = None,
    ) -> None:
        self._queries = queries
        self._slas = [sla for sla in slas if sla.kind != "derived"]
        self._derived = [sla for sla in slas if sla.kind == "derived"]
        self._clock = clock
        self._catch_up_every = catch_up_every
        self._paced = paced
        self._brands = brands
        self._measured: dict[str, _Measured] = {}
        self._items = PromiseItems(queries, self._slas, ends)

    def tick(self, now: datetime) -> tuple[Sample, ...]:
        """Judge every promise as of ``now``, whole and by segment, and store it. Returns what was stored.

        Every ``catch_up_every`` the midnights since the first data are measured too: those that are missing, or that
        late facts have changed, are stored again with their own time of measurement.
        """
        at = self._clock()
        arrivals = self._queries.arrivals()
        oldest_us, newest_us = self._queries.extent(now)
        oldest = moment(oldest_us) if oldest_us else now
        current: list[Sample] = []
        midnights: list[Sample] = []
        caught_up: list[Sla] = []
        due = [sla for sla in self._slas if not self._paced or not self._stands(sla, now, at)]
        reached = [sla for sla in due if kept(sla) and arrivals.has(sla.start)]
        if reached:
            self._items.update(reached, now, oldest)
        for sla in due:
            last = self._measured.get(sla.name)
            window = Window(now, sla.window_start(now), oldest)
            if sla in reached:
                one = self._count(sla, window, newest_us, at, last)
                midnights += self._stale_midnights(sla, one, now, newest_us)
                caught_up += [sla] if one.caught_up and one.caught_up.at == at else []
            else:
                one = self._measure(sla, window, arrivals, newest_us, at, last)
                midnights += self._catch_up(sla, one, now, newest_us, at)
            self._measured[sla.name] = one
            current += one.samples
        for sla in self._derived:
            parts = [self._measured[name].samples if name in self._measured else [] for name in sla.of]
            current += derive(sla, parts, self._brands)
        self._store(current, at)
        self._store(midnights, at, daily=True)
        for sla in caught_up:
            self._items.caught_up(sla, *self._until(sla, now, newest_us), self._brands_of(sla))
        return (*current, *midnights)

    def _stands(self, sla: Sla, now: datetime, at: datetime) -> bool:
        last = self._measured.get(sla.name)
        return last is not None and last.stands(now, at, timedelta(seconds=sla.measured_every.seconds))

    def _measure(
        self, sla: Sla, window: Window, arrivals: Arrivals, newest_us: int, at: datetime, last: "_Measured | None"
    ) -> "_Measured":
        arrived = arrivals.of(facts_of(sla))
        if last and last.serves(window, arrived, at):
            measures = [msgspec.structs.replace(one, as_of_us=micros(window.now)) for one in last.measures]
            return msgspec.structs.replace(
                last, now=window.now, at=at, measures=measures, samples=self._samples(sla, measures, newest_us)
            )
        reached = not sla.start or arrivals.has(sla.start)
        rows = self._queries.day_counts(sla, window) if reached else []
        measures = self._measures(sla, rows, window.now)
        same = last and last.found and last.found.arrived == arrived
        return _Measured(
            now=window.now,
            at=at,
            read_at=at,
            arrived_at=last.arrived_at if last and same else at,
            found=found(sla, window, arrived, rows),
            rows=rows,
            measures=measures,
            samples=self._samples(sla, measures, newest_us),
            caught_up=last.caught_up if last else None,
        )

    def _count(self, sla: Sla, window: Window, newest_us: int, at: datetime, last: "_Measured | None") -> "_Measured":
        """As ``_measure``, of a promise whose items are kept."""
        rows = self._items.rows(sla, window)
        measures = self._measures(sla, rows, window.now)
        return _Measured(
            now=window.now,
            at=at,
            read_at=at,
            arrived_at=at,
            found=None,
            rows=rows,
            measures=measures,
            samples=self._samples(sla, measures, newest_us),
            caught_up=last.caught_up if last else None,
        )

    def _stale_midnights(self, sla: Sla, one: "_Measured", now: datetime, newest_us: int) -> list[Sample]:
        """Those after something changed, or after the event that was the newest when they were measured; of brands all
        when these were declared anew.
        """
        build = self._items.build(sla)
        today, known_us = self._until(sla, now, newest_us)
        stale, brands = build.stale_day, self._brands_of(sla)
        if known_us != build.newest_us:
            stale = min(stale, local_day(moment(min(known_us, build.newest_us)), sla.calendar.zone) + 1)
        first = stale if brands in ("", build.brands) else 0
        if first > today or (one.caught_up and one.at - one.caught_up.at < self._catch_up_every):
            return []
        one.caught_up = CaughtUp(one.at, one.read_at, today, known_us)
        first = max(first, today - MOST_DAYS + 1)
        rows = self._items.daily(sla, _day_of(sla.window_start(_instant(sla, first)), ZoneInfo(sla.calendar.zone)))
        since = _instant(sla, max(stale, first))
        found = self._midnights(sla, rows, first, today, newest_us)
        return self._missing(sla, (one for one in found if one.brand or one.as_of >= since), _instant(sla, first), now)

    def _brands_of(self, sla: Sla) -> str:
        """The mark of the brands that it is measured of; "" for none."""
        return self._brands.mark if of_places(sla.segments) else ""

    @staticmethod
    def _until(sla: Sla, now: datetime, newest_us: int) -> tuple[int, int]:
        """The last midnight, and the newest event by then."""
        today = local_day(now - timedelta(microseconds=1), sla.calendar.zone)
        return today, min(newest_us, micros(_instant(sla, today)))

    def _samples(self, sla: Sla, measures: Sequence[Measure], newest_us: int) -> list[Sample]:
        samples = [sample(sla, one, newest_us, self._brands) for one in measures]
        return naming_the_silent(samples) if sla.kind == "freshness" else samples

    def _catch_up(self, sla: Sla, one: "_Measured", now: datetime, newest_us: int, at: datetime) -> list[Sample]:
        today, known_us = self._until(sla, now, newest_us)
        seen = CaughtUp(at, one.read_at, today, known_us)
        last = one.caught_up
        if last and (at - last.at < self._catch_up_every or last.same_as(seen)):
            return []
        one.caught_up = seen
        samples = self._midnights(sla, one.rows, today - MOST_DAYS + 1, today, newest_us)
        return self._missing(sla, samples, now - timedelta(days=MOST_DAYS + 1), now)

    def _store(self, samples: Sequence[Sample], measured_at: datetime, *, daily: bool = False) -> None:
        if samples:
            self._queries.write_samples(COLUMNS, [stored(one, measured_at, daily=daily) for one in samples])

    def _missing(self, sla: Sla, midnights: Iterable[Sample], since: datetime, now: datetime) -> list[Sample]:
        known = {_figures(read(row)) for row in self._queries.samples_daily([sla.name], since, now, every_brand=True)}
        return [one for one in midnights if _figures(one) not in known]

    def _measures(self, sla: Sla, rows: Sequence[DayRow], now: datetime) -> list[Measure]:
        return [current(segment, of, now) for segment, of in by_segment(rows, sla.segments, self._brands).items()]

    def _midnights(self, sla: Sla, rows: Sequence[DayRow], first: int, today: int, newest_us: int) -> Iterable[Sample]:
        """One for each local midnight from ``first`` on and since the first data, of the window that ends there."""
        zone = ZoneInfo(sla.calendar.zone)
        first = max(min((row.day for row in rows), default=today) + 1, first)
        days = range(first, today + 1)
        instants = {day: _instant(sla, day) for day in range(first, today + 2)}
        starts = {day: _day_of(sla.window_start(instants[day]), zone) for day in days}
        in_us = {day: micros(at) for day, at in instants.items()}
        for segment, of in by_segment(rows, sla.segments, self._brands).items():
            for measure in boundaries(segment, of, days, starts, in_us):
                yield sample(sla, measure, newest_us, self._brands)


class CaughtUp(Struct, frozen=True):
    """What the midnights were measured by."""

    at: datetime
    read_at: datetime
    today: int
    newest_us: int  # up to the last midnight

    def same_as(self, other: "CaughtUp") -> bool:
        return (self.read_at, self.today, self.newest_us) == (other.read_at, other.today, other.newest_us)


class _Measured(Struct):
    """One promise as it was measured last, as of ``now``.

    ``read_at`` is when the store was read for it, ``arrived_at`` when what had arrived by then was first seen.
    """

    now: datetime
    at: datetime
    read_at: datetime
    arrived_at: datetime
    found: Found | None  # None: its items are kept judged
    rows: Sequence[DayRow]
    measures: Sequence[Measure]
    samples: list[Sample]
    caught_up: CaughtUp | None

    def stands(self, now: datetime, at: datetime, pace: timedelta) -> bool:
        return bool(self.rows) and self.now <= now and at - self.at < pace

    def serves(self, window: Window, arrived: tuple[ArrivalRow, ...], at: datetime) -> bool:
        return (
            self.found is not None
            and self.read_at - self.arrived_at >= SETTLED_AFTER
            and at - self.read_at < TRUSTED_FOR
            and self.found.holds(window, arrived)
        )


def _instant(sla: Sla, day: int) -> datetime:
    return midnight(date.fromordinal(_EPOCH_DAY.toordinal() + day), sla.calendar.zone)


def _day_of(at: datetime, zone: ZoneInfo) -> int:
    """The local day that a window which begins then begins with: one begun by an hour, as clocks changed, is whole."""
    return (at + timedelta(hours=12)).astimezone(zone).toordinal() - _EPOCH_DAY.toordinal()


def _figures(one: Sample) -> tuple[object, ...]:
    """What makes a stored measurement the same as a new one."""
    return (
        *(one.channel, one.location, one.provider, one.kind, one.brand, one.as_of, one.definition, one.state),
        *(one.good, one.bad, one.pending, one.excused, one.refused, one.overdue_open, one.at_risk),
    )
