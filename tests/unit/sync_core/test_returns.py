"""Returns use up the sales that they give back, and never is more refunded than was approved."""

import datetime as dt

import pytest

from collector.semconv import correlation_id
from sync_core.messages import CreditMemoIssued, Event
from sync_core.unit import DONE, Verdict
from tests.factories import (
    cancellation,
    charge,
    credit_memo,
    goods_back,
    line,
    order,
    payment,
    refund,
    shipment,
    write_off,
)
from tests.unit.sync_core.shop import Shop

ORDER, RETURN, MEMO = (correlation_id("shop", number) for number in ("1", "R1", "C1"))


def sold(
    shop: Shop, order_id: str, quantity: int = 4, price_minor: int = 1000, *, position: int, minutes: int = 0
) -> None:
    """An order of A1 by customer 100 at a place in a file, paid and shipped at once."""
    lines = (line("A1", quantity, price_minor, position=position),)
    shop.see(order(order_id, *lines, customer_ref="100"), minutes=minutes)
    shop.see(payment(order_id, quantity * price_minor), shipment(order_id), minutes=minutes)


def memo(quantity: int = -1, price_minor: int = 1000, *, position: int = 100, **over: str) -> CreditMemoIssued:
    return credit_memo("C1", line("A1", quantity, price_minor, position=position), **over)


def returned(shop: Shop, *order_ids: str) -> dict[str, int]:
    return {order_id: shop.line(order_id).returned for order_id in order_ids}


DAY = 24 * 60


def test_a_credit_takes_the_same_price_first_and_of_those_the_latest() -> None:
    shop = Shop(A1=99)
    for order_id, price, position in (("1", 1000, 1), ("2", 1000, 2), ("3", 900, 3), ("4", 1100, 4)):
        sold(shop, order_id, price_minor=price, position=position)
    shop.see(memo(-6), minutes=DAY)
    assert returned(shop, "1", "2", "3", "4") == {"1": 2, "2": 4, "3": 0, "4": 0}
    shop.see(credit_memo("C2", line("A1", -7, position=101)), minutes=DAY)
    assert returned(shop, "1", "2", "3", "4") == {"1": 4, "2": 4, "3": 1, "4": 4}


def test_of_sales_that_stand_in_no_file_the_latest_is_taken_first() -> None:
    shop = Shop(A1=99)
    for order_id, minutes in (("2", 20), ("1", 30), ("3", 10)):
        sold(shop, order_id, position=0, minutes=minutes)
    shop.see(credit_memo("C1", line("A1", -5)), minutes=DAY)
    assert returned(shop, "1", "2", "3") == {"1": 4, "2": 1, "3": 0}


def test_a_sale_that_stands_after_the_credit_is_not_what_it_gives_back() -> None:
    shop = Shop(A1=99)
    sold(shop, "1", position=5)
    sold(shop, "2", position=100)
    sold(shop, "3", position=101)
    shop.see(memo(-5, position=100), minutes=DAY)
    assert returned(shop, "1", "2", "3") == {"1": 4, "2": 0, "3": 0}
    assert [(item.quantity, item.reason) for item, _ in shop.unit.parked_items] == [(-1, "uncovered_rest")]


def test_a_sale_elsewhere_or_in_another_currency_is_not_what_it_gives_back() -> None:
    shop = Shop(A1=99)
    shop.see(order("1", line("A1", 4), customer_ref="100", origin="other"))
    shop.see(order("2", line("A1", 4), customer_ref="100", currency="EUR"))
    shop.see(memo(-1), minutes=DAY)
    assert [(item.quantity, item.reason) for item, _ in shop.unit.parked_items] == [(-1, "no_earlier_sale")]
    assert shop.unit.pieces == []


