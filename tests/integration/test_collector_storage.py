"""Segments in a real engine: what a span becomes, what a retry changes, what a query may take."""

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import collector.storage
from collector import otlp, semconv
from collector.framing import EMPTY_REQUEST, record
from collector.segments import SegmentLog
from collector.storage import (
    QueryTimeoutError,
    Storage,
    StorageError,
    StorageUnavailableError,
    UnreadableSegmentError,
)
from tests.unit.collector.spans import START, request, span, unreadable

SCHEMA = Path(__file__).parent.parent / "unit" / "collector" / "schema.txt"
COLUMNS = """
    SELECT concat(table, '.', name, ' ', type, ' ', compression_codec)
    FROM system.columns WHERE database = currentDatabase() ORDER BY table, position
"""
KEYS_OF_TABLES = """
    SELECT concat(name, ' ', engine, ' ORDER BY ', sorting_key, ' PARTITION BY ', partition_key)
    FROM system.tables WHERE database = currentDatabase() ORDER BY name
"""
ONE_SPAN = "SELECT {columns} FROM spans FINAL WHERE span_id = unhex({{id:String}})"
TABLES = ("spans", "business_keys", "links", "journal_lines", "recon_items", "recon_entries",
          "milestones", "stock_freshness", "stock_marks")  # fmt: skip
