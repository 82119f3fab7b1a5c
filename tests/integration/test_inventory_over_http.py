"""Stock as channels, stores and warehouses see it: events in and availability out, over HTTP alone."""

import datetime as dt
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import (
    ChannelServed,
    Event,
    LocationRegistered,
    StockLine,
    StockRuleSet,
)
from tests.core import Core, later
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    NOON,
    adjustment,
    cloudevent,
    counted,
    feed_report,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    reclassified,
    shipment,
    stepped,
    transfer,
    transfer_in,
    transfer_out,
)


def rule(rule_id: str, kind: Any, **over: Any) -> StockRuleSet:
    return StockRuleSet(origin="shop", rule_id=rule_id, kind=kind, **over)


@pytest.mark.proves(85, 86, 90, 92, 97)
def test_ten_in_the_building_are_six_to_promise(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 10}), reclassified("B1", ("A1", 1, "good", "quarantine")))
    estate.tell(order("1", line(quantity=2)), transfer(units={"A1": 1}))
    assert estate.at() == {
        "on_hand": 10, "good": 9, "quarantine": 1, "reserved": 2, "committed": 1, "free": 6, "sellable": 6,
    }  # fmt: skip


@pytest.mark.proves(94, 95, 104, 105)
def test_safety_stock_a_cap_and_a_late_sale(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 10}), reclassified("B1", ("A1", 1, "good", "quarantine")))
    estate.tell(order("1", line(quantity=2)), transfer(units={"A1": 1}), rule("1", "safety", quantity=2))
    estate.tell(ChannelServed(origin="shop", channel="market", locations=("WH1",)))
    estate.tell(rule("2", "cap", channel="market", quantity=3))
    told = estate.offer(channel="market")
    assert (told["sellable"], told["available"]) == (4, 3)
    estate.tell(adjustment("late", StockLine(sku="A1", quantity=-7)))
    told = estate.offer(channel="market")
    assert (told["sellable"], told["available"]) == (0, 0)
    assert (estate.at()["free"], estate.at()["oversold"]) == (-1, 1)
    assert estate.exceptions() == [("oversold", "inventory", 400)]
    assert estate.sound()


@pytest.mark.proves(32, 87, 93)
def test_a_transfer_is_promised_to_nobody_from_its_request_to_its_receipt(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 5}), transfer(units={"A1": 3}))
    assert (estate.at()["committed"], estate.at()["sellable"]) == (3, 2)
    estate.tell(transfer_out(units={"A1": 3}))
    assert estate.at("ST1") == {"in_transit": 3}
    assert estate.offer()["sellable"] == 2
    estate.tell(transfer_in(units={"A1": 3}))
    assert estate.at("ST1") == {"on_hand": 3, "good": 3, "free": 3, "sellable": 3}
    assert estate.sound()


@pytest.mark.proves(88, 89, 91)
def test_what_comes_back_or_is_damaged_is_for_sale_only_after_inspection(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 3}), order("1", line(quantity=3)), payment("1", 3000), shipment("1"))
    estate.tell(goods_back("R1", line(quantity=2)))
    assert estate.at() == {"on_hand": 2, "return_pending": 2}
    estate.tell(reclassified("B1", ("A1", 1, "return_pending", "good"), ("A1", 1, "return_pending", "damaged")))
    assert estate.at() == {"on_hand": 2, "good": 1, "damaged": 1, "free": 1, "sellable": 1}
    assert estate.sound()


@pytest.mark.proves(77, 78)
def test_every_movement_of_goods_is_an_event_and_changes_what_is_there(estate: Estate, journey: Tell) -> None:
    events: list[tuple[Event, dict[str, int]]] = [
        (goods_in(), {"good": 5}),
        (order("moved", line(quantity=2)), {"good": 5, "reserved": 2}),
        (payment("moved", 2000), {"good": 5, "reserved": 2}),
        (stepped("picked", "moved", system="wms"), {"good": 5, "reserved": 2}),
        (stepped("packed", "moved", system="wms"), {"good": 5, "reserved": 2}),
        (shipment("moved"), {"good": 3}),
        (goods_back("back", order_id="moved"), {"good": 3, "return_pending": 1}),
        (adjustment(), {"good": 2, "return_pending": 1}),
        (transfer(units={"A1": 1}), {"good": 2, "return_pending": 1, "committed": 1}),
        (transfer_out(units={"A1": 1}), {"good": 1, "return_pending": 1}),
        (transfer_in(units={"A1": 1}), {"good": 1, "return_pending": 1}),
    ]
    buckets = ("good", "reserved", "committed", "return_pending")
    for event, expected in events:
        estate.tell(event)
        assert {bucket: count for bucket, count in estate.at().items() if bucket in buckets} == expected
    assert estate.at("ST1")["good"] == 1
    assert {"reserved", "picked", "packed", "shipped"} <= set(milestones(journey("moved")))
    assert "received" in milestones(journey("back"))
    assert estate.sound()


