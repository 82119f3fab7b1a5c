"""A shop in memory: events go in one by one, and its books can be asked."""

import datetime as dt
from collections import Counter
from typing import Any

from collector.semconv import EVENT_LINK, KEY_NAMES, correlation_id
from sync_core.flows import DECISIONS
from sync_core.ledger.ledger import load_rules
from sync_core.messages import (
    Event,
    Provenance,
)
from sync_core.model import Order, OrderLine, Stock
from sync_core.unit import Step, Unit, Verdict
from tests.factories import NOON, goods_in, sent


class Shop:
    """Starts with so many units of each SKU at WH1, at a cost of 4.00 each."""

    def __init__(self, **units: int) -> None:
        self.unit = Unit(load_rules())
        if units:
            self.see(goods_in("stock", units, opening=True))

    def see(self, *events: Event, minutes: float = 0, provenance: Provenance = "live") -> Verdict:
        """Decide on events that happen so many minutes after noon; returns the verdict on the last."""
        verdict = Verdict("no event")
        for event in events:
            message = sent(event, at=NOON + dt.timedelta(minutes=minutes), provenance=provenance)
            step = Step(self.unit, message, message.occurred_at, dt.timedelta())
            verdict = DECISIONS[type(event)](step, event)
        return verdict

    def order(self, order_id: str = "1") -> Order:
        return self.unit.orders[correlation_id("shop", order_id)]

    def line(self, order_id: str = "1", number: int = 1) -> OrderLine:
        return self.unit.lines[correlation_id("shop", order_id)][number - 1]

    def stock(self, sku: str = "A1") -> Stock:
        return self.unit.stock[(sku, "WH1")]

    @property
    def posted(self) -> list[str]:
        """What was posted, as ``<document>/<entity_id>``, receipts of the opening stock left out."""
        named = [f"{journal.document}/{journal.entity_id}" for journal, _, _ in self.unit.journals]
        return [name for name in named if name != "receipt/stock"]

    def journal(self, name: str) -> dict[str, int]:
        """Minor units per account of one journal, lines without an amount left out."""
        (found,) = [j for j, _, _ in self.unit.journals if f"{j.document}/{j.entity_id}" == name]
        amounts = Counter[str]()
        for line in found.lines:
            if line.amount_minor:
                amounts[line.account] += line.amount_minor
        return dict(amounts)

    def balance(self, account: str) -> int:
        """Debits less credits of every account whose name begins so."""
        lines = [line for journal, _, _ in self.unit.journals for line in journal.lines]
        return sum(line.amount_minor for line in lines if line.account.startswith(account))

    @property
    def exceptions(self) -> list[tuple[str, str, str, int]]:
        """Kind, entity ID, owner and minor units of what was opened."""
        return [(item.kind, item.entity_id, item.owner, item.amount_minor) for item, _ in self.unit.exceptions]

    @property
    def moved(self) -> list[tuple[str, str, int]]:
        """Kind, SKU and units of every movement but the opening receipts."""
        return [
            (one.kind, sku, units)
            for one in self.unit.movements.values()
            for sku, units in one.units.items()
            if one.business_key != "shop:receipt/stock"
        ]

    @property
    def links(self) -> list[dict[str, Any]]:
        """The attributes of the links that were told."""
        return [about for one in self.unit.told for name, about in one.hop.events if name == EVENT_LINK]

    @property
    def keys(self) -> set[tuple[str, str, bytes]]:
        """Name, value and transaction of the business keys that were told."""
        return {
            (name, value, one.hop.correlation_id)
            for one in self.unit.told
            for name, value in one.hop.attributes.items()
            if name in KEY_NAMES and value
        }

    @property
    def milestones(self) -> list[tuple[str, str, str]]:
        """Hop, milestone and outcome of everything told, journals and the opening receipt left out."""
        hops = [one.hop for one in self.unit.told if one.hop.name != "posting.journal"]
        return [(hop.name, hop.milestone, hop.outcome) for hop in hops if hop.entity_id != "receipt/stock"]
