"""Export requests for tests, in a line."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

START = 1_795_230_751_517_065_540  # 2026-11-21 03:12:31.517065540 UTC, in nanoseconds


def value(of: object) -> AnyValue:
    match of:
        case AnyValue():
            return of
        case bool():
            return AnyValue(bool_value=of)
        case int():
            return AnyValue(int_value=of)
        case float():
            return AnyValue(double_value=of)
        case bytes():
            return AnyValue(bytes_value=of)
        case str():
            return AnyValue(string_value=of)
        case _:
            raise TypeError(of)


def span(
    number: int,
    attributes: Mapping[str, object] | None = None,
    *,
    events: Sequence[tuple[str, Mapping[str, object]]] = (),
    at: int = START,
    **fields: Any,
) -> Span:
    """The span whose ID is ``number``; its attributes are named without the prefix ``retail.`` unless dotted."""
    given: dict[str, Any] = {
        "trace_id": number.to_bytes(16), "span_id": number.to_bytes(8), "name": "order.capture",
        "start_time_unix_nano": at, "end_time_unix_nano": at + 1_000,
    } | fields  # fmt: skip
    made = Span(**given)
    for name, content in (attributes or {}).items():
        made.attributes.add(key=name if "." in name else f"retail.{name}", value=value(content))
    for name, carried in events:
        event = made.events.add(name=name, time_unix_nano=at)
        for key, content in carried.items():
            event.attributes.add(key=key, value=value(content))
    return made


def request(*spans: Span, service: str = "sync-core") -> bytes:
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name", value=value(service))
    resource.resource.attributes.add(key="process.pid", value=value(7))
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "tallytrace", "1"
    scope.spans.extend(spans)
    encoded: bytes = made.SerializeToString()
    return encoded


def unreadable(number: int) -> bytes:
    """A request that our parser takes and the view does not, as long as it is not normalised: one value after another
    in a place for one, of which the last holds."""
    sent = request(span(number, {"x.flag": "?" * 4}))
    return sent.replace(b"\x0a\x04????", b"\x18\x05\x18\x06\x10\x01")
