"""What the systems of the estate tell of an order: its steps, its goods, its money and what came back of it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from sync_core.messages import (
    TYPE_OF,
    Event,
    Line,
    OrderCancelled,
    OrderCaptured,
    OrderStepName,
    OrderStepped,
    PaymentCaptured,
    ShipmentShipped,
)
from sync_core.returns.messages import (
    DisposedUnits,
    InspectedUnits,
    ReceivedUnits,
    RefundIssued,
    RequestedUnits,
    ReturnDispositioned,
    ReturnInspected,
    ReturnItemsReceived,
    ReturnReason,
    ReturnReceived,
    ReturnRequested,
    ReturnShipped,
)
from tallytrace.estate.lives import Life
from tallytrace.estate.retailer import CURRENCY, RETURNS, WAREHOUSES, keeper

FAILS: Final[dict[str, tuple[float, str]]] = {
    "taxed": (0.0002, "no answer within 5 s"),
    "payment_confirmed": (0.001, "declined by the issuer"),
    "acknowledged": (0.001, "throttled by the marketplace"),
    "picked": (0.0005, "not found in its bin"),
    "delivered": (0.001, "nobody at home"),
    "notified": (0.0002, "mailbox is full"),
}
"""How often a step fails at first, and why; soon it is done all the same."""
AGAIN_WITHIN: Final = timedelta(hours=2)
ESSENTIAL: Final = frozenset({"acknowledged", "released"})
"""Steps that a promise or another step waits for."""
OF_SHIPMENT: Final = frozenset({"picked_up", "delivery_promised", "delivered"})
REASONS: Final[dict[str, ReturnReason]] = {
    "NO-LONGER-NEEDED": "changed_mind", "TOO-SMALL": "does_not_fit", "FAULTY": "defective",
    "OTHER-THAN-SHOWN": "not_as_described",
}  # fmt: skip
"""The returns platform's codes, and what they mean."""


class Happening(Struct, frozen=True):
    """Something that happened in one of the estate's systems; (``source``, ``event_id``) identify it for ever."""

    at: datetime
    source: str
    event_id: str
    event: Event


class CloudEvent(Struct, frozen=True, kw_only=True):
    id: str
    source: str
    type: str
    time: datetime
    data: Event
    provenance: str
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


def encode(happening: Happening, *, live_since: datetime) -> bytes:
    """The happening as a CloudEvent; what lies before ``live_since`` is history that the simulation made up."""
    return msgspec.json.encode(
        CloudEvent(
            id=happening.event_id,
            source=happening.source,
            type=TYPE_OF[type(happening.event)],
            time=happening.at,
            data=happening.event,
            provenance="live" if happening.at >= live_since else "generated",
        )
    )


def happenings_of(life: Life, *, in_detail: bool = True) -> Iterator[Happening]:
    """What is told of an order, its goods and its money; in no order. In detail: what nothing depends on as well."""
    yield order_of(life)
    payment = PaymentCaptured(
        origin=life.origin, order_id=life.order_id, payment_id=life.payment_id, provider=life.provider,
        amount_minor=life.amount_minor, currency=CURRENCY,
    )  # fmt: skip
    yield Happening(life.paid_at, life.origin, f"payment/{life.order_id}", payment)
    yield from _steps_of(life, in_detail=in_detail)
    if life.cancelled_at is not None:
        reason = "not available" if life.scarce else "customer changed their mind"
        cancelled = OrderCancelled(
            origin=life.origin, order_id=life.order_id, cancellation_id=f"CN-{life.number}", reason=reason
        )
        yield Happening(life.cancelled_at, life.origin, f"cancellation/{life.order_id}", cancelled)
        return
    yield _shipment(life)
    if life.returned:
        yield from _return(life, life.returned)


def order_of(life: Life) -> Happening:
    """What the channel tells when the order is placed."""
    order = OrderCaptured(
        origin=life.origin, order_id=life.order_id, channel=life.channel, location=life.location, currency=CURRENCY,
        lines=life.lines, tax_minor=life.tax_minor,
    )  # fmt: skip
    return Happening(life.captured_at, life.origin, f"order/{life.order_id}", order)


def _steps_of(life: Life, *, in_detail: bool) -> Iterator[Happening]:
    """What was done for an order; what fails at first is done before the next step."""
    if life.channel == "store":
        return
    chance = Random(f"{life.order_id}/steps")
    steps = [*_checks_of(life), *(_handling_of(life) if life.keeps_goods else ())]
    if life.reviewed_at:
        yield _step(life, life.paid_at, "fraud_cleared", "risk engine", "address and card of two countries")
    for number, (at, step, system) in enumerate(steps):
        if not (in_detail or step in ESSENTIAL or (step == "fraud_cleared" and life.reviewed_at)):
            continue
        share, reason = FAILS.get(step, (0.0, ""))
        if chance.random() < share:
            yield _step(life, at, step, system, reason)
            following = steps[number + 1][0] if number + 1 < len(steps) else at + (at - life.captured_at) / 4
            at += min((following - at) / 2, at - life.captured_at, AGAIN_WITHIN)
        yield _step(life, at, step, system)


