"""Spans of the sync core: opened through the OpenTelemetry API, encoded as OTLP, handed over as bytes.

The API alone records nothing and the SDK's batch processor loses spans when a process dies or a queue is full, so the
provider here keeps what is recorded in memory until the unit of work that it describes is committed with it.
Span and trace IDs are computed from what they name: describing the same hop twice gives the same span.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.status import Status, StatusCode
from opentelemetry.util import types

from collector import semconv
from sync_core import wire
from sync_core.model import Hop
from sync_core.unit import Told

SERVICE: Final = "tallytrace-core"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_FAILED: Final = frozenset({"failed", "rejected", "dead_letter"})


class EncodedSpans(Struct, frozen=True):
    """The spans of one unit of work: their IDs, eight bytes each, and one OTLP request that holds them."""

    span_ids: bytes
    request: bytes


class RecordedSpan(Span):
    """A span that is written in its OTLP form when it ends, into the list of its unit of work."""

    def __init__(
        self, ended: list[bytes], context: SpanContext, parent: bytes, name: str, kind: int, start: int
    ) -> None:
        self._ended = ended
        self._context = context
        self._parent = parent
        self._name = name
        self._kind = kind
        self._start = start
        self._parts: list[bytes] = []
        self._open = True

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._open

    def set_attribute(self, key: str, value: types.AttributeValue) -> None:
        self.set_attributes({key: value})

    def set_attributes(self, attributes: Mapping[str, types.AttributeValue]) -> None:
        if self._open:
            self._parts.append(wire.pairs(wire.ATTRIBUTES, attributes))

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        if self._open:
            self._parts.append(wire.event(name, timestamp or self._start, attributes or {}))

    def add_link(self, context: SpanContext, attributes: types.Attributes = None) -> None:
        if self._open:
            trace_id, own = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
            self._parts.append(wire.link(trace_id, own, attributes or {}))

    def update_name(self, name: str) -> None:
        if self._open:
            self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        code = status.status_code if isinstance(status, Status) else status
        text = status.description if isinstance(status, Status) else description
        if self._open:
            self._parts.append(wire.status(code.value, text or ""))

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        about = {"exception.type": type(exception).__name__, "exception.message": str(exception)}
        self.add_event("exception", {**about, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if self._open:
            self._open = False
            trace_id, own = self._context.trace_id.to_bytes(16, "big"), self._context.span_id.to_bytes(8, "big")
            rest = b"".join(self._parts)
            end = end_time or self._start
            self._ended.append(wire.span(trace_id, own, self._parent, self._name, self._kind, self._start, end, rest))


class UnitTracer(Tracer):
    """Opens spans whose IDs are computed from the trace and the hop that their attributes name."""

    def __init__(self, ended: list[bytes], span_ids: list[bytes]) -> None:
        self._ended = ended
        self._span_ids = span_ids

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        given = attributes or {}
        parent = get_current_span(context).get_span_context()
        own = span_id(parent.trace_id.to_bytes(16, "big"), name, given)
        self._span_ids.append(own)
        above = parent.span_id.to_bytes(8, "big") if parent.span_id != _NO_PARENT else b""
        number = int.from_bytes(own, "big")
        about = SpanContext(parent.trace_id, number, is_remote=False, trace_flags=_SAMPLED)
        span = RecordedSpan(self._ended, about, above, name, kind.value + 1, start_time or 0)
        span.set_attributes(given)
        for one in links or ():
            span.add_link(one.context, one.attributes)
        return span

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("hops of a unit of work are recorded together, after it was decided")


class UnitTracerProvider(TracerProvider):
    """Records the spans of one unit of work."""

    def __init__(self) -> None:
        self._ended: list[bytes] = []
        self._span_ids: list[bytes] = []
        self._scope = ""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes = None,
    ) -> UnitTracer:
        self._scope = instrumenting_module_name
        return UnitTracer(self._ended, self._span_ids)

    def encode(self) -> EncodedSpans:
        return EncodedSpans(b"".join(self._span_ids), wire.request({"service.name": SERVICE}, self._scope, self._ended))


_SAMPLED: Final = TraceFlags(1)
_NO_PARENT: Final = 1  # a context needs a valid span ID; this one says that there is no parent


def encode(told: Sequence[Told]) -> EncodedSpans:
    """The spans of a unit of work, each event's hops one trace with its first hop as the root."""
    provider = UnitTracerProvider()
    tracer = provider.get_tracer("sync_core")
    roots: dict[tuple[str, str], Context] = {}
    for one in told:
        identity = (one.cause.source, one.cause.event_id)
        context = _child_of(one) if one.parent else roots.get(identity)
        span = _open(tracer, one, context or trace_context(*identity))
        if context is None:
            roots[identity] = set_span_in_context(NonRecordingSpan(span.get_span_context()))
    return provider.encode()


