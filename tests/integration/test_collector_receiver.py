"""OTLP over a real socket into a real engine, and what senders are told."""

import gzip
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
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector import otlp, receiver
from collector.compression import zstd_compress
from collector.segments import SegmentLog
from collector.storage import Storage, StorageUnavailableError
from tests.unit.collector.spans import request, span, unreadable

MAX_BODY_BYTES = 100_000
STORED = "SELECT count(), uniqExact(span_id) FROM spans FINAL WHERE service = {service:String}"


@contextmanager
def served(log: SegmentLog, **options: int) -> Iterator[httpx.Client]:
    app = receiver.create_app(log, max_body_bytes=MAX_BODY_BYTES, **options)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Content-Type": otlp.PROTOBUF}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="module")
def log(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmentLog]:
    with SegmentLog(tmp_path_factory.mktemp("log"), storage.insert_segment, otlp.normalised) as made:
        yield made


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
    assert log.counters().accepted_spans - before == 2_500
    assert log.wait_stored(30)
    assert storage.query(STORED, {"service": "counted"}) == [(2_000, 2_000)]


def test_spans_that_can_never_be_stored_are_named_and_the_rest_is_stored(
    storage: Storage, log: SegmentLog, client: httpx.Client
) -> None:
    answer = post(client, request(span(1), span(2, trace_id=b""), span(3, end_time_unix_nano=0), service="partly"))
    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 2
    assert partial.error_message == "1 x trace_id is not 16 bytes, or all zero; 1 x the span ends before it starts"
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
        (gzip.compress(b"x")[:-4], {"Content_Encoding": "gzip"}, 400, otlp.INVALID_ARGUMENT, b"ends too early"),
        (b"zzz", {"Content_Encoding": "deflate"}, 400, otlp.INVALID_ARGUMENT, b"broken deflate"),
        (b"not it", {"Content_Encoding": "zstd"}, 400, otlp.INVALID_ARGUMENT, b"broken zstd"),
        (zstd_compress(b"x" * 99)[:-4], {"Content_Encoding": "zstd"}, 400, otlp.INVALID_ARGUMENT, b"ends too early"),
        (zstd_compress(bytes(MAX_BODY_BYTES + 1)), {"Content_Encoding": "zstd"}, 413, otlp.RESOURCE_EXHAUSTED,
         b"after decompression"),
        (b"", {"Content_Encoding": "br"}, 415, otlp.INVALID_ARGUMENT, b"not br"),
        (b"", {"Content_Type": "application/json"}, 415, otlp.INVALID_ARGUMENT, b"not application/json"),
        (bytes(MAX_BODY_BYTES + 1), {}, 413, otlp.RESOURCE_EXHAUSTED, b"more than 100000 bytes"),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1)), {"Content_Encoding": "gzip"}, 413, otlp.RESOURCE_EXHAUSTED,
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

    def away(path: Path, token: str) -> None:
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
        answer = post(client, body)
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
