"""Orders: captured, reserved, paid. Decisions only; nothing here does I/O."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.ledger import taxes
from sync_core.ledger.ledger import JournalLine, reversal
from sync_core.messages import (
    BackorderOffered,
    Line,
    OrderCancelled,
    OrderCaptured,
    OrderDeadlinePassed,
    OrderEdited,
    OrderStepped,
    OrderUnits,
    PaymentCaptured,
    Provenance,
    ShipmentShipped,
    derived,
)
from sync_core.model import ExceptionKind, Hop, KindTotal, Order, OrderLine, Severity
from sync_core.money import share_of_rest
from sync_core.orders.tenders import give_back, note_booked, refusal, take
from sync_core.unit import DONE, Step, Verdict

MOVES_STOCK = "goods"

OrderEvent = PaymentCaptured | OrderCancelled | OrderEdited | OrderStepped | OrderDeadlinePassed | ShipmentShipped

Chosen = dict[int, int] | str
"""Units by line number, or in words why there are none."""


def capture(step: Step, event: OrderCaptured) -> Verdict:
    """Accept an order and reserve its goods, all or none: what is short is back-ordered with an owner."""
    identity = correlation_id(event.origin, event.order_id)
    if identity in step.unit.orders:
        return Verdict("rejected", f"order {event.order_id} of {event.origin} exists already")
    demand = _demand(event.lines)
    short = _shortage(step, event.location, demand)
    order = _accepted(step, event, reserved=not short)
    step.tell(_captured(step, order, event))
    if short:
        _back_order(step, order, sum(demand.values()), short)
    else:
        _reserve(step, order, demand, f"{order.origin}:order/{order.order_id}")
    return DONE


def order_of(step: Step, event: OrderEvent, kind: str = "", document_id: str = "") -> Order | Verdict:
    """The order that an event is about; or what becomes of the event, when it must wait or its document is known."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if (identity, kind, document_id) in step.unit.order_documents:
        return Verdict("done", f"{kind} {document_id} is known")
    return order


def pay(step: Step, event: PaymentCaptured) -> Verdict:
    """Money for an order, or for what an edit added to it: from now on we owe the goods (contract) and the tax.

    A first payment of the order as it was captured is taken after an edit too: what it has too much is owed back, what
    it lacks is due.
    """
    order = order_of(step, event)
    if isinstance(order, Verdict):
        return order
    identity = order.correlation_id
    if order.provider and order.due_minor <= 0:
        detail = f"payment {event.payment_id} comes after the order was paid"
        return _not_taken(step, order, event, "second_payment", detail)
    if order.state == "cancelled":
        detail = f"payment {event.payment_id} comes after the order was cancelled"
        return refuse(step, order, "payment_after_cancellation", "payments", detail, event.amount_minor)
    due, captured_minor = order.due_minor, order.due_minor - sum(order.edited.values())
    wanted_minor = (due,) if order.provider else (due, captured_minor)
    if event.amount_minor not in wanted_minor or event.currency != order.currency:
        paid, wanted = f"{event.amount_minor} {event.currency}", f"{due} {order.currency}"
        detail = f"payment {event.payment_id} is {paid}, the order {wanted}"
        return _not_taken(step, order, event, "payment_differs", detail)
    if (refused := refusal(step, order, event)) is not None:
        if refused.state == "parked":
            return refused
        kind: ExceptionKind = "gift_card_overdrawn"
        return refuse(step, order, kind, "payments", refused.reason, event.amount_minor, document_id=event.payment_id)
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    _now_taken(step, order, event)
    step.resolve_exceptions(identity, order.origin, "payment_failed", f"captured: {event.payment_id}")
    _tell_payment(step, order, event)
    if order.provider:
        _post_addition(step, order, event)
    else:
        _post_payment(step, order, event, event.amount_minor - due)
    order.paid_minor += event.amount_minor
    return DONE


NOT_RESERVED: Final[tuple[ExceptionKind, ...]] = ("shipment_not_reserved",)
"""What a shipment is of goods that its order does not have; it is tried again when they are reserved."""
NOT_TAKEN: Final[tuple[ExceptionKind, ...]] = ("second_payment", "payment_differs")
"""What a payment is that does not fit its order; it is tried again when the order changes."""


