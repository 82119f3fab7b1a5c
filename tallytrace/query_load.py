"""Questions to a generated store: orders of a year made inside ClickHouse, and how long lineage takes to answer."""

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from collector import migrations
from collector.storage import Storage
from lineage import flows, slas
from lineage.model import Journey
from lineage.queries import Queries, text
from lineage.search import Criteria
from lineage.service import Lineage
from tallytrace.errors import RefusedError

SPANS_EACH: Final = 10
CHUNK: Final = 100_000  # orders inserted at a time
NOW: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_DONE: Final = "generated"
_STORED_SIZE: Final = (migrations.SQL / "stored_size.sql").read_text()


class Answered(Struct, frozen=True):
    """How long answers to one kind of question took."""

    question: str
    asked: int
    p50_ms: float
    p99_ms: float


class QueryReport(Struct, frozen=True):
    orders: int
    spans: int
    generated_seconds: float  # of this run; 0 when the store was there
    bytes_per_span: float
    answers: tuple[Answered, ...]


@contextmanager
def generated(home: Path, orders: int, told: Callable[[int], None]) -> Iterator[tuple[Storage, float]]:
    """A store of so many orders under ``home``; what an earlier run left off is gone on with, also after a kill.

    Raises RefusedError when ``home`` holds another number of orders.
    """
    home.mkdir(parents=True, exist_ok=True)
    mark = home / _DONE
    total, done = map(int, mark.read_text().split()) if mark.exists() else (orders, 0)
    if total != orders:
        raise RefusedError(f"{home} was generated for {total:,} orders, not for {orders:,}; take another --home")
    storage = Storage.connect(f"chdb://{(home / 'clickhouse').resolve()}")
    started = time.monotonic()
    try:
        storage.migrate()
        while done < orders:
            many = min(CHUNK, orders - done)
            for name in ("generate_spans", "generate_settlements"):
                storage.execute(text(name), {"first": done, "many": many, "total": orders})
            done += many
            mark.write_text(f"{orders} {done}")
            told(done)
        yield storage, time.monotonic() - started
    finally:
        storage.close()


def measure(home: Path, orders: int, told: Callable[[int], None], *, samples: int = 200) -> QueryReport:
    """Raises RefusedError, and RuntimeError for an answer that is not what was generated."""
    with generated(home, orders, told) as (storage, seconds):
        promises = slas.load()
        lineage = Lineage(Queries(storage), flows.load(promises=promises), promises, lambda: NOW)
        chance = random.Random(orders)
        answers = [_timed(name, samples, ask) for name, ask in _journeys(lineage, orders, chance).items()]
        answers += [_timed(name, 5, ask) for name, ask in _lists(lineage, orders, chance).items()]
        ((_, size),) = storage.query(_STORED_SIZE)
    spans = orders * SPANS_EACH
    return QueryReport(orders, spans, round(seconds, 1), round(size / spans, 1), tuple(answers))


def _journeys(lineage: Lineage, orders: int, chance: random.Random) -> dict[str, Callable[[], None]]:
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


def _lists(lineage: Lineage, orders: int, chance: random.Random) -> dict[str, Callable[[], None]]:
    last = Criteria(since=NOW - dt.timedelta(days=30), until=NOW, location="ST3", outcome="rejected")

    def fresh_overdue() -> None:
        lineage.forget()
        lineage.overdue()

    return {
        "settlement of 10,000 lines": lambda: _expect(
            lineage.journey(f"PO{chance.randrange(orders // 10_000)}" if orders >= 10_000 else "B0"), ""
        ),
        "overdue by owner": fresh_overdue,
        "search by attributes over 30 days": lambda: _discard(lineage.search(last, 50)),
        "blast radius of posting.send": lambda: _discard(lineage.blast_of_hop("posting.send", 30)),
        "near misses of an unknown number": lambda: _discard(lineage.journey(f"X{chance.randrange(orders)}")),
    }


def _expect(answer: object, reference: str) -> None:
    if not isinstance(answer, Journey) or (reference and answer.header.reference != reference):
        raise RuntimeError(f"asked for {reference}, got {answer}")


def _discard(answer: object) -> None:
    assert answer is not None


def _timed(question: str, times: int, ask: Callable[[], None]) -> Answered:
    ask()
    took: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        ask()
        took.append((time.perf_counter() - started) * 1000)
    took.sort()
    return Answered(question, times, round(took[len(took) // 2], 1), round(took[int(len(took) * 0.99)], 1))
