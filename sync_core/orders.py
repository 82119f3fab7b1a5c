"""Orders: captured, reserved, paid, shipped, cancelled. Decisions only; nothing here does I/O."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.checks import STEPS, failure_of, held_by
from sync_core.ledger import JournalLine
from sync_core.messages import (
    BackorderOffered,
    Line,
    OrderCancelled,
    OrderCaptured,
    PaymentCaptured,
    Provenance,
    ShipmentShipped,
    derived,
)
from sync_core.model import ExceptionKind, Hop, KindTotal, Order, OrderLine, Severity
from sync_core.unit import DONE, Step, Verdict

MOVES_STOCK = "goods"


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
        _back_order(step, order, demand, short)
    else:
        _reserve(step, order, demand)
    return DONE


def pay(step: Step, event: PaymentCaptured) -> Verdict:
    """Money for an order: from now on we owe the goods (contract liability) and the tax."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if order.provider:
        detail = f"payment {event.payment_id} comes after the order was paid"
        return _exception(step, order, "second_payment", "payments", detail, event.amount_minor)
    if order.state == "cancelled":
        detail = f"payment {event.payment_id} comes after the order was cancelled"
        return _exception(step, order, "payment_after_cancellation", "payments", detail, event.amount_minor)
    due = order.amount_minor + order.tax_minor
    if event.amount_minor != due or event.currency != order.currency:
        paid, wanted = f"{event.amount_minor} {event.currency}", f"{due} {order.currency}"
        detail = f"payment {event.payment_id} is {paid}, the order {wanted}"
        return _exception(step, order, "payment_differs", "payments", detail, event.amount_minor)
    order.paid_minor, order.provider = event.amount_minor, event.provider
    credited = order.contract  # what credit memos gave back before the payment came
    order.contract = {total.kind: total.amount_minor + credited.get(total.kind, 0) for total in order.totals}
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    step.resolve_exceptions(identity, order.origin, "payment_failed", f"captured: {event.payment_id}")
    _tell_payment(step, order, event)
    _post_payment(step, order, event)
    return DONE


def ship(step: Step, event: ShipmentShipped) -> Verdict:
    """Everything reserved leaves: stock goes down, what we owed becomes revenue, the goods become cost."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if order.state == "cancelled" and step.message.provenance == "generated":
        return Verdict("done", f"order {event.order_id} was cancelled before its shipment")
    if order.state != "reserved":
        detail = f"shipment {event.shipment_id} of an order that is {order.state}"
        return _exception(step, order, "shipment_not_reserved", "warehouse", detail, order.amount_minor)
    if not order.provider:
        return Verdict("parked", f"order {event.order_id} is not paid", identity)
    if held := held_by(step, order):
        detail = f"shipment {event.shipment_id} left although {' and '.join(held)} had failed"
        raise_about(step, order, "shipped_while_held", "warehouse", detail, order.amount_minor, "critical")
    units, cost_minor = _take_out(step, order, event.shipment_id)
    order.state = "shipped"
    step.unit.arrived.add(identity)
    step.unit.shipments.append((identity, event.shipment_id, event.location, step.message.occurred_at))
    _tell_shipment(step, order, event, units)
    _post_shipment(step, order, event.shipment_id, cost_minor)
    return DONE


def cancel(step: Step, event: OrderCancelled) -> Verdict:
    """Give up an order that has not been shipped: free its stock, owe back what was paid."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if order.state in ("shipped", "cancelled"):
        detail = f"the order is {order.state}"
        return _exception(step, order, "cancellation_too_late", "customer service", detail, order.amount_minor)
    for line in step.unit.lines[identity]:
        line.cancelled += line.open
        _free(step, order, line, line.reserved, f"{order.origin}:cancellation/{event.cancellation_id}")
    order.state = "cancelled"
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    about = {"reason": event.reason, "amount_minor": order.amount_minor}
    step.tell(source_hop(step, order, "order.cancel", "order", order.order_id, "cancelled", about))
    given_up: list[ExceptionKind] = ["backorder", "payment_failed", *map(failure_of, STEPS)]
    for kind in given_up:
        step.resolve_exceptions(identity, order.origin, kind, "the order was cancelled")
    if order.provider:
        _post_cancellation(step, order, event.cancellation_id)
    return DONE


