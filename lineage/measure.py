"""Measures every promise as of a moment and stores what it found, once, for everybody who asks."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from lineage.model import Sample
from lineage.queries import Queries, Window
from lineage.rolling import DAY_US, DayRow, boundaries, by_segment, current
from lineage.rows import micros, moment
from lineage.samples import COLUMNS, naming_the_silent, read, sample, stored
from lineage.slas import Sla

MOST_DAYS: Final = 400
"""Midnights that are caught up with; older history is left as it is."""


class Measurer:
    """``clock`` gives the wall time that a measurement is stamped with; the time it is *of* is an argument."""

    def __init__(
        self,
        queries: Queries,
        slas: Sequence[Sla],
        clock: Callable[[], datetime],
        *,
        catch_up_every: timedelta = timedelta(minutes=1),
    ) -> None:
        self._queries = queries
        self._slas = slas
        self._clock = clock
        self._catch_up_every = catch_up_every
        self._caught_up_at: datetime | None = None

    def tick(self, now: datetime) -> tuple[Sample, ...]:
        """Judge every promise as of ``now``, whole and by segment, and store it. Returns what was stored.

        Every ``catch_up_every`` the midnights since the first data are measured too: those that are missing, or that
        late facts have changed, are stored again with their own time of measurement.
        """
        measured_at = self._clock()
        catch_up = self._caught_up_at is None or measured_at - self._caught_up_at >= self._catch_up_every
        oldest_us, newest_us = self._queries.extent(now)
        found: list[Sample] = []
        for sla in self._slas:
            window = Window(now, now - sla.window, moment(oldest_us) if oldest_us else now)
            rows = self._queries.day_counts(sla, window)
            found += self._current(sla, rows, now, newest_us)
            if catch_up:
                found += self._missing(sla, self._midnights(sla, rows, now, newest_us), now)
        self._store(found, measured_at)
        if catch_up:
            self._caught_up_at = measured_at
        return tuple(found)

    def _store(self, samples: Sequence[Sample], measured_at: datetime) -> None:
        if samples:
            self._queries.write_samples(COLUMNS, [stored(one, measured_at) for one in samples])

    def _current(self, sla: Sla, rows: Sequence[DayRow], now: datetime, newest_us: int) -> list[Sample]:
        segments = by_segment(rows, sla.segments)
        found = [sample(sla, current(segment, of, now), newest_us) for segment, of in segments.items()]
        return naming_the_silent(found) if sla.kind == "freshness" else found

    def _midnights(self, sla: Sla, rows: Sequence[DayRow], now: datetime, newest_us: int) -> Iterable[Sample]:
        today = (micros(now) - 1) // DAY_US  # at midnight itself, the measurement as of now is the one of that midnight
        first = max(min((row.day for row in rows), default=today) + 1, today - MOST_DAYS + 1)
        days = range(first, today + 1)
        for segment, of in by_segment(rows, sla.segments).items():
            for measure in boundaries(segment, of, days, sla.window.days):
                yield sample(sla, measure, newest_us)

    def _missing(self, sla: Sla, midnights: Iterable[Sample], now: datetime) -> list[Sample]:
        since = now - timedelta(days=MOST_DAYS + 1)
        known = {_figures(read(row)) for row in self._queries.samples_daily([sla.name], since, now, whole_only=False)}
        return [one for one in midnights if _figures(one) not in known]


def _figures(one: Sample) -> tuple[object, ...]:
    """What makes a stored measurement the same as a new one."""
    return (
        *(one.channel, one.location, one.provider, one.as_of, one.definition, one.state),
        *(one.good, one.bad, one.pending, one.excused, one.refused, one.overdue_open, one.at_risk),
    )
