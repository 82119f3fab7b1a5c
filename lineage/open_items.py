"""What every transaction still owes, kept beside the milestones: a list costs what is open, not what ever happened."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import Final

from lineage.deadlines import Calendar
from lineage.flows import Flows
from lineage.heard import holds, ranges, until
from lineage.queries import Queries
from lineage.rows import BlocksRow, GenerationRow, OpenRow, micros, moment
from lineage.watches import HOPS, NEEDS, Watch, definition, params, watches

log = logging.getLogger(__name__)

COLUMNS: Final = (
    *("generation", "watch", "correlation_id", "entity", "entity_id", "since_us", "due_us", "channel", "location"),
    *("provider", "owner", "amount_minor", "currency"),
)
SLICE: Final = 200_000  # milestones judged at a time
AT_ONCE: Final = 2_000_000  # milestones: to judge more anew takes longer than anybody waits for a page
PATIENCE_SECONDS: Final = 3.0
HEARD_AT_A_TIME: Final = 5_000  # transactions; their items are read at once, and while they are nobody else runs
SERVES: Final = timedelta(minutes=20)  # so long what reads a generation may still read it
_SLICES: Final = 4096


class NotJudgedError(Exception):
    """Something has to be judged from all that is stored, which takes minutes; ``done`` of it (0 to 1) is, if known."""

    def __init__(self, done: float | None, what: str = "What is open") -> None:
        far = "" if done is None else f": {done:.0%} is done"
        super().__init__(f"{what} is being judged from the whole history{far}")


class OpenItems:
    """Safe to share between threads, and between processes: each makes generations of its own, the newest is read."""

    def __init__(self, queries: Queries, flows: Flows, calendar: Calendar, ends: Event | None = None) -> None:
        """With ``ends`` judging is broken off when it is set."""
        self._queries = queries
        self._ends = ends or Event()
        self._watches = watches(flows)
        self._calendar = calendar
        self._definition = definition(self._watches, calendar)
        self._params = params(self._watches)
        self._lock = Lock()
        self._done: float | None = None  # of a long history that is being judged
        self._hops = {one.name: one for one in self._watches if one.name.startswith(HOPS)}
        self.listed = {one.name: one.step for one in self._watches if one.step and one.name not in self._hops}
        self.needs = tuple(one.name for one in self._watches if one.name.startswith(NEEDS))

    def brought_by(self, hop: str) -> Watch | None:
        """What waits for a hop."""
        return self._hops.get(f"{HOPS}{hop}")

    def generation(self, now: datetime) -> int:
        """The generation that tells what is open at ``now``: judges again what something was heard of since the last.

        Raises NotJudgedError while there is none and `judge` has yet to make it from more than AT_ONCE milestones.
        """
        while self._done is not None or not self._lock.acquire(timeout=PATIENCE_SECONDS):
            if self._done is not None:
                raise NotJudgedError(self._done)
        try:
            return self._generation(now, AT_ONCE)
        finally:
            self._lock.release()

    def judge(self, now: datetime) -> None:
        """Makes the generation of ``now``, however long that takes.

        All is judged when there is none by this definition, none before ``now``, or one of more than is stored.
        """
        with self._lock:
            self._generation(now, None)

    def _generation(self, now: datetime, at_once: int | None) -> int:
        blocks = self._queries.open_blocks()
        prior = self._queries.open_newest(self._definition)
        if prior and (prior.as_of_us > micros(now) or not holds(prior, blocks)):
            prior = None
        if prior and _read(prior) == _read(blocks) and not 0 < prior.later_us <= micros(now):
            return prior.generation
        number = max(blocks.began, prior.generation + 1 if prior else 0)
        if prior:
            self._judge_heard(number, prior, now)
        else:
            self._judge_all(number, now, at_once)
        later_us = self._queries.foretold_us(number)
        made = GenerationRow(number, blocks.milestones_block, blocks.corrections_block, micros(now), later_us)
        self._queries.write_open_generation(self._definition, made)
        self._queries.drop_open_generations(number - SERVES // timedelta(microseconds=1))
        return number

    def _judge_heard(self, number: int, prior: GenerationRow, now: datetime) -> None:
        heard = self._queries.mark_heard(number, prior, now)
        if heard:
            self._judge(number, heard // HEARD_AT_A_TIME, now, heard_only=True, long=False)
            self._queries.mark_foretold(number, now, heard_only=True)
        self._queries.carry_open(number, prior.generation)

    def _judge_all(self, number: int, now: datetime, at_once: int | None) -> None:
        stored = self._queries.milestones_stored()
        if not stored:
            return
        if at_once is not None and stored > at_once:
            raise NotJudgedError(0.0)
        log.info("open items are judged anew from %d milestones", stored)
        try:
            self._judge(number, stored // SLICE, now, heard_only=False, long=stored > AT_ONCE)
        finally:
            self._done = None
        self._queries.mark_foretold(number, now, heard_only=False)

    def _judge(self, number: int, slices: int, now: datetime, *, heard_only: bool, long: bool) -> None:
        parts = list(ranges(min(slices + 1, _SLICES)))
        for done, (first, last) in enumerate(until(self._ends, parts)):
            if long:
                self._done = done / len(parts)
            found = self._queries.open_items(self._params, number, first, last, now, heard_only=heard_only)
            self._queries.write_open(COLUMNS, list(self._rows(number, found)))

    def _rows(self, number: int, found: Iterable[OpenRow]) -> Iterator[tuple[object, ...]]:
        for row in found:
            watch = self._watches[row.watch - 1]
            step = watch.step
            due_us = 0
            if step and step.due_from_hop and row.hop_due_us:
                due_us = row.hop_due_us
            elif step and (deadline := step.deadline_for(row.channel)):
                due_us = micros(deadline.due(moment(row.since_us), self._calendar))
            yield (
                *(number, watch.name, bytes.fromhex(row.correlation_id), watch.start.partition(".")[0]),
                *(row.entity_id, row.since_us, due_us, row.channel, row.location, row.provider),
                *(row.owner or (step.owner if step else ""), row.amount_minor, row.currency),
            )


def _read(of: GenerationRow | BlocksRow) -> tuple[int, int]:
    return of.milestones_block, of.corrections_block