def supply(step: Step, event: BackorderOffered) -> Verdict:
    """Reserve the goods of a back-ordered order if all of them are free now."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None or order.state != "backordered":
        return Verdict("done", f"order {event.order_id} waits for nothing")
    waiting = [line for line in step.unit.lines[identity] if line.kind == MOVES_STOCK and line.open > 0]
    demand: dict[str, int] = defaultdict(int)
    for line in waiting:
        demand[line.sku] += line.open
    if short := _shortage(step, order.location, demand):
        return Verdict("done", f"still short of {', '.join(sorted(short))[:200]}")
    for line in waiting:
        line.reserved = line.open
        step.unit.changed_lines[(identity, line.line_no)] = line
    order.state = "reserved"
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    _reserve(step, order, dict(sorted(demand.items())), "supply")
    step.resolve_exceptions(identity, order.origin, "backorder", "the goods are there now")
    return DONE


def release(step: Step, order: Order, line: OrderLine, quantity: int, business_key: str) -> None:
    """Cancel ``quantity`` of a line that has not been shipped and free what was reserved for it."""
    line.cancelled += quantity
    _free(step, order, line, min(quantity, line.reserved), business_key)


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
        attributes=_dimensions(order) | about,
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
    return {
        sku: needed - max(0, free)
        for sku, needed in demand.items()
        if (free := step.stock(sku, location).free) < needed
    }


def _accepted(step: Step, event: OrderCaptured, *, reserved: bool) -> Order:
    """The order and its lines, brought into the unit of work."""
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
    )
    lines = [_order_line(order, number, line, reserved=reserved) for number, line in enumerate(event.lines, 1)]
    unit, identity = step.unit, order.correlation_id
    unit.orders[identity] = order
    unit.lines[identity] = lines
    unit.new_orders.append(order)
    unit.new_lines.extend(lines)
    unit.arrived.add(identity)
    for line in lines:
        if order.customer_ref and line.kind == MOVES_STOCK:
            unit.open_lines.setdefault((order.customer_ref, line.sku), []).append(line)
    return order


def _order_line(order: Order, number: int, line: Line, *, reserved: bool) -> OrderLine:
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


def _reserve(step: Step, order: Order, demand: dict[str, int], document: str = "order") -> None:
    key = f"{order.origin}:{document}/{order.order_id}"
    for sku, quantity in demand.items():
        step.move(key, "reservation", sku, order.location, quantity, order.correlation_id)
    step.tell(_reservation(order, "reserved", "ok", {"quantity": sum(demand.values())}))


def _back_order(step: Step, order: Order, demand: dict[str, int], short: dict[str, int]) -> None:
    worst = ", ".join(f"{missing} of {sku}" for sku, missing in sorted(short.items(), key=lambda item: -item[1])[:3])
    detail = f"short by {worst}" + (f" and {len(short) - 3} more" if len(short) > 3 else "")
    about = {"quantity": sum(demand.values()), "reason": detail, "owner": "inventory"}
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
        attributes=_dimensions(order) | about,
    )


def _tell_payment(step: Step, order: Order, event: PaymentCaptured) -> None:
    about = {"provider": event.provider, "amount_minor": event.amount_minor, "payment_id": event.payment_id}
    step.tell(source_hop(step, order, "payment.capture", "payment", event.payment_id, "captured", about))


def _post_payment(step: Step, order: Order, event: PaymentCaptured) -> None:
    rules = step.rules
    lines = [document_line(rules.kinds[total.kind].contract, total, order.provenance) for total in order.totals]
    lines.append(JournalLine(rules.clearing(event.provider), event.amount_minor, step.message.provenance))
    lines.append(JournalLine(rules.accounts.sales_tax, -order.tax_minor, derived(order.provenance)))
    _post(step, order, "order", order.order_id, lines)


def _take_out(step: Step, order: Order, shipment_id: str) -> tuple[int, int]:
    """Move what is reserved for an order out of stock; returns the units and their cost in minor units."""
    reserved: dict[str, int] = defaultdict(int)
    for line in step.unit.lines[order.correlation_id]:
        reserved[line.sku] += line.reserved
    key = f"{order.origin}:shipment/{shipment_id}"
    cost_minor = 0
    for sku, quantity in sorted(reserved.items()):
        if quantity:
            step.move(key, "shipment", sku, order.location, quantity, order.correlation_id)
            cost_minor += quantity * (step.stock(sku, order.location).unit_cost_minor or 0)
    return sum(reserved.values()), cost_minor


def _tell_shipment(step: Step, order: Order, event: ShipmentShipped, units: int) -> None:
    keys = {"shipment_id": event.shipment_id, "tracking_id": event.tracking_id}
    about = {"quantity": units, "amount_minor": sum(order.contract.values()), **keys}
    step.tell(source_hop(step, order, "order.ship", "fulfilment", event.shipment_id, "shipped", about))


def _post_shipment(step: Step, order: Order, shipment_id: str, cost_minor: int) -> None:
    made, accounts = derived(order.provenance), step.rules.accounts
    lines = [JournalLine(accounts.cost_of_goods, cost_minor, made), JournalLine(accounts.inventory, -cost_minor, made)]
    for kind, left in sorted(order.contract.items()):
        revenue = step.rules.kinds[kind].revenue
        if revenue and left:
            lines += [JournalLine(step.rules.kinds[kind].contract, left, made), JournalLine(revenue, -left, made)]
    order.contract = {}
    step.unit.changed_orders[order.correlation_id] = order
    _post(step, order, "shipment", shipment_id, lines)


def _free(step: Step, order: Order, line: OrderLine, quantity: int, business_key: str) -> None:
    """Give back ``quantity`` of what is reserved for a line, and note that the line has changed."""
    if quantity:
        line.reserved -= quantity
        key = f"{business_key}/{order.order_id}/{line.line_no}"
        step.move(key, "release", line.sku, order.location, quantity, order.correlation_id)
    step.unit.changed_lines[(line.correlation_id, line.line_no)] = line


def _post_cancellation(step: Step, order: Order, cancellation_id: str) -> None:
    """Give back what is still owed of an order: credit memos may have given back a part of what was paid."""
    rules, made = step.rules, step.message.provenance
    owed_minor = sum(order.contract.values()) + order.open_tax_minor
    lines = [JournalLine(rules.kinds[kind].contract, left, made) for kind, left in order.contract.items()]
    lines.append(JournalLine(rules.accounts.sales_tax, order.open_tax_minor, made))
    lines.append(JournalLine(rules.clearing(order.provider), -owed_minor, made))
    _post(step, order, "cancellation", cancellation_id, lines)
    order.contract, order.open_tax_minor = {}, 0


def _post(step: Step, order: Order, document: str, entity_id: str, lines: list[JournalLine]) -> None:
    step.post(
        origin=order.origin,
        correlation_id=order.correlation_id,
        document=document,
        entity_id=entity_id,
        channel=order.channel,
        location=order.location,
        currency=order.currency,
        lines=lines,
    )


def _dimensions(order: Order) -> dict[str, Any]:
    return {"channel": order.channel, "location": order.location, "currency": order.currency}


def raise_about(
    step: Step,
    order: Order,
    kind: ExceptionKind,
    owner: str,
    detail: str,
    amount_minor: int,
    severity: Severity = "major",
) -> None:
    """Open an exception about an order."""
    step.raise_exception(
        kind,
        origin=order.origin,
        correlation_id=order.correlation_id,
        entity="order",
        entity_id=order.order_id,
        owner=owner,
        detail=detail,
        amount_minor=amount_minor,
        currency=order.currency,
        severity=severity,
        channel=order.channel,
    )


def _exception(step: Step, order: Order, kind: ExceptionKind, owner: str, detail: str, amount_minor: int) -> Verdict:
    raise_about(step, order, kind, owner, detail, amount_minor)
    return Verdict("rejected", f"{kind}: {detail}")
