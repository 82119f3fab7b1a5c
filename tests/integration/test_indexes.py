"""What the questions that people wait for read of a store: an index that is lost is a failing test."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count as counting
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from collector import semconv, synthetic
from collector.framing import record
from collector.storage import Storage
from lineage import flows, slas
from lineage.item_params import Window
from lineage.measure import Measurer
from lineage.queries import Filter, Queries, held_open
from lineage.rows import moment
from lineage.search import Criteria
from lineage.service import Lineage
from lineage.slas import Sla

TRANSACTIONS: Final = 25_600
MOST: Final = 4
"""Granules of 8,192 rows; each table has many times as many."""

MOST_JUDGED: Final = 10
"""Granules of 1,024 rows, some for each entity, to judge one transaction."""

FILL: Final = {
    "journal_lines": """
        INSERT INTO journal_lines (correlation_id, journal_id, line_no, occurred_at)
        SELECT substring(sipHash128(number), 1, 16), toString(number), 1, now64(6) FROM numbers(200000)
    """,
    "links": """
        INSERT INTO links (of_id, other_id, kind, at)
        SELECT substring(sipHash128(number), 1, 16), substring(sipHash128(number + 1), 1, 16), 'part_of', now64(6)
        FROM numbers(200000)
    """,
    "business_keys": """
        INSERT INTO business_keys (key_value, key_name, origin, correlation_id, first_seen, last_seen)
        SELECT concat('K', toString(number)), 'refund_id', 'web', substring(sipHash128(number), 1, 16), now64(6),
               now64(6)
        FROM numbers(200000)
    """,
    "concerns": """
        INSERT INTO concerns (half_id, about)
        SELECT reinterpretAsUInt64(sipHash128(number)), arrayJoin(['o', 'sA1']) FROM numbers(100000)
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

    def note(self, sql: str, params: dict[str, Any]) -> None:
        self.asked.append((sql, params))

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **options: Any) -> list[tuple[Any, ...]]:
        self.note(sql, dict(params or {}))
        return self._storage.query(sql, params, **options)

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        self.note(sql[sql.index("SELECT") :] if "SELECT" in sql else "SELECT 1", dict(params or {}))
        self._storage.execute(sql, params)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._storage.insert(table, columns, rows)


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
    "standing of linked transactions": lambda ask: ask.spans_standing([ID, "0" * 32]),
    "links, both ways": lambda ask: ask.links_of([ID]),
    "journal of a transaction": lambda ask: ask.journal_of(ID),
    "a trace by its ID": lambda ask: ask.trace(TRACE),
    "transactions of a trace": lambda ask: ask.transactions_in_trace(TRACE),
    "any business ID": lambda ask: ask.keys_exactly(["0100000007", "K77"]),
    "a near miss": lambda ask: ask.keys_alike("0100000007", "01000000"),
    "a transaction by its own ID": lambda ask: ask.transaction_known(ID),
    "what transactions must say of what is wrong": lambda ask: ask.spans_judged([ID]),
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


NOW: Final = datetime(2030, 3, 16, 12, tzinfo=UTC)
LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
TELL: Final = """
    INSERT INTO milestones (entity, entity_id, correlation_id, milestone, occurred_at, outcome)
    SELECT 'order', 'one-more', unhex({id:String}), 'captured', toDateTime64('2026-03-16 11:00:00', 6, 'UTC'), 'ok'
"""


def test_a_list_of_what_is_overdue_reads_what_is_open_and_what_was_heard_since(storage: Storage) -> None:
    spied: Any = Spied(storage)
    promises = slas.load()
    lineage = Lineage(Queries(spied), flows.load(promises=promises), promises, lambda: NOW)

    def read(ask: Callable[[], object]) -> list[tuple[str, int]]:
        lineage.forget()
        spied.asked.clear()
        ask()
        return [found for sql, params in list(spied.asked) for found in granules(storage, sql, params)]

    before = lineage.overdue()
    assert {table for table, _ in read(lineage.overdue)} <= {"open_items", "open_generations", "recon_items",
                                                             "journal_days"}  # fmt: skip
    storage.execute(TELL, {"id": "f" * 32})
    lineage.forget()
    spied.asked.clear()
    after = lineage.overdue()
    told = [found for sql, params in spied.asked if "AS items" in sql for found in granules(storage, sql, params)]
    assert 0 < sum(count for table, count in told if table == "milestones") <= MOST_JUDGED
    assert after.by_owner != before.by_owner


def test_how_far_a_failing_hop_reaches_is_told_without_spans(storage: Storage) -> None:
    storage.execute("""
        INSERT INTO open_items (generation, watch, correlation_id, entity, entity_id, since_us)
        SELECT 99, 'hop/posting.send', substring(sipHash128(number), 1, 16), 'posting', toString(number), 1
        FROM numbers(3)
    """)
    spied: Any = Spied(storage)
    held = held_open("hop/posting.send", 99, Window(NOW, moment(0), moment(0)))
    _, lines, oldest = Queries(spied).held_by(held)
    Queries(spied).held_causes(held, "posting.send", "")
    assert (lines.orders, lines.skus, len(oldest)) == (3, ("A1",), 3)
    read = [found for sql, params in spied.asked for found in granules(storage, sql, params)]
    assert {table for table, _ in read} <= {"open_items", "concerns", "failures"}
    assert 0 < sum(count for table, count in read if table == "concerns") <= 6