ORDER, RETURN = semconv.correlation_id("web", "1001"), semconv.correlation_id("web", "R7")
OCCURRED = datetime(2011, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
NS = int(OCCURRED.timestamp()) * 10**9 + 890_123_456


@pytest.fixture
def insert(storage: Storage, tmp_path: Path) -> Callable[..., None]:
    def insert(*bodies: bytes, to: Storage = storage) -> None:
        path = tmp_path / "segment.otlp"
        path.write_bytes(b"".join(map(record, bodies)))
        to.insert_segment(path)

    return insert


def counts(storage: Storage, *, final: bool = False) -> dict[str, int]:
    return {
        table: storage.query(f"SELECT count() FROM {table} {'FINAL' if final else ''}")[0][0]  # noqa: S608 - our names
        for table in TABLES
    }


def schema(storage: Storage) -> list[str]:
    return [row[0] for question in (KEYS_OF_TABLES, COLUMNS) for row in storage.query(question)]


def test_migrating_makes_exactly_the_schema_and_no_second_time(storage: Storage) -> None:
    assert "\n".join(schema(storage)) + "\n" == SCHEMA.read_text()
    assert storage.migrate() == 0


def test_a_migration_killed_anywhere_goes_on(home: Path) -> None:
    program = "import sys; from collector.storage import Storage; s = Storage.connect(sys.argv[1]); s.migrate()"
    program += "; sys.stdout.write('\\n'.join(r[0] for q in sys.argv[2:] for r in s.query(q)) + '\\n'); s.close()"
    command = [sys.executable, "-c", program, f"chdb://{home / 'clickhouse'}", KEYS_OF_TABLES, COLUMNS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        # Each applied statement leaves a part of schema_migrations behind; walk() passes over what vanishes meanwhile.
        while (
            process.poll() is None
            and sum(name.startswith("all_") for _, folders, _ in os.walk(home / "clickhouse") for name in folders) < 9
        ):
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == SCHEMA.read_text()


def test_each_promoted_attribute_has_a_column_and_leaves_the_map(storage: Storage, insert: Callable[..., None]) -> None:
    texts = ["origin", "domain", "hop", "stage", "outcome", "reason", "entity", "entity_id", "milestone", "channel",
             "location", "region", "brand", "legal_entity", "provider", "system", "sku", "currency", "owner",
             "rule_version", "customer_ref", "source"]  # fmt: skip
    numbers = {"attempt": 3, "quantity": -4, "amount_minor": -(2**62)}
    insert(request(span(
        101,
        {name: f"the {name}" for name in texts} | numbers | {f"retail.{key}": f"the {key}" for key in semconv.KEY_NAMES}
        | {"correlation_id": ORDER.hex(), "occurred_at": NS, "business_date": "2011-03-04", "due_at": NS + 10**9},
    )))  # fmt: skip
    names = [
        *texts,
        *numbers,
        "correlation_id",
        "occurred_at",
        "business_date",
        "due_at",
        "keys",
        "attrs",
        "attr_kinds",
    ]
    [row] = storage.query(ONE_SPAN.format(columns=", ".join(names)), {"id": f"{101:016x}"})
    assert dict(zip(names, row, strict=True)) == {name: f"the {name}" for name in texts} | numbers | {
        "correlation_id": ORDER,
        "occurred_at": OCCURRED,
        "business_date": date(2011, 3, 4),
        "due_at": OCCURRED + timedelta(seconds=1),
        "keys": {key: f"the {key}" for key in semconv.KEY_NAMES},
        "attrs": {},
        "attr_kinds": [],
    }


def test_values_of_every_width_come_back(storage: Storage, insert: Callable[..., None]) -> None:
    widths = [0, 1, 126, 127, 128, 129, 130, 16_383, 16_384, 2_097_151, 2_097_152]
    powers = [2**power + step for power in range(0, 63, 7) for step in (-1, 0)]
    numbers = [*powers, 2**63 - 1, *(-number for number in powers), -(2**63)]
    sent: dict[str, Any] = {f"x.text{width}": "x" * width for width in widths}
    sent |= {f"x.bytes{width}": b"y" * width for width in widths} | {f"x.{number}": number for number in numbers}
    insert(request(span(103, sent)))
    [(attrs,)] = storage.query(ONE_SPAN.format(columns="attrs"), {"id": f"{103:016x}"})
    assert attrs == {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
        for name, value in sent.items()
    }


@pytest.mark.parametrize("value", [
    b"\x18\x05\x18\x06",  # two values
    b"\x0a\x01a\x0a\x01b",
    b"\x0a\x81\x00a",  # a length in more bytes than it needs
    b"\x18\x05\xc0\x0c\x07",  # a field that nobody knows
    b"\x18\x81\x80\x80\x80\x80\x80\x80\x80\x01\xc0\x0c\x07",
    b"\x10\x81\x01",
    b"\x21\0\0\0\0\0\0\0\0\x18\x05",
    b"\x08\x05",  # a known field of another wire type
    b"\xc0\x0c\x07",
])  # fmt: skip
def test_a_value_that_no_encoder_writes_is_unreadable_until_it_is_normalised(
    insert: Callable[..., None], value: bytes
) -> None:
    filler = "?" * (len(value) - 2)
    odd = request(span(104, {"x.odd": filler})).replace(b"\x0a%c%s" % (len(filler), filler.encode()), value)
    with pytest.raises(UnreadableSegmentError):
        insert(odd)
    insert(otlp.normalised(odd))


def test_what_a_column_cannot_hold_stays_in_the_map_with_its_kind(
    storage: Storage, insert: Callable[..., None]
) -> None:
    array = AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=5)]))
    odd = {"correlation_id": "1001", "amount_minor": "12.50", "attempt": 70_000, "business_date": "yesterday",
           "occurred_at": 1.5, "x.text": "a", "x.int": 5, "x.zero": 0, "x.yes": True, "x.no": False, "x.half": 0.5,
           "x.list": array, "x.bytes": b"\x00\xff", "x.none": AnyValue()}  # fmt: skip
    insert(request(span(102, odd)))
    names = "correlation_id, amount_minor, attempt, business_date, toUnixTimestamp64Nano(start_time), attrs, attr_kinds"
    [row] = storage.query(ONE_SPAN.format(columns=names + ", occurred_at"), {"id": f"{102:016x}"})
    assert row[:5] == (bytes(16), 0, 0, date(1970, 1, 1), START)
    assert row[5] == {
        "retail.correlation_id": "1001", "retail.amount_minor": "12.50", "retail.attempt": "70000",
        "retail.business_date": "yesterday", "retail.occurred_at": "1.5", "x.text": "a", "x.int": "5", "x.zero": "0",
        "x.yes": "true", "x.no": "false", "x.half": "0.5", "x.list": "CgIYBQ==", "x.bytes": "AP8=", "x.none": "",
    }  # fmt: skip
    assert dict(zip(row[5], row[6], strict=True)) == {
        "retail.correlation_id": "string_value", "retail.amount_minor": "string_value", "retail.attempt": "int_value",
        "retail.business_date": "string_value", "retail.occurred_at": "double_value", "x.text": "string_value",
        "x.int": "int_value", "x.zero": "int_value", "x.yes": "bool_value", "x.no": "bool_value",
        "x.half": "double_value", "x.list": "array_value", "x.bytes": "bytes_value", "x.none": "none",
    }  # fmt: skip
    assert row[7] == datetime.fromtimestamp(START // 1000 / 1_000_000, UTC)


def test_the_rest_of_a_span_arrives(storage: Storage, insert: Callable[..., None]) -> None:
    made = span(103, {}, events=[("note", {"text": "late", "count": 3})], parent_span_id=b"\x09" * 8, kind=5,
                trace_state="a=b", flags=257, name="any.name", dropped_attributes_count=1, dropped_events_count=2,
                dropped_links_count=3)  # fmt: skip
    made.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="it failed"))
    made.links.append(Span.Link(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, trace_state="c", flags=1))
    made.links.append(Span.Link(trace_id=b"too short", span_id=b"far too long for one"))
    insert(request(made, service="somebody"))
    names = ["name", "kind", "status_code", "status_message", "service", "scope_name", "scope_version", "trace_state",
             "flags", "parent_span_id", "trace_id", "resource_attrs", "scope_attrs", "events", "links",
             "dropped_attributes_count", "dropped_events_count", "dropped_links_count"]  # fmt: skip
    [row] = storage.query(ONE_SPAN.format(columns=", ".join(names)), {"id": f"{103:016x}"})
    at = datetime.fromtimestamp(START // 1000 / 1_000_000, UTC)
    link = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8, "trace_state": "c", "attrs": {}, "kinds": [],
            "dropped_attributes_count": 0, "flags": 1}  # fmt: skip
    odd = {
        "trace_id": b"too short".ljust(16, b"\0"),
        "span_id": b"far too ",
        "trace_state": "",
        "attrs": {},
        "kinds": [],
        "dropped_attributes_count": 0,
        "flags": 0,
    }
    event = {"at": at, "name": "note", "attrs": {"text": "late", "count": "3"}, "kinds": ["string_value", "int_value"],
             "dropped_attributes_count": 0}  # fmt: skip
    assert row == (
        "any.name", 5, 2, "it failed", "somebody", "tallytrace", "1", "a=b", 257, b"\x09" * 8, (103).to_bytes(16),
        {"process.pid": "7"}, {}, [event], [link, odd], 1, 2, 3,
    )  # fmt: skip