def _not_taken(step: Step, order: Order, event: PaymentCaptured, kind: ExceptionKind, detail: str) -> Verdict:
    if open_about(step, order, NOT_TAKEN, event.payment_id):
        return Verdict("rejected", f"{kind}: {detail}")
    return refuse(step, order, kind, "payments", detail, event.amount_minor, document_id=event.payment_id)


def _now_taken(step: Step, order: Order, event: PaymentCaptured) -> None:
    for exception_id in open_about(step, order, NOT_TAKEN, event.payment_id):
        step.resolve_exception(exception_id, order.correlation_id, order.origin, "the order has changed since")


def open_about(step: Step, order: Order, kinds: Iterable[ExceptionKind], document_id: str = "") -> list[str]:
    """The open exceptions of some kinds about an order, or about one of its documents."""
    about = f"/{order.order_id}/{document_id}" if document_id else f"/{order.order_id}"
    opened = [one for kind in kinds for one in step.unit.open_exceptions.get((order.correlation_id, kind), ())]
    return [one for one in opened if one.endswith(about)]


def supply(step: Step, event: BackorderOffered) -> Verdict:
    """Reserve the goods of a back-ordered order if all of them are free now."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None or order.state not in ("backordered", "partially_shipped"):
        return Verdict("done", f"order {event.order_id} waits for nothing")
    if short := cover(step, order, f"{order.origin}:supply/{order.order_id}/{step.message.event_id}"):
        return Verdict("done", f"still short of {', '.join(sorted(short))[:200]}")
    return DONE


def cover(step: Step, order: Order, business_key: str) -> dict[str, int]:
    """Reserve what is not yet reserved of an order, all or none; returns what is short, by SKU."""
    identity = order.correlation_id
    waiting = [one for one in step.unit.lines[identity] if one.kind == MOVES_STOCK and one.unshipped > one.reserved]
    demand: dict[str, int] = defaultdict(int)
    for line in waiting:
        demand[line.sku] += line.unshipped - line.reserved
    if short := _shortage(step, order.location, demand):
        return short
    for line in waiting:
        line.reserved = line.unshipped
        step.unit.changed_lines[(identity, line.line_no)] = line
    if demand:
        _reserve(step, order, dict(sorted(demand.items())), business_key)
        restate(step, order)
        step.unit.settings.append(("take_again", {"id": identity, "kinds": list(NOT_RESERVED)}))
    step.resolve_exceptions(identity, order.origin, "backorder", "the goods are there now")
    return {}


def cover_or_back_order(step: Step, order: Order, business_key: str) -> None:
    """Reserve what an order lacks after a change of it; what is short has an owner."""
    if short := cover(step, order, business_key):
        restate(step, order)
        if not step.unit.open_exceptions.get((order.correlation_id, "backorder")):
            _back_order(step, order, sum(short.values()), short)


def restate(step: Step, order: Order) -> None:
    """The state of an order that has goods, from its lines."""
    step.unit.changed_orders[order.correlation_id] = order
    step.unit.arrived.add(order.correlation_id)
    goods = [line for line in step.unit.lines[order.correlation_id] if line.kind == MOVES_STOCK]
    sent, left = any(line.shipped for line in goods), any(line.unshipped for line in goods)
    if not goods:
        return
    if not left:
        order.state = "cancelled"
        if sent:
            complete(step, order)
    elif sent:
        order.state = "partially_shipped"
    else:
        order.state = "backordered" if any(line.unshipped > line.reserved for line in goods) else "reserved"


def complete(step: Step, order: Order) -> None:
    """Nothing of an order is still to be shipped: its state says so of every line."""
    order.state = "shipped"
    for line in step.unit.lines[order.correlation_id]:
        line.reserved, line.shipped = 0, max(0, line.quantity - line.cancelled)


def note_document(step: Step, order: Order, kind: str, document_id: str) -> None:
    """A document of an order is applied, once."""
    place = (order.correlation_id, kind, document_id)
    step.unit.order_documents[place] = step.message.occurred_at
    step.unit.new_order_documents.append((*place, step.message.occurred_at))


def chosen(lines: Sequence[OrderLine], wanted: Sequence[OrderUnits], units: Callable[[OrderLine], int]) -> Chosen:
    """The units that each line gives of what is wanted, never more than ``units`` of it, or what it lacks in words."""
    left = {line.line_no: units(line) for line in lines}
    named = {line.line_no: [line] for line in lines}
    of_sku: dict[str, list[OrderLine]] = defaultdict(list)
    for line in reversed(lines):
        of_sku[line.sku].append(line)
    taken: dict[int, int] = defaultdict(int)
    for one in wanted:
        lacking = one.quantity
        open_lines = named.get(one.line_no, []) if one.line_no else of_sku[one.sku]
        while lacking and open_lines and open_lines[-1].sku == one.sku:
            number = open_lines[-1].line_no
            given = min(lacking, max(0, left[number]))
            taken[number] += given
            left[number] -= given
            lacking -= given
            if lacking:
                open_lines.pop()
        if lacking:
            return f"{one.quantity} of {one.sku} where {one.quantity - lacking} are open"
    return {line_no: count for line_no, count in taken.items() if count}


def weight(lines: Sequence[OrderLine], taken: Mapping[int, int]) -> tuple[int, int]:
    """What is taken of the goods that have not been shipped, and all of these: by value, or by units if it has none."""
    goods = [line for line in lines if line.kind == MOVES_STOCK]
    left = sum(line.worth(line.unshipped) for line in goods)
    if left > 0:
        return sum(line.worth(taken.get(line.line_no, 0)) for line in goods), left
    return sum(taken.get(line.line_no, 0) for line in goods), sum(line.unshipped for line in goods)


def shares(amounts: Mapping[str, int], now: int, left: int) -> dict[str, int]:
    """Of each amount the part that goes with ``now`` of what is ``left``; with the last of it all the rest."""
    return {kind: share_of_rest(amount, now, left) for kind, amount in amounts.items()}


def changed_lines(step: Step, order: Order) -> list[JournalLine]:
    """The journal lines that take what was edited into what is owed; the caller's journal balances them with money."""
    made, rules = step.message.provenance, step.rules
    lines = []
    for kind, amount in sorted(order.edited.items()):
        if taxes.is_tax(kind):
            lines.append(tax_owed(step, order, amount, taxes.code_of(kind), made))
        else:
            order.contract[kind] = order.contract.get(kind, 0) + amount
            lines.append(JournalLine(rules.kinds[kind].contract, -amount, made))
    order.edited = {}
    return lines


