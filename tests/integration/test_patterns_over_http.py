"""How systems work together through the core: canonical events, orchestration, layers, fallback; told over HTTP."""

import datetime as dt
import random
from collections.abc import Callable

import httpx
import pytest

from sync_core.erp.http import ErpClient
from sync_core.messages import Event, LocationRegistered, PaymentSettled, StockRuleSet
from sync_core.outbox import ErpRelay
from tests.core import Core, later
from tests.erp import Erp
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    NOON,
    adjustment,
    cloudevent,
    feed_report,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    payment_word,
    reclassified,
    refund,
    shipment,
    stepped,
    transfer,
    transfer_in,
    transfer_out,
)


def told_by(journey: Tell, number: str) -> set[str]:
    return {f"{hop.domain}.{hop.hop}" for hop in journey(number).hops}


@pytest.mark.proves(75, 77, 78, 163)
def test_every_movement_and_every_money_is_an_event_of_one_model(estate: Estate, core: Core, journey: Tell) -> None:
    estate.tell(goods_in("GR1", {"A1": 9}), source="wms")
    assert told_by(journey, "shop:receipt/GR1") == {"inventory.receive", "posting.journal"}
    estate.tell(order("all", line(quantity=2)), source="market")
    assert estate.at()["reserved"] == 2
    estate.tell(stepped("picked", "all"), stepped("packed", "all"), payment("all", 2000), shipment("all"), source="wms")
    assert estate.at() == {"on_hand": 7, "good": 7, "free": 7, "sellable": 7}
    assert {"order.picked", "order.packed", "order.ship", "inventory.reserve"} <= told_by(journey, "all")
    estate.tell(goods_back("R-all", line(quantity=2), order_id="all"), refund("F", 2000, "R-all"))
    estate.tell(reclassified("B-all", ("A1", 2, "return_pending", "good")))
    assert {"return.receive", "refund.issue"} <= told_by(journey, "R-all")
    assert "inventory.reclassify" in told_by(journey, "shop:reclassification/B-all")
    estate.tell(adjustment("N-all"), source="pos")
    assert "inventory.adjust" in told_by(journey, "N-all")
    estate.tell(transfer("T-all"), transfer_out("T-all"), transfer_in("T-all"), source="wms")
    moved = {"inventory.transfer_request", "inventory.transfer_ship", "inventory.transfer_receive"}
    assert moved <= told_by(journey, "T-all")
    assert (estate.at()["good"], estate.at("ST1")["good"]) == (6, 2)
    estate.tell(payment_word(PaymentSettled, "all", 2000, payout_id="PO1"), source="psp")
    assert "settlement.match" in told_by(journey, "all")
    assert journey("PO1").header.reference == "all", "found by the number of its payout"
    assert estate.sound()


@pytest.mark.proves(166, 170)
def test_steps_that_arrive_in_any_order_are_brought_into_theirs(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell
) -> None:
    estate.tell(goods_in(), stepped("delivered", "flow", system="carrier"), shipment("flow"), payment("flow"))
    waiting = http.get("/v1/status").json()
    assert (waiting["inbox_queued"], waiting["inbox_parked"]) == (0, 3)
    http.post("/v1/events", json=cloudevent(order("flow"), "flow"))
    assert http.get("/v1/status").json()["inbox_queued"] == 1, "taken, and not yet worked off"
    assert http.get("/v1/orders/flow").status_code == 404
    core.work()
    [told] = http.get("/v1/orders/flow").json()
    assert (told["state"], told["paid_minor"], core.states()) == ("shipped", 1000, {"done": 5})
    assert estate.exceptions() == []
    for number in ("flow", "Pflow", "Sflow", "shop:order/flow"):
        found = journey(number)
        assert (found.header.reference, found.header.state) == ("flow", "delivered")
    assert {"captured", "reserved", "shipped", "delivered"} <= set(milestones(found))
    earned = [one.posting for one in found.journal if any(line.account == "revenue:goods" for line in one.lines)]
    assert earned == ["shipment/Sflow"], "it was earned after it was paid"
    assert estate.sound()


