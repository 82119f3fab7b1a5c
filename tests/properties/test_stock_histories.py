"""Stock under every kind of event, in whatever order it is delivered, by more than one worker."""

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_core.messages import Event, Message, StockLine
from tests.core import Core, database, opened
from tests.factories import (
    NOON,
    adjustment,
    cancellation,
    counted,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    reclassified,
    sent,
    shipment,
    stepped,
    transfer,
    transfer_in,
    transfer_out,
)

PLACES: Final = ("location", "from_location", "to_location")
STORIES: Final = ("sold", "sold", "paid", "refused", "cancelled", "moved", "damaged", "received")
DEEDS: Final = (*STORIES, "given up", "counted", "lost", "returned")
FACTS: Final = {"counted", "lost", "damaged", "moved"}
"""They tell what happened to goods, whoever they were promised to: a transfer that found too little left anyway."""
HELD: Final = """
    select stock.sku, stock.location, stock.reserved from core.stock where starts_with(location, %s) and reserved <> 0
    except
    select sku, location, sum(reserved)::bigint from core.orders join core.order_lines using (correlation_id)
    where state = 'reserved' and kind = 'goods' group by sku, location
"""
OVERSOLD: Final = """
    select sku, location, oversold from core.stock
    left join core.exceptions on exception_id = oversold_exception and exceptions.state = 'open' and owner <> ''
    where oversold <> greatest(0, reserved + committed - good)
       or (oversold > 0 and amount_minor is distinct from oversold * coalesce(unit_cost_minor, 0))
"""


def story(kind: str, n: int, units: int) -> list[Event]:
    """What happens about one document, in its order."""
    number, goods = str(n), (line("A1", units), line("B2", 1))
    net = 1000 * (units + 1)
    bought, paid = order(number, *goods), payment(number, net)
    match kind:
        case "sold":
            checks = [stepped("fraud_cleared", number), stepped("picked", number), stepped("delivered", number)]
            return [bought, checks[0], paid, checks[1], shipment(number), checks[2]]
        case "paid":
            return [bought, stepped("routed", number), paid]
        case "refused":
            return [bought, stepped("fraud_cleared", number, failed=True, reason="risk")]
        case "cancelled":
            return [bought, cancellation(number)]
        case "given up":
            return [bought, paid, cancellation(number)]
        case "moved":
            sku = {"A1": units}
            return [transfer(f"T{n}", sku), transfer_out(f"T{n}", sku), transfer_in(f"T{n}", sku)]
        case "damaged":
            return [reclassified(f"B{n}", ("A1", units, "good", "damaged"))]
        case "received":
            return [goods_in(f"D{n}", {"A1": units})]
        case "counted":
            return [counted(f"K{n}", {"A1": units})]
        case "lost":
            return [adjustment(f"N{n}", StockLine(sku="A1", quantity=-units))]
        case _:
            return [bought, paid, shipment(number), goods_back(f"R{n}", line("A1", 1), order_id=number)]


