"""Whatever happens to returns, in whatever order and however often: money is decided once, units are in one place."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync_core.messages import Event, Message
from sync_core.returns.messages import (
    DisposedUnits,
    ReceivedUnits,
    RefundApproved,
    RefundFailed,
    RequestedUnits,
    ReturnPolicySet,
    ReturnWithdrawn,
)
from tests.core import database, opened
from tests.factories import (
    asked_back,
    came_back,
    disposed,
    goods_in,
    goodwill,
    line,
    looked_at,
    order,
    payment,
    refund,
    sent,
    sent_back,
    shipment,
)
from tests.properties.test_sync_core_histories import Books


class Deed(NamedTuple):
    """Something that happens to the return ``R<target>``."""

    kind: str
    target: int
    units: int


KINDS: Final = (
    "arrive", "arrive", "inspect", "inspect", "reject", "resell", "scrap", "send back", "refund", "refund", "strange",
    "fail", "withdraw", "approve", "goodwill",
)  # fmt: skip
DEEDS = st.builds(Deed, kind=st.sampled_from(KINDS), target=st.integers(0, 1), units=st.integers(1, 2))
POLICIES = st.builds(
    ReturnPolicySet, origin=st.just("shop"), policy_id=st.just("all"), fee_ppm=st.sampled_from([0, 130_000]),
    refund_after=st.sampled_from(["inspected", "inspected", "received", "authorised"]),
    approval=st.sampled_from(["automatic", "manual"]),
)  # fmt: skip


def event(number: int, deed: Deed) -> Event:
    back, units = f"R{deed.target}", deed.units
    match deed.kind:
        case "arrive":
            return came_back(back, ReceivedUnits(sku="A1", quantity=units), receipt_id=f"{number}")
        case "inspect":
            return looked_at(back, units, inspection_id=f"{number}")
        case "reject":
            return looked_at(back, 0, units, inspection_id=f"{number}")
        case "resell" | "scrap" as put:
            return disposed(back, DisposedUnits(sku="A1", quantity=units, disposition=put), disposition_id=f"{number}")
        case "send back":
            return sent_back(back, units, shipment_id=f"{number}")
        case "refund":
            return refund(f"{back}-{units}", 399 * units, back, tax_minor=66 * units)
        case "strange":
            return refund(f"F{number}", 399 * units, back)
        case "fail":
            return RefundFailed(origin="shop", return_id=back, refund_id=f"{back}-{units}", provider="card")
        case "withdraw":
            return ReturnWithdrawn(origin="shop", return_id=back)
        case "approve":
            card_id = "SC" if units == 2 else ""
            return RefundApproved(origin="shop", return_id=back, approval_id=f"{number}", by="ann", card_id=card_id)
        case _:
            return goodwill(f"G{number}", 70 * units)


def history(deeds: list[Deed]) -> list[Message]:
    """Four units of one order, two of them asked back twice, and what happens then."""
    events: list[Event] = [
        order("1", line("A1", 4, 333), tax_minor=266, customer_ref="100"), payment("1", 1598), shipment("1"),
        *(asked_back(f"R{number}", RequestedUnits(sku="A1", quantity=2)) for number in (0, 1)),
        *(event(number, deed) for number, deed in enumerate(deeds)),
    ]  # fmt: skip
    return [sent(one, f"{number}") for number, one in enumerate(events)]


@pytest.fixture(scope="module")
def books(postgres_server: str) -> Iterator[Books]:
    with database(postgres_server) as url, opened(url) as core:
        yield Books(core)


def returns_hold(
    books: Books, policy: ReturnPolicySet, deeds: list[Deed], again: list[int], order_of: Any, batch: int
) -> None:
    books.core.take(sent(policy, f"{policy}"))
    messages = history(deeds)
    messages += [messages[place % len(messages)] for place in again]
    if order_of is not None:
        order_of.shuffle(messages)
    books.check(books.run([sent(goods_in("D", {"A1": 4}), "goods"), *messages], batch=batch))


AGAIN = st.lists(st.integers(0, 99), max_size=3)
ORDERS = st.one_of(st.none(), st.randoms(use_true_random=False))
DEEDS_OF = st.lists(DEEDS, min_size=6, max_size=14)


PAID_BEFORE: Final = [Deed("strange", 0, 1), Deed("withdraw", 0, 1)]
"""A refund of goods that then do not come: the customer owes it."""


@settings(max_examples=20, deadline=None)
@example(policy=ReturnPolicySet(origin="shop", policy_id="all"), deeds=PAID_BEFORE, again=[], order_of=None, batch=1)
@given(policy=POLICIES, deeds=DEEDS_OF, again=AGAIN, order_of=ORDERS, batch=st.sampled_from([1, 3, 400]))
def test_any_history_of_returns(
    books: Books, policy: ReturnPolicySet, deeds: list[Deed], again: list[int], order_of: Any, batch: int
) -> None:
    returns_hold(books, policy, deeds, again, order_of, batch)


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(policy=POLICIES, deeds=DEEDS_OF, again=AGAIN, order_of=ORDERS, batch=st.sampled_from([1, 3, 400]))
def test_many_histories_of_returns(
    books: Books, policy: ReturnPolicySet, deeds: list[Deed], again: list[int], order_of: Any, batch: int
) -> None:
    returns_hold(books, policy, deeds, again, order_of, batch)
