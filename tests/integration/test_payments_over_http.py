"""What providers and carriers say of an order, or do not say in time: over HTTP, in the books and in lineage."""

import datetime as dt
from typing import Any

import pytest

from sync_core.messages import (
    OrderUnits,
    PaymentAuthorised,
    PaymentFailed,
    PaymentSettled,
    PaymentSettlementAnnounced,
    PaymentVoided,
)
from tests.core import Core, later
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    NOON,
    cancellation,
    edited,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    payment_word,
    refund,
    shipment,
)
from tests.factories import stepped as step_of

DAY = dt.timedelta(days=1)


def settled(order_id: str, fee_minor: int = 59, **over: Any) -> PaymentSettled:
    return payment_word(PaymentSettled, order_id, fee_minor=fee_minor, payout_id="PO-7", **over)


@pytest.mark.proves(80, 74)
def test_each_status_of_a_payment_is_a_hop_and_only_money_is_posted(estate: Estate, core: Core, journey: Tell) -> None:
    estate.tell(goods_in(), order("status"), payment_word(PaymentFailed, "status", reason="no funds"))
    assert estate.exceptions() == [("payment_failed", "payments", 1000)]
    estate.tell(payment_word(PaymentAuthorised, "status"))
    assert estate.exceptions() == []
    assert core.balance("") == core.balance("assets:clearing") == 0
    assert core.one("select count(*) from core.journals where document = 'order'") == 0
    estate.tell(payment("status"), shipment("status"), goods_back("R1", order_id="status"), refund())
    estate.tell(settled("status"))
    told = milestones(journey("status"))
    assert [one for one in told if one in ("authorised", "captured", "settled")] == [
        "captured", "authorised", "captured", "settled",
    ]  # fmt: skip
    assert [hop.reason for hop in journey("status").hops if hop.outcome == "rejected"] == ["no funds"]
    assert (core.balance("assets:payouts in transit"), core.balance("expenses:processor fees")) == (941, 59)
    assert core.balance("assets:clearing:card") == -1000, "the refund is still to be settled"
    assert estate.sound()


def test_what_a_provider_says_out_of_turn_moves_no_money(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(), order("1"), payment_word(PaymentAuthorised), payment_word(PaymentVoided, reason="expired"))
    estate.tell(payment_word(PaymentFailed), cancellation("1"), payment_word(PaymentFailed, payment_id="again"))
    assert (estate.exceptions(), core.balance("assets:clearing")) == ([], 0)
    estate.tell(settled("2"))
    assert core.states()["parked"] == 1
    estate.tell(order("2"), payment("2"))
    assert ("parked" in core.states(), core.balance("assets:clearing")) == (False, 0)
    estate.tell(payment_word(PaymentVoided, "2"), settled("2"), order("3"), payment("3"))
    estate.tell(settled("3", amount_minor=999), settled("3", provider="wallet"), settled("3", currency="EUR"))
    assert [(kind, minor) for kind, _, minor in estate.exceptions()] == [
        ("payment_differs", 1000), ("payment_differs", 999),
    ]  # fmt: skip
    assert (core.balance("assets:clearing:card"), core.balance("assets:payouts")) == (1000, 941)

    before = core.balance("assets:clearing:card")
    estate.tell(order("4"), payment("4"), edited("4"), payment("4", payment_id="more"))
    estate.tell(settled("4", payment_id="more"))
    assert core.balance("assets:clearing:card") == before + 1000, "each payment of an order is settled alone"
    estate.tell(settled("4"))
    assert core.balance("assets:clearing:card") == before


@pytest.mark.proves(195)
def test_a_settlement_that_is_late_is_overdue_with_its_owner_and_value(
    estate: Estate, core: Core, journey: Tell
) -> None:
    estate.tell(goods_in(), order("late"), payment("late"), shipment("late"))
    estate.tell(payment_word(PaymentSettlementAnnounced, "late", settles_by=NOON + 2 * DAY))
    later(core, days=1)
    [owed] = [one for one in journey("late").expected if one.milestone == "settled"]
    assert (owed.due_at, owed.overdue, owed.owner) == (NOON + 2 * DAY, False, "payments")
    later(core, days=2)
    [owed] = [one for one in journey("late").expected if one.milestone == "settled"]
    assert owed.overdue
    assert owed.amount is not None
    assert (owed.amount.amount_minor, owed.overdue_seconds > 80_000) == (1000, True)
    assert core.balance("assets:clearing:card") == 1000, "what the provider owes stays open in its account"
    estate.tell(settled("late"), at=core.now)
    assert [one for one in journey("late").expected if one.milestone == "settled"] == []
    assert core.balance("assets:clearing:card") == 0


@pytest.mark.proves(197)
def test_a_carrier_that_is_late_is_overdue_and_what_it_says_of_it_has_an_owner(
    estate: Estate, core: Core, journey: Tell
) -> None:
    estate.tell(goods_in(), order("parcel"), payment("parcel"), shipment("parcel"))
    estate.tell(step_of("delivery_promised", "parcel", system="carrier", due_at=NOON + DAY))
    assert journey("parcel").header.state == "shipped"
    later(core, days=2)
    [owed] = [one for one in journey("parcel").expected if one.milestone == "delivered"]
    assert (owed.due_at, owed.overdue, owed.owner) == (NOON + DAY, True, "delivery")
    assert owed.amount is not None
    assert owed.amount.amount_minor == 1000
    estate.tell(step_of("delivered", "parcel", system="carrier", failed=True, reason="depot flooded"), at=core.now)
    assert estate.exceptions() == [("delivered_failed", "delivery", 1000)]
    later(core, days=1)
    estate.tell(step_of("delivered", "parcel", system="carrier"), at=core.now)
    assert estate.exceptions() == []
    assert [one for one in journey("parcel").expected if one.milestone == "delivered"] == []
    later(core, days=1)
    assert {one.kind for one in journey("parcel").findings} == {"overdue"}, "at the ERP; it was shipped, and brought"


def test_each_parcel_of_an_order_is_promised_and_brought_by_itself(estate: Estate, core: Core, journey: Tell) -> None:
    estate.tell(goods_in(), order("two", line(quantity=2)), payment("two", amount_minor=2000))
    for parcel in ("S1", "S2"):
        estate.tell(shipment("two", shipment_id=parcel, lines=(OrderUnits(sku="A1", quantity=1),)))
        promise = step_of("delivery_promised", "two", system="carrier", reference=parcel, due_at=NOON + DAY)
        estate.tell(promise)
    estate.tell(step_of("delivered", "two", system="carrier", reference="S1"))
    later(core, days=2)
    [owed] = [one for one in journey("two").expected if one.milestone == "delivered"]
    assert (owed.entity_id, owed.overdue) == ("S2", True)
