"""What becomes of goods that came back: inspected, disposed of, sent back again. Decisions only; nothing does I/O."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from sync_core.fields import UnitsLine
from sync_core.ledger.ledger import JournalLine
from sync_core.model import Posted
from sync_core.returns import refunds
from sync_core.returns.books import OWNER, moved, owed_lines, post, raise_about, tell, told_units
from sync_core.returns.messages import (
    DisposedUnits,
    Disposition,
    InspectedUnits,
    ReturnDispositioned,
    ReturnInspected,
    ReturnSentBack,
)
from sync_core.returns.model import Return, ReturnLine, Worth
from sync_core.returns.units import clear, due, release, restate
from sync_core.unit import DONE, Step, Verdict

Units = TypeVar("Units", InspectedUnits, DisposedUnits)

BUCKETS: Final[dict[Disposition, str]] = {
    "resell": "good", "refurbish": "refurbish", "quarantine": "quarantine", "scrap": "scrap",
}  # fmt: skip
"""Where units go by their disposition."""


def inspect(step: Step, event: ReturnInspected) -> Verdict:
    """What is accepted may be refunded; of what is rejected nothing is owed any more."""
    back = due(step, event, document := f"inspection/{event.inspection_id}")
    if isinstance(back, Verdict):
        return back
    if lacking := _lacking(back, event.lines, lambda line: line.uninspected):
        return Verdict("parked", f"inspection {event.inspection_id} has {lacking} received", back.correlation_id)
    back.knows(document)
    step.change_return(back)
    plan = _plan(back, event.lines, lambda one, line: line.uninspected)
    for line in back.goods:
        if units := sum(units for _, its, units in plan if its is line):
            _bring(step, back, line, units, event.location, document)
    refused = []
    accepted, unearned, claimed = Worth(), 0, 0
    for one, line, units in plan:
        in_advance = line.refund_after != "inspected" or not back.approval
        if one.outcome == "accepted":
            line.accepted += units
            accepted += Worth() if in_advance else clear(back, line, units)
        else:
            line.rejected += units
            if in_advance:
                unearned += line.whole.owed_minor * units // line.quantity
            else:
                paid_minor = refunds.paid_already(step, back, line.worth(units).owed_minor)
                refused.append((line, release(step, back, line, units, paid_minor), units))
                claimed += paid_minor
    told = [told_units(line, units, outcome=one.outcome, reason=one.reason) for one, line, units in plan]
    about = {"location": event.location, "amount_minor": accepted.owed_minor, "system": event.by,
             "quantity": sum(one.quantity for one in event.lines)}  # fmt: skip
    tell(step, back, "return.inspect", "inspected", about, events=told)
    _tell_refused(step, back, event, refused, claimed)
    if unearned := unearned + claimed:
        detail = f"inspection {event.inspection_id} rejected goods of return {back.return_id} that are refunded already"
        raise_about(step, back, "refund_not_earned", OWNER, detail, unearned, "critical",
                    entity_id=f"{back.return_id}/{event.inspection_id}")  # fmt: skip
    refunds.pay_what_is_cleared(step, back, document)
    refunds.watch_early(step, back)
    restate(step, back)
    return DONE


def dispose(step: Step, event: ReturnDispositioned) -> Verdict:
    """Rows 8a-d: accepted units find their bucket, at their cost or at what they are worth now."""
    back = due(step, event, document := f"disposition/{event.disposition_id}")
    if isinstance(back, Verdict):
        return back
    for taken, place in _PLACES.items():
        if lacking := _lacking(back, [one for one in event.lines if one.taken == taken], place):
            return Verdict("parked", f"disposition {event.disposition_id} has {lacking} accepted", back.correlation_id)
    plan = _plan(back, event.lines, lambda one, line: _PLACES[one.taken](line))
    if short := _short(step, back, event, plan):
        detail = f"disposition {event.disposition_id} of return {back.return_id}: {short}"
        raise_about(step, back, "stock_shortfall", "warehouse", detail, back.open_minor,
                    entity_id=f"{back.return_id}/{event.disposition_id}")  # fmt: skip
        return Verdict("rejected", short)
    back.knows(document)
    step.change_return(back)
    key = f"{back.origin}:disposition/{back.return_id}/{event.disposition_id}"
    lines: list[JournalLine] = []
    for one, line, units in plan:
        _place(step, back, event, document, key, one, line, units)
        lines += _valued(step, one, line, units)
    told = [told_units(line, units, disposition=one.disposition, location=event.location) for one, line, units in plan]
    about = {"location": event.location, "quantity": sum(units for *_, units in plan),
             "amount_minor": sum(line.unit_cost_minor * units for _, line, units in plan)}  # fmt: skip
    tell(step, back, "return.disposition", "dispositioned", about, events=told)
    post(step, back, "disposition", f"{back.return_id}/{event.disposition_id}", lines, event.location)
    if not any(line.undisposed or line.uninspected or line.expected for line in back.goods):
        tell(step, back, "return.restock", "restocked", about, stage="transformation")
    restate(step, back)
    return DONE


def send_back(step: Step, event: ReturnSentBack) -> Verdict:
    """Rejected units leave: they are the customer's, as the sale stands."""
    back = due(step, event, document := f"sent_back/{event.shipment_id}")
    if isinstance(back, Verdict):
        return back
    if lacking := _lacking(back, event.lines, lambda line: line.rejected - line.sent_back):
        return Verdict("parked", f"shipment {event.shipment_id} has {lacking} rejected", back.correlation_id)
    back.knows(document)
    step.change_return(back)
    key = f"{back.origin}:return_sent_back/{back.return_id}/{event.shipment_id}"
    cost_minor, told = 0, []
    for one in event.lines:
        for line, units in _chosen(back, one.sku, one.quantity, lambda line: line.rejected - line.sent_back):
            _bring(step, back, line, units, event.location, document)
            step.move(key, "return_sent_back", line.sku, event.location, units, back.correlation_id)
            line.at[event.location] -= units
            line.sent_back += units
            cost_minor += units * line.unit_cost_minor
            told.append(told_units(line, -units, location=event.location))
    about = {"location": event.location, "tracking_id": event.tracking_id, "shipment_id": event.shipment_id}
    tell(step, back, "return.send_back", "", about, events=told)
    accounts = step.rules.accounts
    lines = moved(step, cost_minor, accounts.cost_of_goods, accounts.return_pending)
    post(step, back, "return_sent_back", f"{back.return_id}/{event.shipment_id}", lines, event.location)
    restate(step, back)
    return DONE


