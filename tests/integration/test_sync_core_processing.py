"""Events through inbox, decision and commit: books that balance, counters that equal movements, spans that match."""

import datetime as dt
import threading
from collections import Counter

import pytest

from sync_core.flows import Retry
from sync_core.messages import Event, Message
from tests.core import Core, later, text
from tests.factories import (
    NOON,
    adjustment,
    cancellation,
    charge,
    credit_memo,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    refund,
    sent,
    shipment,
    write_off,
)


def story() -> list[Message]:
    """A receipt, two orders, one shipped, returned and refunded, the other cancelled; a credit, a charge, a count."""
    events: list[Event] = [
        goods_in("D1", {"A1": 10, "B2": 5}),
        order(
            "1", line("A1", 3), line("B2", 1), line("POST", 1, 350, kind="shipping"), tax_minor=870, customer_ref="100"
        ),
        payment("1", 5220),
        order("2", line("A1", 2), tax_minor=400),
        payment("2", 2400),
        shipment("1", tracking_id="T1"),
        cancellation("2"),
        goods_back("R1", line("A1", 1), tax_minor=200),
        refund("F1", 700, tax_minor=100),
        refund("F2", 500, tax_minor=100),
        credit_memo("C1", line("B2", -1), line("Z9", -1, 50)),
        charge("K1"),
        write_off("W1"),
        adjustment("N1"),
    ]
    return [sent(event, at=NOON + dt.timedelta(hours=number)) for number, event in enumerate(events)]


def in_sequence(messages: list[Message]) -> list[Message]:
    """The messages in one sequence, so that they are applied in their order."""
    return [sent(one.event, one.event_id, at=one.occurred_at, partition_key="shop") for one in messages]


def test_a_story_ends_in_balanced_books_equal_counters_and_spans_of_every_hop(core: Core) -> None:
    core.accept(*in_sequence(story()))
    assert core.work() == 14
    assert core.states() == {"done": 14}
    assert core.faults() == []
    stock = core.rows("select sku, good, reserved, return_pending from core.stock order by sku")
    assert stock == [("A1", 6, 0, 1), ("B2", 4, 0, 1), ("Z9", 0, 0, 0)]
    assert {
        name: core.balance(name) for name in ("liabilities:contract", "liabilities:refunds", "assets:clearing")
    } == {
        "liabilities:contract": 0,
        "liabilities:refunds": 0,
        "assets:clearing": 5220 - (700 + 500) - (1000 + 200),
    }
    assert core.one("select sum(amount_minor) from core.journal_lines") == 0
    assert core.exceptions() == [("shop:return_without_sale/C1", "returns", "open")]
    assert core.rows("select sku, amount_minor, reason from core.parked_items") == [("Z9", -50, "no_earlier_sale")]
    names = Counter(span.name for span in core.spans())
    assert names == {
        "inventory.receive": 1, "inventory.adjust": 1, "inventory.reserve": 2, "order.capture": 2, "order.ship": 1,
        "order.cancel": 1, "order.charge": 1, "payment.capture": 2, "payment.adjust": 1, "return.receive": 2,
        "refund.issue": 3, "exception.open": 1, "posting.journal": 14, "posting.reverse": 3,
    }  # fmt: skip
    assert core.one("select count(*) from core.erp_documents where state = 'waiting'") == 11
    keys = {(name, key) for span in core.spans() for name in ("tracking_id", "refund_id") if (key := text(span, name))}
    assert keys == {("refund_id", "C1"), ("refund_id", "F1"), ("refund_id", "F2"), ("tracking_id", "T1")}


@pytest.mark.parametrize("batch", [1, 3])
def test_any_split_into_batches_gives_the_same_journal(core: Core, batch: int) -> None:
    messages = in_sequence(story())
    core.accept(*messages)
    core.work()
    at_once = core.journal()
    core.change("drop schema core cascade")
    core.db.migrate()
    core.accept(*messages)
    core.work(batch=batch)
    assert core.journal() == at_once
    assert core.faults() == []


def test_what_comes_before_its_parent_waits_and_is_applied_when_it_comes(core: Core) -> None:
    core.take(sent(goods_in()))
    core.take(sent(shipment()), sent(refund("F1")), sent(payment()), sent(goods_back()))
    assert core.states() == {"done": 1, "parked": 4}
    assert core.journal().count("shop:") == 2, "nothing of what waits is posted"
    core.take(sent(order()))
    assert core.states() == {"done": 6}
    assert core.faults() == []
    assert core.one("select count(*) from core.journals where document = 'refund'") == 1
    assert core.balance("liabilities:refunds") == 0


