"""Returns from the request of a customer to the last unit that found its place. Decisions only; nothing does I/O."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from collector.semconv import correlation_id
from sync_core.messages import Line
from sync_core.model import Link, Order, OrderLine, location_identity
from sync_core.money import shared, units_share
from sync_core.orders import line_taxes, orders
from sync_core.returns import refunds
from sync_core.returns.books import OWNER, moved, owed_lines, park, post, raise_about, resolve, tell, told_units
from sync_core.returns.messages import (
    ReceivedUnits,
    ReturnDeadlinePassed,
    ReturnItemsReceived,
    ReturnMatched,
    ReturnReceived,
    ReturnRequested,
    ReturnReviewed,
    ReturnShipped,
    ReturnWithdrawn,
)
from sync_core.returns.model import Return, ReturnLine, ReturnState, Worth
from sync_core.returns.policy import Judged, judge
from sync_core.returns.units import clear, move_in, release, restate, use
from sync_core.unit import DONE, Step, Verdict, link_event

TRANSIT: Final = dt.timedelta(days=14)
"""What has been given to a carrier may take so long."""


def request(step: Step, event: ReturnRequested) -> Verdict:
    """Authorise what policies allow, with its expected liability and return reference; refuse or hold the rest."""
    identity = correlation_id(event.order_origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None or order.state not in ("shipped", "partially_shipped"):
        return Verdict("parked", f"order {event.order_id} has not been shipped", identity)
    if correlation_id(event.origin, event.return_id) in step.unit.returns:
        return Verdict("rejected", f"return {event.return_id} of {event.origin} exists already")
    judged = judged_of(step, event, order)
    back = opened(step, event, event.return_id, order.location, "requested")
    back.order, back.customer_ref, back.lines = identity, order.customer_ref, list(judged.lines)
    back.approval = "manual" if judged.manual else "automatic"
    back.expires_at = judged.expires_at
    keep_new(step, back)
    _tell_request(step, back, order, event)
    _name_reasons(step, back, event, judged)
    if judged.outcome == "refused":
        _refuse(step, back, "; ".join(judged.reasons))
    elif judged.outcome == "review":
        back.reason = "; ".join(judged.reasons)
        detail = f"return {back.return_id} is held: {back.reason}"
        raise_about(step, back, "return_held", "risk", detail, _worth(back).owed_minor)
    else:
        _authorise(step, back)
    return DONE


def judged_of(step: Step, event: ReturnRequested, order: Order) -> Judged:
    """What a request comes to now; changes nothing."""
    unit, identity = step.unit, order.correlation_id
    reached = [unit.order_steps[(identity, one)] for one in ("delivered", "picked_up")
               if (identity, one) in unit.order_steps]  # fmt: skip
    sent = [at for (one, kind, _), at in unit.order_documents.items() if (one, kind) == (identity, "shipment")]
    delivered_at = max(reached or sent or [order.captured_at])
    now = step.message.occurred_at
    this = correlation_id(event.origin, event.return_id)
    earlier = [
        one.opened_at for one in unit.new_returns
        if one.correlation_id != this and one.state != "refused" and one.customer_ref == order.customer_ref != ""
    ]  # fmt: skip
    known = msgspec.structs.replace(
        unit.promises,
        reasons={code: reason for (origin, code), reason in unit.return_reasons.items() if origin == event.origin},
        earlier=[*unit.earlier_returns.get(order.customer_ref, ()), *earlier],
    )
    return judge(event, order, unit.lines[identity], delivered_at, now, known)


def review(step: Step, event: ReturnReviewed) -> Verdict:
    """Somebody decided on a return that was held."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not been requested", identity)
    if back.state != "requested":
        return Verdict("done", f"return {event.return_id} is {back.state}")
    if event.granted and (lacking := _taken_meanwhile(step, back)):
        return Verdict("rejected", lacking)
    resolve(step, back, "return_held", f"{'granted' if event.granted else 'refused'} by {event.by}: {event.reason}")
    step.change_return(back)
    if event.granted:
        _authorise(step, back)
    else:
        _refuse(step, back, f"{event.by}: {event.reason}")
    return DONE