def _checks_of(life: Life) -> Iterator[tuple[datetime, OrderStepName, str]]:
    """Before the warehouse hears of it."""
    paying = life.paid_at - life.captured_at
    if life.channel != "web":
        yield life.captured_at + paying / 4, "acknowledged", life.origin
        return
    yield life.captured_at + paying / 8, "validated", "oms"
    yield life.captured_at + paying / 4, "taxed", "tax engine"
    yield life.captured_at + paying / 2, "payment_confirmed", life.provider
    yield life.reviewed_at or life.captured_at + paying * 3 / 4, "fraud_cleared", "risk engine"


def _handling_of(life: Life) -> Iterator[tuple[datetime, OrderStepName, str]]:
    """From the route to the customer's hands."""
    start = life.reviewed_at or life.paid_at
    handling = life.shipped_at - life.released_at
    kept_by = keeper(life.location)
    yield start + (life.released_at - start) / 2, "routed", "oms"
    yield life.released_at, "released", kept_by
    yield life.released_at + handling / 4, "picked", kept_by
    if life.collected:
        yield life.released_at + handling / 2, "ready_for_pickup", kept_by
        yield life.released_at + handling * 3 / 4, "notified", "mail"
        yield life.shipped_at, "picked_up", kept_by
        return
    yield life.released_at + handling / 2, "packed", kept_by
    parcel = life.delivered_at - life.shipped_at
    yield life.shipped_at + parcel / 16, "delivery_promised", "carrier"
    yield life.shipped_at + parcel / 8, "notified", "mail"
    yield life.delivered_at, "delivered", "carrier"


def _step(life: Life, at: datetime, step: OrderStepName, system: str, failure: str = "") -> Happening:
    event = OrderStepped(
        origin=life.origin, order_id=life.order_id, step=step, system=system, location=life.location,
        due_at=life.promised_at if step == "delivery_promised" else None, failed=bool(failure), reason=failure,
        reference=life.shipment_id if step in OF_SHIPMENT else "",
    )  # fmt: skip
    attempt = "failed" if failure else "done"
    return Happening(at, system.replace(" ", "-"), f"{step}/{attempt}/{life.order_id}", event)


def _shipment(life: Life) -> Happening:
    source = keeper(life.location)
    event = ShipmentShipped(
        origin=life.origin, order_id=life.order_id, shipment_id=life.shipment_id, location=life.location,
        tracking_id=f"TK{life.number}" if life.sent else "",
    )  # fmt: skip
    return Happening(life.shipped_at, source, f"shipment/{life.order_id}", event)


def _return(life: Life, line: Line) -> Iterator[Happening]:
    """Goods that come back, announced or not, and their refund."""
    origin = life.origin if life.channel == "store" else RETURNS
    if life.announced:
        yield from _announced(life, line)
    else:
        received = ReturnReceived(
            origin=origin, return_id=life.return_id, order_origin=life.origin, order_id=life.order_id,
            channel=life.channel, location=life.returned_to, currency=CURRENCY, lines=(line,),
            tax_minor=life.returned_tax_minor,
        )  # fmt: skip
        yield Happening(life.returned_at, keeper(life.returned_to), f"return/{life.order_id}", received)
    refund = RefundIssued(
        origin=origin, return_id=life.return_id, refund_id=life.refund_id, provider=life.provider,
        amount_minor=life.refunded_minor, currency=CURRENCY, tax_minor=life.returned_tax_minor,
    )  # fmt: skip
    yield Happening(life.refunded_at, life.origin, f"refund/{life.order_id}", refund)


def _announced(life: Life, line: Line) -> Iterator[Happening]:
    """From the customer's request to the shelf, each by the system that sees it."""
    number, place, back = life.number, life.returned_to, life.return_id
    had_at = life.delivered_at if life.sent else life.shipped_at
    coming, handling = life.returned_at - had_at, life.refunded_at - life.returned_at
    reason = Random(f"{life.order_id}/reason").choice(tuple(REASONS))
    asked = RequestedUnits(sku=line.sku, quantity=line.quantity, reason=reason)
    here = ReceivedUnits(sku=line.sku, quantity=line.quantity)
    fine = InspectedUnits(sku=line.sku, quantity=line.quantity, outcome="accepted")
    shelved = DisposedUnits(sku=line.sku, quantity=line.quantity, disposition="resell")
    requested = ReturnRequested(
        origin=RETURNS, return_id=back, order_origin=life.origin, order_id=life.order_id, channel=life.channel,
        currency=CURRENCY, lines=(asked,),
    )  # fmt: skip
    yield Happening(had_at + coming / 4, RETURNS, f"requested/{number}", requested)
    if place in WAREHOUSES:
        parcel = ReturnShipped(origin=RETURNS, return_id=back, carrier="carrier", tracking_id=f"RK{number}")
        yield Happening(had_at + coming / 2, RETURNS, f"sent/{number}", parcel)
    handled: tuple[Event, ...] = (
        ReturnItemsReceived(origin=RETURNS, return_id=back, receipt_id=f"RR-{number}", location=place, lines=(here,),
                            final=True),
        ReturnInspected(origin=RETURNS, return_id=back, inspection_id=f"IN-{number}", location=place, lines=(fine,)),
        ReturnDispositioned(origin=RETURNS, return_id=back, disposition_id=f"DI-{number}", location=place,
                            lines=(shelved,)),
    )  # fmt: skip
    for third, event in enumerate(handled):
        yield Happening(life.returned_at + handling * third / 3, keeper(place), f"handled-{third}/{number}", event)
