"""What the OTLP specification (1.11) and its senders ask of a receiver, line by line, over real sockets."""

import base64
import gzip
import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector import grpc_receiver, nested, otlp, receiver
from collector.compression import zstd_compress
from collector.errors import StorageUnavailableError
from collector.framing import scan
from collector.intake import Intake, Sender
from collector.segments import SegmentLog
from tallytrace import webserver
from tests.unit.collector.spans import START, request, span

LIMIT = 100_000
GOOD = request(span(1), span(2))
PARTLY = request(span(3), span(4, trace_id=b""), span(5, span_id=b"\x01"), span(6, start_time_unix_nano=0))
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def in_json(*spans: dict[str, Any], **named: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]} | named).encode()


def one(**over: Any) -> dict[str, Any]:
    return {"traceId": "0AF7651916CD43DD8448EB211C80319C", "spanId": "b7ad6b7169203331", "name": "n",
            "startTimeUnixNano": str(START), "endTimeUnixNano": START + 1} | over  # fmt: skip


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes
    headers: dict[str, str]

    @property
    def code(self) -> int:
        """Of the google.rpc.Status in the body."""
        if self.content_type == JSON:
            return int(json.loads(self.body)["code"])
        assert self.body[0] == 8
        return self.body[1]

    @property
    def partial(self) -> tuple[int, str]:
        if self.content_type == JSON:
            told = json.loads(self.body)["partialSuccess"]
            return int(told["rejectedSpans"]), told["errorMessage"]
        success = ExportTraceServiceResponse.FromString(self.body).partial_success
        return success.rejected_spans, success.error_message


class Port(NamedTuple):
    """A receiver over HTTP and gRPC whose storage is away, so that what it took can be read from its log."""

    http: int
    rpc: int
    log: SegmentLog
    directory: Path

    def send(
        self, body: bytes, content_type: str | None = PROTOBUF, method: str = "POST", path: str = "/v1/traces",
        **headers: str,
    ) -> Answer:  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Content-Type": content_type} if content_type is not None else {}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        connection_body = answer.read()
        connection.close()
        return Answer(answer.status, told.get("content-type", ""), connection_body, told)

    def export(self, body: bytes, method: str = "Export", **metadata: str) -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{self.rpc}") as channel:
            call: Any = channel.unary_unary(f"/{grpc_receiver.SERVICE}/{method}")
            answer: bytes = call(body, timeout=30, metadata=tuple(metadata.items()))
            return answer

    def refusal(self, body: bytes, method: str = "Export", **metadata: str) -> tuple[grpc.StatusCode, bytes]:
        """The code, and the details that say when to come again."""
        with pytest.raises(grpc.RpcError) as caught:
            self.export(body, method, **metadata)
        trailing: Any = caught.value.trailing_metadata() or ()
        return caught.value.code(), dict(trailing).get("grpc-status-details-bin", b"")

    def durable(self) -> list[bytes]:
        return [body for path in sorted(self.directory.glob("*.otlp")) for body in scan(path.read_bytes()).bodies]


@contextmanager
def opened(
    directory: Path, free_port: Callable[[], int], *, of_intake: dict[str, Any] | None = None, **of_log: Any
) -> Iterator[Port]:
    def away(path: Path) -> None:
        raise StorageUnavailableError("nobody answers")

    log = SegmentLog(directory, away, otlp.normalised, **of_log)
    taken = Intake(log, **{"max_body_bytes": LIMIT} | (of_intake or {}))
    try:
        with (
            webserver.serving(receiver.create_app(log, taken), "127.0.0.1", port := free_port(), name="collector"),
            grpc_receiver.serving(taken, "127.0.0.1", 0) as grpc_port,
        ):
            yield Port(port, grpc_port, log, directory)
    finally:
        log.close(drain_seconds=0)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Port]:
    with opened(tmp_path_factory.mktemp("log"), free_port) as one:
        yield one


# --- HTTP ---


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_than_post_are_405(port: Port, method: str) -> None:
    answer = port.send(b"", method=method)
    assert (answer.status, answer.code) == (405, otlp.UNIMPLEMENTED)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/v1/metrics", "/v1/logs", "/v1/traces/more"])
