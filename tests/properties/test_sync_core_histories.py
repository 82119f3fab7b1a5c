"""Whatever happens to orders, in whatever order it is delivered: the books balance and nothing is given twice."""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_core.messages import Event, Line, Message
from sync_core.returns.model import ReturnLine
from tests.core import Core, database, opened
from tests.factories import (
    NOON,
    cancellation,
    credit_memo,
    edited,
    edited_line,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    refund,
    sent,
    shipment,
)
from tests.factories import units as units_of
from tests.unit.sync_core.shop import Shop

ORDERS: Final[dict[str, tuple[Line, ...]]] = {
    "0": (line("A1", 1),),
    "1": (line("A1", 2, 333), line("B2", 1), line("POST", 1, 350, kind="shipping")),
    "2": (line("A1", 2), line("A1", 2, 900)),
    "3": (line("B2", 2), line("GIFT", 1, 500, kind="gift")),
}


EDITED_THIRD: Final = {
    "0": edited_line(3, "B2", 1, 70),
    "1": edited_line(3, "POST", 1, 70, kind="shipping"),
    "2": edited_line(3, "A1", 2, 70),
    "3": edited_line(3, "B2", 0),
}


class Deed(NamedTuple):
    """Something that happens ``minutes`` after the deed before it; what it means depends on ``kind``."""

    kind: str
    order_id: str
    units: int
    target: int
    minutes: int


KINDS: Final = (
    "order",
    "order",
    "pay",
    "pay",
    "ship",
    "ship",
    "cancel",
    "return",
    "refund",
    "refund",
    "memo",
    "restock",
    "part",
    "part",
    "less",
    "edit",
    "edit",
)
DEEDS = st.builds(
    Deed,
    kind=st.sampled_from(KINDS),
    order_id=st.sampled_from(sorted(ORDERS)),
    units=st.integers(1, 3),
    target=st.integers(0, 11),
    minutes=st.sampled_from([0, 5, 50, 120]),
)
HISTORIES = st.lists(DEEDS, min_size=4, max_size=14)


