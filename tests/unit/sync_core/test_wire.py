"""Every message written by hand is what the generated classes of opentelemetry-proto read, and write."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sync_core import wire

TRACE, OWN, ABOVE = bytes(range(16)), bytes(range(8)), bytes(range(8, 16))
AT = 1_795_230_751_517_065_540


def any_value(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(one) for one in value]))


def read_span(rest: bytes, **over: Any) -> Span:
    """The span that the generated classes find in a request around ``rest``."""
    given: dict[str, Any] = {"parent_span_id": b"", "name": "order.capture", "kind": 1, "start": AT, "end": AT + 5}
    written = wire.span(TRACE, OWN, rest=rest, **given | over)
    request = ExportTraceServiceRequest.FromString(wire.request({"service.name": "core"}, "sync_core", [written]))
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert isinstance(span, Span)
    return span


VALUES: dict[str, Any] = {
    "text": "Ærø ⧺ 1", "empty": "", "zero": 0, "one": 1, "minus": -1, "127": 127, "128": 128, "300": 300,
    "2**31": 1 << 31, "-2**31": -(1 << 31), "most": (1 << 63) - 1, "least": -(1 << 63), "true": True, "false": False,
    "half": 0.5, "nought": 0.0, "tiny": -1e-300, "bytes": b"\x00\xff", "none": b"", "list": ["a", 1, True, 2.5, b"x"],
    "tuple": (1, -1), "nothing": [], "nested": [["a"], []], "long": "x" * 20_000,
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_read_as_it_was_given(name: str) -> None:
    span = read_span(wire.pairs(wire.ATTRIBUTES, {name: VALUES[name]}))
    assert [(one.key, one.value) for one in span.attributes] == [(name, any_value(VALUES[name]))]


def test_one_and_true_keep_their_types_whichever_comes_first() -> None:
    span = read_span(wire.pairs(wire.ATTRIBUTES, {"a": 1}) + wire.pairs(wire.ATTRIBUTES, {"a": True, "b": 1.0}))
    assert [one.value.WhichOneof("value") for one in span.attributes] == ["int_value", "bool_value", "double_value"]


def test_a_whole_request_is_the_bytes_that_the_generated_classes_write() -> None:
    attributes = {"retail.order_id": "1", "retail.amount_minor": -1320, "retail.occurred_at": AT}
    rest = b"".join(
        (
            wire.pairs(wire.ATTRIBUTES, attributes),
            wire.event("line", AT + 1, {"sku": "A1", "quantity": 2}),
            wire.event("line", AT + 2, {}),
            wire.link(ABOVE * 2, ABOVE, {"kind": "returns"}),
            wire.status(2, "the ERP said no"),
        )
    )
    span = wire.span(TRACE, OWN, ABOVE, "posting.send", 1, AT, AT + 7, rest)
    expected = ExportTraceServiceRequest()
    resource = expected.resource_spans.add()
    resource.resource.attributes.add(key="service.name", value=any_value("tallytrace-core"))
    scope = resource.scope_spans.add()
    scope.scope.name = "sync_core"
    one = scope.spans.add(
        trace_id=TRACE, span_id=OWN, parent_span_id=ABOVE, name="posting.send", kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=AT, end_time_unix_nano=AT + 7,
    )  # fmt: skip
    for key, value in attributes.items():
        one.attributes.add(key=key, value=any_value(value))
    line = one.events.add(time_unix_nano=AT + 1, name="line")
    line.attributes.add(key="sku", value=any_value("A1"))
    line.attributes.add(key="quantity", value=any_value(2))
    one.events.add(time_unix_nano=AT + 2, name="line")
    link = one.links.add(trace_id=ABOVE * 2, span_id=ABOVE)
    link.attributes.add(key="kind", value=any_value("returns"))
    one.status.code, one.status.message = Status.STATUS_CODE_ERROR, "the ERP said no"
    written = wire.request({"service.name": "tallytrace-core"}, "sync_core", [span])
    assert ExportTraceServiceRequest.FromString(written) == expected
    assert len(written) == expected.ByteSize()


def test_a_root_has_no_parent_and_a_status_may_be_without_words() -> None:
    span = read_span(wire.status(1, ""))
    assert (span.parent_span_id, span.status.code, span.status.message) == (b"", 1, "")
    assert (span.trace_id, span.span_id, span.name, span.kind) == (TRACE, OWN, "order.capture", 1)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (AT, AT + 5)


def test_requests_join_by_joining_their_bytes() -> None:
    one = wire.request({"n": 1}, "a", [])
    joined = ExportTraceServiceRequest.FromString(one + wire.request({"n": 2}, "b", []))
    assert [each.resource.attributes[0].value.int_value for each in joined.resource_spans] == [1, 2]


SCALARS = st.one_of(
    st.text(max_size=300),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False),
    st.binary(),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=20), SCALARS | st.lists(SCALARS, max_size=3), max_size=5))
def test_any_attributes_are_read_as_they_were_given(attributes: dict[str, Any]) -> None:
    span = read_span(wire.pairs(wire.ATTRIBUTES, attributes) + wire.event("line", AT, attributes))
    expected = [(key, any_value(value)) for key, value in attributes.items()]
    assert [(one.key, one.value) for one in span.attributes] == expected
    assert [(one.key, one.value) for one in span.events[0].attributes] == expected