def test_other_paths_are_404(port: Port, path: str) -> None:
    assert (port.send(GOOD, path=path).status, port.send(GOOD, path=path).code) == (404, otlp.UNIMPLEMENTED)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(PROTOBUF, GOOD), ("application/x-protobuf; charset=utf-8", GOOD), ("Application/X-Protobuf", GOOD),
     (JSON, in_json(one())), ("application/json; charset=utf-8", in_json(one())), ("APPLICATION/JSON", in_json(one()))],
)  # fmt: skip
def test_both_encodings_on_one_port_and_the_answer_has_exactly_that_type(
    port: Port, content_type: str, body: bytes
) -> None:
    answer = port.send(body, content_type)
    assert answer.status == 200
    assert answer.content_type == (JSON if "json" in content_type.lower() else PROTOBUF)
    assert answer.body == (b"{}" if "json" in content_type.lower() else b"")


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/protobuf", "application/x-ndjson"])
def test_other_content_types_are_415(port: Port, content_type: str | None) -> None:
    assert (port.send(GOOD, content_type).status, port.send(GOOD, content_type).code) == (415, otlp.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("identity", bytes), ("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress),
     ("zstd", zstd_compress)],
)  # fmt: skip
def test_no_compression_gzip_deflate_and_zstd(port: Port, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    body = request(span(100, name=encoding))
    assert port.send(compress(body), Content_Encoding=encoding).status == 200
    assert port.durable()[-1] == body


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_broken_compression_is_400_and_an_unknown_one_415(port: Port, encoding: str) -> None:
    assert port.send(b"broken", Content_Encoding=encoding).status == 400
    assert port.send(gzip.compress(GOOD)[:-5], Content_Encoding="gzip").status == 400
    assert port.send(GOOD, Content_Encoding="br").status == 415


@pytest.mark.parametrize(
    ("encoding", "compress"), [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress),
                               ("zstd", zstd_compress)],
)  # fmt: skip
def test_the_limit_of_a_body_holds_after_decompression_too(
    port: Port, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    answer = port.send(compress(bytes(LIMIT + 1)), Content_Encoding=encoding)
    assert (answer.status, answer.code) == (413, otlp.RESOURCE_EXHAUSTED)
    assert "retry-after" not in answer.headers


def test_a_body_without_a_length_is_taken(port: Port) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port.http, timeout=30)
    connection.request("POST", "/v1/traces", iter([GOOD[:100], GOOD[100:]]), {"Content-Type": PROTOBUF})
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}"), (JSON, b'{"resourceSpans":[]}')])
def test_an_empty_request_is_a_success(port: Port, content_type: str, body: bytes) -> None:
    answer = port.send(body, content_type)
    assert (answer.status, answer.body) == (200, b"{}" if content_type == JSON else b"")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(PROTOBUF, PARTLY),
     (JSON, in_json(one(), one(traceId=""), one(spanId="01"), one(startTimeUnixNano="0")))],
)  # fmt: skip
def test_spans_that_can_never_be_accepted_are_counted_with_their_reasons(
    port: Port, content_type: str, body: bytes
) -> None:
    answer = port.send(body, content_type)
    rejected, message = answer.partial
    assert (answer.status, rejected) == (200, 3)
    assert message == (
        "1 x trace_id is not 16 bytes, or all zero; 1 x span_id is not 8 bytes, or all zero; "
        "1 x the span has no start time"
    )


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(PROTOBUF, b"\xff\xff\xff"), (PROTOBUF, GOOD[:-1]), (JSON, b"{"), (JSON, b"[]"), (JSON, GOOD),
     (JSON, b'{"resourceSpans": 1}'), (JSON, b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
     (JSON, in_json(one(startTimeUnixNano="x" * 90_000)))],
)  # fmt: skip
def test_what_cannot_be_decoded_is_400_with_a_short_status_in_its_own_encoding(
    port: Port, content_type: str, body: bytes
) -> None:
    answer = port.send(body, content_type)
    assert (answer.status, answer.content_type, answer.code) == (400, content_type, otlp.INVALID_ARGUMENT)
    assert len(answer.body) < 1_200
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_trouble_with_storage_or_disk_is_503_and_never_500(
    tmp_path: Path, free_port: Callable[[], int], content_type: str
) -> None:
    body = GOOD if content_type == PROTOBUF else in_json(one())
    with opened(tmp_path / "log", free_port) as port:
        (tmp_path / "log" / "000000000001.otlp").mkdir()  # so that the segment cannot be made
        answer = port.send(body, content_type)
        assert (answer.status, answer.content_type, answer.code) == (503, content_type, otlp.UNAVAILABLE)
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        (tmp_path / "log" / "000000000001.otlp").rmdir()
        assert port.send(body, content_type).status == 200