def undo(step: Step, back: Return, posted: Posted) -> None:
    """A disposition was compensated: its units wait again where it took them from."""
    dispositions = {bucket: name for name, bucket in BUCKETS.items()}
    for _, kind, location, sku, quantity in posted.movements:
        taken, _, put = kind.partition("_to_")
        name = dispositions.get(put)
        if name is None:
            continue
        for line, units in _chosen(back, sku, quantity, lambda line, name=name: line.disposed.get(name, 0)):  # type: ignore[misc]
            line.disposed[name] -= units
            if taken == "quarantine":
                line.disposed["quarantine"] = line.disposed.get("quarantine", 0) + units
            else:
                line.at[location] = line.at.get(location, 0) + units
    step.change_return(back)
    if back.state in ("dispositioned", "closed"):
        back.state = "inspected"


_PLACES: Final[dict[str, Callable[[ReturnLine], int]]] = {
    "return_pending": lambda line: line.undisposed,
    "quarantine": lambda line: line.disposed.get("quarantine", 0),
}


def _lacking(
    back: Return, wanted: Iterable[InspectedUnits | DisposedUnits | UnitsLine], there: Callable[[ReturnLine], int]
) -> str:
    """What is named more often than it is there, in words."""
    units: dict[str, int] = defaultdict(int)
    for one in wanted:
        units[one.sku] += one.quantity
    for sku, quantity in units.items():
        found = sum(there(line) for line in back.goods if line.sku == sku)
        if quantity > found:
            return f"{quantity} of {sku} where {found} are"
    return ""


def _chosen(
    back: Return, sku: str, quantity: int, there: Callable[[ReturnLine], int]
) -> Iterator[tuple[ReturnLine, int]]:
    """The lines that give so many units, in order; the caller takes them before it asks for the next."""
    for line in back.goods:
        units = min(quantity, there(line)) if line.sku == sku else 0
        if units > 0:
            quantity -= units
            yield line, units