def test_keys_links_and_milestones_are_read_from_spans(storage: Storage, insert: Callable[..., None]) -> None:
    further = {"entity": "return", "entity_id": "R7", "milestone": "verified", "occurred_at": NS + 5_000_000_000}
    link = {"from": RETURN.hex(), "to": ORDER.hex(), "kind": "returns", "evidence": "invoice", "by": "matcher"}
    common = {"correlation_id": RETURN.hex(), "origin": "web", "return_id": "R7/1", "occurred_at": NS, "channel": "web"}
    insert(
        request(
            span(111, common | {"outcome": "ok", "entity": "return", "entity_id": "R7", "milestone": "received"},
                 events=[("milestone", further), ("link", link), ("link", link | {"to": "no identity"})]),
            span(112, common | {"outcome": "failed", "entity": "return", "entity_id": "R7", "milestone": "closed",
                                "kind": "mail-in", "severity": "minor", "quantity": 3},
                 events=[("milestone", further | {"milestone": "inspected", "quantity": 2})]),
            span(113, common | {"outcome": "ok", "entity": "return", "entity_id": "R7", "occurred_at": NS + 10**9}),
        )
    )  # fmt: skip
    keys = "SELECT key_name, origin, correlation_id, min(first_seen), max(last_seen) FROM business_keys"
    keys += " WHERE key_value = 'R7/1' GROUP BY key_name, origin, correlation_id"
    assert storage.query(keys) == [("return_id", "web", RETURN, OCCURRED, OCCURRED + timedelta(seconds=1))]
    joined = ("returns", "invoice", "matcher")
    linked = "SELECT of_id, other_id, outward, kind, evidence, by_whom FROM links FINAL ORDER BY outward"
    assert storage.query(linked) == [(ORDER, RETURN, False, *joined), (RETURN, ORDER, True, *joined)]
    columns = "milestone, occurred_at, channel, outcome, kind, severity, quantity"
    milestones = f"SELECT {columns} FROM milestones FINAL WHERE entity_id = 'R7' ORDER BY occurred_at, milestone"  # noqa: S608 - our names
    told = OCCURRED + timedelta(seconds=5)
    assert storage.query(milestones) == [
        ("received", OCCURRED, "web", "ok", "", "", 0),
        ("inspected", told, "web", "failed", "mail-in", "minor", 2),
        ("verified", told, "web", "ok", "", "", 0),
    ]