def tax_owed(step: Step, order: Order, amount_minor: int, code: str, source: Provenance) -> JournalLine:
    """The journal line of the tax of what was paid: payable at once, or with the goods when that is its tax point."""
    if order.tax_point == "capture":
        return JournalLine(step.rules.accounts.sales_tax, -amount_minor, source, tax_code=code)
    kind = taxes.kind_of(code)
    order.contract[kind] = order.contract.get(kind, 0) + amount_minor
    return JournalLine(step.rules.of_kind(kind).contract, -amount_minor, source, tax_code=code)


def tax_split(step: Step, order: Order, amount_minor: int) -> dict[str, int]:
    """An amount of the tax of an order by code, as its tax is now."""
    if order.taxes is None:
        return {"": amount_minor}
    known = Counter(order.taxes)
    for kind, amount in order.edited.items():
        if taxes.is_tax(kind):
            known[taxes.code_of(kind)] += amount
    return taxes.split(amount_minor, known, step.rules.tax_code(order.channel, order.location))


def earned_or_sent(step: Step, order: Order, document_id: str, earned: Mapping[str, int]) -> list[JournalLine]:
    """The journal lines of what left with a document; none while revenue waits for the delivery."""
    if order.revenue_on == "shipped":
        return earned_lines(step, order, earned)
    order.undelivered[document_id] = {kind: one for kind, one in earned.items() if step.rules.of_kind(kind).revenue}
    return []