@pytest.mark.proves(167)
def test_an_event_is_transformed_enriched_routed_and_held_to_policy(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell
) -> None:
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse", stock_source="wms"))
    estate.tell(goods_in("D1"), source="shop")
    assert estate.exceptions() == [("wrong_source", "integration", 0)]
    estate.tell(goods_in("D2"), source="wms")
    estate.tell(order("made", line(quantity=2)), stepped("routed", "made", location="ST1"))
    assert [hop.location for hop in journey("made").hops if hop.milestone == "routed"] == ["ST1"]
    estate.tell(payment("made", 2000), stepped("fraud_cleared", "made", system="risk", failed=True), shipment("made"))
    posted = {entry.posting: entry for entry in journey("made").journal}
    cost = [
        one.amount.amount_minor for one in posted["shipment/Smade"].lines if one.account == "expenses:cost of goods"
    ]
    assert cost == [800], "the shop knows no cost: it comes from the warehouse's receipt"
    hops = {hop.entity_id: hop for hop in journey("made").hops if hop.hop == "journal"}
    assert hops["shipment/Smade"].due_at is not None
    assert hops["shipment/Smade"].owner == "finance"
    owners = {one["kind"]: one["owner"] for one in http.get("/v1/exceptions").json()}
    assert owners == {
        "wrong_source": "integration", "fraud_cleared_failed": "risk", "shipped_while_held": "warehouse",
    }  # fmt: skip


@pytest.mark.proves(178, 191)
def test_each_layer_goes_on_when_another_is_away(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell, free_port: Callable[[], int]
) -> None:
    estate.tell(goods_in(units={"A1": 9}), StockRuleSet(origin="erp", rule_id="1", kind="buffer", percent=50))
    estate.tell(feed_report())
    nowhere = ErpClient(f"http://127.0.0.1:{free_port()}", lambda: core.now)
    away = ErpRelay(core.db, nowhere, lambda: core.now)
    estate.tell(order("away"), payment("away"), stepped("taxed", "away", system="tax", failed=True, reason="no answer"))
    assert (away.run_once(), away.up) == (0, False)
    nowhere.close()
    later(core, minutes=16)
    [there] = estate.offer()["locations"]
    assert (there["degraded"], there["sellable"]) == (True, 4), "the feed is silent: half is kept back"
    assert estate.exceptions() == [("taxed_failed", "tax", 1000)]
    assert {hop.stage for hop in journey("away").hops} == {"source", "transformation", "erp"}
    assert http.get("/v1/status").json()["outbox_waiting"] == 2

    books = Erp()
    with books.serving() as url:
        back = ErpClient(url, lambda: core.now)
        ErpRelay(core.db, back, lambda: core.now).run_once()
        back.close()
    estate.tell(feed_report(), stepped("taxed", "away", system="tax"), shipment("away"), at=core.now)
    assert len(books.documents) == 2
    assert (estate.exceptions(), estate.at()["sellable"]) == ([], 8)
    assert http.get("/v1/orders/away").json()[0]["state"] == "shipped"


@pytest.mark.proves(194)
def test_a_store_that_was_offline_tells_hours_of_sales_in_bulk(
    http: httpx.Client, estate: Estate, core: Core, journey: Tell
) -> None:
    estate.tell(StockRuleSet(origin="erp", rule_id="1", kind="buffer", percent=50))
    estate.tell(goods_in(units={"A1": 10}, location="ST1"), feed_report(feed="pos", location="ST1"), source="pos")
    later(core, hours=3)
    [there] = estate.offer()["locations"]
    assert (there["degraded"], there["sellable"]) == (True, 5)
    estate.tell(order("click", line(quantity=4), location="ST1"), at=core.now)
    sales = []
    for number in range(5):
        at, receipt = NOON + dt.timedelta(minutes=30 * number), f"0302/1/{number}"
        events: tuple[Event, ...] = (
            order(receipt, origin="pos:st1", location="ST1"), payment(receipt, origin="pos:st1"),
            shipment(receipt, origin="pos:st1", location="ST1", shipment_id=f"B{number}"),
        )  # fmt: skip
        sales += [cloudevent(one, f"{number}/{n}", at=at, source="pos") for n, one in enumerate(events)]
    random.Random(7).shuffle(sales)
    assert http.post("/v1/events", json=sales).json()["accepted"] == 15
    core.work()
    estate.tell(feed_report(feed="pos", location="ST1"), source="pos", at=core.now)
    assert core.states().keys() == {"done"}
    assert estate.exceptions() == []
    assert estate.at("ST1") == {"on_hand": 5, "good": 5, "reserved": 4, "free": 1, "sellable": 1}
    last = journey("0302/1/4")
    assert (last.header.state, last.header.origin) == ("shipped", "pos:st1")
    assert {hop.at for hop in last.hops if hop.stage == "source"} == {NOON + dt.timedelta(hours=2)}
    assert estate.sound()