def test_a_returned_piece_posts_the_sale_back_and_moves_the_goods_to_pending() -> None:
    shop = Shop(A1=99)
    shop.see(order("1", line("A1", 4), tax_minor=801, customer_ref="100"), payment("1", 4801), shipment("1"))
    assert shop.see(memo(-3), minutes=DAY) == DONE
    assert shop.journal("credit_memo/C1") == {
        "revenue:returns": 3000,
        "liabilities:tax on refunds pending": 600,
        "liabilities:refunds:approved": -3600,
        "assets:inventory:return pending": 1200,
        "expenses:cost of goods": -1200,
    }
    assert shop.journal("refund/C1") == {
        "liabilities:refunds:approved": 3600,
        "assets:clearing:card": -3600,
        "liabilities:sales tax": 600,
        "liabilities:tax on refunds pending": -600,
    }
    assert (shop.stock().good, shop.stock().return_pending) == (95, 3), "goods are not for sale before inspection"
    assert [(link["kind"], link["from"], link["to"]) for link in shop.links] == [("returns", MEMO.hex(), ORDER.hex())]
    assert shop.exceptions == []
    assert shop.balance("liabilities:refunds:approved") == shop.balance("liabilities:tax on refunds pending") == 0


@pytest.mark.parametrize("minutes", [0, 10, DAY])
@pytest.mark.parametrize("cancelled", [True, False])
def test_what_was_not_shipped_cannot_come_back_a_credit_cancels_it(minutes: float, cancelled: bool) -> None:
    shop = Shop(A1=99)
    shop.see(order("1", line("A1", 4), tax_minor=800, customer_ref="100"), payment("1", 4800))
    if not cancelled:
        shop.see(shipment("1"))
    shop.see(memo(-3), minutes=minutes)
    assert (shop.line().cancelled, shop.line().returned) == ((3, 0) if cancelled else (0, 3))
    assert shop.moved[-1] == ("release" if cancelled else "return_receipt", "A1", 3)
    assert (shop.stock().free, shop.stock().return_pending) == ((98, 0) if cancelled else (95, 3))


def test_a_cancelled_piece_reduces_what_we_owe_and_earns_no_return() -> None:
    shop = Shop(A1=99)
    shop.see(order("1", line("A1", 4), tax_minor=800, customer_ref="100"), payment("1", 4800))
    shop.see(memo(-3), minutes=10)
    assert shop.journal("credit_memo/C1") == {
        "liabilities:contract:goods": 3000,
        "liabilities:sales tax": 600,
        "liabilities:refunds:approved": -3600,
    }
    assert (shop.order().state, shop.order().contract, shop.order().open_tax_minor) == (
        "reserved",
        {"goods": 1000},
        200,
    )
    assert ("order.cancel", "edited", "ok") in shop.milestones
    assert [link["kind"] for link in shop.links] == ["refunds"]
    shop.see(shipment("1"), minutes=61)
    assert shop.moved[-1] == ("shipment", "A1", 1)
    assert shop.balance("liabilities:contract") == 0


def test_the_last_piece_cancels_the_order_and_takes_the_rest_of_the_tax() -> None:
    shop = Shop(A1=3)
    shop.see(order("1", line("A1", 3, 333), tax_minor=100, customer_ref="100"), payment("1", 1099))
    shop.see(memo(-1, 333), credit_memo("C2", line("A1", -2, 333)), minutes=10)
    assert shop.journal("credit_memo/C1")["liabilities:sales tax"] == 33
    assert shop.journal("credit_memo/C2")["liabilities:sales tax"] == 67
    assert (shop.order().state, shop.order().contract) == ("cancelled", {"goods": 0})
    assert ("order.cancel", "cancelled", "ok") in shop.milestones
    assert [shop.balance(name) for name in ("liabilities", "assets:clearing")] == [0, 0]


def test_a_credit_takes_the_tax_of_the_lines_that_it_is_of() -> None:
    shop = Shop(A1=2, B2=2)
    basket = line("A1", 2, tax_code="GB20", tax_minor=400), line("B2", 2, tax_code="GB0", tax_minor=0)
    shop.see(order("1", *basket, tax_minor=400, customer_ref="100"), payment("1", 4400), shipment("1"))
    for number, sku, tax in (("C1", "B2", 0), ("C2", "A1", 200)):
        shop.see(credit_memo(number, line(sku, -1)))
        assert shop.journal(f"credit_memo/{number}").get("liabilities:tax on refunds pending", 0) == tax
        assert shop.journal(f"refund/{number}").get("liabilities:sales tax", 0) == tax