def test_journal_reconciliation_and_watermarks_are_read_from_events(
    storage: Storage, insert: Callable[..., None]
) -> None:
    line = {"line_no": 2, "account": "4000", "amount_minor": -250, "currency": "GBP", "functional_minor": -300,
            "functional_currency": "USD", "kind": "goods", "quantity": 3, "line_count": 4}  # fmt: skip
    item = {
        "level": "L1",
        "business_date": "2011-03-04",
        "channel": "web",
        "provider": "p",
        "kind": "sales",
        "currency": "GBP",
        "left_minor": 5,
        "right_minor": 7,
        "unexplained_minor": -2,
        "reason": "r",
        "due_at": NS,
    }
    mark = {"feed": "wms", "channel": "web", "location": "WH1", "source_at": NS, "published_at": 0, "heartbeat_at": NS}
    posted = {"correlation_id": ORDER.hex(), "journal_id": "J1", "source": "file", "occurred_at": NS,
              "business_date": "2011-03-04", "channel": "web", "location": "WH1"}  # fmt: skip
    lines = [("journal.line", line), ("journal.line", line | {"line_no": 3, "source": "generated"})]
    later = [("recon.item", item | {"unexplained_minor": 0}), ("watermark", mark | {"published_at": NS + 1_000})]
    insert(
        request(
            span(121, posted, events=lines),
            span(122, {}, at=NS, events=[("recon.item", item), ("watermark", mark)]),
            span(123, {}, at=NS + 1_000, events=later),
        )
    )
    rows = storage.query("SELECT * EXCEPT (span_id, ingested_on) FROM journal_lines FINAL ORDER BY line_no")
    kept = ("4000", -250, "GBP", -300, "USD", "goods", 3, 4)
    there = (date(2011, 3, 4), OCCURRED, "web", "WH1")
    assert rows == [(ORDER, "J1", 2, *kept, "file", *there), (ORDER, "J1", 3, *kept, "generated", *there)]
    asked = "SELECT * EXCEPT (reconciled_at, ingested_on) FROM recon_items FINAL ORDER BY reconciled_at"
    said = ("L1", date(2011, 3, 4), "web", "p", "", "sales", "", "GBP", 0, 5, 7, 0, 0, 0, 0, 0, 0, 0)
    assert storage.query(asked) == [(*said, -2, "r", OCCURRED), (*said, 0, "r", OCCURRED)]
    published = OCCURRED + timedelta(microseconds=1)
    freshest = "SELECT channel, location, feed, minute, max(source_at), max(published_at), max(heartbeat_at)"
    assert storage.query(f"{freshest} FROM stock_freshness GROUP BY channel, location, feed, minute") == [
        ("web", "WH1", "wms", OCCURRED.replace(second=0, microsecond=0), OCCURRED, published, OCCURRED)
    ]


