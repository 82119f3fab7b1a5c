"""The items of promises, kept judged: a measurement costs what was heard since the last one, not what ever happened.

An item changes when something is heard of its transaction, when what was foretold comes true, or when its deadline
passes. Those transactions are judged again by the queries that judge all; how the result differs from what stands is
added to the items and to the sums of each day. What was broken off is noticed by what it left: days are added up anew.

An item is told of no longer than the milestone that it began with is stored. What it did on which day stays counted.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Event
from typing import Final

import msgspec

from lineage.deadlines import local_day
from lineage.heard import holds, ranges, until
from lineage.item_params import Window
from lineage.queries import Judged, Queries
from lineage.rolling import DAY_US, DayRow
from lineage.rows import BlocksRow, BuildRow, micros
from lineage.slas import Sla

log = logging.getLogger(__name__)

SLICE: Final = 500_000  # milestones judged at a time
HEARD_AT_A_TIME: Final = 50_000  # transactions
SERVES: Final = timedelta(minutes=10)  # of wall time that items may be behind
NEVER: Final = -(2**31)
STAGED: Final = ("promise_changes", "promise_milestones")
_SLICES: Final = 4096
_KINDS: Final = frozenset({"interval", "ratio"})


def kept(sla: Sla) -> bool:
    """Whether the promise has items that are reached by the milestones of one transaction each."""
    return sla.kind in _KINDS


def definition(sla: Sla) -> str:
    """Of two promises with the same one the items are the same."""
    of = (
        sla.name, sla.kind, sla.start, sla.ends, sla.end_id, sla.or_ends, sla.excused, sla.paused, sla.spoiled_by,
        sla.spoiled_kinds, sla.only_kinds, sla.weighted, sla.due_from_hop, sla.even_when_parked, sla.deadline,
        sla.deadline_by, sla.deadlines, sla.calendar,
    )  # fmt: skip
    return f"{sla.name}/{hashlib.sha256(msgspec.json.encode(of, order='deterministic')).hexdigest()[:12]}"


class PromiseItems:
    """For one process that measures; others may read what it keeps."""

    def __init__(self, queries: Queries, slas: Iterable[Sla], ends: Event | None = None) -> None:
        """With ``ends`` judging is broken off when it is set."""
        self._queries = queries
        self._ends = ends or Event()
        self._slas = {definition(sla): sla for sla in slas if kept(sla)}
        self._builds: dict[str, BuildRow] = {}
        self._sought_on = 0
        self._to_seek: list[tuple[str, str]] = []

    def update(self, reached: Iterable[Sla], now: datetime, oldest: datetime) -> None:
        """Judges again what may have changed by ``now``; of a promise not kept before, everything."""
        wanted = [name for name in map(definition, reached) if name in self._slas]
        blocks = self._queries.open_blocks()
        recorded = {one.definition: one for one in self._queries.promise_builds()}
        broken = self._tidy(recorded)
        standing = {
            name: one for name in wanted
            if (one := recorded.get(name)) and one.build and one.as_of_us <= micros(now) and holds(one, blocks)
        }  # fmt: skip
        self._builds = standing
        window = Window(now, now, oldest)
        if broken:
            self._mend(recorded)
        if not broken:
            self._forget(recorded, window, blocks)
        if standing:
            self._judge_heard(window, blocks)
        if missing := [name for name in wanted if name not in standing]:
            self._judge_all(missing, window, blocks)

    def build(self, sla: Sla) -> BuildRow:
        return self._builds[definition(sla)]

    def rows(self, sla: Sla, window: Window) -> list[DayRow]:
        """What stands, in at most three rows for each channel, location, provider, kind and currency."""
        return self._queries.promise_counts(self.build(sla).build, sla, window, edges(sla, window))

    def daily(self, sla: Sla, first_day: int) -> list[DayRow]:
        return self._queries.promise_daily(self.build(sla).build, first_day)

    def caught_up(self, sla: Sla, until_day: int, newest_us: int, brands: str) -> None:
        """The midnights up to a day are measured, by an event that was the newest until then, and of which brands."""
        made = msgspec.structs.replace(self.build(sla), stale_day=until_day + 1, newest_us=newest_us, brands=brands)
        self._write([made])

    # --- judging ---

    def _judge_heard(self, window: Window, blocks: BlocksRow) -> None:
        standing, marks = list(self._builds.values()), blocks.began
        read = (min(one.milestones_block for one in standing), min(one.corrections_block for one in standing))
        prior_us = min(one.as_of_us for one in standing)
        heard = self._queries.mark_promises(marks, [one.build for one in standing], read, prior_us, window.now)
        changed: dict[str, int] = {}
        slices = heard // HEARD_AT_A_TIME + 1 if heard else 0
        for number, span in enumerate(until(self._ends, ranges(slices))):
            found = self._judge(list(self._builds), Judged(marks, marks + number, *span), window)
            changed |= {name: min(day, changed.get(name, day)) for name, day in found.items()}
        self._record(list(self._builds), changed, window, blocks, written=bool(heard))
        self._drop(marks, slices)

    def _judge_all(self, names: Sequence[str], window: Window, blocks: BlocksRow) -> None:
        stored = self._queries.milestones_stored()
        log.info("items of %d promises are judged anew from %d milestones", len(names), stored)
        first_build = blocks.began + _SLICES
        for number, name in enumerate(names):
            self._builds[name] = BuildRow(name, first_build + number, first_build + number, 0, 0, 0, NEVER, 0)
        slices = min(stored // SLICE + 1, _SLICES)
        for number, span in enumerate(until(self._ends, ranges(slices))):
            of = Judged(0, first_build + len(names) + number, *span)
            self._copy(names, of, window)
            for name in until(self._ends, names):
                self._queries.change_promise_items(self._slas[name], self._builds[name].build, of, window)
            self._queries.take_promise_changes(of.generation)
            self._drop(of.generation, 1)
        for name in until(self._ends, names):
            self._queries.add_up_promise_days(self._slas[name], self._builds[name].build)
        self._record(names, dict.fromkeys(names, NEVER), window, blocks, written=True)

    def _forget(self, recorded: Mapping[str, BuildRow], window: Window, blocks: BlocksRow) -> None:
        """Once a day, a slice at each update. Midnights that are measured stay as they were."""
        day = blocks.began // DAY_US
        if day != self._sought_on:
            self._sought_on = day
            slices = self._queries.milestones_stored() // SLICE + 1 if self._queries.milestones_expire() else 0
            self._to_seek = list(ranges(min(slices, _SLICES)))
        if not self._to_seek:
            return
        of = Judged(0, blocks.began - 1, *self._to_seek.pop())
        days: list[tuple[object, ...]] = []
        for name, one in recorded.items():
            if one.build and (sla := self._slas.get(name)):
                self._queries.forget_promise_items(sla, one.build, of, window)
                changes = self._queries.promise_day_changes(sla, one.build, of.generation)
                days += [_stored(one.build, row) for row in changes]
        self._queries.take_promise_changes(of.generation)
        self._queries.write_promise_days(days)
        self._drop(of.generation, 1)

    def _judge(self, names: Sequence[str], of: Judged, window: Window) -> dict[str, int]:
        """Judges transactions; returns on which day the first change of a promise's items lies."""
        self._copy(names, of, window)
        changed: dict[str, int] = {}
        days: list[tuple[object, ...]] = []
        for name in names:
            sla, build = self._slas[name], self._builds[name].build
            self._queries.change_promise_items(sla, build, of, window)
            rows = self._queries.promise_day_changes(sla, build, of.generation)
            if rows:
                changed[name] = min(row.day for row in rows)
                days += [_stored(build, row) for row in rows]
        self._queries.take_promise_changes(of.generation)  # also what changes no day, as the deadline of a paused item
        self._queries.write_promise_days(days)
        return changed

    def _copy(self, names: Sequence[str], of: Judged, window: Window) -> None:
        self._queries.copy_promise_milestones(of, [self._slas[name] for name in names], window.now)

    def _mend(self, recorded: Mapping[str, BuildRow]) -> None:
        """Adds up again the days of what is measured here; what is not, is judged anew when it is."""
        log.warning("a measurement was broken off: the days of promises are added up again")
        for name, build in recorded.items():
            if name in self._builds:
                self._queries.drop_promise_partition("promise_days", build.build)
                self._queries.add_up_promise_days(self._slas[name], build.build)
                self._builds[name] = msgspec.structs.replace(build, stale_day=NEVER)
        unread = [msgspec.structs.replace(one, build=0) for name, one in recorded.items() if name not in self._builds]
        self._queries.write_promise_builds([*self._builds.values(), *unread])
        for table, number in self._queries.promise_partitions():
            if table in STAGED:
                self._queries.drop_promise_partition(table, number)
        self._queries.drop_promise_items([one.build for one in recorded.values()])

    # --- what is kept about it ---

    def _record(
        self, names: Iterable[str], changed: Mapping[str, int], window: Window, blocks: BlocksRow, *, written: bool
    ) -> None:
        records = []
        for name in names:
            build = self._builds[name]
            after = changed[name] + 1 if name in changed else build.stale_day
            made = msgspec.structs.replace(
                build,
                generation=blocks.began,
                milestones_block=blocks.milestones_block,
                corrections_block=blocks.corrections_block,
                as_of_us=micros(window.now),
                stale_day=min(build.stale_day, after),
            )
            if written or made.as_of_us - build.as_of_us > SERVES // timedelta(microseconds=2):
                records.append(made)
        self._write(records)

    def _write(self, records: Sequence[BuildRow]) -> None:
        self._builds |= {one.definition: one for one in records}
        self._queries.write_promise_builds(records)

    def _drop(self, first: int, many: int) -> None:
        for generation in range(first, first + many):
            for table in STAGED:
                self._queries.drop_promise_partition(table, generation)

    def _tidy(self, recorded: Mapping[str, BuildRow]) -> bool:
        """Drops what no build is read from any more; whether a generation was broken off before it was recorded."""
        read = {one.build for one in recorded.values()}
        broken = False
        unread = []
        for table, number in self._queries.promise_partitions():
            broken |= table == "promise_changes"
            if table not in STAGED and number not in read:
                unread.append(number)
        if unread:
            self._queries.drop_promise_items(read)
        for number in unread:
            self._queries.drop_promise_partition("promise_days", number)
        return broken


def edges(sla: Sla, window: Window) -> tuple[int, int]:
    """The local days in which the window and the end of it begin."""
    return local_day(window.since, sla.calendar.zone), local_day(window.recent, sla.calendar.zone)


def _stored(build: int, row: DayRow) -> tuple[object, ...]:
    return (
        build, row.day, row.channel, row.location, row.provider, row.kind, row.currency, row.good, row.bad, row.excused,
        row.refused, row.opened, row.closed, row.overdue_in, row.overdue_out, row.amount_in, row.amount_out,
    )  # fmt: skip
