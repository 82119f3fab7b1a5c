"""Stock in its buckets, counts, transfers and who may say what is there, through the inbox and PostgreSQL."""

import datetime as dt

import pytest

from sync_core.exceptions.deadlines import Deadlines
from sync_core.messages import LocationRegistered, StockLine, TransferCancelled, TransferWrittenOff
from tests.core import Core, later, text
from tests.factories import (
    NOON,
    adjustment,
    cancellation,
    counted,
    goods_in,
    line,
    order,
    payment,
    reclassified,
    sent,
    shipment,
    transfer,
    transfer_in,
    transfer_out,
)

HOUR = dt.timedelta(hours=1)
COUNTERS = "good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit"


def stock(core: Core, sku: str = "A1", location: str = "WH1") -> dict[str, int]:
    """The counters that are not zero."""
    [row] = core.rows(f"select {COUNTERS} from core.stock where sku = %s and location = %s", sku, location)  # noqa: S608
    return {name: count for name, count in zip(COUNTERS.split(", "), row, strict=True) if count}


def test_goods_change_their_bucket_at_their_cost(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 10})))
    core.take(sent(reclassified("B1", ("A1", 3, "good", "damaged"), ("A1", 1, "good", "quarantine"))))
    core.take(sent(reclassified("B2", ("A1", 1, "damaged", "scrap"), ("A1", 1, "quarantine", "good"))))
    assert stock(core) == {"good": 7, "damaged": 2}
    assert core.balance("assets:inventory:sellable") == 2_800
    assert core.balance("assets:inventory:damaged") == 800
    assert core.balance("assets:inventory:quarantine") == 0
    assert core.balance("expenses:shrinkage") == 400
    assert core.faults() == []


def test_a_bucket_never_holds_less_than_nothing(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 2})))
    core.take(sent(reclassified("B1", ("A1", 1, "good", "damaged"), ("A1", 2, "good", "damaged"))))
    assert stock(core) == {"good": 2}
    assert core.states() == {"done": 1, "rejected": 1}
    assert core.exceptions() == [("shop:stock_shortfall/B1", "warehouse", "open")]
    assert core.faults() == []


def test_a_promise_beyond_what_is_there_is_an_owned_exception_of_that_value_until_it_is_not(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 5})))
    core.take(sent(order("1", line(quantity=4))))
    core.take(sent(reclassified("B1", ("A1", 3, "good", "damaged"))))
    query = "select owner, amount_minor, detail, state from core.exceptions"
    assert core.rows(query) == [
        ("inventory", 800, "2 of A1 at WH1 are promised and not there", "open"),
    ]
    assert core.faults() == []
    core.take(sent(adjustment("N1")))
    assert core.rows(query) == [("inventory", 1_200, "3 of A1 at WH1 are promised and not there", "open")]
    core.take(sent(goods_in("D2", {"A1": 3})))
    assert core.one("select state from core.exceptions") == "resolved"
    core.take(sent(adjustment("N2")))
    assert core.rows("select exception_id, amount_minor from core.exceptions where state = 'open'") == [
        ("stock:oversold/A1@WH1/StockAdjusted/N2", 400)
    ]
    assert core.faults() == []
    core.change("update core.exceptions set state = 'resolved' where state = 'open'")
    assert len(core.faults()) == 1


def test_a_count_is_compared_with_what_was_there_at_its_time_whatever_moved_since(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 10, "B2": 4}), at=NOON))
    core.take(sent(order("1", line(quantity=2)), at=NOON + 2 * HOUR), sent(payment("1", 2000), at=NOON + 2 * HOUR))
    core.take(sent(shipment("1"), at=NOON + 3 * HOUR))
    core.take(sent(counted(units={"A1": 9, "B2": 4}), at=NOON + HOUR))
    assert stock(core) == {"good": 7}
    [compared] = [span for span in core.spans() if span.name == "inventory.count"]
    assert (text(compared, "milestone"), text(compared, "reason"), text(compared, "owner")) == (
        "compared", "differs", "inventory",
    )  # fmt: skip
    [corrected] = [span for span in core.spans() if span.name == "inventory.correct"]
    assert text(corrected, "milestone") == "corrected"
    assert core.balance("expenses:shrinkage") == 400
    core.take(sent(counted("K2", {"A1": 7, "B2": 4}), at=NOON + 4 * HOUR))
    assert len([span for span in core.spans() if span.name == "inventory.correct"]) == 1
    assert core.faults() == []