def ship(step: Step, event: ReturnShipped) -> Verdict:
    """It is on its way: it does not expire while a carrier has it."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None or back.state == "requested":
        return Verdict("parked", f"return {event.return_id} has not been authorised", identity)
    about = {"system": event.carrier, "tracking_id": event.tracking_id, "amount_minor": back.open_minor}
    if back.state != "authorised":
        tell(step, back, "return.ship", "", about)
        return DONE
    step.change_return(back)
    back.state = "in_transit"
    back.expires_at = max(back.expires_at or step.message.occurred_at, step.message.occurred_at + TRANSIT)
    tell(step, back, "return.ship", "in_transit", about | {"due_at": back.expires_at})
    return DONE


def receive(step: Step, event: ReturnReceived) -> Verdict:
    """Goods are back that nobody announced: authorised and received at once, or without an order kept for later."""
    if correlation_id(event.origin, event.return_id) in step.unit.returns:
        return Verdict("rejected", f"return {event.return_id} of {event.origin} exists already")
    if not event.order_id:
        return _keep_without_order(step, event)
    waiting = correlation_id(event.order_origin, event.order_id)
    order = step.unit.orders.get(waiting)
    if order is None or order.state not in ("shipped", "partially_shipped"):
        return Verdict("parked", f"order {event.order_id} has not been shipped", waiting)
    back = opened(step, event, event.return_id, event.location, "received")
    refusal, lines = _use_up(step, order, event)
    if refusal and order.state == "partially_shipped":
        return Verdict("parked", f"{refusal}; more of it is still to be shipped", waiting)
    if refusal:
        amount_minor = sum(line.amount_minor for line in event.lines)
        raise_about(step, back, "return_not_covered", OWNER, refusal, amount_minor)
        return Verdict("rejected", refusal)
    back.lines = lines
    keep_new(step, back)
    _take_back(step, back, order, event)
    return DONE


def receive_items(step: Step, event: ReturnItemsReceived) -> Verdict:
    """Goods of a request are here: what is identified waits for inspection, what is not is parked with its value."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None or back.state == "requested":
        return Verdict("parked", f"return {event.return_id} has not been authorised", identity)
    if refusal := _wrong_place(step, back, event.location, event.receipt_id):
        return refusal
    if back.knows(f"receipt/{event.receipt_id}"):
        return Verdict("done", f"receipt {event.receipt_id} is known")
    step.change_return(back)
    taken, strange = _identified(back, event.lines)
    key = f"{back.origin}:return_receipt/{back.return_id}/{event.receipt_id}"
    cost_minor = 0
    for line, units in taken:
        move_in(step, back, line, event.location, units, key)
        line.received += units
        cost_minor += units * line.unit_cost_minor
        if line.refund_after == "received":
            clear(back, line, units)
    for number, (one, units, reason) in enumerate(strange, 1):
        worth = _at_stake(back, one.sku, units)
        park(step, back, f"return_receipt/{event.receipt_id}", number, one.sku or one.note, units, worth, reason)
        detail = f"{units} of {one.sku or 'something'}: {reason.replace('_', ' ')} in receipt {event.receipt_id}"
        owner = "risk" if reason == "serial_mismatch" else OWNER
        raise_about(step, back, "return_item_parked", owner, f"{detail}; {one.note}".rstrip("; "), worth,
                    entity_id=f"{back.return_id}/{event.receipt_id}/{number}")  # fmt: skip
    accounts = step.rules.accounts
    lines = moved(step, cost_minor, accounts.return_pending, accounts.right_to_recover)
    post(step, back, "return_receipt", f"{back.return_id}/{event.receipt_id}", lines, event.location)
    _tell_receipt(step, back, event, taken, strange)
    _watch_short(step, back, final=event.final)
    if any(line.received for line in back.goods):
        resolve(step, back, "refund_without_receipt", f"received: {event.receipt_id}")
    refunds.pay_what_is_cleared(step, back, f"receipt/{event.receipt_id}")
    restate(step, back)
    return DONE


