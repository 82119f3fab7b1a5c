"""The steps of an order beside moving goods and money: whose they are, and which keep its goods from leaving."""

from typing import Final

from msgspec import Struct

from sync_core.model import Order
from sync_core.unit import Step


class Kind(Struct, frozen=True):
    """How a step is told, and whose it is when it fails."""

    entity: str
    owner: str
    holds: bool = False  # until it is passed the goods must not leave
    after_shipping: bool = False  # it matters also when the goods have left


STEPS: Final[dict[str, Kind]] = {
    "validated": Kind("order", "order management", holds=True),
    "payment_confirmed": Kind("order", "payments", holds=True),
    "fraud_cleared": Kind("order", "risk", holds=True),
    "taxed": Kind("order", "tax", holds=True),
    "routed": Kind("order", "order management"),
    "acknowledged": Kind("order", "marketplaces"),
    "released": Kind("order", "warehouse"),
    "picked": Kind("fulfilment", "warehouse"),
    "packed": Kind("fulfilment", "warehouse"),
    "ready_for_pickup": Kind("order", "stores"),
    "picked_up": Kind("fulfilment", "stores"),
    "delivery_promised": Kind("fulfilment", "delivery"),
    "delivered": Kind("fulfilment", "delivery", after_shipping=True),
    "notified": Kind("order", "customer service", after_shipping=True),
    "closed": Kind("order", "order management", after_shipping=True),
}


def held_by(step: Step, order: Order) -> list[str]:
    """The steps that an order failed and that keep its goods from leaving."""
    opened = step.unit.open_exceptions
    return [name for name, kind in STEPS.items() if kind.holds and opened.get((order.correlation_id, failure_of(name)))]


def failure_of(name: str) -> str:
    """The kind of the exception about a step that failed."""
    return f"{name}_failed"
