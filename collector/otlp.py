"""Export requests checked, and the answers to them, as bytes; nothing here touches the network or the disk."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter, le
from typing import Final

from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector import nested, otlp_json
from collector.errors import UndecodableRequestError
from collector.framing import varint

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MEDIA_TYPES: Final = (PROTOBUF, JSON)

# google.rpc.Code
INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

_LONGEST_MESSAGE: Final = 1_000
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_CHECKED_FIELDS: Final = attrgetter("trace_id", "span_id", "start_time_unix_nano", "end_time_unix_nano")
_LAST_TIME: Final = 2**63 - 1  # nanoseconds, in the year 2262: the last that ClickHouse can hold


class Checked(Struct, frozen=True):
    body: bytes  # what to store: as it was sent, or without refused spans and with arrays and maps as JSON
    spans: int  # in ``body``
    refused: Mapping[str, int]  # reason to spans that can never be stored


def check(body: bytes, media_type: str = PROTOBUF) -> Checked:
    """Count the spans to store and take out those without usable IDs or times. Raises UndecodableRequestError."""
    request = otlp_json.decode(body) if media_type == JSON else _decode(body)
    spans = 0
    refused: Counter[str] = Counter()
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            reasons = {} if _faultless(scope.spans) else _faults(scope.spans)
            spans += len(scope.spans) - len(reasons)
            refused.update(reasons.values())
            for position in reversed(reasons):
                del scope.spans[position]
    as_sent = media_type == PROTOBUF and not refused
    stored = body if as_sent else request.SerializeToString()
    return Checked(nested.as_json(stored) if nested.may_hold(stored) else stored, spans, dict(refused))


def normalised(body: bytes) -> bytes:
    """The same request as our own parser understood it.

    ClickHouse refuses some requests that our parser accepts (two values in one oneof, an unknown field in a value, a
    known field of another wire type). It took each of 700 mutated ones after this; it costs as much as four checks,
    so only a request that was refused is sent through it.
    """
    request = nested.opaque(body)
    request.DiscardUnknownFields()
    encoded: bytes = request.SerializeToString()
    return encoded


def response(refused: Mapping[str, int], media_type: str = PROTOBUF) -> bytes:
    """``partial_success`` is set only when something was refused: senders must not send that again."""
    rejected_spans = sum(refused.values())
    message = "; ".join(f"{count} x {reason}" for reason, count in refused.items())
    if media_type == JSON:
        return otlp_json.response(rejected_spans, message)
    answer = ExportTraceServiceResponse()
    if refused:
        answer.partial_success.rejected_spans = rejected_spans
        answer.partial_success.error_message = message
    encoded: bytes = answer.SerializeToString()
    return encoded


def status(code: int, message: str, media_type: str = PROTOBUF) -> bytes:
    """A ``google.rpc.Status``: its two fields are not worth a dependency. A long message is cut."""
    message = message[:_LONGEST_MESSAGE]
    if media_type == JSON:
        return otlp_json.status(code, message)
    text = message.encode()
    return b"\x08" + varint(code) + b"\x12" + varint(len(text)) + text


def retry_status(code: int, message: str, seconds: int) -> bytes:
    """A ``google.rpc.Status`` with a ``RetryInfo``, which says that the same request may be sent again."""
    delay = b"\x08" + varint(seconds)  # google.protobuf.Duration
    retry = b"\x0a" + varint(len(delay)) + delay
    kind = b"type.googleapis.com/google.rpc.RetryInfo"
    detail = b"\x0a" + varint(len(kind)) + kind + b"\x12" + varint(len(retry)) + retry
    return status(code, message) + b"\x1a" + varint(len(detail)) + detail


def _decode(body: bytes) -> ExportTraceServiceRequest:
    request: ExportTraceServiceRequest
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise UndecodableRequestError(f"not an ExportTraceServiceRequest: {error}") from error
    return request


def _faultless(spans: Sequence[Span]) -> bool:
    """The same question to all at once: half the time of one after another, and nearly always all there is to do."""
    if not spans:
        return True
    trace_ids, span_ids, starts, ends = zip(*map(_CHECKED_FIELDS, spans), strict=True)
    return (
        set(map(len, trace_ids)) == {16}
        and set(map(len, span_ids)) == {8}
        and _NO_TRACE not in trace_ids
        and _NO_SPAN not in span_ids
        and min(starts) > 0
        and max(ends) <= _LAST_TIME
        and all(map(le, starts, ends))
    )


def _faults(spans: Sequence[Span]) -> dict[int, str]:
    """Position to reason, of spans that can never be stored."""
    return {position: reason for position, span in enumerate(spans) if (reason := _fault(span))}


def _fault(span: Span) -> str:
    trace_id, span_id, end = span.trace_id, span.span_id, span.end_time_unix_nano
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "trace_id is not 16 bytes, or all zero"
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return "span_id is not 8 bytes, or all zero"
    if not span.start_time_unix_nano:
        return "the span has no start time"
    if end < span.start_time_unix_nano:
        return "the span has no end time, or ends before it starts"
    return "the span ends after the year 2262" if end > _LAST_TIME else ""
