"""Orders: captured, reserved, paid, shipped, cancelled. Decisions only; nothing here does I/O."""

from collections import defaultdict

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.ledger import JournalLine
from sync_core.messages import Line, OrderCancelled, OrderCaptured, PaymentCaptured, Provenance, ShipmentShipped
from sync_core.model import Hop, KindTotal, Order, OrderLine
from sync_core.unit import DONE, Step, Verdict

MOVES_STOCK = "goods"


def capture(step: Step, event: OrderCaptured) -> Verdict:
    """Accept an order and reserve its goods, all or none: what is short is back-ordered with an owner."""
    identity = correlation_id(event.origin, event.order_id)
    if identity in step.unit.orders:
        return Verdict("rejected", f"order {event.order_id} of {event.origin} exists already")
    demand = _demand(event.lines)
    short = {
        sku: needed - max(0, step.stock(sku, event.location).free)
        for sku, needed in demand.items()
        if step.stock(sku, event.location).free < needed
    }
    order = Order(
        correlation_id=identity,
        origin=event.origin,
        order_id=event.order_id,
        channel=event.channel,
        location=event.location,
        currency=event.currency,
        customer_ref=event.customer_ref,
        captured_at=step.message.occurred_at,
        business_date=step.message.business_date,
        state="backordered" if short else "reserved",
        amount_minor=sum(line.amount_minor for line in event.lines),
        tax_minor=event.tax_minor,
        open_tax_minor=event.tax_minor,
        provenance=step.message.provenance,
        totals=kind_totals(event.lines),
    )
    lines = [_order_line(order, number, line, reserved=not short) for number, line in enumerate(event.lines, 1)]
    step.unit.orders[identity] = order
    step.unit.lines[identity] = lines
    step.unit.new_orders.append(order)
    step.unit.new_lines.extend(lines)
    step.unit.arrived.add(identity)
    for line in lines:
        if order.customer_ref and line.kind == MOVES_STOCK:
            step.unit.open_lines.setdefault((order.customer_ref, line.sku), []).append(line)
    step.tell(_captured(step, order, event))
    _tell_reservation(step, order, demand, short)
    return DONE


