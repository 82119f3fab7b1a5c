"""CloudEvents in: every fault names its field, and the hash tells a redelivery from another event."""

import datetime as dt
from typing import Any, Final

import msgspec
import pytest

from sync_core.errors import InvalidEventError, UnknownEventTypeError
from sync_core.master_messages import CustomerUpdated, TaxCodeSet
from sync_core.messages import (
    TYPES,
    BackorderOffered,
    ChannelConnected,
    ChannelServed,
    Event,
    ExchangeRateSet,
    LocationRegistered,
    OrderDeadlinePassed,
    PaymentAuthorised,
    PaymentFailed,
    PaymentSettled,
    PaymentSettlementAnnounced,
    PaymentVoided,
    PostingCompensated,
    ProductRegistered,
    StockPlace,
    StockRepaired,
    StockRuleSet,
    TransferCancelled,
    TransferWrittenOff,
    decode_event,
    derived,
    from_cloudevents,
    payload_hash,
    sequence_of,
)
from sync_core.returns.messages import (
    RefundApproved,
    RefundFailed,
    ReturnDeadlinePassed,
    ReturnMatched,
    ReturnPolicySet,
    ReturnReasonMapped,
    ReturnReviewed,
    ReturnShipped,
    ReturnWithdrawn,
)
from tests import factories
from tests.factories import NOON, cloudevent, control_total, order, sent

ORDER = cloudevent(order())
DATA: dict[str, Any] = ORDER["data"]


def decoded(event: dict[str, Any]) -> Any:
    return from_cloudevents(msgspec.json.encode(event), batch=False)[0]


def with_data(**changed: Any) -> dict[str, Any]:
    return ORDER | {"data": {name: value for name, value in (DATA | changed).items() if value is not None}}


def with_line(**changed: Any) -> dict[str, Any]:
    return with_data(lines=[DATA["lines"][0] | changed])


def test_an_event_is_read_with_its_identity_and_its_local_date() -> None:
    one = decoded(ORDER | {"time": "2026-03-02T00:30:00+01:00", "provenance": "generated", "partitionkey": "till-7"})
    assert (one.source, one.event_id, one.provenance, one.partition_key) == ("shop", "1", "generated", "till-7")
    assert one.occurred_at == dt.datetime(2026, 3, 1, 23, 30, tzinfo=dt.UTC)
    assert one.business_date == dt.date(2026, 3, 2)
    assert one.event == order()
    assert decode_event(one.type, one.body) == one.event


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({name: value for name, value in ORDER.items() if name != "id"}, ""),
        (ORDER | {"id": ""}, "id"),
        (ORDER | {"source": 7}, "source"),
        (ORDER | {"specversion": "0.3"}, "specversion"),
        (ORDER | {"time": "yesterday"}, "time"),
        (ORDER | {"time": "2026-03-02T12:00:00"}, "time"),
        (ORDER | {"type": "tallytrace.order.captured.v9"}, "type"),
        (ORDER | {"dataschema": "/v1/schemas/tallytrace.order.captured.v2"}, "dataschema"),
        (ORDER | {"provenance": "rumour"}, "provenance"),
        (with_data(order_id=None), "data"),
        (with_data(origin="Shop"), "data.origin"),
        (with_data(currency="pounds"), "data.currency"),
        (with_data(lines=[]), "data.lines"),
        (with_data(colour="red"), "data"),
        (with_line(quantity="two"), "data.lines[0].quantity"),
        (with_line(quantity=1.5), "data.lines[0].quantity"),
        (with_line(amount_minor=10**15 + 1), "data.lines[0].amount_minor"),
        (with_line(kind="furniture"), "data.lines[0].kind"),
    ],
)
def test_a_malformed_event_is_refused_and_the_field_is_named(event: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventError) as refused:
        decoded(event)
    assert refused.value.field == field


def test_a_fault_in_a_batch_names_its_event() -> None:
    body = msgspec.json.encode([ORDER, with_line(sku="")])
    with pytest.raises(InvalidEventError) as refused:
        from_cloudevents(body, batch=True)
    assert refused.value.field == "[1].data.lines[0].sku"
    with pytest.raises(InvalidEventError, match="truncated"):
        from_cloudevents(body[:-5], batch=True)


def test_an_unknown_type_says_where_the_known_ones_are() -> None:
    with pytest.raises(UnknownEventTypeError, match=r"unknown event type 'x'; see GET /v1/schemas"):
        decoded(ORDER | {"type": "x"})
    with pytest.raises(UnknownEventTypeError, match=r"version 'v9' of .* known: tallytrace\.order\.captured\.v1"):
        decoded(ORDER | {"type": "tallytrace.order.captured.v9"})


def test_the_hash_is_of_type_moment_and_body_and_of_nothing_else() -> None:
    body, name = b"{}", "tallytrace.order.captured.v1"
    here = payload_hash(name, NOON, body)
    assert payload_hash(name, NOON.astimezone(dt.timezone(dt.timedelta(hours=5))), body) == here
    assert len({here, payload_hash(name, NOON, b"{ }"), payload_hash("x", NOON, body)}) == 3
    assert payload_hash(name, NOON + dt.timedelta(microseconds=1), body) != here
    assert decoded(ORDER).payload_hash == decoded(ORDER | {"partitionkey": "elsewhere"}).payload_hash
    assert decoded(ORDER).payload_hash != decoded(with_data(tax_minor=1)).payload_hash