@pytest.mark.parametrize("question", ["search", "trouble"])
def test_a_question_about_some_days_reads_their_months_alone(storage: Storage, question: str) -> None:
    spied: Any = Spied(storage)
    since, until = datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 31, tzinfo=UTC)
    if question == "search":
        Queries(spied).search(Criteria(since=since, until=until, location="ST3"), (2**62, ""), 50)
    else:
        Queries(spied).trouble("", Window(until, since, since), timedelta(0), 50)
    assert sum(count for sql, params in spied.asked for _, count in granules(storage, sql, params)) == 0


def test_a_question_without_an_index_is_seen_to_read_all(storage: Storage) -> None:
    [(_, count)] = granules(storage, "SELECT * FROM spans WHERE entity_id = 'x'", {})
    assert count > 5 * MOST


class Reading(Spied):
    """Remembers what each question reads of each table, as the tables are when it is asked."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.read: list[tuple[str, int]] = []

    def note(self, sql: str, params: dict[str, Any]) -> None:
        self.read += granules(self._storage, sql, params)


TRADED: Final = datetime(2027, 3, 15, 12, tzinfo=UTC)
"""Months after the transactions stored: what they came to lies neither in the window nor in its first or last month."""

NEW: Final = """
    INSERT INTO milestones (entity, entity_id, correlation_id, milestone, occurred_at, outcome)
    SELECT 'order', concat({run:String}, toString(number)), substring(sipHash128({run:String}, number), 1, 16),
           'captured', {at:DateTime64(6, 'UTC')}, 'ok'
    FROM numbers({count:UInt32})
"""
KEPT: Final = ("order_latency", "order_exception_rate", "return_cycle")
"""Promises about the transactions stored that are decided: what is open is read at each measurement."""


MEASURED: Final = ("milestones", "promise_items", "promise_days", "sli_samples")
SMALL: Final = {"arrivals", "promise_builds", "promise_changes", "promise_milestones"}
"""Tables that hold a row for each kind of fact, or what one generation judges: they are read whole."""


class Kept(NamedTuple):
    """A store of which items of some promises are kept, and who measures them a minute after each time."""

    storage: Storage
    promises: Sequence[Sla]
    minutes: Iterator[int]
    reading: Any

    def tick(self, transactions: int = 0) -> dict[str, int]:
        """As of a minute later, in which so many transactions began; returns what was read."""
        now = TRADED + timedelta(minutes=next(self.minutes))
        if transactions:
            new = {"run": f"{now}", "at": now - timedelta(seconds=30), "count": transactions}
            self.storage.execute(NEW, new)
        Measurer(Queries(self.reading), self.promises, lambda: TRADED).tick(now)
        for table in MEASURED:
            self.storage.execute(f"OPTIMIZE TABLE {table} FINAL")
        return self.read()

    def read(self) -> dict[str, int]:
        """Since this was asked last: of each table but the small ones, the most granules that one question read."""
        found: dict[str, int] = {}
        for table, most in self.reading.read:
            found[table] = max(most, found.get(table, 0))
        self.reading.read.clear()
        return {table: most for table, most in found.items() if table not in SMALL}

    def lineage(self, wall: datetime) -> Lineage:
        return Lineage(Queries(self.reading), flows.load(), self.promises, lambda: wall, judged_at_once=0)


@pytest.fixture(scope="module")
def kept(storage: Storage) -> Kept:
    promises = [one for one in slas.load() if one.name in KEPT]
    made = Kept(storage, promises, counting(), Reading(storage))
    made.tick()
    [(_, stored)] = granules(storage, "SELECT * FROM promise_items", {})
    assert stored > 15 * MOST
    return made


def test_a_measurement_reads_next_to_nothing_while_nothing_is_heard(kept: Kept) -> None:
    assert {table: most for table, most in kept.tick().items() if most > MOST} == {}


def test_a_measurement_reads_what_was_heard_of_and_not_the_store(kept: Kept) -> None:
    """Of each transaction what it reached of each entity, a granule for each, and what stands of it."""
    for transactions in (1, 10):
        read = kept.tick(transactions)
        assert 0 < read.pop("milestones") <= MOST_JUDGED * transactions
        assert 0 < read.pop("promise_items") <= MOST * transactions
        assert {table: most for table, most in read.items() if most > MOST} == {}


@pytest.mark.parametrize("name", KEPT)
def test_items_of_a_promise_are_read_as_they_are_kept(kept: Kept, name: str) -> None:
    kept.tick(1)
    now = TRADED + timedelta(hours=1)
    [sla] = [one for one in kept.promises if one.name == name]
    items = kept.lineage(LONG_AGO).judged(sla, Window(now, sla.window_start(now), now), Filter())
    assert bool(items) == (sla.start == "order.captured")
    read = kept.read()
    assert set(read) == {"promise_items"}
    assert read["promise_items"] <= MOST


def test_the_overview_reads_measurements_alone(kept: Kept) -> None:
    kept.tick(1)
    tiles = kept.lineage(TRADED + timedelta(hours=1)).tiles()
    assert [tile.name for tile in tiles if tile.as_of is None] == []
    read = kept.read()
    assert set(read) == {"sli_samples"}
    assert read["sli_samples"] <= 2 * len(KEPT)
