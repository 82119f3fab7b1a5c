"""What may be promised of a SKU: to everybody at a location, and to one channel. Pure arithmetic over stock and rules.

free = good - reserved - committed; sellable = free less safety stock and, while a feed is silent, less a buffer, never
below zero; available to a channel = its quota and what is left beside all quotas, at most its cap. Percentages round
down; quotas are served in order of priority when stock does not cover them.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

RuleKind = Literal["safety", "buffer", "quota", "cap", "reorder"]
SILENT_AFTER: Final = dt.timedelta(minutes=15)
"""A feed that has said nothing for so long counts as down, and buffers of its locations apply."""


class Rule(Struct, frozen=True):
    """A rule as `StockRuleSet` says it; an empty ``sku`` or ``location`` means each."""

    kind: RuleKind
    sku: str
    location: str
    channel: str
    quantity: int
    percent: int
    priority: int
    target: int = 0  # of a reorder point: up to what is asked for

    def units(self, of: int) -> int:
        """What it holds back of ``of`` units, or lets through."""
        return self.quantity + of * self.percent // 100


class Held(Struct, frozen=True):
    """Units of one SKU at one location."""

    sku: str
    location: str
    good: int
    damaged: int
    return_pending: int
    quarantine: int
    refurbish: int
    reserved: int
    committed: int
    in_transit: int

    @property
    def on_hand(self) -> int:
        return self.good + self.damaged + self.return_pending + self.quarantine + self.refurbish

    @property
    def free(self) -> int:
        return self.good - self.reserved - self.committed


class Rules:
    """Rules by what they are about: of several that fit, the most particular counts."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._by_place: dict[tuple[str, str, str], list[Rule]] = {}
        self._quotas: list[Rule] = []
        self._caps: list[Rule] = []
        for rule in rules:
            self.add(rule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and vars(self) == vars(other)

    def add(self, rule: Rule) -> None:
        """Of reorder points for the same, the one that was added last counts."""
        if not rule.quantity and not rule.percent and rule.kind not in ("cap", "reorder"):
            return
        match rule.kind:
            case "quota":
                self._quotas.append(rule)
                self._quotas.sort(key=lambda rule: rule.priority)
            case "cap":
                self._caps.append(rule)
            case _:
                self._by_place.setdefault((rule.kind, rule.sku, rule.location), []).append(rule)

    def held_back(self, kind: RuleKind, sku: str, location: str, free: int) -> int:
        """Units of what is free that are not for sale at a location."""
        for place in ((sku, location), (sku, ""), ("", location), ("", "")):
            if found := self._by_place.get((kind, *place)):
                return max(rule.units(max(0, free)) for rule in found)
        return 0

    def reorder(self, sku: str, location: str) -> Rule | None:
        """The reorder point of a SKU at a location."""
        for place in ((sku, location), (sku, ""), ("", location), ("", "")):
            if found := self._by_place.get(("reorder", *place)):
                return found[-1]
        return None

    def quotas(self, sku: str) -> list[Rule]:
        """By channel, first the one that is served first; a rule about this SKU goes before one about each."""
        chosen: dict[str, Rule] = {}
        for rule in self._quotas:
            if rule.sku in (sku, "") and (rule.channel not in chosen or rule.sku):
                chosen[rule.channel] = rule
        return sorted(chosen.values(), key=lambda rule: rule.priority)

    def cap(self, sku: str, channel: str) -> Rule | None:
        fitting = [rule for rule in self._caps if rule.channel == channel and rule.sku in (sku, "")]
        return min(fitting, key=lambda rule: not rule.sku, default=None)


class Standing(Struct, frozen=True):
    """What else than stock decides a figure: rules, the locations of each channel and beside each, silent ones."""

    rules: Rules
    channels: Mapping[str, Sequence[str]]
    near: Mapping[str, Sequence[str]]
    silent: frozenset[str]


def kept_for_safety(sku: str, location: str, free: int, rules: Rules) -> int:
    """Units that are never for sale."""
    return rules.held_back("safety", sku, location, free)


def sellable(held: Held, rules: Rules, *, degraded: bool) -> int:
    """Units of a location that are for sale."""
    kept = kept_for_safety(held.sku, held.location, held.free, rules)
    if degraded:
        kept += rules.held_back("buffer", held.sku, held.location, held.free)
    return max(0, held.free - kept)


def to_channel(sku: str, channel: str, sellable_units: int, rules: Rules) -> int:
    """Units that a channel may promise of ``sellable_units`` over all its locations."""
    quotas = rules.quotas(sku)
    left, own = sellable_units, 0
    for rule in quotas:
        kept = min(left, rule.units(sellable_units))
        left -= kept
        own += kept if rule.channel == channel else 0
    promised = own + left
    cap = rules.cap(sku, channel)
    return min(promised, cap.units(sellable_units)) if cap else promised


class Offer(Struct, frozen=True):
    """One SKU at one location, as it stands."""

    sku: str
    location: str
    on_hand: int
    good: int
    damaged: int
    return_pending: int
    quarantine: int
    refurbish: int
    reserved: int
    committed: int
    in_transit: int
    free: int
    sellable: int
    oversold: int
    degraded: bool


def offer(held: Held, rules: Rules, *, degraded: bool) -> Offer:
    return Offer(
        held.sku, held.location, held.on_hand, held.good, held.damaged, held.return_pending, held.quarantine,
        held.refurbish, held.reserved, held.committed, held.in_transit, held.free,
        sellable(held, rules, degraded=degraded), max(0, -held.free), degraded,
    )  # fmt: skip


class Answer(Struct, frozen=True):
    """What may be promised of one SKU, and where it is."""

    sku: str
    sellable: int  # over the locations asked about, or those that serve the channel
    available: int | None  # to the channel asked about; None when none was
    locations: Sequence[Offer]


def answer(
    sku: str, found: Mapping[str, Held], rules: Rules, locations: Sequence[str], channel: str, silent: frozenset[str]
) -> Answer:
    """``found`` is the SKU's stock by location; ``locations`` to look at, in the order to tell them."""
    offers = [offer(found[location], rules, degraded=location in silent) for location in locations if location in found]
    total = sum(one.sellable for one in offers)
    return Answer(sku, total, to_channel(sku, channel, total, rules) if channel else None, offers)