def test_a_credit_within_the_hour_of_what_was_shipped_is_a_return() -> None:
    shop = Shop(A1=9)
    shop.see(order("1", line("A1", 4), customer_ref="100"), payment("1", 4000), shipment("1"))
    shop.see(memo(-3), minutes=10)
    assert (shop.line().returned, shop.line().cancelled) == (3, 0)
    assert (shop.stock().reserved, shop.stock().good, shop.stock().return_pending) == (0, 5, 3)
    assert (shop.order().state, shop.order().contract) == ("shipped", {})


@pytest.mark.parametrize(
    ("event", "reason", "quantity", "whole", "amount"),
    [
        (memo(-2, 1500), "uncovered_rest", -1, False, -1500),
        (memo(-2, customer_ref=""), "no_customer", -2, True, -2000),
        (memo(-2, customer_ref="200"), "no_earlier_sale", -2, True, -2000),
        (credit_memo("C1", line("Z9", -3, 10)), "no_earlier_sale", -3, True, -30),
    ],
)
def test_what_no_sale_covers_is_parked_with_its_reason_value_and_owner(
    event: CreditMemoIssued, reason: str, quantity: int, whole: bool, amount: int
) -> None:
    shop = Shop(A1=99)
    sold(shop, "1", 1, position=1)
    shop.see(event, minutes=DAY)
    ((item, _),) = shop.unit.parked_items
    assert (item.reason, item.quantity, item.whole_line, item.amount_minor) == (reason, quantity, whole, amount)
    assert (item.owner, item.currency, item.correlation_id) == ("returns", "GBP", MEMO)
    assert shop.exceptions[-1] == ("return_without_sale", "C1", "returns", -amount)
    assert ("return.receive", "received", "parked") in shop.milestones
    assert ("refund/C1" in shop.posted) == (not whole), "what is parked is not refunded"
    assert shop.balance("liabilities:refunds:approved") == 0


def test_of_a_line_covered_in_part_both_parts_add_up() -> None:
    shop = Shop(A1=99)
    sold(shop, "1", 1, 1000, position=1)
    sold(shop, "2", 1, 1000, position=2)
    shop.see(credit_memo("C1", line("A1", -3, amount_minor=-1000, position=9)), minutes=DAY)
    assert [piece.amount_minor for piece in shop.unit.pieces] == [333, 333]
    assert [item.amount_minor for item, _ in shop.unit.parked_items] == [-334]
    assert shop.journal("refund/C1")["assets:clearing:card"] == -666


def test_a_credit_above_the_price_of_the_sale_is_posted_and_opens_an_exception() -> None:
    shop = Shop(A1=99)
    sold(shop, "1", 4, 1000, position=1)
    shop.see(memo(-2, 1250), minutes=DAY)
    assert shop.journal("credit_memo/C1")["revenue:returns"] == 2500
    assert shop.exceptions == [("credit_above_sale", "C1/1/1/1", "finance", 500)]
    shop.see(credit_memo("C2", line("A1", -1, 900, position=200)), minutes=DAY)
    assert len(shop.exceptions) == 1, "below the price is no exception"


def test_lines_that_are_no_goods_are_credited_without_looking_for_a_sale() -> None:
    shop = Shop(A1=99)
    shop.see(credit_memo("C1", line("D", -1, 500, kind="discount"), line("POST", -1, 350, kind="shipping")))
    assert shop.journal("credit_memo/C1") == {
        "revenue:discounts": 500,
        "revenue:shipping": 350,
        "liabilities:refunds:approved": -850,
    }
    assert shop.journal("refund/C1") == {"liabilities:refunds:approved": 850, "assets:clearing:card": -850}
    assert (shop.moved, shop.exceptions, shop.unit.pieces) == ([], [], [])


def test_a_credit_memo_of_several_orders_links_to_each_and_takes_no_line_twice() -> None:
    shop = Shop(A1=99)
    for number in (1, 2, 3):
        sold(shop, str(number), 2, position=number)
    lines = (line("A1", -3, position=50), line("A1", -3, position=51))
    shop.see(credit_memo("C1", *lines), minutes=DAY)
    assert [(p.line_no, p.piece_no, p.quantity) for p in shop.unit.pieces] == [
        (1, 1, 2),
        (1, 2, 1),
        (2, 1, 1),
        (2, 2, 2),
    ]
    assert returned(shop, "1", "2", "3") == {"1": 2, "2": 2, "3": 2}
    assert sorted(link["evidence"] for link in shop.links) == ["1", "2", "3"]