def withdraw(step: Step, event: ReturnWithdrawn) -> Verdict:
    """What has not come will not: nothing of it is owed any more."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not been requested", identity)
    if back.state == "requested":
        step.change_return(back)
        resolve(step, back, "return_held", "withdrawn")
        _refuse(step, back, event.reason or "withdrawn")
        return DONE
    return _give_up(step, back, "refused", event.reason or "withdrawn")


def expire(step: Step, event: ReturnDeadlinePassed) -> Verdict:
    """Its time is over: what has not come is not owed any more."""
    back = step.unit.returns.get(correlation_id(event.origin, event.return_id))
    if back is None or back.expires_at is None or back.expires_at > step.message.occurred_at:
        return Verdict("done", "its time is not over")
    if back.state == "requested":
        step.change_return(back)
        resolve(step, back, "return_held", "its time is over")
        back.state, back.expires_at = "expired", None
        tell(step, back, "return.expire", "expired", stage="transformation")
        return DONE
    return _give_up(step, back, "expired", f"not here by {back.expires_at:%Y-%m-%d %H:%M} UTC")


def match(step: Step, event: ReturnMatched) -> Verdict:
    """The order of a return that came without one is found: its goods and its money are the order's from now on."""
    waiting = correlation_id(event.order_origin, event.order_id)
    back, order = step.unit.returns.get(correlation_id(event.origin, event.return_id)), step.unit.orders.get(waiting)
    if back is None:
        identity = correlation_id(event.origin, event.return_id)
        return Verdict("parked", f"return {event.return_id} has not been received", identity)
    if order is None or order.state not in ("shipped", "partially_shipped"):
        return Verdict("parked", f"order {event.order_id} has not been shipped", waiting)
    if back.order or back.approval or not back.lines or any(line.order for line in back.lines):
        return Verdict("rejected", f"return {event.return_id} is not without an order")
    stated = [
        Line(sku=line.sku, quantity=line.quantity, amount_minor=line.amount_minor, kind=line.kind)
        for line in back.lines
    ]  # fmt: skip
    (place,) = {location for line in back.lines for location in line.at} or {back.location}
    as_received = ReturnReceived(
        origin=back.origin, return_id=back.return_id, order_origin=event.order_origin, order_id=event.order_id,
        channel=back.channel, location=place, currency=back.currency, lines=tuple(stated), tax_minor=back.tax_minor,
    )  # fmt: skip
    refusal, lines = _use_up(step, order, as_received)
    if refusal:
        raise_about(step, back, "return_not_covered", OWNER, refusal, _worth(back).owed_minor,
                    entity_id=f"{back.return_id}/{event.order_id}")  # fmt: skip
        return Verdict("rejected", refusal)
    back.lines, back.tax_minor = lines, 0
    step.change_return(back)
    step.unit.settings.append(("match_parked", {"id": back.correlation_id}))
    resolve(step, back, "return_without_sale", f"matched with order {event.order_id} by {event.by}: {event.evidence}")
    _take_back(step, back, order, as_received, found_by=f"{event.by}: {event.evidence}")
    return DONE


def opened(step: Step, event: Any, return_id: str, location: str, state: ReturnState) -> Return:
    """A return of which nothing is approved yet."""
    return Return(
        correlation_id=correlation_id(event.origin, return_id),
        origin=event.origin,
        return_id=return_id,
        channel=event.channel,
        location=location,
        currency=event.currency,
        opened_at=step.message.occurred_at,
        state=state,
        partition=step.unit.partition,
    )


def keep_new(step: Step, back: Return) -> None:
    step.unit.returns[back.correlation_id] = back
    step.unit.new_returns.append(back)
    step.unit.arrived.add(back.correlation_id)


def _authorise(step: Step, back: Return) -> None:
    """Row 6: what is expected back is owed to the customer, and the goods may be recovered."""
    parts = []
    cost_minor = 0
    for line in back.goods:
        order = step.unit.orders[line.order]
        line.unit_cost_minor = step.stock(line.sku, order.location).unit_cost_minor or 0
        cost_minor += line.quantity * line.unit_cost_minor
        use(step, line, line.quantity)
        parts.append((line, line.worth(line.quantity), line.quantity))
    whole = _worth(back)
    back.state = "authorised"
    back.approved_minor, back.tax_minor = whole.owed_minor, whole.tax_minor
    accounts = step.rules.accounts
    lines = owed_lines(step, parts) + moved(step, cost_minor, accounts.right_to_recover, accounts.cost_of_goods)
    about: dict[str, Any] = {"amount_minor": whole.owed_minor, "quantity": sum(line.quantity for line in back.goods)}
    if back.expires_at:
        about["due_at"] = back.expires_at
    tell(step, back, "return.authorise", "authorised", about, stage="transformation")
    post(step, back, "return_authorisation", back.return_id, lines)
    for line in back.goods:
        if line.refund_after == "authorised":
            clear(back, line, line.quantity)
    refunds.pay_what_is_cleared(step, back, "authorisation")


