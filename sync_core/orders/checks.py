"""The steps of an order beside moving goods and money: whose they are, and which keep its goods from leaving."""

from typing import Final

from msgspec import Struct

from sync_core.model import ExceptionKind, Order
from sync_core.unit import Step


class Kind(Struct, frozen=True):
    """How a step is told, and whose it is when it fails."""

    entity: str
    owner: str
    failure: ExceptionKind  # of the exception about it when it failed
    holds: bool = False  # until it is passed the goods must not leave
    after_shipping: bool = False  # it matters also when the goods have left
    of_shipment: bool = False  # the shipment that its reference names


STEPS: Final[dict[str, Kind]] = {
    "validated": Kind("order", "order management", "validated_failed", holds=True),
    "payment_confirmed": Kind("order", "payments", "payment_confirmed_failed", holds=True),
    "fraud_cleared": Kind("order", "risk", "fraud_cleared_failed", holds=True),
    "taxed": Kind("order", "tax", "taxed_failed", holds=True),
    "routed": Kind("order", "order management", "routed_failed"),
    "acknowledged": Kind("order", "marketplaces", "acknowledged_failed"),
    "released": Kind("order", "warehouse", "released_failed"),
    "picked": Kind("fulfilment", "warehouse", "picked_failed"),
    "packed": Kind("fulfilment", "warehouse", "packed_failed"),
    "shipment_confirmed": Kind(
        "fulfilment", "marketplaces", "shipment_confirmed_failed", after_shipping=True, of_shipment=True
    ),
    "ready_for_pickup": Kind("order", "stores", "ready_for_pickup_failed"),
    "picked_up": Kind("fulfilment", "stores", "picked_up_failed"),
    "delivery_promised": Kind("fulfilment", "delivery", "delivery_promised_failed", of_shipment=True),
    "delivered": Kind("fulfilment", "delivery", "delivered_failed", after_shipping=True, of_shipment=True),
    "notified": Kind("order", "customer service", "notified_failed", after_shipping=True),
    "closed": Kind("order", "order management", "closed_failed", after_shipping=True),
}


HOLDING: Final = [*(kind.failure for kind in STEPS.values() if kind.holds), "suspected_duplicate"]
"""Exceptions that keep the goods of an order from leaving while they are open."""


def held_by(step: Step, order: Order) -> list[str]:
    """What keeps the goods of an order from leaving, each as a part of a sentence."""
    opened, identity = step.unit.open_exceptions, order.correlation_id
    held = [f"{name} failed" for name, kind in STEPS.items() if kind.holds and opened.get((identity, kind.failure))]
    return held + (["it is a suspected duplicate"] if opened.get((identity, "suspected_duplicate")) else [])


def failure_of(name: str) -> ExceptionKind:
    """The kind of the exception about a step that failed."""
    return STEPS[name].failure
