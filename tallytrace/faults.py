"""Faults planted into what others state of a trade, and the check that each is named with its transaction and no other.

Ten kinds, so many each. Nothing that looks for faults knows of the plan.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from collector.semconv import correlation_id
from sync_core.connectors.online_retail import ORIGIN, PROVIDER
from sync_core.messages import ControlDocument
from tallytrace.erp_stub import Wrong
from tallytrace.outside import Payout, Row, Sale, World, list_of

EACH: Final = 5
LATE_BEFORE: Final = dt.timedelta(days=12)
"""What is left out of a payout so long before the last one is late by its provider's own calendar."""

NAMED: Final = {
    "lost refund posting": "refund_not_posted",
    "doubled fee": "fee_doubled",
    "short payout": "payout_short",
    "orphan line": "settlement_line_unmatched",
    "wrong tax": "tax_differs",
    "wrong currency": "settlement_currency",
    "late settlement": "settlement_missing",
    "missing order at the source": "order_missing",
    "unbalanced ERP move": "erp_unbalanced",
    "wrong period": "erp_wrong_period",
}
"""By what was done: the kind of exception that has to say so."""
WATCHED: Final = (
    *NAMED.values(), "order_not_at_source", "order_differs", "control_total_differs", "journal_differs",
    "posting_differs", "stock_value_differs", "subledger_differs", "payout_missing", "bank_line_unmatched",
    "settlement_unknown_fee", "settlement_refused", "posting_rejected",
)  # fmt: skip
"""Every kind that reconciliation may raise: none but the planted ones may be open."""


class Fault(Struct, frozen=True, order=True):
    """What was done, and to which transaction; ``about`` is its correlation ID in hex."""

    done: str
    number: str
    about: str


class Plan(Struct, frozen=True):
    """The faults of a seed: orders by what is done to them, before anything of them is stated."""

    seed: int
    chosen: dict[str, list[Sale]]

    @property
    def wrong_journals(self) -> dict[str, Wrong]:
        """What the ERP is to book otherwise than it is told."""
        kinds: tuple[tuple[str, Wrong], ...] = (("unbalanced ERP move", "unbalanced"), ("wrong period", "period"))
        return {f"{ORIGIN}:order/{one.order_id}": wrong for done, wrong in kinds for one in self.chosen[done]}


def plan_of(seed: int, sales: Sequence[Sale]) -> Plan:
    """Raises ValueError for a trade that is too small to hold them."""
    chance, last = Random(seed), max(sale.on for sale in sales)
    worth = sorted((sale for sale in sales if sale.tax_minor >= 100), key=lambda sale: sale.order_id)
    early = [sale for sale in worth if sale.on <= last - LATE_BEFORE]
    chosen: dict[str, list[Sale]] = {}
    taken: set[str] = set()
    for done in ("late settlement", *(one for one in NAMED if one != "late settlement")):
        free = [sale for sale in (early if done == "late settlement" else worth) if sale.order_id not in taken]
        if done == "short payout":  # one of a day
            free = list({sale.on: sale for sale in chance.sample(free, len(free))}.values())
        if len(free) < EACH:
            raise ValueError(f"the trade is too small for {EACH} faults of each kind")
        chosen[done] = chance.sample(sorted(free, key=lambda sale: sale.order_id), EACH)
        taken.update(sale.order_id for sale in chosen[done])
    return Plan(seed, chosen)


def plant(plan: Plan, world: World) -> list[Fault]:
    """Change what others state; returns what must be named."""
    of_charge = {row.source_id: payout for payout in world.payouts for row in payout.rows}
    faults = []
    foreign: list[Payout] = []
    for done, sales in plan.chosen.items():
        for place, sale in enumerate(sales, 1):
            payout = of_charge[sale.charge_id]
            number, about = sale.order_id, correlation_id(ORIGIN, sale.order_id)
            [row] = [one for one in payout.rows if one.source_id == sale.charge_id]
            match done:
                case "lost refund posting":
                    payout.rows.append(Row("refund", f"re_{plan.seed}_{place}", -sale.tax_minor, 0, sale.charge_id))
                case "doubled fee":
                    payout.rows.append(Row("fee", sale.charge_id, 0, row.fee_minor, sale.charge_id))
                case "short payout":
                    payout.short_minor += sale.tax_minor
                    number, about = payout.payout_id, correlation_id(PROVIDER, payout.payout_id)
                case "orphan line":
                    payout.rows.append(Row("charge", f"ch_{plan.seed}_{place}", sale.tax_minor))
                    number, about = f"ch_{plan.seed}_{place}", correlation_id(PROVIDER, payout.payout_id)
                case "wrong currency":
                    payout.rows.remove(row)
                    foreign.append(Payout(f"{payout.payout_id}_eur{place}", payout.on, "EUR", [row]))
                case "late settlement":
                    payout.rows.remove(row)
                case "wrong tax":
                    _restate(world, sale, {"tax_minor": sale.tax_minor + place})
                case "missing order at the source":
                    number = f"M{plan.seed}-{place}"
                    about = correlation_id(ORIGIN, number)
                    _restate(world, sale, None, number)
                case _:
                    pass
            faults.append(Fault(done, number, about.hex()))
    world.payouts += foreign
    return sorted(faults)


def _restate(world: World, sale: Sale, change: dict[str, int] | None, extra: str = "") -> None:
    """Change a document of the list that names a sale, or add one more to it."""
    [place] = [
        number for number, one in enumerate(world.totals) if (one.business_date, one.channel) == (sale.on, sale.channel)
    ]
    documents = [
        msgspec.structs.replace(one, **change) if change and one.number == sale.order_id else one
        for one in world.totals[place].documents
    ]
    if extra:
        documents.append(ControlDocument(number=extra, amount_minor=sale.net_minor, tax_minor=sale.tax_minor))
    world.totals[place] = list_of(sale.on, sale.channel, documents)


class Raised(Struct, frozen=True):
    """An open exception, as far as the check needs it."""

    kind: str
    correlation_id: str
    detail: str


class Verdict(Struct, frozen=True):
    """What was planted and not named, and what was named and not planted."""

    planted: int
    missed: list[Fault]
    surplus: list[Raised]

    @property
    def passed(self) -> bool:
        return not self.missed and not self.surplus


def judge(faults: Sequence[Fault], raised: Sequence[Raised]) -> Verdict:
    """Each fault is named once, with its kind and its transaction, and nothing else is."""
    left = Counter((one.kind, one.correlation_id) for one in raised)
    missed = []
    for fault in faults:
        place = (NAMED[fault.done], fault.about)
        if left[place]:
            left[place] -= 1
        else:
            missed.append(fault)
    surplus = []
    for one in raised:
        if left[one.kind, one.correlation_id]:
            left[one.kind, one.correlation_id] -= 1
            surplus.append(one)
    return Verdict(len(faults), missed, surplus)
