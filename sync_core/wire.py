"""OTLP spans as protobuf bytes, for the one shape that the sync core writes.

The generated classes of opentelemetry-proto cost 1.0 us an attribute; a hop has fifteen and an order line three, and
most pairs of name and value come again and again, so their bytes are kept. ``tests`` hold every message written here
equal to what the generated classes read.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

_FIXED64: Final = struct.Struct("<Q")
_DOUBLE: Final = struct.Struct("<d")
_SMALL: Final = 1 << 31  # larger integers are times, which do not come again
_MOST_KEPT: Final = 100_000

ATTRIBUTES: Final = b"\x4a"  # Span.attributes
EVENT_ATTRIBUTES: Final = b"\x1a"  # Span.Event.attributes
LINK_ATTRIBUTES: Final = b"\x22"  # Span.Link.attributes
RESOURCE_ATTRIBUTES: Final = b"\x0a"  # Resource.attributes


def varint(number: int) -> bytes:
    """Base-128; negative numbers as their 64-bit two's complement."""
    if 0 <= number < len(_SHORT):
        return _SHORT[number]
    number &= 0xFFFF_FFFF_FFFF_FFFF
    parts = []
    while number >= len(_SHORT):
        parts.append(_MORE[number & 0x3FFF])
        number >>= 14
    parts.append(_SHORT[number])
    return b"".join(parts)


_MORE: Final = [bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14)]
"""Fourteen bits that others follow."""
_SHORT: Final = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1 << 14)]
_PAIRS: Final[dict[bytes, dict[tuple[str, Any], bytes]]] = {
    tag: {} for tag in (ATTRIBUTES, EVENT_ATTRIBUTES, LINK_ATTRIBUTES, RESOURCE_ATTRIBUTES)
}


def delimited(tag: bytes, body: bytes) -> bytes:
    """A length-delimited field; ``tag`` is its key byte."""
    return tag + varint(len(body)) + body


def pairs(tag: bytes, attributes: Mapping[str, Any]) -> bytes:
    """KeyValue fields under ``tag``, in the order given."""
    kept = _PAIRS[tag]
    if len(kept) > _MOST_KEPT:
        kept.clear()
    parts = []
    for item in attributes.items():
        value = item[1]
        if type(value) is str or (type(value) is int and -_SMALL < value < _SMALL):
            part = kept.get(item)
            if part is None:
                part = kept[item] = _pair(tag, *item)
        else:  # also a boolean, which would be found under the number that it equals
            part = _pair(tag, *item)
        parts.append(part)
    return b"".join(parts)


def event(name: str, at: int, attributes: Mapping[str, Any]) -> bytes:
    """A Span.Event field; ``at`` in nanoseconds."""
    body = b"\x09" + _FIXED64.pack(at) + _kept_text(b"\x12", name) + pairs(EVENT_ATTRIBUTES, attributes)
    return b"\x5a" + varint(len(body)) + body


def link(trace_id: bytes, span_id: bytes, attributes: Mapping[str, Any]) -> bytes:
    """A Span.Link field."""
    body = delimited(b"\x0a", trace_id) + delimited(b"\x12", span_id) + pairs(LINK_ATTRIBUTES, attributes)
    return delimited(b"\x6a", body)


def status(code: int, message: str) -> bytes:
    """A Span.Status field."""
    return delimited(b"\x7a", (delimited(b"\x12", message.encode()) if message else b"") + b"\x18" + varint(code))


def span(
    trace_id: bytes, span_id: bytes, parent_span_id: bytes, name: str, kind: int, start: int, end: int, rest: bytes
) -> bytes:
    """A ScopeSpans.spans field; ``rest`` holds its attributes, events, links and status. Times in nanoseconds."""
    body = b"".join(
        (
            b"\x0a\x10", trace_id, b"\x12\x08", span_id, b"\x22\x08" + parent_span_id if parent_span_id else b"",
            _kept_text(b"\x2a", name), b"\x30", varint(kind), b"\x39", _FIXED64.pack(start), b"\x41",
            _FIXED64.pack(end), rest,
        )
    )  # fmt: skip
    return delimited(b"\x12", body)


def request(resource: Mapping[str, Any], scope: str, spans: Iterable[bytes]) -> bytes:
    """An ExportTraceServiceRequest with one resource and one scope."""
    scope_spans = delimited(b"\x0a", delimited(b"\x0a", scope.encode())) + b"".join(spans)
    body = delimited(b"\x0a", pairs(RESOURCE_ATTRIBUTES, resource)) + delimited(b"\x12", scope_spans)
    return delimited(b"\x0a", body)


def _pair(tag: bytes, key: str, value: Any) -> bytes:
    body = _kept_text(b"\x0a", key) + delimited(b"\x12", _value(value))
    return tag + varint(len(body)) + body


@lru_cache(maxsize=1_024)
def _kept_text(tag: bytes, text: str) -> bytes:
    return delimited(tag, text.encode())


def _value(value: Any) -> bytes:
    """An AnyValue: text, boolean, integer, double, bytes or a sequence of these."""
    match value:
        case str():
            return delimited(b"\x0a", value.encode())
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int():
            return b"\x18" + varint(value)
        case float():
            return b"\x21" + _DOUBLE.pack(value)
        case bytes():
            return delimited(b"\x3a", value)
        case _:
            return delimited(b"\x2a", b"".join(delimited(b"\x0a", _value(item)) for item in value))
