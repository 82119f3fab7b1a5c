"""Orders that leave in parts, lose parts and are edited: every part of the money adds up to the whole to the cent."""

import itertools
from typing import Any

import pytest

from sync_core.messages import Event
from sync_core.unit import DONE
from tests.factories import (
    cancellation,
    credit_memo,
    edited,
    edited_line,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    shipment,
    stepped,
    units,
)
from tests.unit.sync_core.shop import Shop

THIRDS = (line("A1", 3, amount_minor=1000), line("POST", 1, 350, kind="shipping"), line("D", 1, -100, kind="discount"))


def test_three_shipments_of_one_unit_come_to_the_whole_order() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", *THIRDS, tax_minor=250), payment("1", 1500))
    revenue = []
    for number in (1, 2, 3):
        assert shop.see(shipment("1", shipment_id=f"S{number}", lines=(units(),))) == DONE
        revenue.append({k: v for k, v in shop.journal(f"shipment/S{number}").items() if k.startswith("revenue")})
    assert revenue == [
        {"revenue:goods": -333, "revenue:shipping": -117, "revenue:discounts": 33},
        {"revenue:goods": -333, "revenue:shipping": -116, "revenue:discounts": 33},
        {"revenue:goods": -334, "revenue:shipping": -117, "revenue:discounts": 34},
    ]
    assert [shop.journal(f"shipment/S{number}")["expenses:cost of goods"] for number in (1, 2, 3)] == [400] * 3
    assert (shop.order().state, shop.order().contract, shop.balance("liabilities:contract")) == ("shipped", {}, 0)
    assert (shop.stock().good, shop.stock().reserved) == (2, 0)
    assert [one for _, one, _ in shop.milestones if one] == [
        "captured", "reserved", "captured", "shipped", "partially_shipped", "shipped", "partially_shipped", "shipped",
        "fulfilled",
    ]  # fmt: skip


def test_a_shipment_that_comes_twice_moves_nothing_twice() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 3)), payment("1", 3000), shipment("1", lines=(units("A1", 1),)))
    moved, posted = shop.moved, shop.posted
    assert shop.see(shipment("1", lines=(units("A1", 1),))).reason == "shipment S1 is known"
    assert (shop.moved, shop.posted, shop.exceptions) == (moved, posted, [])


def test_a_shipment_of_more_than_is_open_is_an_exception_and_moves_nothing() -> None:
    shop = Shop(A1=5, B2=5)
    shop.see(order("1", line("A1", 3), line("B2", 1)), payment("1", 4000))
    shop.see(shipment("1", lines=(units("A1", 1),)))
    posted = shop.posted
    shop.see(shipment("1", shipment_id="S2", lines=(units("B2", 1), units("A1", 3))))
    assert shop.exceptions == [("shipment_not_reserved", "1/S2", "warehouse", 4000)]
    assert shop.unit.exceptions[0][0].detail == "shipment S2 has 3 of A1 where 2 are open"
    assert (shop.posted, shop.stock("B2").good, shop.stock().good) == (posted, 5, 4)


def test_the_line_of_a_shipment_may_be_named() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 1, 1000), line("A1", 1, 600)), payment("1", 1600))
    shop.see(shipment("1", lines=(units("A1", 1, line_no=2),)))
    assert shop.journal("shipment/S1")["revenue:goods"] == -600
    shop.see(shipment("1", shipment_id="S2", lines=(units("A1", 1, line_no=2),)))
    assert shop.exceptions[0][0] == "shipment_not_reserved"


def test_without_lines_the_second_shipment_is_the_rest() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 3)), payment("1", 3000), shipment("1", lines=(units(),)))
    shop.see(shipment("1", shipment_id="S2"))
    assert (shop.order().state, shop.journal("shipment/S2")["revenue:goods"]) == ("shipped", -2000)


def test_goods_of_a_part_that_is_shipped_come_back_and_others_cannot() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 3), customer_ref="100"), payment("1", 3000), shipment("1", lines=(units(),)))
    assert shop.see(goods_back("R0", line("A1", 2))).state == "parked", "the second may be on its way"
    assert shop.see(goods_back("R1", line("A1", 1))) == DONE
    shop.see(credit_memo("C1", line("A1", -3)), minutes=5)
    assert (shop.line().returned, shop.line().cancelled, shop.line().shipped) == (1, 2, 1)
    assert (shop.order().state, shop.stock().reserved, shop.stock().return_pending) == ("shipped", 0, 1)


