"""Which spans are taken, what is answered, and what leaves unchanged."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector import otlp
from collector.errors import UndecodableRequestError
from tests.unit.collector.spans import request, span, unreadable

GOOD = [span(1), span(2)]


def test_a_good_request_is_stored_as_it_was_sent() -> None:
    sent = request(*GOOD)
    checked = otlp.check(sent)
    assert checked.body is sent
    assert (checked.spans, checked.refused) == (2, {})
    assert otlp.response(checked.refused) == b""


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (span(3, trace_id=b""), "trace_id is not 16 bytes, or all zero"),
        (span(3, trace_id=bytes(16)), "trace_id is not 16 bytes, or all zero"),
        (span(3, trace_id=b"short"), "trace_id is not 16 bytes, or all zero"),
        (span(3, span_id=bytes(8)), "span_id is not 8 bytes, or all zero"),
        (span(3, span_id=b"seven.."), "span_id is not 8 bytes, or all zero"),
        (span(3, start_time_unix_nano=0), "the span has no start time"),
        (span(3, end_time_unix_nano=0), "the span has no end time, or ends before it starts"),
        (span(3, end_time_unix_nano=1), "the span has no end time, or ends before it starts"),
        (span(3, end_time_unix_nano=2**63), "the span ends after the year 2262"),
    ],
)
def test_only_the_spans_that_can_never_be_stored_are_refused(bad: object, reason: str) -> None:
    checked = otlp.check(request(GOOD[0], bad, GOOD[1]))  # type: ignore[arg-type]
    assert checked.refused == {reason: 1}
    assert checked.spans == 2
    kept = ExportTraceServiceRequest.FromString(checked.body).resource_spans[0].scope_spans[0].spans
    assert list(kept) == GOOD
    answer = ExportTraceServiceResponse.FromString(otlp.response(checked.refused))
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message == f"1 x {reason}"


def test_an_empty_request_is_a_success() -> None:
    assert otlp.check(b"") == otlp.Checked(b"", 0, {})


@pytest.mark.parametrize(
    "body", [b"zzz", request(*GOOD)[:-1], request(span(1, name="\N{SNOWMAN}")).replace(b"\xe2", b"\xff")]
)
def test_what_is_no_request_is_named_so(body: bytes) -> None:
    with pytest.raises(UndecodableRequestError, match="not an ExportTraceServiceRequest"):
        otlp.check(body)


def test_a_request_is_normalised_without_changing_what_it_says() -> None:
    sent = unreadable(9)
    assert otlp.check(sent).spans == 1
    assert otlp.normalised(sent) == request(span(9, {"x.flag": True}))
    unknown_field = request(*GOOD) + b"\xf8\x07\x05"
    assert otlp.normalised(unknown_field) == request(*GOOD)


def test_a_status_is_code_and_message() -> None:
    assert otlp.status(3, "no") == b"\x08\x03\x12\x02no"