def _refuse(step: Step, back: Return, reason: str) -> None:
    back.state, back.expires_at, back.reason = "refused", None, reason
    tell(step, back, "return.refuse", "refused", {"reason": reason, "amount_minor": _worth(back).owed_minor},
         stage="transformation")  # fmt: skip


def _give_up(step: Step, back: Return, milestone: str, reason: str) -> Verdict:
    """Row 6b for units that have not come: exactly what was posted for them, back."""
    waiting = [(line, line.expected) for line in back.goods if line.expected]
    if not waiting:
        return Verdict("done", f"nothing of return {back.return_id} is expected")
    step.change_return(back)
    parts, kept_minor, claimed_minor = [], 0, 0
    cost_minor = sum(units * line.unit_cost_minor for line, units in waiting)
    for line, units in waiting:
        line.given_up += units
        if line.refund_after == "authorised":
            use(step, line, -units)
            kept_minor += line.whole.owed_minor * units // line.quantity
        else:
            paid_minor = refunds.paid_already(step, back, line.worth(units).owed_minor)
            parts.append((line, release(step, back, line, units, paid_minor), units))
            claimed_minor += paid_minor
    back.expires_at = None
    accounts = step.rules.accounts
    lines = owed_lines(step, parts, -1) + moved(step, cost_minor, accounts.cost_of_goods, accounts.right_to_recover)
    lines += moved(step, claimed_minor, accounts.receivable, accounts.refunds_approved)
    kept_minor += claimed_minor
    document = f"{milestone}/{len(back.documents)}"
    back.documents.append(document)
    told = [told_units(line, -units) for line, units in waiting]
    nothing = not any(line.received for line in back.goods)
    name = "return.expire" if milestone == "expired" else "return.refuse"
    about = {"reason": reason, "amount_minor": sum(worth.owed_minor for _, worth, _ in parts)}
    tell(step, back, name, milestone if nothing else "", about, stage="transformation", events=told)
    post(step, back, "return_release", f"{back.return_id}/{document}", lines)
    resolve(step, back, "return_short", reason)
    if kept_minor:
        detail = f"the refund of return {back.return_id} was paid before its goods came, and they did not: {reason}"
        raise_about(step, back, "refund_not_earned", OWNER, detail, kept_minor, "critical")
    if nothing:
        back.state = "expired" if milestone == "expired" else "refused"
    restate(step, back)
    return DONE


def _use_up(step: Step, order: Order, event: ReturnReceived) -> tuple[str, list[ReturnLine]]:
    """Mark the returned units on the order's lines, or say why not; then nothing is changed."""
    if event.currency != order.currency:
        return f"the return is in {event.currency}, order {order.order_id} in {order.currency}", []
    wanted: dict[str, int] = defaultdict(int)
    for line in event.lines:
        wanted[line.sku] += line.quantity
    held = step.unit.lines[order.correlation_id]
    for sku, quantity in wanted.items():
        left = sum(line.returnable for line in held if line.sku == sku)
        if quantity < 1 or quantity > left:
            return f"{quantity} of {sku} come back where {left} are open on order {order.order_id}", []
    lines = [part for line in event.lines for part in _parts(step, order, event, line, held)]
    for part, share in zip(lines, _taxes(order, held, lines, event.tax_minor), strict=True):
        part.tax_minor = share
    return "", lines


def _taxes(order: Order, held: Sequence[OrderLine], parts: Sequence[ReturnLine], tax_minor: int) -> list[int]:
    """What is stated of a return's tax, for each part as its line was taxed, to the largest remainders."""
    of = {line.line_no: line for line in held}
    own = {number: tax for number, (_, tax) in line_taxes.values(order, held).items()}
    units = [(of[part.order_line_no], part.quantity) for part in parts]
    weights = [units_share(own.get(one.line_no, one.tax_minor or 0), 0, n, one.quantity) for one, n in units]
    return shared(tax_minor, weights if any(weights) else [n for _, n in units])


def _parts(
    step: Step, order: Order, event: ReturnReceived, line: Line, held: Sequence[OrderLine]
) -> Iterator[ReturnLine]:
    """The order lines that a stated line gives back, each with its share of what is stated."""
    left = line.quantity
    for one in held:
        if one.sku == line.sku and (units := min(left, one.returnable)) > 0:
            before = line.quantity - left
            amount = line.amount_minor * (before + units) // line.quantity - line.amount_minor * before // line.quantity
            costs = (step.stock(line.sku, place).unit_cost_minor for place in (event.location, order.location)
                     if line.kind == orders.MOVES_STOCK)  # fmt: skip
            step.returned(one, units)
            left -= units
            yield ReturnLine(line.sku, units, amount, kind=line.kind, order=order.correlation_id,
                             order_line_no=one.line_no, unit_cost_minor=next(filter(None, costs), 0),
                             tax_code=one.tax_code)  # fmt: skip