def test_the_same_credit_memo_again_changes_nothing() -> None:
    shop = Shop(A1=99)
    sold(shop, "1", position=1)
    shop.see(memo(-1), minutes=DAY)
    before = (list(shop.posted), list(shop.moved))
    assert shop.see(memo(-2), minutes=DAY) == Verdict("rejected", "credit memo C1 of shop exists already")
    assert (shop.posted, shop.moved) == before
    assert shop.line().returned == 1


def test_a_refund_taken_from_a_file_is_generated_and_what_the_file_states_is_of_the_file() -> None:
    shop = Shop(A1=99)
    sold(shop, "1", position=1)
    shop.see(memo(-1), minutes=DAY, provenance="file")
    sources = {
        (journal.document, one.kind): one.source
        for journal, _, _ in shop.unit.journals
        for one in journal.lines
        if journal.entity_id == "C1"
    }
    assert sources == {
        ("credit_memo", "goods_returned"): "file",
        ("credit_memo", ""): "generated",
        ("refund", ""): "generated",
    }


def shipped(quantity: int = 4, *more: Event) -> Shop:
    shop = Shop(A1=99)
    shop.see(order("1", line("A1", quantity)), payment("1", quantity * 1000), shipment("1"), *more)
    return shop


def test_returned_goods_are_owed_and_wait_for_inspection() -> None:
    shop = shipped()
    assert shop.see(goods_back("R1", line("A1", 2), tax_minor=400), minutes=DAY) == DONE
    assert shop.journal("return/R1") == {
        "revenue:returns": 2000,
        "liabilities:tax on refunds pending": 400,
        "liabilities:refunds:approved": -2400,
        "assets:inventory:return pending": 800,
        "expenses:cost of goods": -800,
    }
    assert (shop.line().returned, shop.stock().return_pending, shop.stock().good) == (2, 2, 95)
    back = shop.unit.returns[RETURN]
    assert (back.approved_minor, back.tax_minor, back.refunded_minor) == (2400, 400, 0)
    assert shop.links[0]["kind"] == "returns"
    assert "refund/R1" not in shop.posted


def test_a_return_before_its_order_or_its_shipment_waits() -> None:
    shop = Shop(A1=9)
    assert shop.see(goods_back()) == Verdict("parked", "order 1 has not been shipped", ORDER)
    shop.see(order("1"), payment("1"))
    assert shop.see(goods_back()) == Verdict("parked", "order 1 has not been shipped", ORDER)
    assert (shop.posted, shop.stock().return_pending) == (["order/1"], 0)
    shop.see(shipment("1"))
    assert shop.see(goods_back()) == DONE


@pytest.mark.parametrize(
    ("event", "refusal"),
    [
        (goods_back("R1", line("A1", 5)), "5 of A1 come back where 4 are open on order 1"),
        (goods_back("R1", line("A1", 3), line("A1", 2)), "5 of A1 come back where 4 are open on order 1"),
        (goods_back("R1", line("B2", 1)), "1 of B2 come back where 0 are open on order 1"),
        (goods_back("R1", line("A1", -1)), "-1 of A1 come back where 4 are open on order 1"),
        (goods_back("R1", line("A1", 1), currency="EUR"), "the return is in EUR, order 1 in GBP"),
    ],
)
def test_a_return_that_the_order_does_not_cover_is_refused_whole(event: Event, refusal: str) -> None:
    shop = shipped()
    assert shop.see(event, minutes=DAY) == Verdict("rejected", refusal)
    assert [(kind, owner) for kind, _, owner, _ in shop.exceptions] == [("return_not_covered", "returns")]
    assert (shop.line().returned, shop.stock().return_pending) == (0, 0)
    assert "return/R1" not in shop.posted
    assert RETURN not in shop.unit.returns


def test_carriage_that_is_given_back_moves_no_stock() -> None:
    shop = Shop(A1=9)
    carriage = line("POST", 1, 350, kind="shipping")
    shop.see(order("1", line("A1", 2), carriage), payment("1", 2350), shipment("1"))
    assert shop.see(goods_back("R1", line("A1", 1), carriage), minutes=DAY) == DONE
    assert shop.moved[-1] == ("return_receipt", "A1", 1)
    assert ("POST", "WH1") not in shop.unit.stock
    assert shop.journal("return/R1")["revenue:shipping"] == 350