def pay(step: Step, event: PaymentCaptured) -> Verdict:
    """Money for an order: from now on we owe the goods (contract liability) and the tax."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if order.provider:
        return _exception(step, order, "second_payment", f"payment {event.payment_id} comes after the order was paid",
                          "payments", event.amount_minor)  # fmt: skip
    due = order.amount_minor + order.tax_minor
    if event.amount_minor != due or event.currency != order.currency:
        return _exception(
            step, order, "payment_differs",
            f"payment {event.payment_id} is {event.amount_minor} {event.currency}, the order {due} {order.currency}",
            "payments", event.amount_minor,
        )  # fmt: skip
    order.paid_minor, order.provider = event.amount_minor, event.provider
    order.contract = {total.kind: total.amount_minor for total in order.totals}
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    keys = step.known_as(order.origin, identity, payment_id=event.payment_id)
    step.tell(
        _hop(
            order, "payment.capture", "source", "payment", event.payment_id, "captured", step,
            provider=event.provider, amount_minor=event.amount_minor, **keys,
        )
    )  # fmt: skip
    rules, source = step.rules, step.message.provenance
    step.post(
        origin=order.origin, correlation_id=identity, document="order", entity_id=order.order_id,
        channel=order.channel, location=order.location, currency=order.currency,
        lines=[
            *(document_line(rules.kinds[t.kind].contract, t, order.provenance) for t in order.totals),
            JournalLine(rules.clearing(event.provider), event.amount_minor, source),
            JournalLine(rules.accounts.sales_tax, -order.tax_minor, _made(order)),
        ],
    )  # fmt: skip
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
        return _exception(
            step, order, "shipment_not_reserved",
            f"shipment {event.shipment_id} of an order that is {order.state}", "warehouse", order.amount_minor,
        )  # fmt: skip
    if not order.provider:
        return Verdict("parked", f"order {event.order_id} is not paid", identity)
    reserved: dict[str, int] = defaultdict(int)
    for line in step.unit.lines[identity]:
        reserved[line.sku] += line.reserved
    cost = 0
    for sku, quantity in sorted(reserved.items()):
        if quantity:
            step.move(f"{order.origin}:shipment/{event.shipment_id}", "shipment", sku, order.location, quantity, identity)
            cost += quantity * (step.stock(sku, order.location).unit_cost_minor or 0)
    order.state = "shipped"
    step.unit.arrived.add(identity)
    step.unit.shipments.append((identity, event.shipment_id, event.location, step.message.occurred_at))
    keys = step.known_as(order.origin, identity, shipment_id=event.shipment_id)
    if event.tracking_id:
        keys |= step.known_as(order.origin, identity, tracking_id=event.tracking_id)
    step.tell(
        _hop(
            order, "order.ship", "source", "fulfilment", event.shipment_id, "shipped", step,
            quantity=sum(reserved.values()), amount_minor=sum(order.contract.values()), **keys,
        )
    )  # fmt: skip
    _post_shipment(step, order, event.shipment_id, cost)
    return DONE


def cancel(step: Step, event: OrderCancelled) -> Verdict:
    """Give up an order that has not been shipped: free its stock, owe back what was paid."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    if order.state in ("shipped", "cancelled"):
        return _exception(step, order, "cancellation_too_late", f"the order is {order.state}", "customer service", order.amount_minor)  # fmt: skip
    for line in step.unit.lines[identity]:
        release(step, order, line, line.open, f"{order.origin}:cancellation/{event.cancellation_id}")
    order.state = "cancelled"
    step.unit.changed_orders[identity] = order
    owed = order.paid_minor
    step.tell(_hop(order, "order.cancel", "source", "order", order.order_id, "cancelled", step, reason=event.reason, amount_minor=order.amount_minor))  # fmt: skip
    step.resolve_exceptions(identity, order.origin, "backorder", "the order was cancelled")
    if owed:
        made = step.message.provenance
        step.post(
            origin=order.origin, correlation_id=identity, document="cancellation", entity_id=event.cancellation_id,
            channel=order.channel, location=order.location, currency=order.currency,
            lines=[
                *(JournalLine(step.rules.kinds[kind].contract, left, made) for kind, left in order.contract.items()),
                JournalLine(step.rules.accounts.sales_tax, order.open_tax_minor, made),
                JournalLine(step.rules.clearing(order.provider), -owed, made),
            ],
        )  # fmt: skip
        order.contract, order.open_tax_minor = {}, 0
    return DONE


def release(step: Step, order: Order, line: OrderLine, quantity: int, business_key: str) -> None:
    """Cancel ``quantity`` of a line that has not been shipped and free what was reserved for it."""
    line.cancelled += quantity
    freed = min(quantity, line.reserved)
    if freed:
        line.reserved -= freed
        step.move(f"{business_key}/{order.order_id}/{line.line_no}", "release", line.sku, order.location, freed,
                  order.correlation_id)  # fmt: skip
    step.unit.changed_lines[(line.correlation_id, line.line_no)] = line


def kind_totals(lines: tuple[Line, ...]) -> list[KindTotal]:
    """What the lines of a document add up to, by kind; goods without a price are a kind of their own."""
    totals: dict[str, KindTotal] = {}
    for line in lines:
        kind = "goods_free" if line.kind == "goods" and not line.unit_price_micros and not line.amount_minor else line.kind
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
    return JournalLine(account, -total.amount_minor, source, total.kind, total.quantity, total.line_count,
                       residue_micros=total.residue_micros)  # fmt: skip


def _demand(lines: tuple[Line, ...]) -> dict[str, int]:
    """Units per SKU over the whole request, so that two lines of one SKU cannot both pass."""
    demand: dict[str, int] = defaultdict(int)
    for line in lines:
        if line.kind == MOVES_STOCK:
            demand[line.sku] += line.quantity
    return dict(sorted(demand.items()))


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
        customer_ref=order.customer_ref,
    )


