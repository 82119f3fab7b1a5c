"""Export requests of made-up transactions, each span distinct, made fast enough to load a collector."""

import random
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from collector import semconv
from collector.framing import varint

ORIGIN: Final = "web"
SERVICE: Final = "sync-core"
CHANNELS: Final = (b"dotcom", b"market", b"stores", b"trade1")
FIRST_START: Final = 1_795_230_751_517_065_540  # nanoseconds since the epoch
TRANSACTION_STEP: Final = 1_000_000  # nanoseconds between the starts of two transactions

# name, entity, milestone, number of the trace within the transaction
HOPS: Final = (
    ("order.capture", "order", "captured", 0),
    ("inventory.reserve", "order", "reserved", 0),
    ("payment.capture", "payment", "captured", 0),
    ("order.ship", "fulfilment", "shipped", 1),
    ("posting.journal", "posting", "journaled", 2),
    ("posting.send", "posting", "erp_accepted", 2),
    ("return.receive", "return", "received", 3),
    ("refund.issue", "refund", "issued", 3),
)

# Stand-ins in the template of a span, of the length of what replaces them, found nowhere else in it.
_TRACE_ID: Final = b"T" * 16
_SPAN_ID: Final = b"S" * 8
_CORRELATION: Final = b"C" * 32
_REFERENCE: Final = b"E" * 10
_CHANNEL: Final = b"H" * 6
_START: Final = 0x4141_4141_4141_4141
_END: Final = 0x4242_4242_4242_4242
_AMOUNT: Final = 1_000_000
_AMOUNT_RANGE: Final = (20_000, 2_000_000)  # three bytes as a varint, like the stand-in


class _Template(Struct, frozen=True):
    span: bytes
    trace: int
    places: tuple[tuple[bytes, tuple[int, ...]], ...]  # each stand-in and where it stands


def requests(transactions: int, spans_per_request: int, *, seed: int = 1) -> Iterator[bytes]:
    """``transactions`` of 8 spans with 11 attributes each, no two spans of one in the same request.

    Blocks of ``spans_per_request`` transactions become 8 requests, as the hops of a transaction lie apart in time.
    """
    chance = random.Random(seed)
    templates = [_template(*hop) for hop in HOPS]
    head = ResourceSpans()
    for key, value in (("service.name", SERVICE), ("deployment.environment.name", "bench")):
        head.resource.attributes.add(key=key).value.string_value = value
    for first in range(0, transactions, spans_per_request):
        numbers = range(first, min(first + spans_per_request, transactions))
        block = [_spans(templates, number, chance, seed) for number in numbers]
        for hop in range(len(HOPS)):
            spans = [spans[(hop + index) % len(HOPS)] for index, spans in enumerate(block)]
            yield _request(head.SerializeToString(), spans)


def _spans(templates: list[_Template], number: int, chance: random.Random, seed: int) -> list[bytes]:
    traces = [chance.randbytes(16) for _ in range(4)]
    start = FIRST_START + number * TRANSACTION_STEP + chance.randrange(TRANSACTION_STEP)
    reference = f"{seed % 100:02}{number:08}".encode()
    fixed = {
        _CORRELATION: semconv.correlation_id(ORIGIN, reference.decode()).hex().encode(),
        _REFERENCE: reference,
        _CHANNEL: CHANNELS[number % len(CHANNELS)],
        varint(_AMOUNT): varint(chance.randrange(*_AMOUNT_RANGE)),
    }
    spans = []
    for template in templates:
        span = bytearray(template.span)
        start += chance.randrange(10**9)
        values = {
            **fixed,
            _TRACE_ID: traces[template.trace],
            _SPAN_ID: chance.randbytes(8),
            struct.pack("<Q", _START): struct.pack("<Q", start),
            struct.pack("<Q", _END): struct.pack("<Q", start + chance.randrange(5_000_000)),
        }
        for stand_in, offsets in template.places:
            for offset in offsets:
                span[offset : offset + len(stand_in)] = values[stand_in]
        spans.append(bytes(span))
    return spans


def _template(name: str, entity: str, milestone: str, trace: int) -> _Template:
    span = Span(trace_id=_TRACE_ID, span_id=_SPAN_ID, name=name, kind=Span.SPAN_KIND_INTERNAL)
    span.start_time_unix_nano, span.end_time_unix_nano = _START, _END
    domain, _, hop = name.partition(".")
    texts = {
        semconv.CORRELATION_ID: _CORRELATION.decode(), semconv.ORIGIN: ORIGIN, semconv.DOMAIN: domain,
        semconv.HOP: hop, semconv.OUTCOME: "ok", semconv.ENTITY: entity, semconv.ENTITY_ID: _REFERENCE.decode(),
        semconv.MILESTONE: milestone, semconv.CHANNEL: _CHANNEL.decode(), "retail.order_id": _REFERENCE.decode(),
    }  # fmt: skip
    for key, value in texts.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key=semconv.AMOUNT_MINOR).value.int_value = _AMOUNT
    encoded: bytes = span.SerializeToString()
    stand_ins = (
        _TRACE_ID, _SPAN_ID, _CORRELATION, _REFERENCE, _CHANNEL,
        struct.pack("<Q", _START), struct.pack("<Q", _END), varint(_AMOUNT),
    )  # fmt: skip
    return _Template(encoded, trace, tuple((stand_in, tuple(_find(encoded, stand_in))) for stand_in in stand_ins))


def _find(encoded: bytes, stand_in: bytes) -> Iterator[int]:
    offset = encoded.find(stand_in)
    while offset >= 0:
        yield offset
        offset = encoded.find(stand_in, offset + len(stand_in))


def _request(head: bytes, spans: list[bytes]) -> bytes:
    scope = ScopeSpans()
    scope.scope.name = "tallytrace"
    scoped = scope.SerializeToString() + b"".join(b"\x12" + varint(len(span)) + span for span in spans)
    resource: bytes = head + b"\x12" + varint(len(scoped)) + scoped
    return b"\x0a" + varint(len(resource)) + resource
