"""An order comes in: accepted, reserved or back-ordered, and looked at for what is odd. Decisions only, no I/O."""

import datetime as dt
import hashlib

import msgspec

from collector.semconv import correlation_id
from sync_core.messages import OrderCaptured, PaymentCaptured
from sync_core.model import Order, location_identity
from sync_core.orders import orders, sales_orders
from sync_core.orders.windows import open_window, remember, renew, terms_of
from sync_core.unit import DONE, Step, Verdict


def basket_of(event: OrderCaptured) -> bytes:
    """Equal for orders of one customer that want the same for the same; empty when the customer is not known."""
    if not event.customer_ref:
        return b""
    lines = sorted((line.sku, line.kind, line.quantity, line.amount_minor) for line in event.lines)
    wanted = msgspec.json.encode([event.origin, event.customer_ref, event.currency, event.tax_minor, lines])
    return hashlib.sha256(wanted).digest()[:16]


def take(step: Step, event: OrderCaptured) -> Verdict:
    """Capture an order, and begin to wait for what its channel's terms ask for."""
    if step.unit.only_registered and event.location not in step.unit.locations:
        missing = f"location {event.location} is not registered"
        return Verdict("parked", missing, location_identity(event.location))
    verdict = orders.capture(step, event)
    if verdict != DONE:
        return verdict
    order = step.unit.orders[correlation_id(event.origin, event.order_id)]
    terms, at = terms_of(step, event.channel), step.message.occurred_at
    within = at + dt.timedelta(seconds=terms.acknowledge_seconds) if terms.acknowledge_seconds else None
    if acknowledge_by := event.acknowledge_by or within:
        open_window(step, order, "acknowledgement", "", acknowledge_by)
    if terms.sales_orders:
        sales_orders.hand_over(step, order, event)
    if terms.reservation_seconds and order.state == "reserved":
        remember(step, order, "payment", "", at + dt.timedelta(seconds=terms.reservation_seconds))
    if step.message.provenance == "live":
        order.basket = basket_of(event)
        _suspect(step, order, dt.timedelta(seconds=terms.duplicate_seconds))
    return DONE


def pay(step: Step, event: PaymentCaptured) -> Verdict:
    """Take a payment; a reservation that lapsed before it came is made again."""
    verdict = orders.pay(step, event)
    if verdict == DONE:
        renew(step, step.unit.orders[correlation_id(event.origin, event.order_id)])
    return verdict


def _suspect(step: Step, order: Order, within: dt.timedelta) -> None:
    """Hold an order that a customer seems to have placed twice, until somebody releases or cancels it."""
    if not order.basket:
        return
    same = step.unit.baskets.setdefault(order.basket, [])
    known = step.unit.orders
    for identity, order_id, captured_at in same:
        if identity in known and known[identity].state == "cancelled":
            continue
        if abs(order.captured_at - captured_at) <= within:
            detail = f"the same customer ordered the same as order {order_id} of {captured_at:%Y-%m-%d %H:%M:%S} UTC"
            orders.raise_about(step, order, "suspected_duplicate", "order management", detail, order.amount_minor)
            break
    same.append((order.correlation_id, order.order_id, order.captured_at))