def test_a_part_is_cancelled_with_its_share_of_everything() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", *THIRDS, tax_minor=250), payment("1", 1500))
    assert shop.see(cancellation("1", lines=(units(),))) == DONE
    assert shop.journal("cancellation/X1") == {
        "liabilities:contract:goods": 300,
        "liabilities:contract:shipping": 117,
        "liabilities:sales tax": 83,
        "liabilities:refunds:approved": -500,
    }
    assert (shop.order().state, shop.stock().reserved, shop.stock().free) == ("reserved", 2, 3)
    shop.see(shipment("1", lines=(units(),)), cancellation("1", cancellation_id="X2"))
    assert shop.order().state == "shipped"
    assert shop.balance("liabilities:contract") == 0
    assert shop.balance("assets:clearing") + shop.balance("revenue") + shop.balance("liabilities:sales tax") == 0
    assert shop.balance("revenue:goods") == -333
    assert (shop.stock().reserved, shop.stock().good) == (0, 4)


@pytest.mark.parametrize("paid", [True, False])
def test_a_part_cancelled_before_or_after_the_payment_costs_the_same(paid: bool) -> None:
    shop = Shop(A1=5)
    part = cancellation("1", lines=(units("A1", 2),))
    shop.see(order("1", *THIRDS, tax_minor=250))
    shop.see(*((payment("1", 1500), part) if paid else (part, payment("1", 502))))
    assert (shop.order().amount_minor, shop.order().tax_minor, shop.order().due_minor) == (418, 84, 0)
    assert shop.balance("assets:clearing") == 502
    shop.see(shipment("1"))
    assert (shop.balance("liabilities:contract"), shop.balance("revenue")) == (0, -418)
    assert shop.exceptions == []


def test_an_edit_adds_removes_and_prices_lines_and_the_difference_is_paid() -> None:
    shop = Shop(A1=5, B2=5, C3=5)
    shop.see(order("1", line("A1", 2), line("B2", 1), tax_minor=600), payment("1", 3600))
    shop.see(
        edited("1", edited_line(1, "A1", 1, 900), edited_line(2, "B2", 0), edited_line(3, "C3", 4, 1000)), minutes=1
    )
    assert (shop.order().amount_minor, shop.order().tax_minor, shop.order().due_minor) == (4900, 980, 2280)
    assert [shop.stock(sku).reserved for sku in ("A1", "B2", "C3")] == [1, 0, 4]
    assert shop.posted == ["order/1"]
    assert shop.see(shipment("1")).reason == "order 1 is not paid"
    shop.see(payment("1", 2280, payment_id="P2"))
    assert shop.journal("capture/P2") == {
        "assets:clearing:card": 2280, "liabilities:contract:goods": -1900, "liabilities:sales tax": -380,
    }  # fmt: skip
    shop.see(shipment("1"))
    assert (shop.balance("liabilities:contract"), shop.balance("revenue")) == (0, -4900)
    assert shop.exceptions == []


def test_an_edit_that_makes_an_order_less_is_given_back() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 3), tax_minor=600), payment("1", 3600))
    shop.see(edited("1", edited_line(1, "A1", 2), tax_minor=400), minutes=1)
    assert shop.journal("edit/E1") == {
        "liabilities:refunds:approved": -1200, "liabilities:contract:goods": 1000, "liabilities:sales tax": 200,
    }  # fmt: skip
    assert (shop.stock().reserved, shop.order().state) == (2, "reserved")


LIFE: dict[str, tuple[Event, float]] = {
    "paid": (payment("1", 3000), 1),
    "more": (edited("1", edited_line(1, "A1", 4), edit_id="E1"), 2),
    "less": (edited("1", edited_line(1, "A1", 2), edit_id="E2"), 3),
    "part": (cancellation("1", lines=(units(),)), 4),
}


@pytest.mark.parametrize("sequence", list(itertools.permutations(LIFE)), ids=" ".join)
def test_edits_and_cancellations_end_alike_in_any_order_of_arrival(sequence: tuple[str, ...]) -> None:
    shop = Shop(A1=9)
    shop.see(order("1", line("A1", 3)))
    for name in sequence:
        event, minutes = LIFE[name]
        shop.see(event, minutes=minutes)
        shop.see(event, minutes=minutes)
    if shop.order().provider == "":
        shop.see(payment("1", shop.order().due_minor, payment_id="P2"))
    assert (shop.line().quantity, shop.line().cancelled, shop.stock().reserved) == (2, 1, 1)
    assert (shop.order().amount_minor, shop.order().due_minor, shop.order().state) == (1000, 0, "reserved")
    shop.see(shipment("1"), minutes=9)
    books = {account: shop.balance(account) for account in ("assets:clearing", "revenue", "liabilities:contract")}
    assert books == {"assets:clearing": 1000, "revenue": -1000, "liabilities:contract": 0}