def earned_lines(step: Step, order: Order, earned: Mapping[str, int]) -> list[JournalLine]:
    """The journal lines that make ``earned`` of what is owed revenue."""
    made, lines = derived(order.provenance), []
    for kind, amount in sorted(earned.items()):
        accounts, code = step.rules.of_kind(kind), taxes.code_of(kind)
        if accounts.revenue and amount:
            lines.append(JournalLine(accounts.contract, amount, made, tax_code=code))
            lines.append(JournalLine(accounts.revenue, -amount, made, tax_code=code))
        order.contract[kind] -= amount
    return lines


def release(step: Step, order: Order, line: OrderLine, quantity: int, business_key: str) -> None:
    """Cancel ``quantity`` of a line that has not been shipped and free what was reserved for it."""
    line.cancelled += quantity
    fit_reservation(step, order, line, business_key)


def fit_reservation(step: Step, order: Order, line: OrderLine, business_key: str) -> None:
    """Free what is reserved for a line beyond what is still to be shipped of it; the line has changed."""
    if more := max(0, line.reserved - line.unshipped):
        line.reserved -= more
        key = f"{business_key}/{order.order_id}/{line.line_no}"
        step.move(key, "release", line.sku, order.location, more, order.correlation_id)
    step.unit.changed_lines[(line.correlation_id, line.line_no)] = line


def kind_totals(lines: Sequence[Line]) -> list[KindTotal]:
    """What the lines of a document add up to, by kind; goods without a price are a kind of their own."""
    totals: dict[str, KindTotal] = {}
    for line in lines:
        free = line.kind == "goods" and not line.unit_price_micros and not line.amount_minor
        kind = "goods_free" if free else line.kind
        total = totals.get(kind)
        if total is None:
            total = totals[kind] = KindTotal(kind)
        total.line_count += 1
        total.quantity += line.quantity
        total.amount_minor += line.amount_minor
        total.residue_micros += line.residue_micros
    return [totals[kind] for kind in sorted(totals)]


def document_line(account: str, total: KindTotal, source: Provenance) -> JournalLine:
    """The journal line that carries what a document states of one kind: a sale credits, a credit debits."""
    return JournalLine(
        account,
        -total.amount_minor,
        source,
        kind=total.kind,
        quantity=total.quantity,
        line_count=total.line_count,
        residue_micros=total.residue_micros,
    )


def source_hop(
    step: Step, order: Order, name: str, entity: str, entity_id: str, milestone: str, about: dict[str, Any]
) -> Hop:
    """What an event says happened to an order, at the event's time."""
    return Hop(
        name=name,
        stage="source",
        correlation_id=order.correlation_id,
        origin=order.origin,
        entity=entity,
        entity_id=entity_id,
        milestone=milestone,
        occurred_at=step.message.occurred_at,
        attributes=dimensions(order) | about,
    )


def _demand(lines: Sequence[Line]) -> dict[str, int]:
    """Units per SKU over the whole request, so that two lines of one SKU cannot both pass."""
    demand: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.kind == MOVES_STOCK:
            demand[line.sku] += line.quantity
    return dict(sorted(demand.items()))


def _shortage(step: Step, location: str, demand: dict[str, int]) -> dict[str, int]:
    """Units per SKU that are wanted and not free."""
    short = {
        sku: needed - max(0, free)
        for sku, needed in demand.items()
        if (free := step.stock(sku, location).free) < needed
    }
    step.unit.short |= bool(short)
    return short