def test_inserting_again_changes_no_answer(storage: Storage, insert: Callable[..., None]) -> None:
    link = {"from": RETURN.hex(), "to": RETURN.hex(), "kind": "same_as"}
    spans = [
        span(number, {"correlation_id": ORDER.hex(), "order_id": f"{number}", "outcome": "ok", "entity": "order",
                      "entity_id": f"{number}", "milestone": "captured", "journal_id": "J2"},
             events=[("link", link), ("journal.line", {"line_no": number - 200})])
        for number in range(201, 261)
    ]  # fmt: skip
    bodies = [request(*spans[:30]), request(*spans[30:])]
    before = counts(storage, final=True)
    insert(*bodies)
    raw, answers = counts(storage), counts(storage, final=True)
    grown = {table: answers[table] - before[table] for table in TABLES if answers[table] != before[table]}
    assert grown == {
        "spans": 60,
        "business_keys": 61,
        "links": 2,
        "journal_lines": 60,
        "milestones": 60,
    }
    insert(*bodies)
    assert counts(storage) != raw
    assert counts(storage, final=True) == answers


def test_facts_of_many_months_go_in_together(storage: Storage, insert: Callable[..., None]) -> None:
    month = 31 * 86_400 * 10**9
    insert(request(*(span(400 + number, {}, at=START - number * month) for number in range(150))))
    question = (
        "SELECT uniqExact(toYYYYMM(start_time)), count() FROM spans FINAL WHERE span_id BETWEEN unhex({a:String})"
    )
    bounds = {"a": f"{400:016x}", "b": f"{549:016x}"}
    assert storage.query(question + " AND unhex({b:String})", bounds) == [(150, 150)]