class Yard:
    """Histories in one database, each in places of its own."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._runs = itertools.count()

    def run(self, stock: int, messages: Sequence[Message], *, batch: int, workers: int = 1) -> str:
        """Deliver the messages in the order given, after a first delivery of goods; returns what the run is called."""
        run = f"r{next(self._runs)}"
        self.core.take(_moved(sent(goods_in("D", {"A1": stock, "B2": stock})), run))
        self.core.accept(*(_moved(one, run) for one in messages))
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(lambda _: self.core.work(batch=batch), range(workers)))
        self.core.work(batch=batch)
        return run

    def end(self, run: str) -> list[tuple[Any, ...]]:
        """Stock, orders and journal, without what tells one run from another."""
        place, origin = f"{run}-", f"{run}-shop"
        stock = "select sku, split_part(location, '-', 2), good, damaged, reserved, committed, in_transit, oversold"
        journal = "select occurred_at, document, entity_id, line_no, account, amount_minor"
        return [
            *self.core.rows(f"{stock} from core.stock where starts_with(location, %s) order by 1, 2", place),
            *self.core.rows("select order_id, state, paid_minor from core.orders where origin = %s order by 1", origin),
            *self.core.rows(
                f"{journal} from core.journals join core.journal_lines using (journal_id)"
                " where event_source = %s order by 1, 2, 3, 4",
                origin,
            ),
        ]

    def check(self, run: str, *ends: str) -> None:
        """Everything that must hold of any history; its events may end so."""
        core = self.core
        assert core.faults() == []
        assert core.rows(HELD, f"{run}-") == []
        assert core.rows(OVERSOLD) == []
        left = "select event_id, state, reason from core.inbox where source = %s and state <> all(%s)"
        assert core.rows(left, f"{run}-shop", list(ends)) == []

    def oversold(self, run: str) -> int:
        return int(self.core.one("select sum(oversold) from core.stock where starts_with(location, %s)", f"{run}-"))


def _moved(one: Message, run: str) -> Message:
    """The message as of another shop and other places."""
    fields = msgspec.structs.asdict(one.event)
    changed: dict[str, str] = {name: f"{run}-shop" for name in ("origin", "order_origin") if name in fields}
    changed |= {name: f"{run}-{fields[name]}" for name in PLACES if fields.get(name)}
    there: Event = msgspec.structs.replace(one.event, **changed)
    return sent(there, one.event_id, at=one.occurred_at, source=f"{run}-shop")


@pytest.fixture(scope="module")
def yard(postgres_server: str) -> Iterator[Yard]:
    with database(postgres_server) as url, opened(url) as core:
        yield Yard(core)
        core.spans()


def messages_of(kinds: Sequence[tuple[str, int]]) -> list[Message]:
    told = [(n, event) for n, (kind, units) in enumerate(kinds) for event in story(kind, n, units)]
    return [sent(event, f"{n}/{place}", at=NOON + dt.timedelta(minutes=place)) for place, (n, event) in enumerate(told)]


def any_delivery_ends_alike(
    yard: Yard, kinds: Sequence[tuple[str, int]], again: Sequence[int], chance: Any, batch: int
) -> None:
    told = messages_of(kinds)
    expected = yard.run(500, told, batch=400)
    shuffled = told + [told[place % len(told)] for place in again]
    chance.shuffle(shuffled)
    other = yard.run(500, shuffled, batch=batch, workers=2)
    for run in (expected, other):
        yard.check(run, "done")
        assert yard.oversold(run) == 0, "oversold without a fact that came late"
    assert yard.end(other) == yard.end(expected)


def any_shortage_is_owned(
    yard: Yard, kinds: Sequence[tuple[str, int]], again: Sequence[int], chance: Any, batch: int
) -> None:
    told = messages_of(kinds)
    told += [told[place % len(told)] for place in again]
    chance.shuffle(told)
    run = yard.run(3, told, batch=batch, workers=2)
    yard.check(run, "done", "rejected", "parked")
    if not {kind for kind, _ in kinds} & FACTS:
        assert yard.oversold(run) == 0


def histories(kinds: Sequence[str]) -> Any:
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(1, 3)), min_size=3, max_size=8)


AGAIN = st.lists(st.integers(0, 99), max_size=3)
BATCHES = st.integers(1, 6)
SHUFFLES = st.randoms(use_true_random=False)


@pytest.mark.proves(31, 86, 182, 183)
@settings(max_examples=8, deadline=None)
@given(kinds=histories(STORIES), again=AGAIN, chance=SHUFFLES, batch=BATCHES)
def test_any_delivery_ends_in_the_same_stock_orders_and_journal(
    yard: Yard, kinds: list[tuple[str, int]], again: list[int], chance: Any, batch: int
) -> None:
    any_delivery_ends_alike(yard, kinds, again, chance, batch)


@pytest.mark.proves(104, 105)
@settings(max_examples=10, deadline=None)
@given(kinds=histories(DEEDS), again=AGAIN, chance=SHUFFLES, batch=BATCHES)
def test_whatever_happens_what_is_oversold_has_an_owner(
    yard: Yard, kinds: list[tuple[str, int]], again: list[int], chance: Any, batch: int
) -> None:
    any_shortage_is_owned(yard, kinds, again, chance, batch)


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(kinds=histories(STORIES), again=AGAIN, chance=SHUFFLES, batch=BATCHES)
def test_many_deliveries_end_in_the_same_stock_orders_and_journal(
    yard: Yard, kinds: list[tuple[str, int]], again: list[int], chance: Any, batch: int
) -> None:
    any_delivery_ends_alike(yard, kinds, again, chance, batch)


@pytest.mark.long
@settings(max_examples=600, deadline=None)
@given(kinds=histories(DEEDS), again=AGAIN, chance=SHUFFLES, batch=BATCHES)
def test_whatever_happens_many_times_what_is_oversold_has_an_owner(
    yard: Yard, kinds: list[tuple[str, int]], again: list[int], chance: Any, batch: int
) -> None:
    any_shortage_is_owned(yard, kinds, again, chance, batch)