def _captured(step: Step, order: Order, event: OrderCaptured) -> Hop:
    keys = step.known_as(order.origin, order.correlation_id, order_id=order.order_id)
    hop = _hop(order, "order.capture", "source", "order", order.order_id, "captured", step,
               amount_minor=order.amount_minor, quantity=sum(line.quantity for line in event.lines), **keys)  # fmt: skip
    hop.events.extend((EVENT_LINE, _told_line(line)) for line in event.lines)
    return hop


def _told_line(line: Line) -> dict[str, str | int]:
    """A line without what its hop says already: its location is the hop's, and goods are what it is of."""
    told: dict[str, str | int] = {"sku": line.sku, "quantity": line.quantity, "amount_minor": line.amount_minor}
    if line.kind != MOVES_STOCK:
        told["kind"] = line.kind
    return told


def _tell_reservation(step: Step, order: Order, demand: dict[str, int], short: dict[str, int]) -> None:
    units = sum(demand.values())
    if not short:
        for sku, quantity in demand.items():
            step.move(f"{order.origin}:order/{order.order_id}", "reservation", sku, order.location, quantity, order.correlation_id)  # fmt: skip
        if units:
            step.tell(_hop(order, "inventory.reserve", "transformation", "order", order.order_id, "reserved", None, quantity=units))  # fmt: skip
        return
    worst = ", ".join(f"{missing} of {sku}" for sku, missing in sorted(short.items(), key=lambda item: -item[1])[:3])
    detail = f"short by {worst}" + (f" and {len(short) - 3} more" if len(short) > 3 else "")
    step.tell(_hop(order, "inventory.reserve", "transformation", "order", order.order_id, "backordered", None,
                   outcome="parked", quantity=units, reason=detail, owner="inventory"))  # fmt: skip
    step.raise_exception(
        "backorder", origin=order.origin, correlation_id=order.correlation_id, entity="order",
        entity_id=order.order_id, owner="inventory", detail=detail, amount_minor=order.amount_minor,
        currency=order.currency, channel=order.channel,
    )  # fmt: skip


def _post_shipment(step: Step, order: Order, shipment_id: str, cost: int) -> None:
    made, accounts = _made(order), step.rules.accounts
    lines = [JournalLine(accounts.cost_of_goods, cost, made), JournalLine(accounts.inventory, -cost, made)]
    for kind, left in sorted(order.contract.items()):
        revenue = step.rules.kinds[kind].revenue
        if revenue and left:
            lines += [JournalLine(step.rules.kinds[kind].contract, left, made), JournalLine(revenue, -left, made)]
    order.contract = {}
    step.unit.changed_orders[order.correlation_id] = order
    step.post(
        origin=order.origin, correlation_id=order.correlation_id, document="shipment", entity_id=shipment_id,
        channel=order.channel, location=order.location, currency=order.currency, lines=lines,
    )  # fmt: skip


def _made(order: Order) -> Provenance:
    """The source of what no document states (tax, payment, cost): generated for an order from a file."""
    return "generated" if order.provenance == "file" else order.provenance


def _hop(
    order: Order, name: str, stage: str, entity: str, entity_id: str, milestone: str, step: Step | None, *,
    outcome: str = "ok", **attributes: object,
) -> Hop:  # fmt: skip
    """A hop of an order; with ``step`` it happened at the event's time, without at the moment of deciding."""
    return Hop(
        name,
        stage,
        order.correlation_id,
        order.origin,
        entity,
        entity_id,
        milestone,
        outcome,
        step.message.occurred_at if step else None,
        {"channel": order.channel, "location": order.location, "currency": order.currency, **attributes},
    )


def _exception(step: Step, order: Order, kind: str, detail: str, owner: str, amount_minor: int) -> Verdict:
    step.raise_exception(
        kind, origin=order.origin, correlation_id=order.correlation_id, entity="order", entity_id=order.order_id,
        owner=owner, detail=detail, amount_minor=amount_minor, currency=order.currency, channel=order.channel,
    )  # fmt: skip
    return Verdict("rejected", f"{kind}: {detail}")