def _take_back(step: Step, back: Return, order: Order, event: ReturnReceived, found_by: str = "") -> None:
    """Rows 6 and 7 at once: the goods wait for inspection, and what is stated of them is owed and may be paid out."""
    key = f"{event.origin}:return/{event.return_id}"
    cost_minor = 0
    worths = []
    for line in back.lines:
        if line.kind == orders.MOVES_STOCK:
            move_in(step, back, line, event.location, line.quantity, key)
            cost_minor += line.quantity * line.unit_cost_minor
        line.received = line.quantity
        worths.append((line, clear(back, line, line.quantity), line.quantity))
    back.order, back.customer_ref = order.correlation_id, order.customer_ref
    back.approved_minor, back.tax_minor = back.cleared_minor, back.cleared_tax_minor
    told = [told_units(line, line.quantity, line.amount_minor, location=event.location, order_id=order.order_id)
            for line in back.lines]  # fmt: skip
    evidence = f"{order.order_id}, {found_by}" if found_by else order.order_id
    told.append(link_event(Link(back.correlation_id, order.correlation_id, "returns", evidence)))
    tell(step, back, "return.match" if found_by else "return.receive", "received",
         {"amount_minor": back.approved_minor}, events=told)  # fmt: skip
    accounts = step.rules.accounts
    owed = owed_lines(step, worths)
    if found_by:  # what is stated of it stands in the control total of the day on which it came
        owed = [msgspec.structs.replace(line, kind="", quantity=0, line_count=0) for line in owed]
    cost = moved(step, cost_minor, accounts.return_pending, accounts.cost_of_goods)
    post(step, back, "return", back.return_id, [*owed, *cost])


def _keep_without_order(step: Step, event: ReturnReceived) -> Verdict:
    """Goods of an order that nobody knows: in no bucket and in no account until it is found, but with their value."""
    back = opened(step, event, event.return_id, event.location, "received")
    back.tax_minor = event.tax_minor
    back.lines = [
        ReturnLine(line.sku, line.quantity, line.amount_minor, kind=line.kind, at={event.location: line.quantity})
        for line in event.lines
    ]  # fmt: skip
    keep_new(step, back)
    for number, line in enumerate(event.lines, 1):
        park(step, back, f"return/{back.return_id}", number, line.sku, line.quantity, line.amount_minor, "no_order")
    value = sum(line.amount_minor for line in event.lines) + event.tax_minor
    told = [told_units(line, line.quantity, line.amount_minor, location=event.location, parked="no_order")
            for line in back.lines]  # fmt: skip
    tell(step, back, "return.receive", "received", {"amount_minor": value, "reason": "it came without an order"},
         outcome="parked", events=told)  # fmt: skip
    detail = f"return {back.return_id} came to {event.location} without an order"
    raise_about(step, back, "return_without_sale", OWNER, detail, value)
    return DONE


def _wrong_place(step: Step, back: Return, location: str, document: str) -> Verdict | None:
    """Why a location cannot take goods back: it is not known, or another system speaks for it."""
    known = step.unit.locations.get(location)
    if known is None:
        if not step.unit.only_registered:
            return None
        return Verdict("parked", f"location: {location} is not registered", location_identity(location))
    if known.stock_source in ("", step.message.source):
        return None
    detail = f"{known.stock_source} says what is at {location}, not {step.message.source}"
    raise_about(step, back, "wrong_source", "integration", detail, back.open_minor,
                entity_id=f"{back.return_id}/{document}")  # fmt: skip
    return Verdict("rejected", f"wrong_source: {detail}")


