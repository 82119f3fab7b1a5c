"""An order on its way through checks, systems and people, told over HTTP and found again in lineage."""

import datetime as dt

import httpx
import msgspec
import pytest

from sync_core.ledger.ledger import SalesTerms
from sync_core.messages import Event, OrderUnits
from tests.core import Core
from tests.estate import Estate, Tell, milestones
from tests.factories import NOON, cancellation, goods_in, line, order, payment, shipment, stepped


@pytest.mark.proves(37, 38, 39, 44, 80)
def test_checks_and_messages_are_hops_of_the_order(estate: Estate, journey: Tell) -> None:
    estate.tell(goods_in(), order("checked"))
    for step, system in [("validated", "oms"), ("payment_confirmed", "psp"), ("fraud_cleared", "risk engine"),
                         ("taxed", "tax engine"), ("notified", "mail")]:  # fmt: skip
        estate.tell(stepped(step, "checked", system=system, reference=f"{step}-7"))
    told = journey("checked")
    wanted = ["validated", "payment_confirmed", "fraud_cleared", "taxed", "notified"]
    assert [one for one in milestones(told) if one in wanted] == wanted
    assert told.header.state == "reserved"
    assert estate.exceptions() == []


@pytest.mark.proves(41, 42, 43, 59)
def test_from_the_warehouse_to_the_door(estate: Estate, journey: Tell) -> None:
    estate.tell(goods_in(), order("door"), payment("door"))
    for step, state in [("routed", "reserved"), ("released", "released"), ("picked", "picked"), ("packed", "packed")]:
        estate.tell(stepped(step, "door", system="wms", location="WH1"))
        assert journey("door").header.state == state
    estate.tell(shipment("door"), stepped("acknowledged", "door", system="marketplace"))
    estate.tell(stepped("delivered", "door", system="carrier"))
    told = journey("door")
    assert {"shipped", "acknowledged", "delivered"} <= set(milestones(told))
    assert estate.at() == {"on_hand": 4, "good": 4, "free": 4, "sellable": 4}
    assert estate.sound()


@pytest.mark.proves(50, 51)
def test_a_store_takes_its_own_goods_for_a_customer_who_comes(estate: Estate, journey: Tell) -> None:
    estate.tell(goods_in(location="ST1", units={"A1": 2}))
    estate.tell(order("pickup", location="ST1"), order("from store", location="ST1"), payment("pickup"))
    estate.tell(payment("from store"), stepped("ready_for_pickup", "pickup", system="pos", location="ST1"))
    assert journey("pickup").header.state == "ready for pickup"
    estate.tell(stepped("picked_up", "pickup", system="pos", location="ST1"), shipment("pickup", location="ST1"))
    estate.tell(shipment("from store", location="ST1"))
    assert "picked_up" in milestones(journey("pickup"))
    assert estate.at("ST1") == {}
    assert estate.sound()


def test_what_is_told_of_a_pickup_by_till_and_store_system_is_one_pickup(
    estate: Estate, core: Core, http: httpx.Client
) -> None:
    """Whichever comes first, and under one number or two: goods leave once, and once they are revenue."""
    core.rules = msgspec.structs.replace(
        core.rules, channels={"web": SalesTerms(tax_point="capture", revenue_on="picked_up")}
    )
    estate.tell(goods_in(units={"A1": 9}))
    taken = {"lines": (OrderUnits(sku="A1", quantity=1),)}
    stories: dict[str, list[Event]] = {
        "one": [stepped("picked_up", "one"), shipment("one")],
        "two": [shipment("two"), stepped("picked_up", "two")],
        "named": [stepped("picked_up", "named", reference="Snamed"), shipment("named", **taken)],
        "parts": [stepped("picked_up", "parts", reference=one, **taken) for one in ("P1", "P2")],
        "early": [],
    }  # fmt: skip
    for name in stories:
        estate.tell(order(name, line(quantity=2 if name == "parts" else 1)))
    estate.tell(stepped("picked_up", "early"))
    assert core.states()["parked"] == 1, "nobody gives away what is not paid"
    for name, events in stories.items():
        due = http.get(f"/v1/orders/{name}").json()[0]["due_minor"]
        estate.tell(payment(name, amount_minor=due), *events)
        assert http.get(f"/v1/orders/{name}").json()[0]["state"] == "shipped", name
    assert estate.exceptions() == []
    assert estate.at() == {"on_hand": 3, "good": 3, "free": 3, "sellable": 3}
    assert core.balance("liabilities:contract") == 0
    assert core.balance("revenue:goods") == -6000
    assert estate.sound()


