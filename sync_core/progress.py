"""What systems do for an order beside moving goods and money: checks, routing, release, messages. Decisions only."""

from typing import Any, Final

import msgspec

from collector.semconv import correlation_id
from sync_core.checks import STEPS, failure_of, held_by
from sync_core.messages import OrderStepped
from sync_core.model import Order, Severity
from sync_core.orders import raise_about, source_hop
from sync_core.unit import DONE, Step, Verdict

OPEN_STATES: Final = ("reserved", "backordered")


def advance(step: Step, event: OrderStepped) -> Verdict:
    """Record a step. One that failed is an exception of its owner until it is passed or the order is cancelled."""
    identity = correlation_id(event.origin, event.order_id)
    order = step.unit.orders.get(identity)
    if order is None:
        return Verdict("parked", f"order {event.order_id} has not arrived", identity)
    _tell(step, order, event)
    before = step.unit.order_steps.get((identity, event.step))
    if before is not None and before >= step.message.occurred_at:
        return Verdict("done", f"{event.step} of a later time is known")
    _keep(step, order, event)
    if event.failed and order.state in OPEN_STATES:
        detail = f"{event.system}: {event.reason or 'failed'}"
        severity: Severity = "critical" if STEPS[event.step].holds else "major"
        if not step.unit.open_exceptions.get((identity, failure_of(event.step))):
            raise_about(
                step, order, failure_of(event.step), STEPS[event.step].owner, detail, order.amount_minor, severity
            )
    elif not event.failed:
        step.resolve_exceptions(identity, order.origin, failure_of(event.step), f"passed: {event.system}")
        if event.step == "released":
            _watch_release(step, order)
    return DONE


def _watch_release(step: Step, order: Order) -> None:
    reasons = [f"{name} failed" for name in held_by(step, order)]
    if order.state == "backordered":
        reasons.insert(0, "its goods are not there")
    if order.state == "cancelled":
        reasons.insert(0, "it was cancelled")
    if reasons:
        detail = f"released to the warehouse although {' and '.join(reasons)}"
        raise_about(step, order, "released_too_early", "warehouse", detail, order.amount_minor, "critical")


def _tell(step: Step, order: Order, event: OrderStepped) -> None:
    kind = STEPS[event.step]
    about: dict[str, Any] = {"system": event.system, "owner": kind.owner}
    if event.reference:
        about["reference"] = event.reference
    if event.location:
        about["location"] = event.location
    if event.reason:
        about["reason"] = event.reason
    milestone = "" if event.failed else event.step
    hop = source_hop(step, order, f"order.{event.step}", kind.entity, order.order_id, milestone, about)
    step.tell(msgspec.structs.replace(hop, outcome="rejected") if event.failed else hop)


def _keep(step: Step, order: Order, event: OrderStepped) -> None:
    at = step.message.occurred_at
    step.unit.order_steps[(order.correlation_id, event.step)] = at
    values = {
        "correlation_id": order.correlation_id, "step": event.step, "occurred_at": at, "failed": event.failed,
        "system": event.system, "reference": event.reference, "location": event.location, "reason": event.reason,
    }  # fmt: skip
    step.unit.settings.append(("save_order_step", values))
