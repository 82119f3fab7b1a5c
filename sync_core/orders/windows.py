"""Times by which something must have happened to an order: acknowledgement, confirmation, payment. Decisions only."""

import datetime as dt
from typing import Final

from msgspec import Struct

from sync_core.messages import OrderDeadline, OrderDeadlinePassed, OrderStepped
from sync_core.model import ExceptionKind, Hop, Order, Terms
from sync_core.orders.orders import MOVES_STOCK, cover_or_back_order, dimensions, order_of, own_number, raise_about
from sync_core.unit import DONE, Step, Verdict


class Window(Struct, frozen=True):
    """What a channel waits for: the step that ends it, how its begin is told, and what it is when nobody did it."""

    step: str
    entity: str
    awaited: str  # milestone
    missed: ExceptionKind


OWNER: Final = "marketplaces"
WINDOWS: Final[dict[OrderDeadline, Window]] = {
    "acknowledgement": Window("acknowledged", "order", "acknowledgement_awaited", "acknowledgement_overdue"),
    "shipment_confirmation": Window(
        "shipment_confirmed", "fulfilment", "confirmation_awaited", "shipment_not_confirmed"
    ),
}


def terms_of(step: Step, channel: str) -> Terms:
    return step.unit.terms.get(channel) or Terms(channel)


def step_key(name: str, reference: str) -> str:
    """Under which a step of an order is known: each shipment is confirmed by itself."""
    return f"{name}/{reference}" if name == WINDOWS["shipment_confirmation"].step else name


def open_window(step: Step, order: Order, deadline: OrderDeadline, reference: str, due_at: dt.datetime) -> None:
    """From now on a step of an order is waited for, unless it has come already."""
    window = WINDOWS[deadline]
    about = {"due_at": due_at, "owner": OWNER, "amount_minor": order.amount_minor}
    number = own_number(step, order, "shipment", reference) if reference else order.order_id
    step.tell(
        Hop(
            f"order.{window.awaited}", "transformation", order.correlation_id, order.origin, window.entity,
            number, window.awaited, attributes=dimensions(order) | about,
        )
    )  # fmt: skip
    if (order.correlation_id, step_key(window.step, reference)) not in step.unit.order_steps:
        remember(step, order, deadline, reference, due_at)


def remember(step: Step, order: Order, deadline: OrderDeadline, reference: str, due_at: dt.datetime) -> None:
    step.unit.deadlines.setdefault((order.correlation_id, deadline, reference), due_at)


def forget(step: Step, order: Order, deadline: OrderDeadline, reference: str = "") -> None:
    key = (order.correlation_id, deadline, reference)
    step.unit.deadlines.pop(key, None)
    step.unit.deadlines_met.add(key)


def close_window(step: Step, order: Order, event: OrderStepped) -> None:
    """The step that a channel waited for was taken, if it is one."""
    for deadline, window in WINDOWS.items():
        if window.step == event.step:
            reference = event.reference if deadline == "shipment_confirmation" else ""
            forget(step, order, deadline, reference)
            about = f"/{reference}" if reference else ""
            opened = step.unit.open_exceptions.get((order.correlation_id, window.missed), [])
            for exception_id in [one for one in opened if one.endswith(about)]:
                opened.remove(exception_id)
                step.resolve_exception(exception_id, order.correlation_id, order.origin, "told, but late")


def pass_deadline(step: Step, event: OrderDeadlinePassed) -> Verdict:
    """Its time has come: what is missing is its owner's, and goods that nobody paid for are free again."""
    order = order_of(step, event)
    if isinstance(order, Verdict):
        return order
    forget(step, order, event.deadline, event.reference)
    if event.deadline == "payment":
        if not order.provider and order.state == "reserved":
            _lapse(step, order)
        return DONE
    window = WINDOWS[event.deadline]
    taken = (order.correlation_id, step_key(window.step, event.reference))
    if order.state == "cancelled" or taken in step.unit.order_steps:
        return DONE
    what = f"shipment {event.reference}" if event.reference else "the order"
    detail = f"{order.channel} was to be told of {what} by {step.message.occurred_at:%Y-%m-%d %H:%M:%S} UTC"
    raise_about(step, order, window.missed, OWNER, detail, order.amount_minor, "critical", document_id=event.reference)
    return DONE


def renew(step: Step, order: Order) -> None:
    """The payment has come after all: reserve again what is still there."""
    forget(step, order, "payment")
    if order.state == "lapsed":
        cover_or_back_order(step, order, f"{order.origin}:renewal/{order.order_id}")
        if not step.unit.open_exceptions.get((order.correlation_id, "backorder")):
            step.tell(_told(order, "renewed"))
        step.resolve_exceptions(order.correlation_id, order.origin, "reservation_lapsed", "the order is paid")


def _lapse(step: Step, order: Order) -> None:
    key = f"{order.origin}:lapse/{order.order_id}"
    for line in step.unit.lines[order.correlation_id]:
        if line.kind == MOVES_STOCK and line.reserved:
            step.move(f"{key}/{line.line_no}", "release", line.sku, order.location, line.reserved, order.correlation_id)
            line.reserved = 0
            step.unit.changed_lines[(line.correlation_id, line.line_no)] = line
    order.state = "lapsed"
    step.unit.changed_orders[order.correlation_id] = order
    step.unit.arrived.add(order.correlation_id)
    step.tell(_told(order, "lapsed"))
    detail = f"no payment of {order.due_minor} {order.currency} came in time; its goods are free again"
    raise_about(step, order, "reservation_lapsed", "order management", detail, order.amount_minor, "minor")


def _told(order: Order, milestone: str) -> Hop:
    return Hop(
        f"inventory.{milestone}", "transformation", order.correlation_id, order.origin, "order", order.order_id,
        milestone, attributes=dimensions(order) | {"amount_minor": order.amount_minor},
    )  # fmt: skip
