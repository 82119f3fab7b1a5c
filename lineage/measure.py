"""Measures every promise as of a moment and stores what it found, once, for everybody who asks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from lineage.deadlines import midnight
from lineage.derived import derive
from lineage.item_params import Window
from lineage.model import Sample
from lineage.queries import Queries
from lineage.rolling import DayRow, boundaries, by_segment, current
from lineage.rows import micros, moment
from lineage.samples import COLUMNS, naming_the_silent, read, sample, stored
from lineage.slas import Sla

MOST_DAYS: Final = 400
"""Midnights that are caught up with; older history is left as it is."""
_EPOCH_DAY: Final = date(1970, 1, 1)


class Measurer:
    """``clock`` gives the wall time that a measurement is stamped with; the time it is *of* is an argument.

    ``paced``: a promise is measured again only when its ``measured_every`` has passed, and not at each tick.
    """

    def __init__(
        self,
        queries: Queries,
        slas: Sequence[Sla],
        clock: Callable[[], datetime],
        *,
        catch_up_every: timedelta = timedelta(minutes=1),
        paced: bool = False,
    ) -> None:
        self._queries = queries
        self._slas = [sla for sla in slas if sla.kind != "derived"]
        self._derived = [sla for sla in slas if sla.kind == "derived"]
        self._clock = clock
        self._catch_up_every = catch_up_every
        self._paced = paced
        self._caught_up_at: dict[str, datetime] = {}
        self._measured_at: dict[str, datetime] = {}
        self._seen: set[str] = set()  # milestones that something has reached
        self._current: dict[str, list[Sample]] = {}

    def tick(self, now: datetime) -> tuple[Sample, ...]:
        """Judge every promise as of ``now``, whole and by segment, and store it. Returns what was stored.

        Every ``catch_up_every`` the midnights since the first data are measured too: those that are missing, or that
        late facts have changed, are stored again with their own time of measurement.
        """
        measured_at = self._clock()
        oldest_us, newest_us = self._queries.extent(now)
        oldest = moment(oldest_us) if oldest_us else now
        due = [sla for sla in self._slas if self._is_due(sla, measured_at)]
        if any(sla.start not in self._seen for sla in due if sla.start):
            self._seen = self._queries.milestones_reached()
        found: list[Sample] = []
        for sla in due:
            found += self._measure(sla, Window(now, sla.window_start(now), oldest), newest_us, measured_at)
            self._measured_at[sla.name] = measured_at
        for sla in self._derived:
            found += self._store(derive(sla, [self._current.get(name, []) for name in sla.of]), measured_at)
        return tuple(found)

    def _is_due(self, sla: Sla, wall: datetime) -> bool:
        last = self._measured_at.get(sla.name)
        return not (self._paced and last) or wall - last >= timedelta(seconds=sla.measured_every.seconds)

    def _measure(self, sla: Sla, window: Window, newest_us: int, measured_at: datetime) -> list[Sample]:
        reached = not sla.start or sla.start in self._seen
        rows = self._queries.day_counts(sla, window) if reached else []
        segments = by_segment(rows, sla.segments)
        found = [sample(sla, current(segment, of, window.now), newest_us) for segment, of in segments.items()]
        self._current[sla.name] = naming_the_silent(found) if sla.kind == "freshness" else found
        kept = self._store(self._current[sla.name], measured_at)
        last = self._caught_up_at.get(sla.name)
        if last is None or measured_at - last >= self._catch_up_every:
            missing = self._missing(sla, _midnights(sla, rows, window.now, newest_us), window.now)
            kept += self._store(missing, measured_at, daily=True)
            self._caught_up_at[sla.name] = measured_at
        return kept

    def _store(self, samples: Sequence[Sample], measured_at: datetime, *, daily: bool = False) -> list[Sample]:
        if samples:
            self._queries.write_samples(COLUMNS, [stored(one, measured_at, daily=daily) for one in samples])
        return list(samples)

    def _missing(self, sla: Sla, midnights: Iterable[Sample], now: datetime) -> list[Sample]:
        since = now - timedelta(days=MOST_DAYS + 1)
        known = {_figures(read(row)) for row in self._queries.samples_daily([sla.name], since, now, whole_only=False)}
        return [one for one in midnights if _figures(one) not in known]


def _midnights(sla: Sla, rows: Sequence[DayRow], now: datetime, newest_us: int) -> Iterable[Sample]:
    """One for each local midnight since the first data, of the window that ends there."""
    zone = ZoneInfo(sla.calendar.zone)
    today = (now - timedelta(microseconds=1)).astimezone(zone).toordinal() - _EPOCH_DAY.toordinal()
    first = max(min((row.day for row in rows), default=today) + 1, today - MOST_DAYS + 1)
    days = range(first, today + 1)
    instants = {day: _instant(sla, day) for day in range(first, today + 2)}
    starts = {day: _day_of(sla.window_start(instants[day]), zone) for day in days}
    for segment, of in by_segment(rows, sla.segments).items():
        for measure in boundaries(segment, of, days, starts, {day: micros(at) for day, at in instants.items()}):
            yield sample(sla, measure, newest_us)


def _instant(sla: Sla, day: int) -> datetime:
    return midnight(date.fromordinal(_EPOCH_DAY.toordinal() + day), sla.calendar.zone)


def _day_of(at: datetime, zone: ZoneInfo) -> int:
    """The local day that a window which begins then begins with: one begun by an hour, as clocks changed, is whole."""
    return (at + timedelta(hours=12)).astimezone(zone).toordinal() - _EPOCH_DAY.toordinal()


def _figures(one: Sample) -> tuple[object, ...]:
    """What makes a stored measurement the same as a new one."""
    return (
        *(one.channel, one.location, one.provider, one.kind, one.as_of, one.definition, one.state),
        *(one.good, one.bad, one.pending, one.excused, one.refused, one.overdue_open, one.at_risk),
    )