def _accepted(step: Step, event: OrderCaptured, *, reserved: bool) -> Order:
    """The order and its lines, brought into the unit of work."""
    terms, code = step.rules.sales_terms(event.channel), step.rules.tax_code(event.channel, event.location)
    order = Order(
        correlation_id=correlation_id(event.origin, event.order_id),
        origin=event.origin,
        order_id=event.order_id,
        channel=event.channel,
        location=event.location,
        currency=event.currency,
        customer_ref=event.customer_ref,
        captured_at=step.message.occurred_at,
        business_date=step.message.business_date,
        state="reserved" if reserved else "backordered",
        amount_minor=sum(line.amount_minor for line in event.lines),
        tax_minor=event.tax_minor,
        open_tax_minor=event.tax_minor,
        provenance=step.message.provenance,
        totals=kind_totals(event.lines),
        partition=step.unit.partition,
        tax_point=terms.tax_point,
        revenue_on=terms.revenue_on,
        taxes=taxes.of_lines(event.lines, event.tax_minor, code),
    )
    lines = [_order_line(order, number, line, code, reserved=reserved) for number, line in enumerate(event.lines, 1)]
    unit, identity = step.unit, order.correlation_id
    unit.orders[identity] = order
    unit.new_orders.append(order)
    unit.arrived.add(identity)
    step.add_lines(order, lines)
    return order


def _order_line(order: Order, number: int, line: Line, code: str, *, reserved: bool) -> OrderLine:
    return OrderLine(
        correlation_id=order.correlation_id,
        line_no=number,
        sku=line.sku,
        kind=line.kind,
        quantity=line.quantity,
        amount_minor=line.amount_minor,
        unit_price_micros=line.unit_price_micros,
        position=line.position,
        reserved=line.quantity if reserved and line.kind == MOVES_STOCK else 0,
        tax_code=line.tax_code or code,
        tax_minor=line.tax_minor,
    )


def _captured(step: Step, order: Order, event: OrderCaptured) -> Hop:
    units = sum(line.quantity for line in event.lines)
    about = {"amount_minor": order.amount_minor, "quantity": units, "order_id": order.order_id}
    hop = source_hop(step, order, "order.capture", "order", order.order_id, "captured", about)
    hop.events.extend((EVENT_LINE, _told_line(line)) for line in event.lines)
    return hop


def _told_line(line: Line) -> dict[str, str | int]:
    """A line without what its hop says already: its location is the hop's, and goods are what it is of."""
    told: dict[str, str | int] = {"sku": line.sku, "quantity": line.quantity, "amount_minor": line.amount_minor}
    if line.kind != MOVES_STOCK:
        told["kind"] = line.kind
    return told


def _reserve(step: Step, order: Order, demand: dict[str, int], business_key: str) -> None:
    for sku, quantity in demand.items():
        step.move(business_key, "reservation", sku, order.location, quantity, order.correlation_id)
    step.tell(_reservation(order, "reserved", "ok", {"quantity": sum(demand.values())}))


def _back_order(step: Step, order: Order, units: int, short: dict[str, int]) -> None:
    worst = ", ".join(f"{missing} of {sku}" for sku, missing in sorted(short.items(), key=lambda item: -item[1])[:3])
    detail = f"short by {worst}" + (f" and {len(short) - 3} more" if len(short) > 3 else "")
    about = {"quantity": units, "reason": detail, "owner": "inventory"}
    step.tell(_reservation(order, "backordered", "parked", about))
    raise_about(step, order, "backorder", "inventory", detail, order.amount_minor)


def _reservation(order: Order, milestone: str, outcome: str, about: dict[str, Any]) -> Hop:
    """What was decided on the stock of an order, at the moment of deciding."""
    return Hop(
        name="inventory.reserve",
        stage="transformation",
        correlation_id=order.correlation_id,
        origin=order.origin,
        entity="order",
        entity_id=order.order_id,
        milestone=milestone,
        outcome=outcome,
        attributes=dimensions(order) | {"amount_minor": order.amount_minor} | about,
    )


def _tell_payment(step: Step, order: Order, event: PaymentCaptured) -> None:
    about = {"provider": event.provider, "amount_minor": event.amount_minor, "payment_id": event.payment_id}
    step.tell(source_hop(step, order, "payment.capture", "payment", event.payment_id, "captured", about))


