"""What systems do for an order beside moving goods and money: checks, routing, release, messages. Decisions only."""

from typing import Any, Final

import msgspec

from sync_core.messages import OrderStepped
from sync_core.model import Order
from sync_core.orders import shipments
from sync_core.orders.checks import STEPS, failure_of, held_by
from sync_core.orders.orders import order_of, own_number, raise_about, source_hop
from sync_core.orders.windows import close_window, step_key
from sync_core.unit import DONE, Step, Verdict

OPEN_STATES: Final = ("reserved", "backordered", "lapsed", "partially_shipped")


def advance(step: Step, event: OrderStepped) -> Verdict:
    """Record a step. One that failed is an exception of its owner until it is passed or the order is cancelled."""
    order = order_of(step, event)
    if isinstance(order, Verdict):
        return order
    identity = order.correlation_id
    picked_up = event.step == "picked_up" and not event.failed
    verdict = shipments.collect(step, order, event) if picked_up else DONE
    if verdict.state == "parked":
        return verdict
    _tell(step, order, event)
    if event.step == order.revenue_on and order.undelivered and not event.failed:
        shipments.deliver(step, order, event.reference)
    key = step_key(event.step, event.reference)
    before = step.unit.order_steps.get((identity, key))
    if before is not None and before >= step.message.occurred_at:
        return Verdict("done", f"{event.step} of a later time is known")
    step.take(identity, key)
    if event.failed:
        _fail(step, order, event)
    else:
        step.resolve_exceptions(identity, order.origin, failure_of(event.step), f"passed: {event.system}")
        close_window(step, order, event)
        if event.step == "released":
            step.resolve_exceptions(identity, order.origin, "changed_after_release", "released again")
            _watch_release(step, order)
    return verdict


def _fail(step: Step, order: Order, event: OrderStepped) -> None:
    failure, kind = failure_of(event.step), STEPS[event.step]
    matters = order.state in OPEN_STATES or (kind.after_shipping and order.state != "cancelled")
    if not matters or step.unit.open_exceptions.get((order.correlation_id, failure)):
        return
    detail = f"{event.system}: {event.reason or 'failed'}"
    raise_about(step, order, failure, kind.owner, detail, order.amount_minor)


def _watch_release(step: Step, order: Order) -> None:
    reasons = held_by(step, order)
    if order.state == "backordered":
        reasons.insert(0, "its goods are not there")
    if order.state == "cancelled":
        reasons.insert(0, "it was cancelled")
    if reasons:
        detail = f"released to the warehouse although {' and '.join(reasons)}"
        raise_about(step, order, "released_too_early", "warehouse", detail, order.amount_minor, "critical")


def _tell(step: Step, order: Order, event: OrderStepped) -> None:
    kind = STEPS[event.step]
    about: dict[str, Any] = {
        "system": event.system, "owner": kind.owner, "reference": event.reference, "reason": event.reason,
        "location": event.location or order.location, "due_at": event.due_at or "",
    }  # fmt: skip
    if event.due_at:
        about["amount_minor"] = order.amount_minor  # what hangs on the promise
    milestone = "" if event.failed else "confirmed" if event.step == "shipment_confirmed" else event.step
    of_shipment = kind.of_shipment and event.reference
    entity_id = own_number(step, order, "shipment", event.reference) if of_shipment else order.order_id
    hop = source_hop(step, order, f"order.{event.step}", kind.entity, entity_id, milestone, about)
    step.tell(msgspec.structs.replace(hop, outcome="rejected") if event.failed else hop)
