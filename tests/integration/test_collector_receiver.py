"""OTLP over a real socket into a real engine, and what senders are told."""

import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector import otlp, receiver
from collector.compression import zstd_compress
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage, StorageUnavailableError
from tests.unit.collector.spans import START, request, span, unreadable

MAX_BODY_BYTES = 100_000
STORED = "SELECT count(), uniqExact(span_id) FROM spans FINAL WHERE service = {service:String}"


@contextmanager
def served(log: SegmentLog, **options: Any) -> Iterator[httpx.Client]:
    app = receiver.create_app(log, Intake(log, **{"max_body_bytes": MAX_BODY_BYTES} | options))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Content-Type": otlp.PROTOBUF}
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, verify=False, timeout=30
        ) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client(log: SegmentLog) -> Iterator[httpx.Client]:
    with served(log) as made:
        yield made


def post(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/traces", content=body, headers=names)


def test_every_acknowledged_span_is_queryable_once(storage: Storage, log: SegmentLog, client: httpx.Client) -> None:
    bodies = [
        request(*(span(number * 1_000 + index) for index in range(50)), service="counted") for number in range(1, 41)
    ]
    before = log.counters().accepted_spans
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda body: post(client, body), bodies + bodies[:10]))
    assert {(answer.status_code, answer.content, answer.headers["Content-Type"]) for answer in answers} == {
        (200, b"", "application/x-protobuf")
    }
    assert log.counters().accepted_spans - before == 2_000
    assert log.wait_stored(30)
    assert storage.query(STORED, {"service": "counted"}) == [(2_000, 2_000)]


def test_spans_that_can_never_be_stored_are_named_and_the_rest_is_stored(
    storage: Storage, log: SegmentLog, client: httpx.Client
) -> None:
    answer = post(client, request(span(1), span(2, trace_id=b""), span(3, end_time_unix_nano=0), service="partly"))
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 2
    assert (
        partial.error_message
        == "1 x trace_id is not 16 bytes, or all zero; 1 x the span has no end time, or ends before it starts"
    )
    assert log.wait_stored(30)
    assert storage.query(STORED, {"service": "partly"}) == [(1, 1)]