def _post_payment(step: Step, order: Order, event: PaymentCaptured, above_due_minor: int) -> None:
    """What the order stated is owed now, and what was edited since, unless that is still to be paid."""
    rules, stated = step.rules, derived(order.provenance)
    credited = order.contract  # what credit memos gave back before the payment came
    order.contract = {total.kind: total.amount_minor + credited.get(total.kind, 0) for total in order.totals}
    order.provider = event.provider
    lines = [document_line(rules.kinds[total.kind].contract, total, order.provenance) for total in order.totals]
    lines += take(step, order, event)
    captured = {"": order.tax_minor - taxes.among(order.edited)} if order.taxes is None else order.taxes
    order.taxes = None if order.taxes is None else {}
    lines += [tax_owed(step, order, amount, code, stated) for code, amount in sorted(captured.items())]
    if above_due_minor >= 0:
        lines += changed_lines(step, order)
    note_booked(step, order, post_owing(step, order, "order", order.order_id, lines, max(0, above_due_minor)))


def _post_addition(step: Step, order: Order, event: PaymentCaptured) -> None:
    """What an edit added is paid; of an order that has been shipped it is earned as well."""
    lines = take(step, order, event)
    lines += changed_lines(step, order)
    if order.state == "shipped":
        lines += earned_or_sent(step, order, event.payment_id, order.unshipped)
    note_booked(step, order, post(step, order, "capture", event.payment_id, lines))


def post(step: Step, order: Order, document: str, entity_id: str, lines: list[JournalLine]) -> tuple[JournalLine, ...]:
    """Add a journal of an order; returns its lines. Of a document that several orders share each has its own."""
    number = own_number(step, order, document, entity_id)
    posted = step.post(
        origin=order.origin,
        correlation_id=order.correlation_id,
        document=document,
        entity_id=number,
        channel=order.channel,
        location=order.location,
        currency=order.currency,
        lines=lines,
    )
    if posted:
        step.unit.journal_owners[f"{order.origin}:{document}/{number}"] = order.correlation_id
    if order.taxes is not None:
        taxes.note(order.taxes, posted, taxes.accounts_of(step.rules), -1)
    return posted


def own_number(step: Step, order: Order, document: str, entity_id: str) -> str:
    """The number of a document as far as it is this order's: another order that shares it may have posted under it."""
    owner = step.unit.journal_owners.get(f"{order.origin}:{document}/{entity_id}", order.correlation_id)
    return entity_id if owner == order.correlation_id else f"{entity_id}/{order.order_id}"


def post_owing(
    step: Step, order: Order, document: str, entity_id: str, lines: list[JournalLine], owed_minor: int
) -> tuple[JournalLine, ...]:
    """Add a journal after which ``owed_minor`` is to be refunded, and that of its refund; returns the first's lines."""
    approved = step.rules.accounts.refunds_approved
    owed = JournalLine(approved, -owed_minor, step.message.provenance)
    posted = post(step, order, document, entity_id, [*lines, owed])
    refunded = [reversal(line) for line in posted if line.account == approved]
    refunded += give_back(step, order, owed_minor)
    post(step, order, f"{document}_refund", entity_id, refunded)
    return posted


def dimensions(order: Order) -> dict[str, Any]:
    return {"channel": order.channel, "location": order.location, "currency": order.currency}


def raise_about(
    step: Step,
    order: Order,
    kind: ExceptionKind,
    owner: str,
    detail: str,
    amount_minor: int,
    severity: Severity = "major",
    *,
    document_id: str = "",
) -> None:
    """Open an exception about an order, or about one of its documents."""
    step.raise_exception(
        kind,
        origin=order.origin,
        correlation_id=order.correlation_id,
        entity="order",
        entity_id=f"{order.order_id}/{document_id}" if document_id else order.order_id,
        owner=owner,
        detail=detail,
        amount_minor=amount_minor,
        currency=order.currency,
        severity=severity,
        channel=order.channel,
    )


def refuse(
    step: Step, order: Order, kind: ExceptionKind, owner: str, detail: str, amount_minor: int, *, document_id: str = ""
) -> Verdict:
    """Reject what cannot be applied to an order; an exception says whose it is."""
    raise_about(step, order, kind, owner, detail, amount_minor, document_id=document_id)
    return Verdict("rejected", f"{kind}: {detail}")