def test_what_an_edit_adds_and_is_not_there_is_back_ordered_and_the_rest_stays_reserved() -> None:
    shop = Shop(A1=5, B2=1)
    shop.see(order("1", line("A1", 2)), payment("1", 2000))
    shop.see(edited("1", edited_line(2, "B2", 3, 0)), minutes=1)
    assert (shop.order().state, shop.stock("A1").reserved, shop.stock("B2").reserved) == ("backordered", 2, 0)
    assert shop.exceptions == [("backorder", "1", "inventory", 2000)]
    shop.see(shipment("1", lines=(units("A1", 2),)))
    assert shop.order().state == "partially_shipped"
    shop.see(edited("1", edited_line(2, "B2", 1, 0), edit_id="E2"), minutes=2)
    assert (shop.stock("B2").reserved, [item for item, _, _ in shop.unit.resolved]) == (1, ["shop:backorder/1"])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "shipped": ({"lines": (edited_line(1, "A1", 1),)}, "of line 1 2 are shipped and 0 cancelled"),
    "priced": ({"lines": (edited_line(1, "A1", 2, 900),)}, "line 1 is shipped"),
    "another SKU": ({"lines": (edited_line(2, "Z9", 1),)}, "line 2 is of B2, not of Z9"),
    "currency": ({"currency": "EUR"}, "it is in EUR, the order in GBP"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_edit_that_cannot_be_is_an_exception_and_changes_nothing(why: str) -> None:
    over, detail = REFUSED[why]
    shop = Shop(A1=5, B2=5)
    shop.see(order("1", line("A1", 2), line("B2", 1)), payment("1", 3000), shipment("1", lines=(units("A1", 2),)))
    before = (shop.posted, shop.moved, shop.line().amount_minor)
    assert shop.see(edited("1", **over), minutes=1).state == "rejected"
    assert shop.exceptions == [("edit_not_possible", "1/E1", "customer service", 3000)]
    assert shop.unit.exceptions[0][0].detail == f"edit E1: {detail}"
    assert (shop.posted, shop.moved, shop.line().amount_minor) == before


def test_an_edit_that_leaves_nothing_is_a_cancellation() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), edited("1", edited_line(1, "A1", 0)))
    assert shop.unit.exceptions[0][0].detail == "edit E1: it leaves nothing: cancel the order"


def test_an_edit_of_before_the_cancellation_is_late_and_one_after_it_is_an_exception() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"))
    shop.see(cancellation("1"), minutes=5)
    assert shop.see(edited("1"), minutes=3).reason == "order 1 was cancelled after edit E1"
    assert shop.exceptions == []
    assert shop.see(edited("1", edit_id="E2"), minutes=7).state == "rejected"
    assert shop.exceptions[0][:3] == ("edit_not_possible", "1/E2", "customer service")


def test_a_rest_that_is_edited_away_completes_the_order_and_its_carriage_is_earned() -> None:
    shop = Shop(A1=5, B2=5)
    shop.see(order("1", line("A1", 1), line("B2", 1), line("POST", 1, 300, kind="shipping")), payment("1", 2300))
    shop.see(shipment("1", lines=(units("A1", 1),)), edited("1", edited_line(2, "B2", 0)), minutes=1)
    assert (shop.order().state, shop.order().contract) == ("shipped", {})
    assert (shop.balance("revenue:shipping"), shop.balance("assets:clearing")) == (-300, 1300)


def test_the_warehouse_hears_of_a_change_after_the_release() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), stepped("released"), edited("1", edited_line(1), address="2 New Street"), minutes=1)
    assert shop.exceptions == [("changed_after_release", "1", "warehouse", 1000)]


def test_a_change_that_waits_for_its_order_is_parked() -> None:
    shop = Shop(A1=5)
    assert [shop.see(one).state for one in (edited("1"), shipment("1"), cancellation("1"))] == ["parked"] * 3
    shop.see(goods_in("D2", {"A1": 1}))
    assert shop.posted == ["receipt/D2"]