@pytest.mark.proves(31)
def test_a_hundred_buyers_of_one_unit(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 1}))

    def buy(number: int) -> str:
        answer = http.post("/v1/orders", json=msgspec.to_builtins(order(f"{number}")), timeout=60)
        return str(answer.json()[0]["state"]) if answer.status_code == 201 else "later"

    with ThreadPoolExecutor(10) as buyers:
        states = Counter(buyers.map(buy, range(100)))
    assert (states["reserved"], states["reserved"] + states["backordered"] + states["later"]) == (1, 100)
    assert (estate.at()["reserved"], estate.at().get("oversold", 0)) == (1, 0)
    assert estate.sound()


@pytest.mark.proves(100)
def test_a_marketplace_order_holds_its_goods_before_it_is_paid(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 3}), order("M1", line(quantity=2), channel="market"))
    [told] = http.get("/v1/orders/M1").json()
    assert (told["state"], told["paid_minor"]) == ("reserved", 0)
    assert estate.offer()["sellable"] == 1
    estate.tell(order("2", line(quantity=2)))
    assert http.get("/v1/orders/2").json()[0]["state"] == "backordered"


@pytest.mark.proves(101)
def test_a_sale_lowers_the_store_and_a_shipment_the_warehouse(estate: Estate) -> None:
    estate.tell(goods_in(), goods_in("D2", location="ST1"))
    at_till: dict[str, Any] = {"location": "ST1", "origin": "pos:1"}
    estate.tell(order("till", channel="store", **at_till), source="pos")
    assert (estate.at("ST1")["sellable"], estate.at()["sellable"]) == (4, 5)
    estate.tell(payment("till", origin="pos:1"), shipment("till", **at_till), source="pos")
    assert (estate.at("ST1")["on_hand"], estate.at()["on_hand"]) == (4, 5)
    estate.tell(order("web"), payment("web"), shipment("web"), source="wms")
    assert (estate.at("ST1")["on_hand"], estate.at()["on_hand"]) == (4, 4)


@pytest.mark.proves(233)
def test_counts_say_how_right_stock_is_by_channel(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 300, "B2": 7, "C3": 7}), goods_in("D2", {"A1": 5}, location="ST1"))
    estate.tell(counted("K1", {"A1": 298, "B2": 7, "C3": 4}))
    estate.tell(counted("K2", {"A1": 5}, location="ST1", channel="store"))
    told = [list(one.values()) for one in http.get("/v1/accuracy").json()]
    assert told == [["store", "ST1", 1, 1, 1, 1_000_000], ["web", "WH1", 3, 1, 2, 666_666]]


def repair(http: httpx.Client, *places: tuple[str, str]) -> list[dict[str, Any]]:
    wanted = {"by": "ann", "reason": "the disk was full",
              "places": [{"sku": sku, "location": location} for sku, location in places]}  # fmt: skip
    answer = http.post("/v1/audit/repairs", json=wanted)
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()
    return told


def test_a_repair_has_the_guards_of_every_other_change(estate: Estate, core: Core, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 5, "B2": 5}))
    core.change("update core.stock set good = 50 where sku = 'A1'")
    estate.tell(order("1", line(quantity=20)))
    assert estate.exceptions() == []
    [done] = repair(http, ("A1", "WH1"), ("B2", "WH1"))
    assert (done["before"]["good"], done["after"]["good"], done["by"]) == (50, 5, "ann")
    assert estate.exceptions() == [("oversold", "inventory", 15 * 400)]
    later(core, seconds=1)
    assert estate.at() == {"on_hand": 5, "good": 5, "reserved": 20, "free": -15, "oversold": 15}
    assert estate.sound()


def test_what_its_movements_cannot_say_is_not_repaired(estate: Estate, core: Core, http: httpx.Client) -> None:
    estate.tell(goods_in(), order("1"))
    core.change("update core.movement_lines set quantity = -3 where movement_id = 2")
    assert repair(http, ("A1", "WH1")) == []
    assert [kind for kind, _, _ in estate.exceptions()] == ["movements_damaged"]
    assert not estate.sound()
    core.change("update core.movements set units = -3 where movement_id = 2")
    later(core, seconds=1)
    assert repair(http, ("A1", "WH1")) == []
    assert [one["detail"] for one in http.get("/v1/exceptions").json()][1].endswith("its movements say reserved -3")
    core.change("update core.movement_lines set quantity = 1 where movement_id = 2",
                "update core.movements set units = 1 where movement_id = 2")  # fmt: skip
    assert estate.sound()