def test_a_pickup_of_what_was_not_kept_for_the_customer_is_somebodys(estate: Estate) -> None:
    estate.tell(goods_in(), order("1"), payment("1"), cancellation("1"), stepped("picked_up"))
    assert ("shipment_not_reserved", "warehouse", 1000) in estate.exceptions()


def test_a_check_that_failed_has_an_owner_until_it_is_passed(estate: Estate, journey: Tell) -> None:
    estate.tell(goods_in(), order("risky"), stepped("fraud_cleared", "risky", failed=True, reason="address"))
    assert estate.exceptions() == [("fraud_cleared_failed", "risk", 1000)]
    assert "fraud_cleared" not in milestones(journey("risky"))
    estate.tell(stepped("fraud_cleared", "risky", failed=True), at=NOON + dt.timedelta(minutes=5))
    assert len(estate.exceptions()) == 1
    estate.tell(stepped("fraud_cleared", "risky"), at=NOON + dt.timedelta(minutes=9))
    assert estate.exceptions() == []
    assert "fraud_cleared" in milestones(journey("risky"))


def test_a_late_word_of_an_earlier_failure_changes_nothing(estate: Estate) -> None:
    estate.tell(goods_in(), order("1"), stepped("taxed"), at=NOON + dt.timedelta(minutes=5))
    estate.tell(stepped("taxed", failed=True), at=NOON)
    assert estate.exceptions() == []


def test_goods_that_leave_although_a_check_failed_are_known_at_once(estate: Estate) -> None:
    estate.tell(goods_in(), order("1"), payment("1"), stepped("fraud_cleared", failed=True))
    estate.tell(stepped("released", system="wms"), shipment("1"))
    assert sorted(kind for kind, _, _ in estate.exceptions()) == [
        "fraud_cleared_failed", "released_too_early", "shipped_while_held",
    ]  # fmt: skip
    assert estate.at()["good"] == 4  # they are gone whoever allowed it
    assert estate.sound()


def test_a_release_of_what_is_not_there_is_an_exception(estate: Estate) -> None:
    estate.tell(order("1", line(quantity=3)), stepped("released", system="wms"))
    assert sorted(kind for kind, _, _ in estate.exceptions()) == ["backorder", "released_too_early"]


def test_a_cancelled_order_has_no_failed_checks(estate: Estate) -> None:
    estate.tell(goods_in(), order("1"), stepped("payment_confirmed", failed=True), cancellation("1"))
    assert estate.exceptions() == []


@pytest.mark.proves(182)
def test_a_step_before_its_order_waits_for_it(estate: Estate, core: Core, journey: Tell) -> None:
    estate.tell(stepped("fraud_cleared", "early"))
    assert core.states() == {"parked": 1}
    estate.tell(goods_in(), order("early"))
    assert core.states() == {"done": 3}
    assert "fraud_cleared" in milestones(journey("early"))


def test_goods_that_left_before_they_were_booked_in_leave_when_they_are(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 1}), order("1", line(quantity=2)), payment("1", 2000), shipment("1"))
    assert {kind for kind, _, _ in estate.exceptions()} == {"backorder", "shipment_not_reserved"}
    estate.tell(shipment("1", shipment_id="S2"))
    assert len(estate.exceptions()) == 2, "the warehouse has one task about it"
    estate.tell(goods_in("D2", units={"A1": 5}))
    assert http.get("/v1/orders/1").json()[0]["state"] == "shipped"
    assert estate.exceptions() == []
    assert estate.at() == {"on_hand": 4, "good": 4, "free": 4, "sellable": 4}
    assert estate.sound()
