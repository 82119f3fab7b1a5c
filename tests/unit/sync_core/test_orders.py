"""Orders reserve all or nothing, are paid once, and leave no contract liability behind when shipped or cancelled."""

import datetime as dt

import pytest

from collector.semconv import correlation_id
from sync_core.unit import DONE, Verdict
from tests.factories import NOON, cancellation, credit_memo, line, order, payment, shipment
from tests.unit.sync_core.shop import Shop

ID = correlation_id("shop", "1")


def test_an_order_reserves_its_goods_and_posts_nothing_yet() -> None:
    shop = Shop(A1=5, B2=5)
    event = order("1", line("A1", 2), line("B2", 3), line("POST", 1, 350, kind="shipping"), tax_minor=1070)
    assert shop.see(event) == DONE
    assert (shop.order().state, shop.order().amount_minor, shop.order().tax_minor) == ("reserved", 5350, 1070)
    assert shop.moved == [("reservation", "A1", 2), ("reservation", "B2", 3)]
    assert (shop.stock().reserved, shop.stock().free, shop.stock().good) == (2, 3, 5)
    assert [shop.line(number=number).reserved for number in (1, 2, 3)] == [2, 3, 0]
    assert shop.milestones == [("order.capture", "captured", "ok"), ("inventory.reserve", "reserved", "ok")]
    assert (shop.posted, shop.exceptions) == ([], [])


def test_two_lines_of_one_sku_cannot_both_pass() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 3), line("A1", 3)))
    assert shop.order().state == "backordered"
    assert shop.exceptions == [("backorder", "1", "inventory", 6000)]
    assert shop.unit.exceptions[0][0].detail == "short by 1 of A1"
    assert (shop.moved, shop.stock().reserved) == ([], 0)
    shop.see(order("2", line("A1", 3), line("A1", 2)))
    assert shop.order("2").state == "reserved"
    assert shop.moved == [("reservation", "A1", 5)]


def test_what_is_short_of_one_thing_reserves_nothing_of_the_others() -> None:
    shop = Shop(A1=5, B2=1)
    shop.see(order("1", line("A1", 2), line("B2", 2), line("C3", 4), line("D4", 3), line("E5", 9)))
    assert shop.unit.exceptions[0][0].detail == "short by 9 of E5, 4 of C3, 3 of D4 and 1 more"
    assert shop.milestones[1:] == [
        ("inventory.reserve", "backordered", "parked"),
        ("exception.open", "opened", "parked"),
    ]
    assert (shop.moved, shop.stock("A1").free, shop.stock("B2").free) == ([], 5, 1)


def test_a_late_fact_that_takes_what_was_promised_makes_the_next_order_wait() -> None:
    shop = Shop(A1=1)
    shop.stock().good = -2
    shop.see(order("1", line("A1", 1)))
    assert shop.unit.exceptions[0][0].detail == "short by 1 of A1"


def test_the_same_order_again_changes_nothing() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"))
    assert shop.see(order("1", line("A1", 4))) == Verdict("rejected", "order 1 of shop exists already")
    assert shop.moved == [("reservation", "A1", 1)]
    assert shop.order().amount_minor == 1000


def test_a_payment_makes_us_owe_the_goods_and_the_tax() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 2, 6000), line("POST", 1, 800, kind="shipping"), tax_minor=957), payment("1", 13757))
    assert shop.journal("order/1") == {
        "liabilities:contract:goods": -12000,
        "liabilities:contract:shipping": -800,
        "assets:clearing:card": 13757,
        "liabilities:sales tax": -957,
    }
    assert shop.order().contract == {"goods": 12000, "shipping": 800}
    (journal,) = [journal for journal, _, _ in shop.unit.journals if journal.document == "order"]
    assert journal.journal_id == "shop:order/1"
    assert journal.due_at == NOON + dt.timedelta(minutes=60)
    assert ("payment_id", "P1", ID) in shop.keys


def test_a_payment_before_its_order_waits_for_it() -> None:
    shop = Shop(A1=5)
    assert shop.see(payment("1")) == Verdict("parked", "order 1 has not arrived", ID)
    assert (shop.posted, shop.exceptions, shop.milestones) == ([], [], [])
    shop.see(order("1"))
    assert ID in shop.unit.arrived
    assert shop.see(payment("1")) == DONE


