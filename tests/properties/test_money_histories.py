"""Sales, parts of them, returns, refunds, fees, disputes and payouts in any order, told twice: no penny is lost."""

import itertools
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_core.messages import Event, Message, Tender
from sync_core.reconciliation.cells import Cell
from sync_core.reconciliation.reconcile import compare
from tests.core import Core, database, opened
from tests.factories import (
    cancellation,
    fact,
    gift_card,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    refund,
    sent,
    shipment,
    units,
)

CLEARING: Final = "assets:clearing:stripe"
ENDS_AT_NOTHING: Final = (
    CLEARING, "assets:payouts in transit", "assets:disputes receivable", "liabilities:contract",
    "liabilities:refunds:approved", "liabilities:tax on refunds pending",
)  # fmt: skip


class Trade:
    """What happened to a few orders, and what the customers' cards and gift cards paid and got back of it."""

    def __init__(self, random: Random, number: int) -> None:
        self._random, self.origin = random, f"shop{number}"
        self.events: list[Event] = [goods_in("D", {"A1": 50}, origin=self.origin)]
        self.cards: list[str] = []
        self.taken = Counter[str]()  # minor units by what they were taken for
        for one in range(random.randint(1, 4)):
            self._order(str(one))

    def _order(self, order_id: str) -> None:
        random, origin = self._random, self.origin
        count = random.randint(1, 5)
        carriage = random.randint(0, 700)
        coded: dict[str, Any] = random.choice([{}, {"tax_code": "T20", "tax_minor": 200 * count}, {"tax_code": "T20"}])
        lines = [
            line("A1", count, 1000, **coded),
            line("POST", 1, carriage, kind="shipping", tax_code="T5", tax_minor=carriage // 20),
            line("PROMO", 1, -random.randint(0, 200), kind="discount"),
        ]  # less than tax: what comes back was paid
        net = sum(one.amount_minor for one in lines)
        tax = 200 * count + carriage // 20
        total = net + tax
        self.events += [order(order_id, *lines, origin=origin, tax_minor=tax), self._payment(order_id, total)]
        cancelled = random.randint(0, count - 1) if random.random() < 0.4 else 0
        if cancelled:
            self.events.append(cancellation(order_id, origin=origin, lines=(units("A1", cancelled),)))
        for part in range(count - cancelled):
            self.events.append(
                shipment(order_id, origin=origin, shipment_id=f"S{order_id}-{part}", lines=(units("A1", 1),))
            )
        by_card_alone = f"G{order_id}" not in self.cards
        if not cancelled and by_card_alone and random.random() < 0.5:
            self._back(order_id, random.randint(1, count))
        if random.random() < 0.5:
            self._dispute(order_id)

    def _payment(self, order_id: str, total: int) -> Event:
        by_card = min(total // 2, self._random.randint(1, 900)) if self._random.random() < 0.4 else 0
        self.taken["stripe"] += total - by_card
        if not by_card:
            return payment(order_id, total, origin=self.origin, provider="stripe")
        self.events.append(gift_card(f"G{order_id}", 1000, origin=self.origin))
        self.cards.append(f"G{order_id}")
        self.taken["stripe"] += 1000
        self.taken["cards"] += 1000 - by_card
        tenders = (Tender(kind="gift_card", amount_minor=by_card, card_id=f"G{order_id}"),
                   Tender(kind="card", amount_minor=total - by_card))  # fmt: skip
        return payment(order_id, total, origin=self.origin, provider="stripe", tenders=tenders)

    def _back(self, order_id: str, count: int) -> None:
        """Some units come back and are refunded in one amount or in two."""
        number, owed, origin = f"R{order_id}", 1000 * count, self.origin
        back = goods_back(number, line("A1", count), order_id=order_id, origin=origin, order_origin=origin)
        self.events.append(back)
        first = self._random.choice([owed, owed // 3])
        for place, amount in enumerate(filter(None, (first, owed - first))):
            self.events.append(refund(f"F{order_id}-{place}", amount, number, origin=origin, provider="stripe"))
        self.taken["stripe"] -= owed
        self.taken["refunds"] += owed

    def _dispute(self, order_id: str) -> None:
        amount, fee = self._random.randint(1, 500), self._random.choice([0, 1500])
        amounts = {"amount": amount, "fee": fee}
        self._fact("chargeback_opened", f"cb-{order_id}", amounts, provider="stripe")
        self.taken["stripe"] -= amount + fee
        if self._random.random() < 0.5:
            self._fact("chargeback_won", f"cb-{order_id}", {"amount": amount}, provider="stripe")
            self.taken["stripe"] += amount
        else:
            self._fact("chargeback_lost_on_goods", f"cb-{order_id}", {"amount": amount, "tax": amount // 6})
        self._fact("processor_fee", f"fee-{order_id}", {"amount": 59}, provider="stripe")
        self.taken["stripe"] -= 59

    def _fact(self, kind: str, number: str, amounts: dict[str, int], **names: str) -> None:
        self.events.append(fact(kind, number, origin=self.origin, amounts=amounts, names=names))

    def delivered(self) -> Iterator[list[Message]]:
        """The goods, then the events in any order, some of them twice, a few at a time."""
        random = self._random
        first, *messages = [sent(one, f"{number}", source=self.origin) for number, one in enumerate(self.events)]
        yield [first]  # what leaves must be there
        messages += random.sample(messages, len(messages) // 3)
        random.shuffle(messages)
        while messages:
            count = random.randint(1, 8)
            yield messages[:count]
            messages = messages[count:]

    def settled(self, cancelled_minor: int) -> list[Message]:
        """The provider pays out what it took, and the bank has it."""
        amounts = {"amount": self.taken["stripe"] - cancelled_minor}
        return [sent(fact(kind, "po", origin=self.origin, amounts=amounts, names=names), kind, source=self.origin)
                for kind, names in (("payout_created", {"provider": "stripe"}), ("payout_banked", {}))]  # fmt: skip


class Books:
    """Histories in one database, each in a shop of its own."""

    def __init__(self, core: Core) -> None:
        self.core, self._numbers = core, itertools.count()

    def hold(self, seed: int) -> None:
        trade = Trade(Random(seed), next(self._numbers))
        core = self.core
        before = {account: core.balance(account) for account in (*ENDS_AT_NOTHING, "assets:bank", "liabilities:gift")}
        for part in trade.delivered():
            core.take(*part)
        assert core.states().keys() == {"done"}
        returned: dict[str, int] = dict(core.rows(
            "select kind, sum(refunded_minor)::bigint from core.payments join core.orders using (correlation_id)"
            " where origin = %s group by kind", trade.origin,
        ))  # fmt: skip
        cancelled = returned["card"] - trade.taken["refunds"]
        core.take(*trade.settled(cancelled))
        moved = {account: core.balance(account) - minor for account, minor in before.items()}
        assert {account: moved[account] for account in ENDS_AT_NOTHING} == dict.fromkeys(ENDS_AT_NOTHING, 0)
        assert -moved["liabilities:gift"] == trade.taken["cards"] + returned.get("gift_card", 0)
        assert moved["assets:bank"] == trade.taken["stripe"] - cancelled
        assert core.faults() == []
        assert core.rows(
            "select tax_code, sum(amount_minor) from core.journal_lines where account = any(%s)"
            " group by tax_code having sum(amount_minor) <> 0",
            ["liabilities:contract:tax", "liabilities:tax on refunds pending"],
        ) == []  # fmt: skip
        assert [one for one in self._tax_cells() if one.unexplained_minor] == []

    def _tax_cells(self) -> list[Cell]:
        days = [self.core.now.date()]
        with self.core.db.transaction() as session:
            found = compare(session, self.core.rules, days)["L5", days[0]]
        return [one for one in found.cells.values() if one.key.kind.startswith("tax")]


@pytest.fixture(scope="module")
def books(postgres_server: str) -> Iterator[Books]:
    with database(postgres_server) as url, opened(url) as core:
        yield Books(core)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_money_is_conserved_over_any_history(books: Books, seed: int) -> None:
    books.hold(seed)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_money_is_conserved_over_many_histories(books: Books, seed: int) -> None:
    books.hold(seed)
