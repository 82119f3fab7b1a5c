"""What a marketplace's contract asks for, reservations that lapse and orders placed twice, told over HTTP."""

import datetime as dt

import httpx
import pytest

from sync_core.exceptions.deadlines import Deadlines
from tests.core import Core, later
from tests.estate import Estate, Tell, milestones
from tests.factories import cancellation, goods_in, line, order, payment, shipment, stepped, terms, units


def pass_time(core: Core, **by: float) -> None:
    """Let the clock go on, and do what is due then."""
    later(core, **by)
    deadlines = Deadlines(core.db, lambda: core.now)
    deadlines.run_once()
    core.work()
    deadlines.run_once()


@pytest.mark.proves(45, 201)
def test_a_marketplace_order_is_acknowledged_in_its_window_or_somebody_is_told(
    estate: Estate, core: Core, journey: Tell, http: httpx.Client
) -> None:
    estate.tell(goods_in(units={"A1": 9}), terms("bazaar", acknowledge_seconds=4 * 3600))
    estate.tell(order("late", line("A1", 2), channel="bazaar"), order("quick", channel="bazaar"), order("own"))
    estate.tell(order("soon", channel="web", acknowledge_by=core.now + dt.timedelta(minutes=20)))
    estate.tell(stepped("acknowledged", "quick", system="bazaar"))
    late = journey("late")
    [due] = [one for one in late.expected if one.milestone == "acknowledged"]
    assert (due.owner, due.overdue, due.amount.amount_minor if due.amount else 0) == ("marketplaces", False, 2000)
    assert due.due_at == late.header.started_at + dt.timedelta(hours=4)
    for other in ("quick", "own"):
        assert not [one for one in journey(other).expected if one.milestone == "acknowledged"]
    pass_time(core, minutes=30)
    assert estate.exceptions() == [("acknowledgement_overdue", "marketplaces", 1000)]
    pass_time(core, hours=4)
    assert estate.exceptions() == [
        ("acknowledgement_overdue", "marketplaces", 1000), ("acknowledgement_overdue", "marketplaces", 2000),
    ]  # fmt: skip
    [item] = http.get("/v1/exceptions", params={"kind": "acknowledgement_overdue"}).json()[1:]
    assert (item["severity"], item["entity_id"]) == ("critical", "late")
    assert [one.overdue for one in journey("late").expected if one.milestone == "acknowledged"] == [True]
    estate.tell(stepped("acknowledged", "late", system="bazaar"), cancellation("soon"))
    assert estate.exceptions() == []
    assert not [one for one in journey("late").expected if one.milestone == "acknowledged"]
    assert core.one("select count(*) from core.order_deadlines") == 0


@pytest.mark.proves(46)
def test_a_marketplace_is_told_of_each_shipment_in_its_window(estate: Estate, core: Core, journey: Tell) -> None:
    estate.tell(goods_in(), terms("bazaar", confirm_shipment_seconds=3600))
    estate.tell(order("1", line("A1", 2), channel="bazaar"), payment("1", 2000))
    estate.tell(stepped("shipment_confirmed", "1", system="bazaar", reference="S0"))
    for number in (0, 1):
        estate.tell(shipment("1", shipment_id=f"S{number}", lines=(units(),)))
    waited = [(one.entity_id, one.owner) for one in journey("1").expected if one.milestone == "confirmed"]
    assert waited == [("S1", "marketplaces")]
    pass_time(core, hours=2)
    assert estate.exceptions() == [("shipment_not_confirmed", "marketplaces", 2000)]
    estate.tell(stepped("shipment_confirmed", "1", system="bazaar", reference="S1"))
    assert estate.exceptions() == []
    assert not [one for one in journey("1").expected if one.milestone == "confirmed"]


@pytest.mark.proves(31)
def test_a_reservation_that_nobody_pays_for_lapses_and_a_payment_renews_it(
    estate: Estate, core: Core, journey: Tell, http: httpx.Client
) -> None:
    estate.tell(goods_in(units={"A1": 3}), terms(reservation_seconds=1800))
    for name, count in (("paid", 1), ("unpaid", 2)):
        estate.tell(order(name, line("A1", count)))
    estate.tell(order("waits", line("A1", 1)), payment("paid"))
    assert estate.at()["reserved"] == 3
    pass_time(core, minutes=31)
    core.work()
    assert http.get("/v1/orders/unpaid").json()[0]["state"] == "lapsed"
    assert http.get("/v1/orders/waits").json()[0]["state"] == "reserved"
    assert estate.exceptions() == [("reservation_lapsed", "order management", 2000)]
    assert "lapsed" in milestones(journey("unpaid"))
    estate.tell(payment("unpaid", 2000))
    assert estate.exceptions() == [("backorder", "inventory", 2000)]
    estate.tell(cancellation("waits"))
    core.work()
    assert http.get("/v1/orders/unpaid").json()[0]["state"] == "reserved"
    assert (estate.exceptions(), estate.at()["reserved"]) == ([], 3)
    assert estate.sound()


@pytest.mark.proves(35)
def test_the_same_basket_twice_within_minutes_is_held_until_somebody_decides(
    estate: Estate, core: Core, http: httpx.Client
) -> None:
    estate.tell(goods_in(units={"A1": 20}))
    at = core.now
    for minutes, name, count in ((0, "1", 2), (3, "2", 2), (3, "other", 1), (5, "3", 2), (30, "much later", 2)):
        estate.tell(order(name, line("A1", count), customer_ref="100"), at=at + dt.timedelta(minutes=minutes))
    estate.tell(order("4", line("A1", 2), customer_ref="200"), order("5", line("A1", 2)))
    opened = http.get("/v1/exceptions", params={"kind": "suspected_duplicate"}).json()
    assert [(one["entity_id"], one["owner"], one["amount_minor"]) for one in opened] == [
        ("2", "order management", 2000), ("3", "order management", 2000),
    ]  # fmt: skip
    assert "order 1 of" in opened[0]["detail"]
    estate.tell(stepped("released", "2", system="wms"))
    assert [kind for kind, _, _ in estate.exceptions()][-1] == "released_too_early"
    decision = {"ids": [opened[0]["exception_id"]], "by": "anna", "reason": "a gift for a friend"}
    assert http.post("/v1/exceptions/resolve", json=decision).json()["done"] == 1
    estate.tell(payment("2", 2000), shipment("2"), cancellation("3"))
    assert [kind for kind, _, _ in estate.exceptions()] == ["released_too_early"]
    assert estate.sound()