def test_a_full_log_is_503_and_a_crowd_or_an_eager_sender_429_to_come_again_within_5_seconds(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    eager: dict[str, Any] = {"find_sender": lambda key: Sender("eager", spans_per_second=0.1)}
    crowd: dict[str, Any] = {"max_requests": 0}
    told = []
    for number, (of_intake, of_log) in enumerate(
        [({}, {"max_backlog_bytes": 1}), ({}, {"reserve_bytes": 2**60}), (crowd, {}), (eager, {})]
    ):
        with opened(tmp_path / f"{number}", free_port, of_intake=of_intake, **of_log) as port:
            port.send(GOOD)
            answer = port.send(request(span(9)))
            assert 1 <= int(answer.headers["retry-after"]) <= 5
            told.append((answer.status, answer.code))
            code, details = port.refusal(request(span(9)))
            assert (code, b"google.rpc.RetryInfo" in details) == (grpc.StatusCode.UNAVAILABLE, True)
    full, many = (503, otlp.RESOURCE_EXHAUSTED), (429, otlp.RESOURCE_EXHAUSTED)
    assert told == [full, full, many, many]


def test_connections_stay_open_and_many_are_served_at_once(port: Port) -> None:
    together = threading.Barrier(40)

    def talk(number: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port.http, timeout=60)
        connection.connect()
        socket = connection.sock
        together.wait(60)
        told = []
        for index in range(5):
            body = request(span(10_000 + number * 10 + index))
            connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
            answer = connection.getresponse()
            answer.read()
            told.append(answer.status)
            assert connection.sock is socket
        connection.close()
        return told

    with ThreadPoolExecutor(40) as senders:
        assert list(senders.map(talk, range(40))) == [[200] * 5] * 40


def test_a_request_sent_again_after_a_reconnect_is_one(port: Port) -> None:
    body = request(span(777))
    for _ in range(3):
        assert port.send(body).status == 200
    for _ in range(2):
        assert port.send(gzip.compress(body), Content_Encoding="gzip").status == 200
        assert port.export(body) == b""
    assert port.durable().count(body) == 1


def test_an_idempotency_key_marks_a_request_that_is_written_otherwise_the_second_time(port: Port) -> None:
    first, again = request(span(801), span(802)), request(span(802), span(801))
    other = request(span(803))
    assert port.send(first, Idempotency_Key="batch 9").status == 200
    assert port.send(again, Idempotency_Key="batch 9").status == 200
    assert port.send(other, Idempotency_Key="batch 9").status == 200
    stored = port.durable()
    assert (first in stored, again in stored, other in stored) == (True, False, True)


# --- JSON ---


def spans_of(port: Port, body: bytes) -> Any:
    assert port.send(body, JSON).status == 200
    return nested.opaque(port.durable()[-1]).resource_spans[0].scope_spans[0].spans


def test_ids_are_hexadecimal_in_any_case_and_bytes_base64(port: Port) -> None:
    link = {"traceId": "0Af7651916cd43dd8448eb211c80319C", "spanId": "B7AD6B7169203331"}
    raw = [{"key": "raw", "value": {"bytesValue": base64.b64encode(b"\x00\xff").decode()}}]
    [told] = spans_of(port, in_json(one(parentSpanId="00F067AA0BA902B7", links=[link], attributes=raw, name="ids")))
    assert (told.trace_id.hex(), told.span_id.hex()) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert (told.parent_span_id.hex(), told.links[0].trace_id.hex()) == ("00f067aa0ba902b7", told.trace_id.hex())
    assert told.attributes[0].value.bytes_value == b"\x00\xff"


@pytest.mark.parametrize(
    "body",
    [in_json(one(kind="SPAN_KIND_SERVER")), in_json(one(status={"code": "STATUS_CODE_ERROR"})),
     in_json(one(start_time_unix_nano="1")), b'{"resource_spans": []}',
     in_json(one(attributes=[{"key": "a", "value": {"string_value": "b"}}]))],
)  # fmt: skip
def test_names_of_enums_and_snake_case_are_refused_not_passed_over(port: Port, body: bytes) -> None:
    answer = port.send(body, JSON)
    assert answer.status == 400
    assert "is a number" in answer.body.decode() or "is written" in answer.body.decode()


def test_attributes_may_be_named_as_they_like(port: Port) -> None:
    value = {"kvlistValue": {"values": [{"key": "trace_id", "value": {"stringValue": "kind"}}]}}
    [told] = spans_of(port, in_json(one(attributes=[{"key": "span_id", "value": value}], name="named")))
    assert told.attributes[0].key == "span_id"


def test_unknown_fields_are_ignored_everywhere(port: Port) -> None:
    event = {"name": "e", "timeUnixNano": 1, "unknown": [1]}
    [told] = spans_of(port, in_json(one(name="unknown", newField={"a": {"b": [None]}}, events=[event]), more=1))
    assert (told.name, told.events[0].name) == ("unknown", "e")


def test_64_bit_numbers_come_as_text_or_numbers_and_doubles_may_be_no_number(port: Port) -> None:
    values = [{"intValue": "-9223372036854775808"}, {"intValue": 7}, {"doubleValue": "NaN"},
              {"doubleValue": "-Infinity"}, {"doubleValue": 1}]  # fmt: skip
    attributes = [{"key": f"{number}", "value": value} for number, value in enumerate(values)]
    [told] = spans_of(port, in_json(one(attributes=attributes, startTimeUnixNano=START, endTimeUnixNano=str(START))))
    found = [one.value for one in told.attributes]
    assert (found[0].int_value, found[1].int_value, found[4].double_value) == (-(2**63), 7, 1.0)
    assert (str(found[2].double_value), found[3].double_value) == ("nan", float("-inf"))
    assert (told.start_time_unix_nano, told.end_time_unix_nano) == (START, START)


def test_what_the_javascript_sdk_sends_beside_the_rules_is_read_as_its_protobuf(port: Port) -> None:
    body = in_json(one(name="half", attributes=[
        {"key": "cut", "value": {"stringValue": "CUT"}}, {"key": "above", "value": {"intValue": 2**63}},
        {"key": "huge", "value": {"intValue": 1e21}}, {"key": "whole", "value": {"stringValue": "\U0001f9fe"}},
    ])).replace(b"CUT", b"ok\\ud83e")  # fmt: skip
    [told] = spans_of(port, body)
    found = {one.key: one.value for one in told.attributes}
    assert (found["cut"].string_value, found["whole"].string_value) == ("ok\ufffd", "\U0001f9fe")
    assert (found["above"].double_value, found["huge"].double_value) == (2.0**63, 1e21)


def test_64_bit_numbers_of_the_answer_are_text(port: Port) -> None:
    answer = port.send(in_json(one(traceId="")), JSON)
    assert json.loads(answer.body)["partialSuccess"]["rejectedSpans"] == "1"


# --- gRPC ---


def test_grpc_takes_a_unary_export_and_counts_what_it_refuses(port: Port) -> None:
    assert port.export(request(span(900))) == b""
    assert port.export(b"") == b""
    assert ExportTraceServiceResponse.FromString(port.export(PARTLY)).partial_success.rejected_spans == 3


@pytest.mark.parametrize(
    ("body", "method", "code"),
    [
        (bytes(LIMIT + 1), "Export", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (b"\xff\xff\xff", "Export", grpc.StatusCode.INVALID_ARGUMENT),
        (b"", "Import", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_grpc_says_of_what_can_never_succeed_that_it_must_not_be_sent_again(
    port: Port, body: bytes, method: str, code: grpc.StatusCode
) -> None:
    assert port.refusal(body, method) == (code, b"")


# --- who may send ---


def test_a_key_is_asked_for_where_one_is_needed_and_tells_the_sender(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    known = {"right": Sender("till", spans_per_second=1e9)}
    with opened(tmp_path / "log", free_port, of_intake={"find_sender": known.get}) as port:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic cmlnaHQ="}):
            answer = port.send(GOOD, **headers)
            assert (answer.status, answer.code) == (401, otlp.UNAUTHENTICATED)
            assert answer.headers["www-authenticate"] == "Bearer"
            told = {name.lower(): text for name, text in headers.items()}
            assert port.refusal(GOOD, **told) == (grpc.StatusCode.UNAUTHENTICATED, b"")
        assert port.durable() == []
        assert port.send(GOOD, Authorization="bearer right").status == 200
        assert port.export(request(span(5)), authorization="Bearer right") == b""
        assert len(port.durable()) == 2


def test_limits_hold_per_sender_and_over_time(tmp_path: Path, free_port: Callable[[], int]) -> None:
    senders = {"a": Sender("a", spans_per_second=20), "b": Sender("b", bytes_per_second=10 * len(GOOD))}
    with opened(tmp_path / "log", free_port, of_intake={"find_sender": senders.get}) as port:

        def send(key: str, number: int) -> int:
            return port.send(request(span(number), span(number + 1)), Authorization=f"Bearer {key}").status

        for key in senders:
            began, taken = time.monotonic(), 0
            for number in range(0, 4_000, 2):
                taken += send(key, number) == 200
                if time.monotonic() - began > 2:
                    break
            elapsed = time.monotonic() - began
            assert 10 * elapsed * 0.7 <= taken <= 10 * (elapsed + 1) + 2
