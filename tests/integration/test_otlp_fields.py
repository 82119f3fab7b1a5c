"""Every field of OTLP comes back as it was sent, by every way in."""

from collections.abc import Callable
from pprint import pformat
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector import grpc_receiver, otlp, receiver
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage
from tallytrace import webserver
from tests.otlp_fields import sent, stored
from tests.unit.collector.spans import START, value


def array(*items: Any) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=[value(item) for item in items]))


def members(**items: Any) -> AnyValue:
    values = [KeyValue(key=name, value=value(item)) for name, item in items.items()]
    return AnyValue(kvlist_value=KeyValueList(values=values))


EVERY_KIND: dict[str, Any] = {
    "text": "\u00a3 \u6f22 \U0001f9fe",
    "empty": "",
    "looks like json": '[1, "2"]',
    "yes": True,
    "no": False,
    "zero": 0,
    "least": -(2**63),
    "most": 2**63 - 1,
    "half": 0.5,
    "tiny": 5e-324,
    "nan": float("nan"),
    "infinite": float("-inf"),
    "bytes": bytes(range(256)),
    "no bytes": b"",
    "nothing": AnyValue(),
    "texts": array("a", "\u00a3", ""),
    "numbers": array(1, 1.0, -(2**63), True, AnyValue()),
    "no items": array(),
    "map": members(a="x", b=1, c=members(d=array(members(e=False)))),
    "no members": members(),
    "long": array(*(f"item {number}" for number in range(3_000))),
    "bytes inside": array("a", b"\x00\xff"),
    "nan inside": members(a=float("nan")),
}


def everything(service: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add(schema_url="https://example.org/resource/1")
    resource.resource.dropped_attributes_count = 11
    scope = resource.scope_spans.add(schema_url="https://example.org/scope/2")
    scope.scope.name, scope.scope.version, scope.scope.dropped_attributes_count = "till", "1.2", 12
    span = Span(
        trace_id=bytes(range(16)), span_id=bytes(range(8, 16)), parent_span_id=b"\x07" * 8, trace_state="a=1,b=2",
        flags=0x301, name="any name", kind=Span.SPAN_KIND_CONSUMER, start_time_unix_nano=START,
        end_time_unix_nano=START + 5_000_000_001, dropped_attributes_count=1, dropped_events_count=2,
        dropped_links_count=2**32 - 1, status=Status(code=Status.STATUS_CODE_ERROR, message="it \u00a3ailed"),
    )  # fmt: skip
    link = Span.Link(trace_id=b"\x01" * 16, span_id=b"\x02" * 8, trace_state="c=3", flags=0x101)
    event = Span.Event(time_unix_nano=START + 7, name="an event", dropped_attributes_count=13)
    link.dropped_attributes_count = 14
    for owner in (resource.resource, scope.scope, span, link, event):
        owner.attributes.extend(KeyValue(key=name, value=value(of)) for name, of in EVERY_KIND.items())
    resource.resource.attributes.add(key="service.name").value.string_value = service
    span.links.extend([link, Span.Link(trace_id=b"\x03" * 16, span_id=b"\x04" * 8)])
    span.events.extend([event, Span.Event(time_unix_nano=START, name="")])
    plain = Span(trace_id=b"\x05" * 16, span_id=b"\x06" * 8, name="plain", start_time_unix_nano=1, end_time_unix_nano=1)
    scope.spans.extend([plain, span])
    return request


def by_protobuf(log: SegmentLog, port: int, request: ExportTraceServiceRequest) -> None:
    with webserver.serving(receiver.create_app(log, Intake(log)), "127.0.0.1", port, name="collector"):
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/traces", content=request.SerializeToString(),
            headers={"Content-Type": otlp.PROTOBUF}, trust_env=False, verify=False,
        )  # fmt: skip
    assert (answer.status_code, answer.content) == (200, b"")


def by_json(log: SegmentLog, port: int, request: ExportTraceServiceRequest) -> None:
    tree = json_format.MessageToDict(request)
    for resource in tree["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for of_span, span in zip(scope["spans"], request.resource_spans[0].scope_spans[0].spans, strict=True):
                of_span |= {"kind": span.kind} if span.kind else {}
                of_span |= {"status": {"code": 2, "message": span.status.message}} if "status" in of_span else {}
                pairs: list[tuple[Any, Any]] = [
                    (of_span, span),
                    *zip(of_span.get("links", []), span.links, strict=True),
                ]
                for told, one in pairs:
                    told |= {"traceId": one.trace_id.hex().upper(), "spanId": one.span_id.hex()}
                if "parentSpanId" in of_span:
                    of_span["parentSpanId"] = span.parent_span_id.hex()
    with webserver.serving(receiver.create_app(log, Intake(log)), "127.0.0.1", port, name="collector"):
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/traces", json=tree, trust_env=False, verify=False)
    assert (answer.status_code, answer.content) == (200, b"{}")


def by_grpc(log: SegmentLog, port: int, request: ExportTraceServiceRequest) -> None:
    with (
        grpc_receiver.serving(Intake(log), "127.0.0.1", port),
        grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel,
    ):
        call: Any = channel.unary_unary(f"/{grpc_receiver.SERVICE}/Export")
        assert call(request.SerializeToString(), timeout=30) == b""


@pytest.mark.parametrize("way", [by_protobuf, by_json, by_grpc])
def test_every_field_comes_back(
    storage: Storage, log: SegmentLog, free_port: Callable[[], int],
    way: Callable[[SegmentLog, int, ExportTraceServiceRequest], None],
) -> None:  # fmt: skip
    request = everything(way.__name__)
    way(log, free_port(), request)
    assert log.wait_stored(30)
    assert pformat(stored(storage, way.__name__)) == pformat(sent(request))  # 1, 1.0 and True are equal to Python


def test_sql_reads_arrays_and_maps_as_json(storage: Storage, log: SegmentLog, free_port: Callable[[], int]) -> None:
    by_grpc(log, free_port(), everything("sql"))
    assert log.wait_stored(30)
    read = """
        SELECT JSONExtract(SpanAttributes['texts'], 'Array(String)'), JSONExtractInt(SpanAttributes['map'], 'b'),
               SpanAttributes['no items'], `Events.Attributes`[1]['no members'], ResourceAttributes['service.name']
        FROM otel_traces WHERE ServiceName = 'sql' AND SpanName = 'any name'
    """
    assert storage.query(read) == [(["a", "\u00a3", ""], 1, "[]", "{}", "sql")]
