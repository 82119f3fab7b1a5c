"""Questions to a generated store: orders of a year made inside ClickHouse, and how long lineage takes to answer."""

import datetime as dt
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from collector import migrations
from collector.storage import Storage, StorageError
from lineage import flows, slas
from lineage.measure import Measurer
from lineage.model import Journey, SearchResult
from lineage.queries import Queries, text
from lineage.search import Criteria
from lineage.service import Lineage
from lineage.troubles import Wanted
from tallytrace.errors import RefusedError

SPANS_EACH: Final = 10
CHUNK: Final = 100_000  # orders inserted at a time
MERGED_WITHIN_SECONDS: Final = 600.0
NOW: Final = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
PROMISE: Final = "order_to_posting"
HEARD: Final = 100  # orders that are heard of between two ticks
Questions = dict[str, Callable[[], None]]

log = logging.getLogger(__name__)
_DONE: Final = "generated"
_STORED_SIZE: Final = (migrations.SQL / "stored_size.sql").read_text()


class Answered(Struct, frozen=True):
    """What answers to one kind of question took; infinity when there was none within the limit of a query."""

    question: str
    asked: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of the processor, for one
    rows: int  # read at most, by the indexes, for the last


class Recorder(Storage):
    """Storage that remembers what it was asked while it is to."""

    asked: list[tuple[str, dict[str, Any]]] | None = None

    def query(
        self, sql: str, params: Mapping[str, Any] | None = None, *, max_seconds: float = 10.0, threads: int = 1
    ) -> list[tuple[Any, ...]]:
        if self.asked is not None:
            self.asked.append((sql, dict(params or {})))
        return super().query(sql, params, max_seconds=max_seconds, threads=threads)

    def rows_of(self, ask: Callable[[], None]) -> int:
        """Rows that the queries of a question read at most."""
        asked: list[tuple[str, dict[str, Any]]] = []
        self.asked = asked
        try:
            ask()
        finally:
            self.asked = None
        return sum(row[3] for sql, params in asked for row in self.query(f"EXPLAIN ESTIMATE {sql}", params))


class QueryReport(Struct, frozen=True):
    orders: int
    spans: int
    generated_seconds: float  # of this run; 0 when the store was there
    judged_cpu_seconds: float  # of this run, until what is open stood ready
    kept_cpu_seconds: float  # of this run, until the items of every promise stood ready
    bytes_per_span: float
    answers: tuple[Answered, ...]

    def p99_of(self, kind: str) -> float:
        return next(one.p99_ms for one in self.answers if one.question.startswith(kind))


@contextmanager
def generated(home: Path, orders: int, told: Callable[[str], None]) -> Iterator[tuple[Recorder, float]]:
    """A store of so many orders under ``home``; what an earlier run left off is gone on with, also after a kill.

    Raises RefusedError when ``home`` holds another number of orders.
    """
    home.mkdir(parents=True, exist_ok=True)
    mark = home / _DONE
    total, done = map(int, mark.read_text().split()) if mark.exists() else (orders, 0)
    if total != orders:
        raise RefusedError(f"{home} was generated for {total:,} orders, not for {orders:,}; take another --home")
    storage = Recorder.connect(f"chdb://{(home / 'clickhouse').resolve()}")
    started = time.monotonic()
    try:
        storage.migrate()
        while done < orders:
            many = min(CHUNK, orders - done)
            for name in ("generate_spans", "generate_settlements"):
                storage.execute(text(name), {"first": done, "many": many, "total": orders})
            done += many
            mark.write_text(f"{orders} {done}")
            told(f"{done:,} orders")
        yield storage, time.monotonic() - started
    finally:
        storage.close()