def event(number: int, deed: Deed) -> Event:
    order_id, units = deed.order_id, deed.units
    net = sum(each.amount_minor for each in ORDERS[order_id])
    match deed.kind:
        case "order":
            return order(order_id, *ORDERS[order_id], tax_minor=net // 5, customer_ref="100")
        case "pay":
            return payment(order_id, net + net // 5, payment_id=f"P{number}")
        case "ship":
            return shipment(order_id)
        case "cancel":
            return cancellation(order_id, cancellation_id=f"X{number}")
        case "part":
            return shipment(order_id, shipment_id=f"S{number}", lines=(units_of("A1", units),))
        case "less":
            return cancellation(order_id, cancellation_id=f"X{number}", lines=(units_of("A1", units),))
        case "edit":
            changed = (edited_line(1, ORDERS[order_id][0].sku, units, 333), EDITED_THIRD[order_id])
            return edited(order_id, *changed[: deed.target % 2 + 1], edit_id=f"E{number}")
        case "return":
            return goods_back(f"R{number}", line("A1", units), order_id=order_id, tax_minor=200 * units)
        case "refund":
            return refund(f"F{number}", units * 700, return_id=f"R{deed.target}")
        case "memo":
            return credit_memo(f"C{number}", line("A1", -units), line("B2", -1))
        case _:
            return goods_in(f"D{number}", {"A1": units})


def history(deeds: Sequence[Deed]) -> list[Message]:
    """The deeds as messages in the order in which they happened, after a first delivery of goods."""
    at = NOON
    messages = [sent(goods_in("D", {"A1": 6, "B2": 2}), "first")]
    for number, deed in enumerate(deeds):
        at += dt.timedelta(minutes=deed.minutes)
        messages.append(sent(event(number, deed), str(number), at=at))
    return messages


def without_early_ones(messages: Sequence[Message]) -> list[Message]:
    """The messages whose parents are there when they come."""
    shop = Shop()
    minutes = [(one.occurred_at - NOON) / dt.timedelta(minutes=1) for one in messages]
    return [one for one, at in zip(messages, minutes, strict=True) if shop.see(one.event, minutes=at).state != "parked"]


class Books:
    """Histories in one database, each in a shop and a warehouse of its own."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._runs = itertools.count()

    def run(self, messages: Sequence[Message], *, batch: int) -> str:
        """Take the messages in the order given and work them off; returns the warehouse they went to."""
        run = next(self._runs)
        self.core.accept(*(_moved(one, run) for one in messages))
        self.core.work(batch=batch)
        return f"WH1-{run}"

    def journal(self, warehouse: str) -> list[tuple[Any, ...]]:
        return self.core.rows(
            "select occurred_at, document, entity_id, line_no, account, amount_minor, kind, quantity, line_count"
            " from core.journals join core.journal_lines using (journal_id) where location = %s"
            " order by occurred_at, document, entity_id, line_no",
            warehouse,
        )

    def balance(self, warehouse: str, account: str) -> int:
        lines = [row for row in self.journal(warehouse) if row[4].startswith(account)]
        return sum(row[5] for row in lines)

    def check(self, warehouse: str) -> None:
        """Everything that must hold of any history."""
        core = self.core
        assert core.faults() == []
        settled = ("done", "parked", "rejected")
        failed = "select event_id, state, reason from core.inbox where source = %s and state <> all(%s)"
        assert core.rows(failed, warehouse.replace("WH1", "shop"), list(settled)) == []
        contracts = "select coalesce(sum(value::bigint), 0) from core.orders, jsonb_each_text(contract)"
        owed = core.one(f"{contracts} where location = %s and key <> 'gift'", warehouse)
        assert self.balance(warehouse, "liabilities:contract") == -owed
        returns = "from core.returns where location = %s"
        owed = core.one(
            f"select coalesce(sum(approved_minor - released_minor - refunded_minor), 0) {returns}", warehouse
        )
        assert self.balance(warehouse, "liabilities:refunds:approved") == -owed
        self.check_returns(warehouse)
        held = (
            "select stock.sku, stock.reserved from core.stock where location = %s except"
            " select sku, sum(case when state <> 'shipped' then reserved else 0 end)::bigint"
            " from core.orders join core.order_lines using (correlation_id)"
            " where location = %s and kind = 'goods' group by sku"
        )
        assert [row for row in core.rows(held, warehouse, warehouse) if row[1]] == []
        closed = "select coalesce(sum(value::bigint), 0) from core.orders, jsonb_each_text(contract)"
        assert core.one(f"{closed} where location = %s and state = 'shipped' and key = 'goods'", warehouse) == 0
        waits = "select coalesce(sum(value::bigint), 0) from core.orders, jsonb_each_text(edited)"
        assert core.one(f"{waits} where location = %s and provider <> ''", warehouse) >= 0

    def check_returns(self, warehouse: str) -> None:
        """No unit is in two places, its money is decided once, and what is owed is refunded or released in the end."""
        pending: Counter[str] = Counter()
        rows = self.core.rows(
            "select approved_minor, released_minor, cleared_minor, refunded_minor, state, lines, coalesce((select"
            " sum(amount_minor) from core.refunds where refunds.correlation_id = returns.correlation_id and"
            " refunds.state = 'issued'), 0)::bigint from core.returns where location = %s", warehouse,
        )  # fmt: skip
        for approved, released, cleared, refunded, state, kept, issued in rows:
            assert (refunded, refunded + released <= approved, cleared + released <= approved) == (issued, True, True)
            assert state != "closed" or refunded + released == approved
            for one in msgspec.convert(kept, list[ReturnLine]):
                to_send_back = one.rejected - one.sent_back
                assert min(one.expected, one.uninspected, one.undisposed, one.undecided, to_send_back) >= 0, one
                assert sum(one.at.values()) == one.uninspected + one.undisposed + to_send_back
                pending[one.sku] += sum(one.at.values())
        there = "select sku, return_pending from core.stock where location = %s and return_pending <> 0"
        assert dict(self.core.rows(there, warehouse)) == {sku: count for sku, count in pending.items() if count}


def _moved(one: Message, run: int) -> Message:
    """The message as of another shop, in one sequence with all others of that shop."""
    fields = msgspec.structs.asdict(one.event)
    changed: dict[str, str] = {name: f"shop-{run}" for name in ("origin", "order_origin") if name in fields}
    if "location" in fields:
        changed["location"] = f"WH1-{run}"
    there: Event = msgspec.structs.replace(one.event, **changed)
    return sent(there, one.event_id, at=one.occurred_at, source=f"shop-{run}", partition_key=f"shop-{run}")


@pytest.fixture(scope="module")
def books(postgres_server: str) -> Iterator[Books]:
    with database(postgres_server) as url, opened(url) as core:
        yield Books(core)
        core.spans()


def any_split_gives_the_same_journal(books: Books, deeds: Sequence[Deed], again: Sequence[int], batch: int) -> None:
    messages = without_early_ones(history(deeds))
    messages += [messages[place % len(messages)] for place in again]
    warehouses = [books.run(messages, batch=size) for size in (1, batch, 400)]
    for warehouse in warehouses:
        books.check(warehouse)
    one_by_one, *others = [books.journal(warehouse) for warehouse in warehouses]
    assert others == [one_by_one, one_by_one]


def any_delivery_ends_in_books_that_balance(
    books: Books, deeds: Sequence[Deed], again: Sequence[int], order_of: Any, batch: int
) -> None:
    messages = history(deeds)
    messages += [messages[place % len(messages)] for place in again]
    order_of.shuffle(messages)
    books.check(books.run(messages, batch=batch))


AGAIN = st.lists(st.integers(0, 99), max_size=3)
BATCHES = st.integers(1, 5)
SHUFFLES = st.randoms(use_true_random=False)


@pytest.mark.proves(179)
@settings(max_examples=12, deadline=None)
@given(deeds=HISTORIES, again=AGAIN, batch=BATCHES)
def test_any_split_into_batches_gives_the_same_journal(
    books: Books, deeds: list[Deed], again: list[int], batch: int
) -> None:
    any_split_gives_the_same_journal(books, deeds, again, batch)


@pytest.mark.proves(104, 126, 183)
@settings(max_examples=25, deadline=None)
@given(deeds=HISTORIES, again=AGAIN, order_of=SHUFFLES, batch=BATCHES)
def test_any_order_of_delivery_ends_in_books_that_balance(
    books: Books, deeds: list[Deed], again: list[int], order_of: Any, batch: int
) -> None:
    any_delivery_ends_in_books_that_balance(books, deeds, again, order_of, batch)


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(deeds=HISTORIES, again=AGAIN, batch=BATCHES)
def test_many_splits_into_batches(books: Books, deeds: list[Deed], again: list[int], batch: int) -> None:
    any_split_gives_the_same_journal(books, deeds, again, batch)


@pytest.mark.long
@settings(max_examples=800, deadline=None)
@given(deeds=HISTORIES, again=AGAIN, order_of=SHUFFLES, batch=BATCHES)
def test_many_orders_of_delivery(books: Books, deeds: list[Deed], again: list[int], order_of: Any, batch: int) -> None:
    any_delivery_ends_in_books_that_balance(books, deeds, again, order_of, batch)