def test_a_second_return_may_bring_only_the_rest() -> None:
    shop = shipped()
    shop.see(goods_back("R1", line("A1", 3)))
    assert shop.see(goods_back("R1", line("A1", 1))).reason == "return R1 of shop exists already"
    assert shop.see(goods_back("R2", line("A1", 2))).state == "rejected"
    assert shop.see(goods_back("R3", line("A1", 1))) == DONE
    assert shop.line().open == 0


def test_a_refund_is_posted_up_to_what_was_approved_and_not_a_penny_more() -> None:
    shop = shipped()
    shop.see(goods_back("R1", line("A1", 2), tax_minor=400))
    assert shop.see(refund("F1", 1400, tax_minor=200)) == DONE
    assert shop.journal("refund/F1") == {
        "liabilities:refunds:approved": 1400,
        "assets:clearing:card": -1400,
        "liabilities:sales tax": 200,
        "liabilities:tax on refunds pending": -200,
    }
    verdict = shop.see(refund("F2", 1001))
    assert verdict == Verdict("rejected", "refund F2 of 1001 GBP where 1000 GBP is left")
    assert shop.exceptions == [("refund_above_approved", "F2", "payments", 1001)]
    assert shop.see(refund("F3", 1000, tax_minor=200)) == DONE
    assert shop.balance("liabilities:refunds:approved") == shop.balance("liabilities:tax on refunds pending") == 0
    assert "refund/F2" not in shop.posted
    assert shop.unit.returns[RETURN].refunded_minor == 2400


def test_a_second_refund_of_the_whole_is_refused() -> None:
    shop = shipped()
    shop.see(goods_back("R1"), refund("F1", 1000))
    assert shop.see(refund("F2", 1000)).reason == "refund F2 of 1000 GBP where 0 GBP is left"
    assert [one for one in shop.posted if one.startswith("refund")] == ["refund/F1"]
    assert shop.balance("assets:clearing:card") == 4000 - 1000


def test_a_refund_in_another_currency_is_refused() -> None:
    shop = shipped()
    shop.see(goods_back("R1"))
    assert shop.see(refund("F1", 900, currency="EUR")).reason == "refund F1 of 900 EUR where 1000 GBP is left"
    assert [item.currency for item, _ in shop.unit.exceptions] == ["EUR"]


def test_a_refund_before_its_return_waits() -> None:
    shop = shipped()
    assert shop.see(refund("F1")) == Verdict("parked", "return R1 has not been received", RETURN)
    shop.see(goods_back("R1"))
    assert RETURN in shop.unit.arrived
    assert shop.see(refund("F1")) == DONE


def test_the_journals_of_a_return_fall_due_after_four_hours() -> None:
    shop = shipped(4, goods_back("R1"), refund("F1"))
    due = {j.document: (j.due_at - j.occurred_at) / dt.timedelta(minutes=1) for j, _, _ in shop.unit.journals}
    assert (due["return"], due["refund"], due["shipment"]) == (240, 240, 60)


def test_charges_and_write_offs_go_through_the_receivable() -> None:
    shop = Shop()
    shop.see(
        charge("K1", line("POST", 1, 350, kind="shipping"), line("M", 2, 100, kind="manual")), write_off("W1", -500)
    )
    assert shop.journal("charge/K1") == {"revenue:manual": -200, "revenue:shipping": -350, "assets:receivable": 550}
    assert shop.journal("receivable/W1") == {"expenses:bad debt": 500, "assets:receivable": -500}
    assert shop.milestones == [("order.charge", "captured", "ok"), ("payment.adjust", "captured", "ok")]
    assert (shop.moved, shop.exceptions) == ([], [])


def test_a_cancelled_order_has_nothing_left_to_return() -> None:
    shop = Shop(A1=9)
    shop.see(order("1", customer_ref="100"), payment("1"), cancellation("1"))
    shop.see(memo(-1), minutes=DAY)
    assert [item.reason for item, _ in shop.unit.parked_items] == ["no_earlier_sale"]
    assert shop.balance("assets:clearing") == 0