def test_a_shipment_that_waits_for_its_payment_becomes_an_exception_when_the_order_is_cancelled(core: Core) -> None:
    core.take(sent(goods_in()))
    core.take(sent(order()), sent(shipment()))
    assert core.states() == {"done": 2, "parked": 1}
    core.take(sent(cancellation()))
    assert core.states() == {"done": 3, "rejected": 1}
    assert core.exceptions() == [("shop:shipment_not_reserved/1", "warehouse", "open")]
    assert core.faults() == []


def refuse_poison(core: Core) -> None:
    """Let the database refuse the order named poison."""
    core.change(
        "create function core.refuse_order() returns trigger language plpgsql as $$ begin"
        " if new.order_id = 'poison' then raise exception 'no room for %', new.order_id; end if;"
        " return new; end $$",
        "create trigger poison before insert on core.orders for each row execute function core.refuse_order()",
    )


def test_an_event_that_fails_is_tried_again_and_given_up_while_its_neighbours_go_through(core: Core) -> None:
    refuse_poison(core)
    names = ("1", "poison", "2")
    core.accept(*(sent(order(name), name, partition_key="one") for name in names))
    processor = core.processor(retry=Retry(attempts=3, base_seconds=10))
    assert processor.run_once() == 3
    assert core.states() == {"done": 2, "queued": 1}
    assert processor.run_once() == 0, "it is left alone until its pause is over"
    for seconds in (10, 20):
        later(core, seconds=seconds - 1)
        assert processor.run_once() == 0
        later(core, seconds=1)
        assert processor.run_once() == 1
    assert core.states() == {"done": 2, "dead": 1}
    assert core.rows("select attempts, split_part(reason, E'\n', 1) from core.inbox where state = 'dead'") == [
        (3, "RaiseException: no room for poison")
    ]
    assert ("shop:dead_letter/poison", "integration", "open") in core.exceptions()
    assert core.one("select severity from core.exceptions where kind = 'dead_letter'") == "critical"
    assert core.rows("select order_id from core.orders order by 1") == [("1",), ("2",)]
    assert core.faults() == []
    core.spans()


def test_an_event_that_failed_goes_through_when_its_cause_is_gone(core: Core) -> None:
    refuse_poison(core)
    core.accept(sent(order("poison")))
    processor = core.processor(retry=Retry(base_seconds=10))
    processor.run_once()
    core.change("drop trigger poison on core.orders")
    later(core, seconds=10)
    assert processor.run_once() == 1
    assert core.states() == {"done": 1}
    assert [kind for kind, *_ in core.exceptions()] == ["shop:backorder/poison"]


def in_threads(core: Core, workers: int, *, batch: int) -> int:
    """Work with so many workers at once until nothing is left; returns how many events they processed together."""
    counts: list[int] = []
    together = threading.Barrier(workers)

    def work() -> None:
        processor, total, idle = core.processor(batch=batch), 0, 0
        together.wait()
        while idle < 3:
            done = processor.run_once()
            total += done
            idle = 0 if done else idle + 1
        counts.append(total)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def test_two_workers_on_all_partitions_process_everything_once(core: Core) -> None:
    core.take(sent(goods_in("D1", {"A1": 60})))
    for number in range(60):
        name = str(number)
        core.accept(sent(shipment(name)), sent(payment(name)), sent(order(name)))
    assert core.one("select count(distinct partition) from core.inbox") == 16
    in_threads(core, 2, batch=7)
    assert core.states() == {"done": 181}
    assert core.rows("select good, reserved from core.stock") == [(0, 0)]
    documents = core.rows("select document, count(*) from core.journals group by 1 order by 1")
    assert documents == [("order", 60), ("receipt", 1), ("shipment", 60)]
    assert core.faults() == []
    assert core.balance("liabilities:contract") == 0
    core.spans()


@pytest.mark.proves(104)
@pytest.mark.parametrize("times", [1, pytest.param(1000, marks=pytest.mark.long)])
def test_of_a_hundred_buyers_of_one_unit_one_gets_it(core: Core, times: int) -> None:
    for first in range(0, times, 20):
        skus = [f"A{number}" for number in range(first, min(first + 20, times))]
        core.take(sent(goods_in(f"D{first}", dict.fromkeys(skus, 1))))
        core.accept(*(sent(order(f"{sku}/{number}", line(sku))) for number in range(100) for sku in skus))
        assert core.one("select count(distinct partition) from core.inbox where state = 'queued'") == 16
        assert in_threads(core, 4, batch=3 * len(skus)) == 100 * len(skus)
    assert core.rows("select state, count(*) from core.orders group by 1 order by 1") == [
        ("backordered", 99 * times),
        ("reserved", times),
    ]
    assert core.rows("select good, reserved, count(*) from core.stock group by 1, 2") == [(1, 1, times)]
    assert core.one("select count(*) from core.movements where kind = 'reservation'") == times
    owned = {name for name, owner, state in core.exceptions() if (owner, state) == ("inventory", "open")}
    assert len(owned) == 99 * times
    assert core.faults() == []