def _plan(
    back: Return, lines: Sequence[Units], there: Callable[[Units, ReturnLine], int]
) -> list[tuple[Units, ReturnLine, int]]:
    """The units that each line of a document takes, none of them twice."""
    used: dict[tuple[int, str], int] = defaultdict(int)
    plan = []
    for one in lines:
        left = one.quantity
        for line in back.goods:
            place = (id(line), one.taken if isinstance(one, DisposedUnits) else "")
            units = min(left, there(one, line) - used[place]) if line.sku == one.sku else 0
            if units > 0:
                left, used[place] = left - units, used[place] + units
                plan.append((one, line, units))
    return plan


def _bring(step: Step, back: Return, line: ReturnLine, units: int, location: str, document: str) -> None:
    """Units are where somebody has them in hand: what is not yet known to be there has come from elsewhere."""
    lacking = units - line.at.get(location, 0)
    for place in [one for one in line.at if one != location]:
        come = min(lacking, line.at[place])
        if come > 0:
            key = f"{back.origin}:return_relocation/{back.return_id}/{document}/{place}"
            step.move(key, "return_out", line.sku, place, come, back.correlation_id)
            step.move(key, "return_in", line.sku, location, come, back.correlation_id)
            line.at[place] -= come
            line.at[location] = line.at.get(location, 0) + come
            lacking -= come


def _short(
    step: Step, back: Return, event: ReturnDispositioned, plan: Sequence[tuple[DisposedUnits, ReturnLine, int]]
) -> str:
    """Which bucket does not hold what is to leave it."""
    leaving: dict[tuple[str, str], int] = defaultdict(int)
    for one, line, units in plan:
        coming = 0 if one.taken == "quarantine" else max(0, units - line.at.get(event.location, 0))
        leaving[line.sku, one.taken] += units - coming
    for (sku, bucket), units in leaving.items():
        there = getattr(step.stock(sku, event.location), bucket)
        if there < units:
            return f"{units} of {sku} are to leave {bucket.replace('_', ' ')}, {there} are there"
    return ""


def _place(
    step: Step, back: Return, event: ReturnDispositioned, document: str, key: str, one: DisposedUnits, line: ReturnLine,
    units: int,
) -> None:  # fmt: skip
    if one.taken == "quarantine":
        line.disposed["quarantine"] -= units
    else:
        _bring(step, back, line, units, event.location, document)
        line.at[event.location] -= units
    line.disposed[one.disposition] = line.disposed.get(one.disposition, 0) + units
    kind = f"{one.taken}_to_{BUCKETS[one.disposition]}"
    step.move(key, kind, line.sku, event.location, units, back.correlation_id)


def _valued(step: Step, one: DisposedUnits, line: ReturnLine, units: int) -> list[JournalLine]:
    """The units leave their bucket at cost and arrive at what they are worth; the rest is written down."""
    accounts, made = step.rules.accounts, step.message.provenance
    cost = line.unit_cost_minor * units
    worth = cost if one.worth_minor is None else min(cost, one.worth_minor * units)
    put = {"resell": accounts.inventory, "refurbish": accounts.refurbish, "quarantine": accounts.quarantine,
           "scrap": accounts.scrap_loss}[one.disposition]  # fmt: skip
    taken = accounts.quarantine if one.taken == "quarantine" else accounts.return_pending
    return [JournalLine(put, worth, made), JournalLine(accounts.write_down, cost - worth, made),
            JournalLine(taken, -cost, made)]  # fmt: skip


def _tell_refused(
    step: Step, back: Return, event: ReturnInspected, refused: Sequence[tuple[ReturnLine, Worth, int]],
    claimed_minor: int,
) -> None:  # fmt: skip
    """Row 6b for rejected units: their money is not owed any more, and they wait to be sent back."""
    if not refused:
        return
    nothing = not any(line.accepted or line.uninspected or line.expected for line in back.goods)
    worth = sum((one for _, one, _ in refused), start=Worth())
    about = {"amount_minor": worth.owed_minor, "reason": "rejected at inspection"}
    tell(step, back, "return.refuse", "refused" if nothing else "", about, stage="transformation",
         events=[told_units(line, -units) for line, _, units in refused])  # fmt: skip
    accounts = step.rules.accounts
    lines = owed_lines(step, refused, -1)
    lines += moved(step, claimed_minor, accounts.receivable, accounts.refunds_approved)
    post(step, back, "return_release", f"{back.return_id}/inspection/{event.inspection_id}", lines)