R1: Final[dict[str, Any]] = {"origin": "shop", "return_id": "R1"}
EVENTS: dict[str, tuple[Event, str]] = {
    "order": (factories.order(), "shop\x1f1"),
    "payment": (factories.payment(), "shop\x1f1"),
    "gift card": (factories.gift_card(), "gift card\x1fshop\x1fG1"),
    "fact": (factories.fact(), "erp\x1f1"),
    "rate": (
        ExchangeRateSet(origin="erp", currency="EUR", into="GBP", valid_from=NOON.date(), rate_ppm=850_000),
        "rules\x1ferp",
    ),
    "authorisation": (factories.payment_word(PaymentAuthorised), "shop\x1f1"),
    "failed payment": (factories.payment_word(PaymentFailed), "shop\x1f1"),
    "voided payment": (factories.payment_word(PaymentVoided), "shop\x1f1"),
    "announced settlement": (factories.payment_word(PaymentSettlementAnnounced, settles_by=NOON), "shop\x1f1"),
    "settlement": (factories.payment_word(PaymentSettled, payout_id="PO1"), "shop\x1f1"),
    "settlement of many": (factories.settlement(), "stripe\x1fpo_1"),
    "shipment": (factories.shipment(), "shop\x1f1"),
    "cancellation": (factories.cancellation(), "shop\x1f1"),
    "edit": (factories.edited(), "shop\x1f1"),
    "step": (factories.stepped("taxed"), "shop\x1f1"),
    "back-order": (BackorderOffered(origin="shop", order_id="1"), "shop\x1f1"),
    "return": (factories.goods_back(), "shop\x1fR1"),
    "return requested": (factories.asked_back(), "shop\x1fR1"),
    "return reviewed": (ReturnReviewed(**R1, granted=True, by="ann", reason="x"), "shop\x1fR1"),
    "return withdrawn": (ReturnWithdrawn(**R1), "shop\x1fR1"),
    "return shipped": (ReturnShipped(**R1, carrier="dhl"), "shop\x1fR1"),
    "return items received": (factories.came_back(), "shop\x1fR1"),
    "return inspected": (factories.looked_at(), "shop\x1fR1"),
    "return dispositioned": (factories.disposed(), "shop\x1fR1"),
    "return sent back": (factories.sent_back(), "shop\x1fR1"),
    "return matched": (ReturnMatched(**R1, order_origin="shop", order_id="1", by="ann", evidence="x"), "shop\x1fR1"),
    "return deadline": (ReturnDeadlinePassed(**R1), "shop\x1fR1"),
    "return policy": (ReturnPolicySet(origin="erp", policy_id="1"), "rules\x1ferp"),
    "return reason": (ReturnReasonMapped(origin="shop", code="7", reason="late"), "rules\x1fshop"),
    "refund approved": (RefundApproved(**R1, approval_id="1", by="ann"), "shop\x1fR1"),
    "refund": (factories.refund(), "shop\x1fR1"),
    "refund failed": (RefundFailed(**R1, refund_id="F1", provider="card"), "shop\x1fR1"),
    "goodwill": (factories.goodwill(), "shop\x1fR1"),
    "credit memo": (factories.credit_memo(), "shop"),
    "charge": (factories.charge(), "shop"),
    "write-off": (factories.write_off(), "shop"),
    "compensation": (PostingCompensated(origin="shop", journal_id="shop:count/1"), "shop:count/1"),
    "receipt": (factories.goods_in(), "shop\x1fD1"),
    "adjustment": (factories.adjustment(), "shop\x1fN1"),
    "reclassification": (factories.reclassified(), "shop\x1fB1"),
    "count": (factories.counted(), "shop\x1fK1"),
    "repair": (
        StockRepaired(
            origin="shop", document_id="R1", by="ann", reason="x", places=(StockPlace(sku="A1", location="L"),)
        ),
        "shop\x1fR1",
    ),
    "transfer": (factories.transfer(), "shop\x1fT1"),
    "transfer shipped": (factories.transfer_out(), "shop\x1fT1"),
    "transfer received": (factories.transfer_in(), "shop\x1fT1"),
    "transfer cancelled": (TransferCancelled(origin="shop", transfer_id="T1"), "shop\x1fT1"),
    "transfer written off": (TransferWrittenOff(origin="shop", transfer_id="T1"), "shop\x1fT1"),
    "control total": (control_total("1"), "shop\x1fL1"),
    "customer": (CustomerUpdated(origin="crm", customer_id="C1"), "customer\x1fcrm"),
    "tax code": (TaxCodeSet(origin="erp", tax_code="S", rate_ppm=200_000), "tax\x1ferp"),
    "product": (ProductRegistered(origin="erp", sku="A1", name="mug"), "product\x1ferp\x1fA1"),
    "location": (LocationRegistered(origin="erp", location="L", kind="store"), "rules\x1ferp"),
    "channel": (ChannelServed(origin="erp", channel="web", locations=("L",)), "rules\x1ferp"),
    "address": (ChannelConnected(origin="erp", channel="web", url="http://shop/"), "rules\x1ferp"),
    "terms": (factories.terms(), "rules\x1ferp"),
    "deadline": (OrderDeadlinePassed(origin="shop", order_id="1", deadline="payment"), "shop\x1f1"),
    "rule": (StockRuleSet(origin="erp", rule_id="1", kind="safety"), "rules\x1ferp"),
    "feed": (factories.feed_report(), "feed\x1fshop"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_without_a_partition_key_belongs_to_the_transaction_that_it_changes(name: str) -> None:
    event, sequence = EVENTS[name]
    assert sequence_of(event) == sequence
    assert sent(event).partition_key == sequence
    assert sent(event, partition_key="all").partition_key == "all"
    assert decode_event(sent(event).type, sent(event).body) == event


def test_every_type_is_tried_here() -> None:
    assert {type(event) for event, _ in EVENTS.values()} == set(TYPES.values())


def test_what_a_file_causes_without_stating_it_is_generated() -> None:
    assert [derived("file"), derived("live"), derived("generated")] == ["generated", "live", "generated"]