def test_a_count_and_a_later_sale_in_one_batch(core: Core) -> None:
    core.accept(sent(goods_in(units={"A1": 10}), partition_key="x"), sent(order("1"), partition_key="x"))
    core.accept(sent(payment("1"), partition_key="x"))
    core.accept(sent(shipment("1"), at=NOON + 2 * HOUR, partition_key="x"))
    core.accept(sent(counted(units={"A1": 10}), at=NOON + HOUR, partition_key="x"))
    core.work()
    assert stock(core) == {"good": 9}


def test_a_transfer_takes_goods_out_of_promise_then_moves_them(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 5})))
    core.take(sent(transfer(units={"A1": 3})))
    assert stock(core) == {"good": 5, "committed": 3}
    core.take(sent(order("1", line(quantity=3))))
    assert core.one("select state from core.orders") == "backordered"
    core.take(sent(transfer_out(units={"A1": 3})))
    assert (stock(core), stock(core, location="ST1")) == ({"good": 2}, {"in_transit": 3})
    assert core.balance("assets:inventory:in transit") == 1_200
    core.take(sent(transfer_in(units={"A1": 3})))
    assert (stock(core), stock(core, location="ST1")) == ({"good": 2}, {"good": 3})
    assert core.balance("assets:inventory:in transit") == 0
    assert core.balance("assets:inventory:sellable") == 2_000
    milestones = [text(span, "milestone") for span in core.spans() if "transfer_" in span.name]
    assert milestones == ["requested", "shipped", "closed"]
    assert core.faults() == []


def test_what_is_missing_of_a_transfer_is_variance_first_and_shrinkage_at_its_deadline(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 5})), sent(transfer(units={"A1": 4})))
    core.take(sent(transfer_out(units={"A1": 4})), sent(transfer_in(units={"A1": 1})))
    assert stock(core, location="ST1") == {"good": 1}
    assert core.balance("assets:inventory:transfer variance") == 1_200
    assert core.exceptions() == [("shop:transfer_variance/T1", "warehouse", "open")]
    core.take(sent(transfer_in(units={"A1": 2}, receipt_id="found")))
    assert stock(core, location="ST1") == {"good": 3}
    assert core.balance("assets:inventory:transfer variance") == 400
    deadlines = Deadlines(core.db, lambda: core.now)
    later(core, days=13)
    assert deadlines.run_once() == 0
    core.take(sent(TransferWrittenOff(origin="shop", transfer_id="T1"), "too early", at=core.now))
    assert core.balance("expenses:shrinkage") == 0
    later(core, days=1)
    assert (deadlines.run_once(), deadlines.run_once()) == (1, 0)
    core.work()
    assert core.balance("expenses:shrinkage") == 400
    assert core.balance("assets:inventory:transfer variance") == 0
    assert core.exceptions() == [("shop:transfer_variance/T1", "warehouse", "resolved")]
    assert core.faults() == []


def test_everything_that_turns_up_closes_the_variance(core: Core) -> None:
    core.take(sent(goods_in()), sent(transfer()), sent(transfer_out()), sent(transfer_in(units={"A1": 1})))
    core.take(sent(transfer_in(units={"A1": 1}, receipt_id="found")))
    assert core.one("select variance_due_at from core.transfers") is None
    assert core.exceptions() == [("shop:transfer_variance/T1", "warehouse", "resolved")]
    assert core.balance("assets:inventory:transfer variance") == 0


