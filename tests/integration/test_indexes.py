"""What the questions that people wait for read of a store: an index that is lost is a failing test."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from collector import semconv, synthetic
from collector.framing import record
from collector.storage import Storage
from lineage.queries import Queries

TRANSACTIONS: Final = 25_600
MOST: Final = 4
"""Granules of 8,192 rows; each table has many times as many."""

FILL: Final = {
    "journal_lines": """
        INSERT INTO journal_lines (correlation_id, journal_id, line_no, occurred_at)
        SELECT substring(sipHash128(number), 1, 16), toString(number), 1, now64(6) FROM numbers(200000)
    """,
    "links": """
        INSERT INTO links (from_id, to_id, kind, at)
        SELECT substring(sipHash128(number), 1, 16), substring(sipHash128(number + 1), 1, 16), 'part_of', now64(6)
        FROM numbers(200000)
    """,
    "business_keys": """
        INSERT INTO business_keys (key_value, key_name, origin, correlation_id, first_seen, last_seen)
        SELECT concat('K', toString(number)), 'refund_id', 'web', substring(sipHash128(number), 1, 16), now64(6),
               now64(6)
        FROM numbers(200000)
    """,
    "stock_freshness": """
        INSERT INTO stock_freshness (channel, location, feed, minute)
        SELECT toString(number % 40), toString(number % 7), 'wms', toDateTime(number * 60) FROM numbers(200000)
    """,
    "sli_samples": """
        INSERT INTO sli_samples (sla, channel, as_of, measured_at)
        SELECT toString(number % 40), toString(number % 7), toDateTime64(number * 60, 3), now64(3) FROM numbers(200000)
    """,
}
READ: Final = re.compile(r"ReadFromMergeTree \(\w+\.(\w+)\).*?Granules: (\d+)", re.DOTALL)


class Spied:
    """Storage that remembers what it was asked."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **options: Any) -> list[tuple[Any, ...]]:
        self.asked.append((sql, dict(params or {})))
        return self._storage.query(sql, params, **options)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    directory: Path = tmp_path_factory.mktemp("clickhouse")
    made = Storage.connect(f"chdb://{directory / 'store'}")
    made.migrate()
    segment = directory / "spans.otlp"
    segment.write_bytes(b"".join(map(record, synthetic.requests(TRANSACTIONS, 512))))
    made.insert_segment(segment)
    for fill in FILL.values():
        made.execute(fill)
    for table in ("spans", "milestones", *FILL):
        made.execute(f"OPTIMIZE TABLE {table} FINAL")
    yield made
    made.close()


def granules(storage: Storage, sql: str, params: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Each table that a query reads, and how many granules of it."""
    plan = "\n".join(row[0] for row in storage.query(f"EXPLAIN indexes = 1 {sql}", params))
    return [(table, int(count)) for table, count in READ.findall(plan)]


ID: Final = semconv.correlation_id(synthetic.ORIGIN, "0100000007").hex()
TRACE: Final = "0123456789abcdef0123456789abcdef"

QUESTIONS: Final[Mapping[str, Callable[[Queries], object]]] = {
    "spans of a transaction": lambda ask: ask.spans_of([ID]),
    "standing of linked transactions": lambda ask: ask.spans_linked([ID, "0" * 32]),
    "links, both ways": lambda ask: ask.links_of([ID]),
    "journal of a transaction": lambda ask: ask.journal_of(ID),
    "a trace by its ID": lambda ask: ask.trace(TRACE),
    "transactions of a trace": lambda ask: ask.transactions_in_trace(TRACE),
    "any business ID": lambda ask: ask.keys_exactly(["0100000007", "K77"]),
    "a near miss": lambda ask: ask.keys_alike("0100000007", "01000000"),
    "a transaction by its own ID": lambda ask: ask.transaction_known(ID),
    "samples of some promises": lambda ask: ask.samples_now(["7", "9"], datetime(1970, 5, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_reads_next_to_nothing(storage: Storage, question: str) -> None:
    spied: Any = Spied(storage)
    QUESTIONS[question](Queries(spied))
    read = [found for sql, params in spied.asked for found in granules(storage, sql, params)]
    assert read
    assert [(table, count) for table, count in read if count > MOST] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT SpanName, Duration FROM otel_traces WHERE TraceId = {id:String}",
        "SELECT Start, End FROM otel_traces_trace_id_ts WHERE TraceId = {id:String}",
        "SELECT SpanName FROM otel_traces WHERE Timestamp >= '2001-01-01' AND Timestamp < '2001-02-01'",
    ],
)
def test_what_other_tools_ask_of_the_views_uses_the_indexes_below(storage: Storage, sql: str) -> None:
    read = granules(storage, sql, {"id": TRACE})
    assert [table for table, _ in read] == ["spans"]
    assert [count for _, count in read if count > MOST] == []


def test_a_question_without_an_index_is_seen_to_read_all(storage: Storage) -> None:
    [(_, count)] = granules(storage, "SELECT * FROM spans WHERE entity_id = 'x'", {})
    assert count > 5 * MOST