def test_a_second_payment_is_an_exception_and_posts_nothing() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), payment("1"))
    verdict = shop.see(payment("1", payment_id="P2"))
    assert verdict == Verdict("rejected", "second_payment: payment P2 comes after the order was paid")
    assert shop.exceptions == [("second_payment", "1/P2", "payments", 1000)]
    assert shop.posted == ["order/1"]
    assert shop.order().paid_minor == 1000


@pytest.mark.parametrize(("amount", "currency"), [(999, "GBP"), (1001, "GBP"), (1000, "EUR")])
def test_a_payment_of_another_amount_or_currency_is_an_exception(amount: int, currency: str) -> None:
    shop = Shop(A1=5)
    shop.see(order("1"))
    verdict = shop.see(payment("1", amount, currency=currency))
    assert verdict.reason == f"payment_differs: payment P1 is {amount} {currency}, the order 1000 GBP"
    assert shop.exceptions == [("payment_differs", "1/P1", "payments", amount)]
    assert (shop.posted, shop.order().provider) == ([], "")


def test_a_payment_of_a_cancelled_order_is_an_exception_for_the_payments_team() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), cancellation("1"))
    assert shop.see(payment("1")).state == "rejected"
    assert shop.exceptions == [("payment_after_cancellation", "1", "payments", 1000)]
    assert (shop.posted, shop.order().contract) == ([], {})


def test_a_shipment_turns_what_we_owed_into_revenue_and_the_goods_into_cost() -> None:
    shop = Shop(A1=5, B2=5)
    lines = (line("A1", 2), line("B2", 1), line("A1", 1), line("GC", 1, 500, kind="gift"))
    shop.see(order("1", *lines, tax_minor=800), payment("1", 5300))
    assert shop.see(shipment("1", tracking_id="T1"), minutes=90) == DONE
    assert shop.journal("shipment/S1") == {
        "expenses:cost of goods": 1600,
        "assets:inventory:sellable": -1600,
        "liabilities:contract:goods": 4000,
        "revenue:goods": -4000,
    }
    assert shop.moved[2:] == [("shipment", "A1", 3), ("shipment", "B2", 1)]
    assert (shop.stock().good, shop.stock().reserved) == (2, 0)
    assert (shop.order().state, shop.order().contract) == ("shipped", {})
    assert shop.balance("liabilities:contract") == 0
    assert shop.balance("liabilities:gift cards") == -500
    assert shop.unit.new_order_documents == [(ID, "shipment", "S1", NOON + dt.timedelta(minutes=90))]
    assert {("shipment_id", "S1", ID), ("tracking_id", "T1", ID)} <= shop.keys


def test_a_shipment_waits_for_its_order_and_for_the_payment() -> None:
    shop = Shop(A1=5)
    assert shop.see(shipment("1")) == Verdict("parked", "order 1 has not arrived", ID)
    shop.see(order("1"))
    assert shop.see(shipment("1")) == Verdict("parked", "order 1 is not paid", ID)
    assert (shop.stock().good, shop.posted) == (5, [])


@pytest.mark.parametrize("state", ["backordered", "cancelled", "shipped"])
def test_a_shipment_of_what_is_not_reserved_is_an_exception_for_the_warehouse(state: str) -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 9 if state == "backordered" else 2)))
    if state == "cancelled":
        shop.see(cancellation("1"))
    if state == "shipped":
        shop.see(payment("1", 2000), shipment("1"))
    units, posted = shop.stock().good, list(shop.posted)
    assert shop.see(shipment("1", shipment_id="S9")).state == "rejected"
    assert shop.exceptions[-1][:3] == ("shipment_not_reserved", "1", "warehouse")
    assert (shop.stock().good, shop.posted) == (units, posted)


def test_a_generated_shipment_of_a_cancelled_order_is_no_exception() -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), cancellation("1"))
    verdict = shop.see(shipment("1"), provenance="generated")
    assert verdict == Verdict("done", "order 1 was cancelled before its shipment")
    assert shop.exceptions == []


