"""Describing the same hop twice gives the same span; an event's hops are one trace, its first hop the root."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.telemetry import encode, nanoseconds
from sync_core.unit import Told
from tests.factories import NOON, cancellation, line, order, payment, shipment
from tests.unit.sync_core.shop import Shop

ID = bytes(range(16))
CAUSE = Cause("shop", "1", NOON.date(), "live")


def hop(name: str = "order.capture", **over: Any) -> Hop:
    given = {"stage": "source", "correlation_id": ID, "origin": "shop", "entity": "order", "entity_id": "1"}
    return Hop(**{"name": name} | given | over)


def told(one: Hop, **over: Any) -> Told:
    return msgspec.structs.replace(Told(one, CAUSE, NOON), **over)


def spans(all_told: Sequence[Told]) -> list[Span]:
    """What was encoded, checked against the packed IDs beside it."""
    encoded = encode(all_told)
    request = ExportTraceServiceRequest.FromString(encoded.request)
    found = list(request.resource_spans[0].scope_spans[0].spans)
    assert b"".join(one.span_id for one in found) == encoded.span_ids
    return found


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in span.attributes}


def test_the_same_hop_gives_the_same_bytes() -> None:
    one = told(hop(milestone="captured", attributes={"order_id": "1"}))
    assert encode([one]) == encode([one])


def test_the_span_id_names_what_was_done_to_what_and_in_which_attempt() -> None:
    base = told(hop(milestone="captured"))
    (same,) = spans([msgspec.structs.replace(base, done_at=NOON + dt.timedelta(seconds=9))])
    assert same.span_id == spans([base])[0].span_id, "the moment is not part of the name"
    others = [
        told(hop("order.cancel", milestone="captured")),
        told(hop(milestone="cancelled")),
        told(hop(milestone="captured", outcome="rejected")),
        told(hop(milestone="captured", entity_id="2")),
        told(hop(milestone="captured", entity="return")),
        told(hop(milestone="captured", correlation_id=ID[::-1])),
        told(hop(milestone="captured"), attempt=2),
        told(hop(milestone="captured"), cause=Cause("shop", "2", NOON.date(), "live")),
    ]
    ids = [one.span_id for other in others for one in spans([other])]
    assert len({same.span_id, *ids}) == 9


def test_a_hop_carries_its_identity_its_milestone_and_its_times() -> None:
    occurred = NOON - dt.timedelta(hours=1)
    due = NOON + dt.timedelta(hours=4)
    about = {"due_at": due, "amount_minor": -5, "owner": "", "channel": "web"}
    one = hop(milestone="captured", occurred_at=occurred, attributes=about)
    (span,) = spans([told(one, attempt=3)])
    assert attributes(span) == {
        "retail.correlation_id": ID.hex(),
        "retail.origin": "shop",
        "retail.domain": "order",
        "retail.hop": "capture",
        "retail.stage": "source",
        "retail.outcome": "ok",
        "retail.attempt": 3,
        "retail.entity": "order",
        "retail.entity_id": "1",
        "retail.milestone": "captured",
        "retail.occurred_at": nanoseconds(occurred),
        "retail.business_date": "2026-03-02",
        "retail.source": "live",
        "retail.event_id": "1",
        "retail.due_at": nanoseconds(due),
        "retail.amount_minor": -5,
        "retail.channel": "web",
    }
    assert span.start_time_unix_nano == span.end_time_unix_nano == nanoseconds(NOON)
    assert span.kind == Span.SPAN_KIND_INTERNAL


def test_without_a_business_time_a_hop_occurred_when_it_was_done() -> None:
    (span,) = spans([told(hop())])
    assert attributes(span)["retail.occurred_at"] == nanoseconds(NOON)


def test_the_first_hop_of_an_event_is_the_root_of_its_trace() -> None:
    other = Cause("shop", "2", NOON.date(), "live")
    found = spans([told(hop()), told(hop("inventory.reserve")), told(hop(), cause=other), told(hop("posting.journal"))])
    first, second, stranger, third = found
    assert [one.parent_span_id for one in found] == [b"", first.span_id, b"", first.span_id]
    assert first.trace_id == second.trace_id == third.trace_id != stranger.trace_id


def test_a_later_attempt_hangs_below_the_hop_that_an_earlier_unit_of_work_sent() -> None:
    journaled = hop("posting.journal", entity="posting", entity_id="order/1", milestone="journaled")
    root, below = spans([told(hop()), told(journaled)])
    sent = told(hop("posting.send", milestone="sent", outcome="failed"), attempt=2, parent=journaled)
    (attempt,) = spans([sent])
    assert attempt.parent_span_id == below.span_id != root.span_id
    assert attempt.trace_id == below.trace_id


def test_what_failed_says_so_with_its_reason() -> None:
    def status(outcome: str) -> Status:
        (span,) = spans([told(hop(outcome=outcome, attributes={"reason": "no answer"}))])
        return span.status

    for outcome in ("failed", "rejected", "dead_letter"):
        assert (status(outcome).code, status(outcome).message) == (Status.STATUS_CODE_ERROR, "no answer")
    for outcome in ("ok", "parked", "duplicate", "compensated", "replayed"):
        assert status(outcome).code == Status.STATUS_CODE_UNSET


def test_span_events_have_their_own_time_when_they_name_one() -> None:
    marks = [("watermark", {"feed": "shop", "at": 123_000}), ("line", {"sku": "A1"})]
    (span,) = spans([told(hop(events=marks))])
    assert [(one.name, one.time_unix_nano) for one in span.events] == [
        ("watermark", 123_000),
        ("line", nanoseconds(NOON)),
    ]
    assert [one.key for one in span.events[0].attributes] == ["feed"]


def test_nanoseconds_are_exact_to_the_microsecond() -> None:
    assert nanoseconds(dt.datetime(2026, 3, 2, 12, 0, 0, 1, tzinfo=dt.UTC)) == 1_772_452_800_000_001_000
    assert nanoseconds(dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)) == -1_000_000_000


def test_every_hop_of_an_orders_life_has_a_span_of_its_own() -> None:
    shop = Shop(A1=9)
    shop.see(
        order("1", line("A1", 2), customer_ref="100"), payment("1", 2000), shipment("1"), order("2"), cancellation("2")
    )
    found = spans(shop.unit.told)
    assert len({one.span_id for one in found}) == len(found) == len(shop.unit.told)
    assert all(len(attributes(one)["retail.correlation_id"]) == 32 for one in found)
    captured = next(one for one in found if one.name == "order.capture")
    (about,) = [{one.key for one in event.attributes} for event in captured.events]
    assert about == {"sku", "quantity", "amount_minor"}
    journal = next(one for one in found if attributes(one).get("retail.journal_id") == "shop:order/1")
    lines = [
        {one.key: one.value for one in event.attributes} for event in journal.events if event.name == "journal.line"
    ]
    assert sum(one["amount_minor"].int_value for one in lines) == 0
    assert [one["account"].string_value for one in lines] == ["liabilities:contract:goods", "assets:clearing:card"]