@pytest.mark.parametrize("turn", range(3))
def test_a_transfer_told_in_any_order_ends_in_the_same_stock(core: Core, turn: int) -> None:
    told = [sent(transfer()), sent(transfer_out()), sent(transfer_in())]
    core.take(sent(goods_in()))
    for message in told[turn:] + told[:turn]:
        core.take(message)
    assert core.states() == {"done": 4}
    assert (stock(core), stock(core, location="ST1")) == ({"good": 3}, {"good": 2})
    assert core.faults() == []


def test_a_transfer_of_what_is_not_free_has_an_owner_and_one_that_is_cancelled_gives_back(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 1})), sent(transfer()))
    assert stock(core) == {"good": 1, "committed": 1}
    assert core.exceptions() == [("shop:transfer_short/T1", "warehouse", "open")]
    core.take(sent(TransferCancelled(origin="shop", transfer_id="T1")))
    assert stock(core) == {"good": 1}
    assert core.exceptions() == [("shop:transfer_short/T1", "warehouse", "resolved")]
    core.take(sent(transfer_out()))
    assert core.states() == {"done": 3, "rejected": 1}


def test_only_its_source_of_record_says_what_is_at_a_location(core: Core) -> None:
    core.take(sent(LocationRegistered(origin="erp", location="WH1", kind="warehouse", stock_source="wms",
                                      cost_source="erp")))  # fmt: skip
    core.take(sent(goods_in("D1"), source="shop"))
    assert core.exceptions() == [("shop:wrong_source/D1", "integration", "open")]
    core.take(sent(goods_in("D2"), source="wms"))  # right about the stock, not about its cost
    core.take(sent(goods_in("D3", lines=(StockLine(sku="A1", quantity=5),)), source="wms"))
    core.take(sent(adjustment("N1"), source="pos"), sent(counted("K1"), source="pos"))
    core.take(sent(reclassified("B1"), source="pos"))
    assert stock(core) == {"good": 5}
    assert core.states() == {"done": 2, "rejected": 5}
    assert core.faults() == []


def test_a_back_order_is_reserved_when_all_its_goods_are_free_longest_waiting_first(core: Core) -> None:
    core.take(sent(order("1", line(quantity=3), line("B2", 1))))
    core.take(sent(order("2", line(quantity=2)), at=NOON + HOUR))
    core.take(sent(order("3", line(quantity=2)), at=NOON + 2 * HOUR))
    states = "select order_id, state from core.orders order by 1"
    core.take(sent(goods_in("D1", {"A1": 4})))
    assert core.rows(states) == [("1", "backordered"), ("2", "reserved"), ("3", "reserved")]
    core.take(sent(goods_in("D2", {"A1": 3})))
    assert core.rows(states)[0] == ("1", "backordered")
    core.take(sent(goods_in("D3", {"B2": 1})))
    assert core.rows(states)[0] == ("1", "reserved")
    assert stock(core) == {"good": 7, "reserved": 7}
    assert {state for _, _, state in core.exceptions()} == {"resolved"}
    core.take(sent(payment("1", 4000)), sent(shipment("1")))
    assert core.one("select state from core.orders where order_id = '1'") == "shipped"
    reserved = [text(span, "milestone") for span in core.spans() if span.name == "inventory.reserve"]
    assert sorted(reserved) == ["backordered"] * 3 + ["reserved"] * 3
    assert core.faults() == []


def test_stock_that_an_order_gives_back_goes_to_the_one_that_waits(core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 2})))
    core.take(sent(order("1", line(quantity=2))))
    core.take(sent(order("2", line(quantity=2))))
    core.take(sent(cancellation("1")))
    assert core.rows("select order_id, state from core.orders order by 1") == [("1", "cancelled"), ("2", "reserved")]
    assert core.faults() == []