def measure(home: Path, orders: int, told: Callable[[str], None], *, samples: int = 200) -> QueryReport:
    """Raises RefusedError, and RuntimeError for an answer that is not what was generated."""
    with generated(home, orders, told) as (storage, seconds):
        promises = slas.load()
        lineage = Lineage(Queries(storage), flows.load(promises=promises), promises, lambda: NOW)
        chance = random.Random(orders)
        began = time.process_time()
        lineage.judge_open()
        judged = time.process_time() - began
        told(f"what is open is judged: {judged:,.1f} s of the processor")
        measurer = Measurer(Queries(storage), promises, lambda: NOW)
        began = time.process_time()
        measurer.tick(NOW)
        kept = time.process_time() - began
        told(f"the items of every promise are judged: {kept:,.1f} s of the processor")
        told(f"what that left is merged: {_merged(storage):,.1f} s")

        def heard_again() -> None:
            again = {"first": orders - HEARD, "many": HEARD, "total": orders}
            storage.execute(text("generate_spans"), again)

        questions: list[tuple[int, Callable[[], None], Questions]] = [
            (samples, _nothing, _journeys(lineage, orders, chance)),
            (5, _nothing, _lists(lineage, orders, chance)),
            (5, heard_again, {"tick of every promise": lambda: _discard(measurer.tick(NOW))}),
            (20, _nothing, {"SLA overview": lambda: _discard(lineage.tiles())}),
            (5, _nothing, {f"items of {PROMISE}": lambda: _discard(lineage.items(PROMISE))}),
        ]
        answers = []
        for times, before, named in questions:
            for name, ask in named.items():
                answers.append(_timed(storage, name, times, before, ask))
                told(f"{name}: {answers[-1].p99_ms:,.1f} ms")
        ((_, size),) = storage.query(_STORED_SIZE)
    spans = orders * SPANS_EACH
    return QueryReport(
        orders, spans, round(seconds, 1), round(judged, 1), round(kept, 1), round(size / spans, 1), tuple(answers)
    )


def _merged(storage: Recorder) -> float:
    """Seconds until the engine no longer merges what was written, at most MERGED_WITHIN_SECONDS."""
    started = time.monotonic()
    while (waited := time.monotonic() - started) < MERGED_WITHIN_SECONDS:
        if not storage.query("SELECT count() FROM system.merges")[0][0]:
            break
        time.sleep(1)
    return waited


def _journeys(lineage: Lineage, orders: int, chance: random.Random) -> Questions:
    def any_of(*prefixes: str) -> Callable[[], None]:
        def ask() -> None:
            number = chance.randrange(orders)
            _expect(lineage.journey(f"{chance.choice(prefixes)}{number}"), f"B{number}")

        return ask

    return {
        "journey by order, shipment, payment, tracking, journal or ERP number": any_of(
            "B", "SB", "PB", "TB", "JOB", "JSB", "EOB"
        ),
    }


def _lists(lineage: Lineage, orders: int, chance: random.Random) -> Questions:
    last = Criteria(since=NOW - dt.timedelta(days=30), until=NOW, location="ST1", outcome="rejected")

    def fresh_overdue() -> None:
        lineage.forget()
        lineage.overdue()

    return {
        "settlement of 10,000 lines": lambda: _expect(
            lineage.journey(f"PO{chance.randrange(orders // 10_000)}" if orders >= 10_000 else "B0"), ""
        ),
        "overdue by owner": fresh_overdue,
        "what is wrong, of 30 days": lambda: _discard(lineage.troubles(Wanted())),
        "search by attributes over 30 days": lambda: _found(lineage.search(last, 50), last),
        "blast radius of posting.send": lambda: _discard(lineage.blast_of_hop("posting.send", 30)),
        "near misses of an unknown number": lambda: _discard(lineage.journey(f"X{chance.randrange(orders)}")),
    }


def _nothing() -> None:
    pass


def _expect(answer: object, reference: str) -> None:
    if not isinstance(answer, Journey) or (reference and answer.header.reference != reference):
        raise RuntimeError(f"asked for {reference}, got {answer}")


def _found(answer: SearchResult, wanted: Criteria) -> None:
    if not answer.items:
        raise RuntimeError(f"nothing was found by {wanted}")


def _discard(answer: object) -> None:
    assert answer is not None


def _timed(
    storage: Recorder, question: str, times: int, before: Callable[[], None], ask: Callable[[], None]
) -> Answered:
    took: list[float] = []
    cpu_ms = 0.0
    try:
        rows = storage.rows_of(ask)
        for _ in range(times):
            before()
            started, began = time.perf_counter(), time.process_time()
            ask()
            took.append((time.perf_counter() - started) * 1000)
            cpu_ms += (time.process_time() - began) * 1000 / times
    except StorageError as error:
        log.warning("%s: %s", question, str(error)[:300])
        return Answered(question, times, math.inf, math.inf, math.inf, 0)
    took.sort()
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    return Answered(question, times, round(p50, 1), round(p99, 1), round(cpu_ms, 1), rows)