def test_a_cancelled_order_frees_its_stock_and_leaves_no_contract_liability() -> None:
    shop = Shop(A1=5, B2=5)
    lines = (line("A1", 2), line("B2", 1), line("POST", 1, 350, kind="shipping"))
    shop.see(order("1", *lines, tax_minor=670), payment("1", 4020))
    assert shop.see(cancellation("1", reason="changed my mind")) == DONE
    assert shop.journal("cancellation/X1") == {
        "liabilities:contract:goods": 3000,
        "liabilities:contract:shipping": 350,
        "liabilities:sales tax": 670,
        "liabilities:refunds:approved": -4020,
    }
    refunded = {"liabilities:refunds:approved": 4020, "assets:clearing:card": -4020}
    assert shop.journal("cancellation_refund/X1") == refunded
    assert [shop.balance(account) for account in ("liabilities", "assets:clearing", "revenue")] == [0, 0, 0]
    assert shop.moved[2:] == [("release", "A1", 2), ("release", "B2", 1)]
    assert (shop.stock().reserved, shop.stock().free) == (0, 5)
    assert (shop.order().contract, shop.order().open_tax_minor) == ({}, 0)
    assert shop.milestones[-1] == ("order.cancel", "cancelled", "ok")


def test_an_unpaid_order_is_cancelled_without_a_journal() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", tax_minor=200), cancellation("1"))
    assert (shop.order().state, shop.posted, shop.stock().free) == ("cancelled", [], 5)
    assert ID in shop.unit.arrived, "what waits for the order must be looked at again"


def test_a_back_order_is_cancelled_and_its_exception_resolved() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 9)), payment("1", 9000), cancellation("1"))
    assert [(item, why) for item, why, _ in shop.unit.resolved] == [("shop:backorder/1", "the order was cancelled")]
    assert shop.milestones[-1] == ("exception.resolve", "resolved", "ok")
    assert [kind for kind, *_ in shop.moved] == []
    assert shop.balance("liabilities:contract") == 0


def test_a_cancellation_gives_back_only_what_a_credit_memo_has_left() -> None:
    shop = Shop(A1=5)
    shop.see(order("1", line("A1", 4), tax_minor=800, customer_ref="100"), payment("1", 4800))
    shop.see(credit_memo("C1", line("A1", -1)), minutes=30)
    assert shop.see(cancellation("1"), minutes=40) == DONE
    assert shop.journal("cancellation/X1") == {
        "liabilities:contract:goods": 3000,
        "liabilities:sales tax": 600,
        "liabilities:refunds:approved": -3600,
    }
    assert [shop.balance(account) for account in ("liabilities", "assets:clearing")] == [0, 0]
    assert (shop.stock().free, shop.stock().reserved) == (5, 0)


@pytest.mark.parametrize("state", ["shipped", "cancelled"])
def test_a_cancellation_that_comes_too_late_is_an_exception(state: str) -> None:
    shop = Shop(A1=5)
    shop.see(order("1"), payment("1"), shipment("1") if state == "shipped" else cancellation("1"))
    posted = list(shop.posted)
    verdict = shop.see(cancellation("1", cancellation_id="X2"))
    assert verdict == Verdict("rejected", f"cancellation_too_late: the order is {state}")
    assert shop.exceptions == [("cancellation_too_late", "1", "customer service", 1000)]
    assert (shop.order().state, shop.posted) == (state, posted)


def test_a_cancellation_before_its_order_waits() -> None:
    shop = Shop(A1=5)
    assert shop.see(cancellation("1")) == Verdict("parked", "order 1 has not arrived", ID)
    assert shop.milestones == []


def test_goods_without_a_price_are_counted_apart() -> None:
    shop = Shop(A1=5, B2=5)
    shop.see(order("1", line("A1", 2), line("B2", 3, 0)), payment("1", 2000))
    (journal,) = [journal for journal, _, _ in shop.unit.journals if journal.document == "order"]
    stated = [(one.kind, one.quantity, one.line_count, one.amount_minor) for one in journal.lines if one.kind]
    assert stated == [("goods", 2, 1, -2000), ("goods_free", 3, 1, 0)]