def _identified(
    back: Return, lines: Sequence[ReceivedUnits]
) -> tuple[list[tuple[ReturnLine, int]], list[tuple[ReceivedUnits, int, str]]]:
    """Received units with the line that expects them; and those that none does, with the reason."""
    taken: list[tuple[ReturnLine, int]] = []
    strange: list[tuple[ReceivedUnits, int, str]] = []
    coming = {id(line): line.expected for line in back.goods}
    for one in lines:
        left, wrong = one.quantity, 0
        for line in back.goods:
            if line.sku != one.sku or not coming[id(line)]:
                continue
            if line.serials:
                known = [serial for serial in one.serials if serial in line.serials]
                line.serials = [serial for serial in line.serials if serial not in known]
                units = min(left, coming[id(line)], len(known))
                wrong = left - units
            else:
                units = min(left, coming[id(line)])
            coming[id(line)] -= units
            left -= units
            if units:
                taken.append((line, units))
        if left:
            strange.append((one, left, "serial_mismatch" if wrong else _strangeness(back, one.sku)))
    return taken, strange


def _strangeness(back: Return, sku: str) -> str:
    if not sku:
        return "unidentified"
    return "over" if any(line.sku == sku for line in back.goods) else "unexpected"


def _at_stake(back: Return, sku: str, units: int) -> int:
    """What parked units are worth: by their own line, else by what they may stand for."""
    own = [line for line in back.goods if line.sku == sku] or [line for line in back.goods if line.expected]
    quantity = sum(line.quantity for line in own)
    return units * sum(line.amount_minor for line in own) // quantity if quantity else 0


def _watch_short(step: Step, back: Return, *, final: bool) -> None:
    missing = [(line, line.expected) for line in back.goods if line.expected]
    if not missing:
        back.expires_at = None
        resolve(step, back, "return_short", "the rest came")
    elif final and not step.unit.open_exceptions.get((back.correlation_id, "return_short")):
        worst = ", ".join(f"{units} of {line.sku}" for line, units in missing[:3])
        value = sum(line.worth(line.undecided).owed_minor * units // max(1, line.undecided) for line, units in missing)
        raise_about(step, back, "return_short", OWNER, f"not in the parcel: {worst}", value)


def _taken_meanwhile(step: Step, back: Return) -> str:
    """What of a held return has come back by another one since."""
    wanted: dict[tuple[bytes, int], int] = defaultdict(int)
    for line in back.goods:
        wanted[line.order, line.order_line_no] += line.quantity
    for (order, number), units in wanted.items():
        held = next(one for one in step.unit.lines[order] if one.line_no == number)
        if units > held.returnable:
            return f"{units} of {held.sku} are held where {held.returnable} can still come back"
    return ""


def _name_reasons(step: Step, back: Return, event: ReturnRequested, judged: Judged) -> None:
    for code in judged.unmapped:
        detail = f"{code!r} of {event.origin} is not mapped to a reason"
        step.raise_exception(
            "return_reason_unmapped", origin=event.origin, correlation_id=reason_identity(event.origin, code),
            entity="return_reason", entity_id=code, owner="master data", detail=detail, severity="minor",
            amount_minor=_worth(back).owed_minor, currency=back.currency, channel=back.channel,
        )  # fmt: skip


def reason_identity(origin: str, code: str) -> bytes:
    return correlation_id(origin, f"return_reason/{code}")


def _tell_request(step: Step, back: Return, order: Order, event: ReturnRequested) -> None:
    told = [told_units(line, line.quantity, line.amount_minor, reason=line.reason, order_id=order.order_id)
            for line in back.lines]  # fmt: skip
    told.append(link_event(Link(back.correlation_id, order.correlation_id, "returns", order.order_id)))
    if event.exchange_order_id:
        wanted = correlation_id(event.order_origin, event.exchange_order_id)
        told.append(link_event(Link(back.correlation_id, wanted, "exchanges", event.exchange_order_id)))
    tell(step, back, "return.request", "requested", {"amount_minor": _worth(back).owed_minor}, events=told)


def _tell_receipt(
    step: Step, back: Return, event: ReturnItemsReceived, taken: Sequence[tuple[ReturnLine, int]],
    strange: Sequence[tuple[ReceivedUnits, int, str]],
) -> None:  # fmt: skip
    told = [told_units(line, units, location=event.location) for line, units in taken]
    units = sum(one for _, one in taken)
    about = {"location": event.location, "quantity": units, "amount_minor": back.open_minor}
    tell(step, back, "return.receive", "received", about, events=told)
    reason = "; ".join(f"{units} of {one.sku or 'something'}: {why}" for one, units, why in strange)
    tell(step, back, "return.verify", "verified" if taken else "", about | {"reason": reason}, stage="transformation",
         outcome="parked" if strange else "ok")  # fmt: skip


def _worth(back: Return) -> Worth:
    return sum((line.whole for line in back.lines), start=Worth())
