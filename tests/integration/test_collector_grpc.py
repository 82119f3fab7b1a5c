"""OTLP over gRPC through a real channel, and the OpenTelemetry SDK as others use it, over both protocols."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from collector import grpc_receiver, otlp, receiver
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage, StorageUnavailableError
from tallytrace import webserver
from tests.unit.collector.spans import request, span

METHOD = f"/{grpc_receiver.SERVICE}/Export"
STORED = "SELECT count() FROM spans FINAL WHERE service = {service:String}"
MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    opened = Storage.connect(f"chdb://{tmp_path_factory.mktemp('grpc') / 'clickhouse'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def log(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmentLog]:
    with SegmentLog(tmp_path_factory.mktemp("log"), storage.insert_segment, otlp.normalised) as made:
        yield made


@pytest.fixture(scope="module")
def address(log: SegmentLog) -> Iterator[str]:
    with grpc_receiver.serving(Intake(log, max_body_bytes=MAX_BODY_BYTES), "127.0.0.1", 0) as port:
        yield f"127.0.0.1:{port}"


def export(address: str, body: bytes) -> bytes:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(METHOD)
        answer: bytes = call(body, timeout=30)
        return answer


def refusal(address: str, body: bytes) -> tuple[grpc.StatusCode, dict[str, Any]]:
    with pytest.raises(grpc.RpcError) as caught:
        export(address, body)
    metadata: Any = caught.value.trailing_metadata() or ()
    return caught.value.code(), dict(metadata)


def test_what_is_acknowledged_is_stored_and_what_can_never_be_is_counted(
    storage: Storage, log: SegmentLog, address: str
) -> None:
    assert export(address, request(span(1), span(2), service="plain")) == b""
    answer = export(address, request(span(3), span(4, trace_id=b""), service="partly"))
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    assert export(address, b"") == b""
    assert log.wait_stored(30)
    assert [storage.query(STORED, {"service": name}) for name in ("plain", "partly")] == [[(2,)], [(1,)]]


def test_what_cannot_be_read_or_is_too_large_may_not_be_sent_again(address: str) -> None:
    code, metadata = refusal(address, b"zzz")
    assert (code, "grpc-status-details-bin" in metadata) == (grpc.StatusCode.INVALID_ARGUMENT, False)
    code, metadata = refusal(address, bytes(MAX_BODY_BYTES + 1))
    assert (code, "grpc-status-details-bin" in metadata) == (grpc.StatusCode.RESOURCE_EXHAUSTED, False)


@pytest.mark.parametrize("options", [{"max_backlog_bytes": 1}, {}])
def test_who_must_wait_is_told_when_to_come_again(tmp_path: Path, options: dict[str, Any]) -> None:
    def away(path: Path, token: str) -> None:
        raise StorageUnavailableError("nobody answers")

    log = SegmentLog(tmp_path / "log", away, otlp.normalised, **options)
    try:
        taken = Intake(log, max_requests=0 if not options else 9)
        with grpc_receiver.serving(taken, "127.0.0.1", 0) as port:
            code, metadata = refusal(f"127.0.0.1:{port}", request(span(1)))
        assert code == grpc.StatusCode.UNAVAILABLE
        assert b"google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01" in metadata["grpc-status-details-bin"]
    finally:
        log.close(drain_seconds=0)


def test_a_port_that_is_taken_is_told(log: SegmentLog, address: str) -> None:
    port = int(address.rpartition(":")[2])
    with (
        pytest.raises(grpc_receiver.NotBoundError, match="is the port taken"),
        grpc_receiver.serving(Intake(log), "127.0.0.1", port),
    ):
        pass


# --- the SDK, unmodified ---

ROW = "SELECT * FROM spans FINAL WHERE service = {service:String} ORDER BY name"


def by_grpc(address: str, http: str) -> SpanExporter:
    return GrpcExporter(endpoint=f"http://{address}", insecure=True)


def by_http(address: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=f"{http}/v1/traces")


def by_gzip(address: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=f"{http}/v1/traces", compression=Compression.Gzip)


def by_deflate(address: str, http: str) -> SpanExporter:
    return HttpExporter(endpoint=f"{http}/v1/traces", compression=Compression.Deflate)


@pytest.fixture(scope="module")
def http(log: SegmentLog) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with webserver.serving(receiver.create_app(log, Intake(log)), "127.0.0.1", port, name="collector"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("exporter", [by_grpc, by_http, by_gzip, by_deflate])
def test_every_field_that_the_sdk_sends_comes_back(
    storage: Storage, log: SegmentLog, address: str, http: str, exporter: Callable[[str, str], SpanExporter]
) -> None:
    service = exporter.__name__
    provider = TracerProvider(resource=Resource({"service.name": service, "host.cores": 4}))
    provider.add_span_processor(SimpleSpanProcessor(exporter(address, http)))
    tracer = provider.get_tracer("till", "1.2", attributes={"scope.flag": True})
    linked = SpanContext(2**127 + 5, 2**63 + 7, is_remote=True, trace_flags=TraceFlags(1))
    values: dict[str, Any] = {
        "retail.order_id": "1001", "retail.amount_minor": -1320, "x.text": "\u00a3 \u6f22", "x.flag": True,
        "x.big": 2**62, "x.part": 0.25, "x.list": ("a", "b"), "x.bytes": b"\x00\xff",
    }  # fmt: skip
    with tracer.start_as_current_span(
        "order.capture", kind=SpanKind.SERVER, attributes=values, links=[Link(linked, {"why": "batch"})]
    ) as outer:
        outer.add_event("noted", {"count": 3}, timestamp=1_795_230_751_517_065_540)
        outer.set_status(Status(StatusCode.ERROR, "no stock"))
        with tracer.start_as_current_span("inner"):
            pass
    provider.shutdown()
    assert log.wait_stored(30)
    columns = "name, kind, status_code, status_message, scope_name, scope_version, scope_attrs, resource_attrs, keys"
    inner, told = storage.query(ROW.replace("*", f"{columns}, amount_minor, attrs, attr_kinds, events, links, trace_id,"
                                                 " span_id, parent_span_id, end_time > start_time"),
                                {"service": service})  # fmt: skip
    assert told[:5] == ("order.capture", 2, 2, "no stock", "till")
    assert (told[5], told[6]) == ("1.2", {"scope.flag": "true"})
    assert told[7]["host.cores"] == "4"
    assert (told[8], told[9]) == ({"order_id": "1001"}, -1320)
    assert {name: told[10][name] for name in ("x.text", "x.flag", "x.big", "x.part")} == {
        "x.text": "\u00a3 \u6f22", "x.flag": "true", "x.big": str(2**62), "x.part": "0.25",
    }  # fmt: skip
    assert {"x.list", "x.bytes"} <= set(told[11])
    [event] = told[12]
    assert (event["name"], event["attrs"]) == ("noted", {"count": "3"})
    [link] = told[13]
    assert (link["trace_id"], link["attrs"]) == (linked.trace_id.to_bytes(16), {"why": "batch"})
    context = outer.get_span_context()
    assert told[14:17] == (context.trace_id.to_bytes(16), context.span_id.to_bytes(8), bytes(8))
    assert told[17] == 1
    assert (inner[0], inner[16]) == ("inner", context.span_id.to_bytes(8))