def test_a_request_that_clickhouse_cannot_read_spoils_no_other(
    storage: Storage, log: SegmentLog, client: httpx.Client
) -> None:
    for body in (request(span(1), service="beside"), unreadable(77), request(span(2), service="beside")):
        assert post(client, body).status_code == 200
    assert log.wait_stored(30)
    assert storage.query(STORED, {"service": "beside"}) == [(2, 2)]
    found = "SELECT attrs FROM spans FINAL WHERE span_id = unhex({id:String}) AND mapContains(attrs, 'x.flag')"
    assert storage.query(found, {"id": f"{77:016x}"}) == [({"x.flag": "true"},)]
    assert log.counters().quarantined_requests == 0


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd_compress)]
)
def test_compressed_bodies_and_any_case_of_the_media_type(
    storage: Storage, log: SegmentLog, client: httpx.Client, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    halves = compress(request(span(1), service=encoding)) + compress(request(span(2), service=encoding))
    kind = "Application/X-Protobuf; charset=utf-8"
    assert post(client, halves, Content_Encoding=encoding, Content_Type=kind).status_code == 200
    assert log.wait_stored(30)
    assert storage.query(STORED, {"service": encoding}) == [(2, 2)]


@pytest.mark.parametrize(
    ("body", "headers", "code", "status", "message"),
    [
        (b"zzz", {}, 400, otlp.INVALID_ARGUMENT, b"not an ExportTraceServiceRequest"),
        (b"zzz", {"Content_Encoding": "gzip"}, 400, otlp.INVALID_ARGUMENT, b"broken gzip"),
        (gzip.compress(b"x", mtime=0)[:-4], {"Content_Encoding": "gzip"}, 400, otlp.INVALID_ARGUMENT,
         b"ends too early"),
        (b"zzz", {"Content_Encoding": "deflate"}, 400, otlp.INVALID_ARGUMENT, b"broken deflate"),
        (b"not it", {"Content_Encoding": "zstd"}, 400, otlp.INVALID_ARGUMENT, b"broken zstd"),
        (zstd_compress(b"x" * 99)[:-4], {"Content_Encoding": "zstd"}, 400, otlp.INVALID_ARGUMENT, b"ends too early"),
        (zstd_compress(bytes(MAX_BODY_BYTES + 1)), {"Content_Encoding": "zstd"}, 413, otlp.RESOURCE_EXHAUSTED,
         b"after decompression"),
        (b"", {"Content_Encoding": "br"}, 415, otlp.INVALID_ARGUMENT, b"not br"),
        (b"", {"Content_Type": "text/plain"}, 415, otlp.INVALID_ARGUMENT, b"not text/plain"),
        (bytes(MAX_BODY_BYTES + 1), {}, 413, otlp.RESOURCE_EXHAUSTED, b"more than 100000 bytes"),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1), mtime=0), {"Content_Encoding": "gzip"}, 413, otlp.RESOURCE_EXHAUSTED,
         b"after decompression"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_told_in_the_encoding_of_the_request(
    client: httpx.Client, body: bytes, headers: dict[str, str], code: int, status: int, message: bytes
) -> None:
    answer = post(client, body, **headers)
    assert answer.status_code == code
    assert answer.headers["Content-Type"] == "application/x-protobuf"
    assert answer.content.startswith(b"\x08" + bytes([status]) + b"\x12")
    assert message in answer.content
    assert "Retry-After" not in answer.headers


def test_health(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json()["quarantined_requests"] == 0
    assert client.get("/v1/traces").status_code == 405


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Callable[..., SegmentLog]]:
    """A log whose storage is away."""
    logs = []

    def away(path: Path) -> None:
        raise StorageUnavailableError("nobody answers")

    def stuck(**options: Any) -> SegmentLog:
        logs.append(SegmentLog(tmp_path / "log", away, otlp.normalised, **options))
        return logs[-1]

    yield stuck
    for log in logs:
        log.close(drain_seconds=0)


def test_a_full_log_asks_senders_to_come_back_soon(stuck: Callable[..., SegmentLog]) -> None:
    body = request(span(1))
    with served(stuck(max_backlog_bytes=2 * len(body))) as client:
        assert post(client, body).status_code == 200
        assert client.get("/readyz").status_code == 200
        answer = post(client, request(span(2)))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.content.startswith(b"\x08" + bytes([otlp.RESOURCE_EXHAUSTED]))
        assert client.get("/healthz").status_code == 200


def test_too_many_at_once_are_asked_to_come_back_soon(stuck: Callable[..., SegmentLog]) -> None:
    log = stuck()
    with served(log, max_requests=0) as client:
        answer = post(client, request(span(1)))
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert answer.content.startswith(b"\x08" + bytes([otlp.RESOURCE_EXHAUSTED]))
    with served(log, max_requests=1) as client:
        assert [post(client, request(span(1))).status_code for _ in range(3)] == [200] * 3


# --- the same as JSON ---

JSON = {"Content_Type": "application/json"}
ROW = (
    "SELECT * EXCEPT (correlation_id, span_id, service, ingested_at) FROM spans FINAL WHERE service = {service:String}"
)


def in_json(spans: list[dict[str, Any]], service: str = "json") -> bytes:
    named = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    scope = {"name": "tallytrace", "version": "1"}
    return json.dumps(
        {"resourceSpans": [{"resource": named, "scopeSpans": [{"scope": scope, "spans": spans}]}]}
    ).encode()


def json_span(number: int = 1, **over: Any) -> dict[str, Any]:
    return {
        "traceId": f"{number:032X}", "spanId": f"{number:016x}", "name": "order.capture", "kind": 2,
        "startTimeUnixNano": str(START), "endTimeUnixNano": START + 1000,
    } | over  # fmt: skip


def test_every_field_arrives_as_it_does_in_protobuf(storage: Storage, log: SegmentLog, client: httpx.Client) -> None:
    values: list[tuple[str, dict[str, Any]]] = [
        ("retail.order_id", {"stringValue": "1001"}), ("x.flag", {"boolValue": True}), ("x.big", {"intValue": "99"}),
        ("x.small", {"intValue": -3}), ("x.part", {"doubleValue": 0.25}), ("x.none", {"doubleValue": "NaN"}),
        ("x.raw", {"bytesValue": "AP8="}), ("x.list", {"arrayValue": {"values": [{"intValue": "1"}]}}),
        ("x.map", {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}),
    ]  # fmt: skip
    attributes = [{"key": key, "value": value} for key, value in values]
    sent = json_span(
        parentSpanId=f"{7:016X}", traceState="a=b", flags=257, attributes=attributes, droppedAttributesCount=2,
        status={"code": 2, "message": "no"}, unknownField={"deeply": ["nested"]},
        events=[{"timeUnixNano": str(START), "name": "e", "attributes": attributes[:1], "new": 1}],
        links=[{"traceId": f"{9:032x}", "spanId": f"{8:016x}", "flags": 1, "attributes": attributes[1:2]}],
    )  # fmt: skip
    told = json.loads(json.dumps(sent))
    del told["unknownField"], told["events"][0]["new"], told["parentSpanId"], told["traceId"], told["spanId"]
    del told["links"][0]["traceId"], told["links"][0]["spanId"]
    same = json_format.ParseDict(told, span(1))
    same.trace_id, same.span_id, same.parent_span_id = (1).to_bytes(16), (2).to_bytes(8), (7).to_bytes(8)
    same.links[0].trace_id, same.links[0].span_id = (9).to_bytes(16), (8).to_bytes(8)
    assert post(client, in_json([sent]), **JSON).status_code == 200
    answer = post(client, in_protobuf(same))
    assert answer.status_code == 200
    assert log.wait_stored(30)
    [as_json] = storage.query(ROW, {"service": "json"})
    [as_protobuf] = storage.query(ROW, {"service": "protobuf"})
    assert str(as_json) == str(as_protobuf)  # as text, in which one NaN is like another


def in_protobuf(one: Any) -> bytes:
    request = json_format.Parse(in_json([], "protobuf"), ExportTraceServiceRequest())
    request.resource_spans[0].scope_spans[0].spans.append(one)
    encoded: bytes = request.SerializeToString()
    return encoded


@pytest.mark.parametrize(
    "over",
    [{"traceId": ""}, {"traceId": None}, {"traceId": "0" * 32}, {"traceId": "xyz"}, {"spanId": "12"}, {"spanId": 5},
     {"endTimeUnixNano": "1"}],
)  # fmt: skip
def test_a_span_that_can_never_be_stored_is_counted_beside_those_that_are(
    storage: Storage, log: SegmentLog, client: httpx.Client, over: dict[str, Any]
) -> None:
    service = f"partly {over}"
    answer = post(client, in_json([json_span(2, **over), json_span(3)], service), **JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert log.wait_stored(30)
    assert storage.query("SELECT count() FROM spans WHERE service = {service:String}", {"service": service}) == [(1,)]


@pytest.mark.parametrize("empty", [b"{}", b"", b'{"resourceSpans": []}'])
def test_nothing_is_a_success(client: httpx.Client, empty: bytes) -> None:
    answer = post(client, empty, Content_Type="application/json; charset=utf-8")
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "application/json", b"{}")


@pytest.mark.parametrize(
    "wrong",
    [b"zzz", b"[]", b'{"resourceSpans": 5}', b'{"resourceSpans": [5]}', in_json([json_span(kind="no kind")]),
     in_json([json_span(startTimeUnixNano="soon")]), in_json([json_span(flags=2**40)]),
     in_json([json_span(attributes=[{"key": "a", "value": {"intValue": "%"}}])]),
     b'{"a":' * 5_000 + b"1" + b"}" * 5_000],
)  # fmt: skip
def test_what_is_not_a_request_is_refused_in_json(client: httpx.Client, wrong: bytes) -> None:
    answer = post(client, wrong, **JSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json()["code"] == 3
    assert "not an ExportTraceServiceRequest in JSON" in answer.json()["message"]
