"""Receipts and counts move stock by exactly what they say, valued at the ERP's cost."""

from sync_core.messages import StockLine
from sync_core.unit import DONE
from tests.factories import adjustment, feed_report, goods_in
from tests.unit.sync_core.shop import Shop


def test_a_receipt_puts_goods_on_the_shelf_and_owes_their_invoice() -> None:
    shop = Shop()
    shop.see(goods_in("D1", {"A1": 5, "B2": 2}))
    assert (shop.stock("A1").good, shop.stock("B2").good, shop.stock("A1").opening) == (5, 2, 0)
    assert shop.journal("receipt/D1") == {
        "assets:inventory:sellable": 2800,
        "liabilities:goods received not invoiced": -2800,
    }
    assert shop.milestones == [("inventory.receive", "applied", "ok")]


def test_an_opening_receipt_raises_to_a_level_and_may_come_again() -> None:
    shop = Shop()
    shop.see(goods_in("O1", {"A1": 5}, opening=True), goods_in("O2", {"A1": 3}, opening=True))
    assert (shop.stock().good, shop.stock().opening) == (5, 5)
    shop.see(goods_in("O3", {"A1": 7}, opening=True), goods_in("D1", {"A1": 1}))
    assert (shop.stock().good, shop.stock().opening) == (8, 7)
    assert shop.moved == [("receipt", "A1", 5), ("receipt", "A1", 2), ("receipt", "A1", 1)]
    assert shop.posted == ["receipt/O1", "receipt/O3", "receipt/D1"]
    assert shop.balance("equity:opening balances") == -2800


def test_one_sku_in_two_lines_of_a_receipt_is_one_movement_at_both_costs() -> None:
    shop = Shop()
    lines = tuple(StockLine(sku="A1", quantity=2, unit_cost_minor=cost) for cost in (400, 500))
    shop.see(goods_in("D1", lines=lines))
    assert shop.moved == [("receipt", "A1", 4)]
    assert shop.journal("receipt/D1")["assets:inventory:sellable"] == 1800
    assert shop.stock().unit_cost_minor == 500


def test_a_count_moves_the_difference_at_cost() -> None:
    shop = Shop(A1=5, B2=5)
    lines = [StockLine(sku="A1", quantity=-2), StockLine(sku="B2", quantity=1), StockLine(sku="A1", quantity=-1)]
    assert shop.see(adjustment("N1", *lines)) == DONE
    assert shop.moved == [("adjustment", "A1", -2), ("adjustment", "A1", -1), ("adjustment", "B2", 1)]
    assert shop.journal("adjustment/N1") == {"assets:inventory:sellable": -800, "expenses:shrinkage": 800}
    (journal,) = [journal for journal, _, _ in shop.unit.journals if journal.document == "adjustment"]
    stated = [(one.kind, one.quantity, one.line_count, one.amount_minor) for one in journal.lines if one.kind]
    assert stated == [("goods_minus", -3, 2, 0), ("goods_plus", 1, 1, 0)]


def test_a_count_of_what_is_not_goods_is_recorded_and_moves_nothing() -> None:
    shop = Shop()
    shop.see(adjustment("N1", StockLine(sku="POST", quantity=7, kind="shipping")))
    assert shop.moved == []
    assert ("POST", "WH1") not in shop.unit.stock
    (journal,) = (journal for journal, _, _ in shop.unit.journals)
    assert [(one.kind, one.quantity, one.amount_minor) for one in journal.lines] == [("not_goods", 7, 0)]
    assert journal.total_minor == 0, "the ERP is not offered a journal without money"


def test_a_count_below_what_is_promised_leaves_the_promise() -> None:
    shop = Shop(A1=2)
    shop.stock().reserved = 2
    shop.see(adjustment("N1", StockLine(sku="A1", quantity=-1)))
    assert (shop.stock().good, shop.stock().reserved, shop.stock().free) == (1, 2, -1)


def test_a_sign_of_life_changes_nothing() -> None:
    shop = Shop(A1=1)
    assert shop.see(feed_report()) == DONE
    assert (shop.moved, shop.posted, shop.milestones) == ([], [], [])
