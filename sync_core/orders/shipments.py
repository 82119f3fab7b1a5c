"""Shipments: the goods of an order leave, all at once or in parts. Decisions only; nothing here does I/O."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from collector.semconv import EVENT_LINE
from sync_core.ledger import taxes
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import OrderStepped, OrderUnits, ShipmentShipped, derived
from sync_core.model import COST, Hop, Order, OrderLine
from sync_core.orders.checks import held_by
from sync_core.orders.orders import (
    MOVES_STOCK,
    NOT_RESERVED,
    Chosen,
    chosen,
    complete,
    dimensions,
    earned_lines,
    earned_or_sent,
    note_document,
    open_about,
    order_of,
    own_number,
    post,
    raise_about,
    refuse,
    restate,
    shares,
    source_hop,
    weight,
)
from sync_core.orders.windows import open_window, terms_of
from sync_core.unit import DONE, Step, Verdict


def ship(step: Step, event: ShipmentShipped) -> Verdict:
    """Goods leave: stock goes down, what we owed for them becomes revenue, the goods become cost."""
    order = order_of(step, event, "shipment", event.shipment_id)
    if isinstance(order, Verdict):
        return order
    if order.state == "cancelled" and step.message.provenance == "generated":
        return Verdict("done", f"order {event.order_id} was cancelled before its shipment")
    if order.state == "shipped" and _documents(step, order, "pickup") > _documents(step, order, "pickup_shipment"):
        note_document(step, order, "pickup_shipment", event.shipment_id)
        return Verdict("done", f"what shipment {event.shipment_id} is of was picked up")
    return _leave(step, order, event.shipment_id, event.lines, event.tracking_id)


def collect(step: Step, order: Order, event: OrderStepped) -> Verdict:
    """The customer took the goods with them, and what left for that before, if anything did, is not taken again."""
    known = (order.correlation_id, "shipment", event.reference) in step.unit.order_documents
    some_left = order.state == "partially_shipped" and not (event.reference or event.lines)
    if order.state == "shipped" or known or some_left:
        return DONE
    pickup_id = event.reference or f"{order.order_id}-pickup"
    verdict = _leave(step, order, pickup_id, event.lines, "")
    if verdict.state == "done":
        note_document(step, order, "pickup", pickup_id)
    return verdict


def _documents(step: Step, order: Order, kind: str) -> int:
    return sum((one, what) == (order.correlation_id, kind) for one, what, _ in step.unit.order_documents)


def _leave(step: Step, order: Order, shipment_id: str, wanted: Sequence[OrderUnits], tracking_id: str) -> Verdict:
    identity = order.correlation_id
    if order.state == "lapsed":
        return Verdict("parked", f"order {order.order_id} is not paid", identity)
    taken, document_id = _leaving(step, order, wanted), shipment_id if wanted else ""
    if isinstance(taken, str):
        detail = f"shipment {shipment_id} {taken}"
        if open_about(step, order, NOT_RESERVED, document_id):
            return Verdict("rejected", f"shipment_not_reserved: {detail}")
        return refuse(
            step, order, "shipment_not_reserved", "warehouse", detail, order.amount_minor, document_id=document_id
        )
    if not order.provider or order.due_minor > 0:
        return Verdict("parked", f"order {order.order_id} is not paid", identity)
    if held := held_by(step, order):
        detail = f"shipment {shipment_id} left although {' and '.join(held)}"
        raise_about(step, order, "shipped_while_held", "warehouse", detail, order.amount_minor, "critical")
    for exception_id in open_about(step, order, NOT_RESERVED, document_id):
        step.resolve_exception(exception_id, identity, order.origin, "the goods were reserved since")
    note_document(step, order, "shipment", shipment_id)
    if seconds := terms_of(step, order.channel).confirm_shipment_seconds:
        due_at = step.message.occurred_at + dt.timedelta(seconds=seconds)
        open_window(step, order, "shipment_confirmation", shipment_id, due_at)
    keys = {"shipment_id": shipment_id, "tracking_id": tracking_id}
    _apply(step, order, keys, taken, named=bool(wanted))
    return DONE


def _leaving(step: Step, order: Order, wanted: Sequence[OrderUnits]) -> Chosen:
    """The units that leave, by line number; or why they cannot, as the end of a sentence."""
    goods = [line for line in step.unit.lines[order.correlation_id] if line.kind == MOVES_STOCK]
    reserved = {line.line_no: line.reserved for line in goods if line.reserved}
    if order.state in ("shipped", "cancelled") or (goods and not reserved):
        return f"of an order that is {order.state.replace('_', ' ')}"
    if not wanted:
        return reserved
    found = chosen(goods, wanted, lambda line: line.reserved)
    return f"has {found}" if isinstance(found, str) else found


def _apply(step: Step, order: Order, keys: Mapping[str, str], taken: Mapping[int, int], *, named: bool) -> None:
    identity, shipment_id = order.correlation_id, keys["shipment_id"]
    lines = step.unit.lines[identity]
    in_parts = order.state == "partially_shipped"
    now, left = weight(lines, taken)
    unshipped = order.unshipped
    earned = shares(unshipped, now, left)
    told = [_told(line, taken[line.line_no]) for line in lines if line.line_no in taken] if named else []
    costs = _take_out(step, order, shipment_id, taken)
    restate(step, order)
    last = order.state != "partially_shipped"
    if last:
        complete(step, order)
        earned = unshipped
    else:
        earned = {kind: amount for kind, amount in earned.items() if step.rules.of_kind(kind).revenue}
        for line in lines:
            step.unit.changed_lines[(identity, line.line_no)] = line
    about = {"quantity": sum(taken.values()), "amount_minor": _worth(earned), **keys}
    number = own_number(step, order, "shipment", shipment_id)
    hop = source_hop(step, order, "order.ship", "fulfilment", number, "shipped", about)
    hop.events.extend(told)
    step.tell(hop)
    _post(step, order, shipment_id, costs, earned)
    if in_parts or not last:
        step.tell(_progress(order, "fulfilled" if last else "partially_shipped", _worth(order.unshipped)))


def _told(line: OrderLine, units: int) -> tuple[str, dict[str, Any]]:
    return EVENT_LINE, {"sku": line.sku, "quantity": units, "amount_minor": line.worth(units)}


def _take_out(step: Step, order: Order, shipment_id: str, taken: Mapping[int, int]) -> dict[str, int]:
    """Move units out of stock; returns their cost in minor units, by currency."""
    units: dict[str, int] = defaultdict(int)
    for line in step.unit.lines[order.correlation_id]:
        count = taken.get(line.line_no, 0)
        units[line.sku] += count
        line.reserved -= count
        line.shipped += count
    key = f"{order.origin}:shipment/{shipment_id}/{order.order_id}"
    costs: dict[str, int] = defaultdict(int)
    for sku, quantity in sorted(units.items()):
        if quantity:
            step.move(key, "shipment", sku, order.location, quantity, order.correlation_id)
            held = step.stock(sku, order.location)
            costs[held.currency or order.currency] += quantity * (held.unit_cost_minor or 0)
    return costs


def _post(step: Step, order: Order, shipment_id: str, costs: Mapping[str, int], earned: Mapping[str, int]) -> None:
    accounts, at_once = step.rules.accounts, order.revenue_on == "shipped"
    lines = earned_or_sent(step, order, shipment_id, earned)
    if not at_once:
        order.undelivered[shipment_id] |= {f"{COST}{currency}": minor for currency, minor in costs.items()}
    order.contract = {kind: amount for kind, amount in order.contract.items() if amount}
    to = accounts.cost_of_goods if at_once else accounts.with_carriers
    posted = _post_with_costs(step, order, "shipment", shipment_id, lines, costs, (to, accounts.inventory))
    if not posted:  # only vouchers, or what cost nothing and was given free
        number = own_number(step, order, "shipment", shipment_id)
        step.tell(source_hop(step, order, "order.ship", "fulfilment", number, "nothing_to_post", {}))
    if (order.correlation_id, order.revenue_on) in step.unit.order_steps:  # it was told before
        deliver(step, order, shipment_id)


def deliver(step: Step, order: Order, shipment_id: str) -> None:
    """The customer has the goods of a shipment, or of all that left when it names none: they are revenue and cost."""
    accounts = step.rules.accounts
    for sent in [shipment_id] if shipment_id in order.undelivered else list(order.undelivered):
        earned = order.undelivered.pop(sent)
        costs = {key.removeprefix(COST): earned.pop(key) for key in list(earned) if key.startswith(COST)}
        lines = earned_lines(step, order, earned)
        sides = (accounts.cost_of_goods, accounts.with_carriers)
        _post_with_costs(step, order, "delivery", sent, lines, costs, sides)
    order.contract = {kind: amount for kind, amount in order.contract.items() if amount}
    step.unit.changed_orders[order.correlation_id] = order


def _post_with_costs(
    step: Step, order: Order, document: str, entity_id: str, lines: list[JournalLine], costs: Mapping[str, int],
    sides: tuple[str, str],
) -> tuple[JournalLine, ...]:  # fmt: skip
    """One journal, whose lines it returns, and one more for what goods cost in another currency than they sell in."""
    made = derived(order.provenance)
    for currency, minor in costs.items():
        moved = [JournalLine(sides[0], minor, made), JournalLine(sides[1], -minor, made)]
        if currency == order.currency:
            lines = [*moved, *lines]
        else:
            step.post(
                origin=order.origin, correlation_id=order.correlation_id, document=f"{document}_cost", lines=moved,
                entity_id=f"{entity_id}/{order.order_id}/{currency}", channel=order.channel, location=order.location,
                currency=currency,
            )  # fmt: skip
    return post(step, order, document, entity_id, lines)


def _worth(amounts: Mapping[str, int]) -> int:
    """What goods and services come to, without tax."""
    return sum(amounts.values()) - taxes.among(amounts)


def _progress(order: Order, milestone: str, left_minor: int) -> Hop:
    """How far an order that leaves in parts has come; what is left has its value."""
    return Hop(
        "order.progress", "transformation", order.correlation_id, order.origin, "order", order.order_id, milestone,
        attributes=dimensions(order) | {"amount_minor": left_minor},
    )  # fmt: skip
