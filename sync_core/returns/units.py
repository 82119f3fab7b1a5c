"""Documents of a return, and what becomes of its units, their money and its state. Decisions only; nothing does I/O."""

from collector.semconv import correlation_id
from sync_core.returns.books import tell
from sync_core.returns.messages import ReturnEvent
from sync_core.returns.model import Return, ReturnLine, Worth
from sync_core.unit import Step, Verdict


def due(step: Step, event: ReturnEvent, document: str) -> Return | Verdict:
    """The return that a document is of; or what becomes of it, when it must wait or was applied before."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not come", identity)
    if document in back.documents:
        return Verdict("done", f"{document} of return {event.return_id} is known")
    return back


def clear(back: Return, line: ReturnLine, units: int) -> Worth:
    """The money of units may be paid out."""
    worth = line.worth(units)
    line.cleared += units
    back.cleared_minor += worth.owed_minor
    back.cleared_tax_minor += worth.tax_minor
    return worth


def release(step: Step, back: Return, line: ReturnLine, units: int, paid_minor: int) -> Worth:
    """The money of units is not owed any more, less what was paid already; the customer has or gets them."""
    worth = line.worth(units)
    line.released += units
    back.released_minor += worth.owed_minor - paid_minor
    use(step, line, -units)
    return worth


def use(step: Step, line: ReturnLine, units: int) -> None:
    """Units of an order line come back, or below zero do not after all."""
    held = next(one for one in step.unit.lines[line.order] if one.line_no == line.order_line_no)
    step.returned(held, units)


def move_in(step: Step, back: Return, line: ReturnLine, location: str, units: int, key: str) -> None:
    """Units wait at a location; where nobody knows what they cost they bring it."""
    step.move(key, "return_receipt", line.sku, location, units, back.correlation_id)
    line.at[location] = line.at.get(location, 0) + units
    there = step.stock(line.sku, location)
    if there.unit_cost_minor is None and line.unit_cost_minor:
        there.unit_cost_minor, there.currency = line.unit_cost_minor, back.currency


def restate(step: Step, back: Return) -> None:
    """The state of a return that was requested, from its units and its money; told when it ends."""
    if not back.approval or back.state in ("requested", "refused", "expired"):
        return
    goods = back.goods
    waiting = any(line.expected for line in goods)
    settled = back.cleared_minor == back.refunded_minor and not any(line.undecided for line in goods)
    before = back.state
    if goods and not any(line.received for line in goods):
        pass
    elif any(line.uninspected for line in goods) or waiting:
        back.state = "received"
    elif any(line.undisposed or line.rejected > line.sent_back for line in goods):
        back.state = "inspected"
    else:
        back.state = "closed" if settled else "dispositioned"
    if settled and back.refunded_minor and not back.knows("refunded"):
        tell(step, back, "return.settle", "refunded", {"amount_minor": back.refunded_minor}, stage="transformation")
    if back.state == "closed" != before:
        back.expires_at = None
        tell(step, back, "return.close", "closed", {"amount_minor": back.refunded_minor}, stage="transformation")