def _open(tracer: Tracer, told: Told, context: Context) -> Span:
    """Record one hop, finished at ``done_at`` on the event's clock."""
    hop, moment = told.hop, nanoseconds(told.done_at)
    span = tracer.start_span(hop.name, context, attributes=_attributes(told, moment), start_time=moment)
    for name, about in hop.events:
        at = about.get("at")
        span.add_event(name, {key: value for key, value in about.items() if key != "at"} if at else about, at)
    if hop.outcome in _FAILED:
        span.set_status(StatusCode.ERROR, str(hop.attributes.get("reason", "")))
    span.end()
    return span


def _identity(hop: Hop, attempt: int) -> dict[str, Any]:
    """The attributes that tell a hop from every other of its trace."""
    return {
        semconv.CORRELATION_ID: hop.correlation_id.hex(),
        semconv.OUTCOME: hop.outcome,
        semconv.ATTEMPT: attempt,
        semconv.ENTITY: hop.entity,
        semconv.ENTITY_ID: hop.entity_id,
        semconv.MILESTONE: hop.milestone,
    }


def _attributes(told: Told, moment: int) -> dict[str, Any]:
    hop, cause = told.hop, told.cause
    domain, _, short = hop.name.partition(".")
    attributes = _identity(hop, told.attempt) | {
        semconv.ORIGIN: hop.origin,
        semconv.DOMAIN: domain,
        semconv.HOP: short,
        semconv.STAGE: hop.stage,
        semconv.OCCURRED_AT: nanoseconds(hop.occurred_at) if hop.occurred_at else moment,
        semconv.BUSINESS_DATE: cause.business_date.isoformat(),
        semconv.SOURCE: cause.provenance,
        "retail.event_id": cause.event_id,
    }
    for name, value in hop.attributes.items():
        if value != "":
            attributes[semconv.PREFIX + name] = nanoseconds(value) if isinstance(value, dt.datetime) else value
    return attributes


def _child_of(told: Told) -> Context:
    """The context of ``told.parent``, whose span was sent with an earlier unit of work."""
    assert told.parent is not None
    root = get_current_span(trace_context(told.cause.source, told.cause.event_id)).get_span_context()
    own = span_id(root.trace_id.to_bytes(16, "big"), told.parent.name, _identity(told.parent, 1))
    parent = SpanContext(root.trace_id, int.from_bytes(own, "big"), is_remote=True, trace_flags=_SAMPLED)
    return set_span_in_context(NonRecordingSpan(parent))


def trace_context(source: str, event_id: str) -> Context:
    """The context of the trace that an event begins: its ID is computed from the event's identity."""
    trace_id = int.from_bytes(hashlib.sha256(f"{source}\x1f{event_id}".encode()).digest()[:16], "big")
    none = SpanContext(trace_id, _NO_PARENT, is_remote=True, trace_flags=_SAMPLED)
    return set_span_in_context(NonRecordingSpan(none))


def span_id(trace_id: bytes, name: str, attributes: Mapping[str, Any]) -> bytes:
    """Eight bytes that name a hop within its trace: what it did, to what, in which attempt."""
    parts = (
        name,
        attributes.get(semconv.CORRELATION_ID, ""),
        attributes.get(semconv.ENTITY, ""),
        attributes.get(semconv.ENTITY_ID, ""),
        attributes.get(semconv.MILESTONE, ""),
        attributes.get(semconv.OUTCOME, ""),
        str(attributes.get(semconv.ATTEMPT, "")),
    )
    return hashlib.blake2b(trace_id + "\x1f".join(parts).encode(), digest_size=8).digest()


def nanoseconds(moment: dt.datetime) -> int:
    """Nanoseconds since the epoch, exact to the microsecond."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