def test_only_unreadable_bytes_are_called_unreadable(
    storage: Storage, insert: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(UnreadableSegmentError):
        insert(request(span(600)), unreadable(601))
    empty = tmp_path / "empty.otlp"
    empty.write_bytes(EMPTY_REQUEST)
    storage.insert_segment(empty)
    [(found,)] = storage.query("SELECT count() FROM spans WHERE span_id = unhex({id:String})", {"id": f"{600:016x}"})
    assert found == 0


def test_rows_are_inserted_and_read_back(storage: Storage) -> None:
    row = ("refund", "web", OCCURRED.replace(microsecond=890_000), 7, OCCURRED, '{"GBP": 5}')
    columns = ["sla", "channel", "as_of", "good", "watermark", "details"]
    storage.insert("sli_samples", columns, [row])
    assert storage.query("SELECT sla, channel, as_of, good, watermark, details FROM sli_samples FINAL") == [row]


def test_a_query_has_its_time_and_a_bounded_number_run_at_once(storage: Storage) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7"
    with pytest.raises(QueryTimeoutError):
        storage.query(endless, max_seconds=0.2)
    with ThreadPoolExecutor(5) as threads:
        running = [threads.submit(storage.query, endless, max_seconds=0.9) for _ in range(4)]
        time.sleep(0.2)
        with pytest.raises(QueryTimeoutError, match="no turn within"):
            storage.query("SELECT 1", max_seconds=0.1)
        assert [type(query.exception()) for query in running] == [QueryTimeoutError] * 4
    assert storage.query("SELECT {text:String}", {"text": "it's; \\ fine"}) == [("it's; \\ fine",)]
    assert storage.ping()


def test_a_server_is_the_same_by_http(clickhouse_url: str, insert: Callable[..., None]) -> None:
    server = Storage.connect(clickhouse_url)
    try:
        assert server.migrate() > 0
        assert server.migrate() == 0
        made: list[Any] = [request(span(number, {"order_id": f"{number}"})) for number in (1, 2)]
        for _ in range(2):
            insert(*made, to=server)
        assert counts(server)["spans"] == 4
        assert counts(server, final=True)["spans"] == 2
        with pytest.raises(UnreadableSegmentError):
            insert(unreadable(3), to=server)
        server.insert("sli_samples", ["sla", "good"], [("refund", 3)])
        assert server.query("SELECT sla, good FROM sli_samples") == [("refund", 3)]
    finally:
        server.close()


def test_a_segment_is_given_up_only_when_its_rows_are_on_the_disk(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def sync(directory: Path) -> None:
        found = storage.query(
            "SELECT count() FROM spans FINAL WHERE span_id = unhex({id:String})", {"id": f"{9501:016x}"}
        )
        seen.append((directory.name, found, len(list((tmp_path / "log").glob("*.otlp")))))
        if len(seen) == 1:
            raise StorageError("the disk is gone")

    monkeypatch.setattr(collector.storage, "_sync_file_system", sync)
    with SegmentLog(tmp_path / "log", storage.insert_segment, otlp.normalised, max_age_seconds=0.01) as log:
        log.append(request(span(9501, {}))).result(10)
        assert log.wait_stored(10)
    assert seen == [(seen[0][0], [(1,)], 1)] * 2
    assert list((tmp_path / "log").glob("*.otlp")) == []


def test_a_server_that_is_away_is_told_from_one_that_refuses(free_port: Callable[[], int], tmp_path: Path) -> None:
    away = Storage.connect(f"http://127.0.0.1:{free_port()}/tallytrace")
    segment = tmp_path / "segment.otlp"
    segment.write_bytes(EMPTY_REQUEST)
    assert not away.ping()
    with pytest.raises(StorageUnavailableError):
        away.insert_segment(segment)
    away.close()
    with pytest.raises(StorageUnavailableError, match="closed"):
        away.query("SELECT 1")
    with pytest.raises(ValueError, match="chdb:///directory"):
        Storage.connect("postgres://somewhere")


def test_rows_expire_by_when_they_came_and_late_facts_of_old_days_stay(
    storage: Storage, insert: Callable[..., None]
) -> None:
    insert(request(span(9401, {"order_id": "late", "correlation_id": ORDER.hex()}, at=10**18)))
    days = {"spans": 30, "business_keys": 30}
    assert len(storage.keep(days)) == 2
    assert storage.keep(days) == []
    storage.execute(f"""
        INSERT INTO spans SELECT * REPLACE (ingested_at - INTERVAL 31 DAY AS ingested_at, toYear(now()) AS attempt,
                                            unhex('{9402:016x}') AS span_id, map('order_id', 'old') AS keys)
        FROM spans WHERE span_id = unhex('{9401:016x}')
    """)  # noqa: S608 - our own numbers
    storage.execute("""
        INSERT INTO business_keys SELECT * REPLACE (ingested_on - 31 AS ingested_on)
        FROM business_keys WHERE key_value = 'old'
    """)
    for table in days:
        storage.execute(f"OPTIMIZE TABLE {table} FINAL")
    kept = "SELECT toYear(start_time) FROM spans WHERE span_id = unhex({id:String})"
    assert storage.query(kept, {"id": f"{9401:016x}"}) == [(2001,)]
    assert storage.query(kept, {"id": f"{9402:016x}"}) == []
    assert storage.query("SELECT DISTINCT key_value FROM business_keys WHERE key_value = 'late'") == [("late",)]
    assert len(storage.keep({})) == 2


def test_what_nobody_waits_for_leaves_the_processor_to_others(storage: Storage) -> None:
    nice = "SELECT getSetting('os_threads_nice_value_query')"
    assert (storage.aside().query(nice), storage.query(nice)) == ([(15,)], [(0,)])
    storage.execute("CREATE TABLE told (nice Int32) ENGINE = Memory")
    for one in (storage.aside(), storage):
        one.execute(f"INSERT INTO told {nice}")
    assert storage.query("SELECT nice FROM told ORDER BY nice") == [(0,), (15,)]