def reorder(**over: Any) -> StockRuleSet:
    return rule("point", "reorder", **{"sku": "A1", "location": "WH1", "quantity": 4, "target": 10} | over)


@pytest.mark.proves(33)
def test_what_falls_under_its_point_is_asked_for_once(estate: Estate, http: httpx.Client) -> None:
    def asked() -> list[tuple[str, str, int]]:
        return [(one["sku"], one["location"], one["quantity"]) for one in http.get("/v1/replenishments").json()]

    estate.tell(goods_in(), reorder(), rule("1", "safety", quantity=1))
    estate.tell(order("1"))
    assert asked() == [("A1", "WH1", 10 - 3)]
    estate.tell(order("2"), order("3"))
    assert asked() == [("A1", "WH1", 7)]
    assert estate.exceptions() == [("replenishment", "procurement", 7 * 400)]
    estate.tell(goods_in("D0", location="ST1"), transfer(units={"A1": 3}, from_location="ST1", to_location="WH1"))
    assert asked() == [("A1", "WH1", 7)]
    estate.tell(transfer_out(units={"A1": 3}))
    assert asked() == [("A1", "WH1", 4)]
    estate.tell(goods_in("D2", {"A1": 5}))
    assert (asked(), estate.exceptions()) == ([], [])
    estate.tell(order("4", line(quantity=3)))
    assert asked() == [("A1", "WH1", 10 - 3 - 3)]
    assert estate.sound()


def test_a_point_set_above_what_is_there_counts_at_once_and_ends_with_its_signal(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 3}), reorder())
    assert estate.exceptions() == [("replenishment", "procurement", 7 * 400)]
    estate.tell(reorder(quantity=0, target=0))
    assert estate.exceptions() == []
    estate.tell(order("1"))
    assert estate.exceptions() == []


@pytest.mark.parametrize(
    ("over", "field"),
    [({"kind": "reorder", "quantity": 5, "target": 5}, "target"), ({"kind": "reorder", "percent": 5}, "percent"),
     ({"kind": "cap", "quantity": 5}, "channel"), ({"kind": "safety", "channel": "web"}, "channel")],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused_with_the_field(http: httpx.Client, over: dict[str, Any], field: str) -> None:
    event = cloudevent(rule("1", "safety"))
    answer = http.post("/v1/events", json=event | {"data": event["data"] | over})
    assert answer.status_code == 400
    assert f"`{field}`" in answer.json()["detail"]


@pytest.mark.proves(79, 206)
def test_a_snapshot_validates_and_corrects_by_its_own_date(estate: Estate) -> None:
    estate.tell(goods_in(units={"A1": 10}))
    estate.tell(order("1", line(quantity=2)), payment("1", 2000), shipment("1"), at=NOON + dt.timedelta(hours=2))
    estate.tell(counted(units={"A1": 10}), at=NOON + dt.timedelta(hours=1))
    assert estate.at()["good"] == 8
    estate.tell(counted("K2", {"A1": 7}), at=NOON + dt.timedelta(hours=3))
    assert estate.at()["good"] == 7
    assert estate.sound()


@pytest.mark.proves(102)
def test_a_location_listens_to_its_source_of_record_alone(estate: Estate) -> None:
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse", stock_source="wms"))
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store", stock_source="pos"))
    estate.tell(goods_in("D1"), goods_in("D2", location="ST1"), source="pos")
    assert estate.offer()["sellable"] == 5
    assert estate.at("ST1")["good"] == 5
    estate.tell(goods_in("D3"), source="wms")
    assert estate.at()["good"] == 5
    assert estate.exceptions() == [("wrong_source", "integration", 0)]


@pytest.mark.proves(96, 107, 157)
def test_a_store_sees_what_is_there_and_beside_it(estate: Estate) -> None:
    for location, units in (("ST1", 1), ("ST2", 2), ("ST3", 4)):
        estate.tell(goods_in(location, {"A1": units}, location=location))
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store", near=("ST2",)))
    estate.tell(rule("1", "safety", location="ST2", quantity=1))
    told = estate.offer(near="ST1")
    assert [(one["location"], one["sellable"]) for one in told["locations"]] == [("ST1", 1), ("ST2", 1)]
    assert estate.offer()["sellable"] == 6


@pytest.mark.proves(106, 192)
def test_a_buffer_holds_while_a_feed_is_silent(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 9}), rule("1", "buffer", percent=50), feed_report())
    assert estate.offer()["sellable"] == 9
    later(core, minutes=16)
    assert estate.offer()["sellable"] == 5
    estate.tell(feed_report(), at=core.now)
    assert estate.offer()["sellable"] == 9
