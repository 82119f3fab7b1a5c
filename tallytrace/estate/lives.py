"""The life of one order, drawn from chance, and what the systems of the estate tell of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
from sync_core.returns.messages import RefundIssued, ReturnReceived
from tallytrace.estate.retailer import (
    CARDS,
    CURRENCY,
    RETURNS,
    SHOP,
    STORES,
    TILLS,
    WAREHOUSES,
    Product,
    assortment,
    keeper,
    limited,
)

CHANNELS: Final = {"store": 70, "web": 18, "amazon": 8, "bazaar": 4}
"""Shares of the orders, in per cent."""
RETURN_SHARE: Final = 0.12
RETURN_TO_STORE_SHARE: Final = 0.3  # of what was bought online
COLLECT_SHARE: Final = 0.15  # of the web shop's orders: the customer comes to a store for them
REVIEW_SHARE: Final = 0.001  # of them: held until somebody has looked at the customer
CANCEL_SHARE: Final = 0.05
LATE_SHARE: Final = 0.03  # of parcels: later than the carrier promised
SCARCE_SHARE: Final = 0.004  # of what is live in the web shop: asks for what is not there
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
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


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


class Pace(Struct, frozen=True, kw_only=True):
    """Seconds (from, to) between the steps of an order's life."""

    pay: tuple[float, float]
    cancel: tuple[float, float]
    give_up: tuple[float, float]
    release: tuple[float, float]
    ship: tuple[float, float]
    bring_back: tuple[float, float]
    refund: tuple[float, float]
    review: tuple[float, float]
    deliver: tuple[float, float]
    promise: float  # from the shipment until the carrier means to deliver


PAST: Final = Pace(
    pay=(2, 50), cancel=(120, 800), give_up=(7_200, 14_000), release=(60, 600), ship=(7_200, 72_000),
    bring_back=(43_200, 432_000), refund=(1_800, 7_200), review=(60, 200), deliver=(21_600, 151_200), promise=172_800,
)  # fmt: skip
LIVE: Final = Pace(
    pay=(0.2, 1), cancel=(1, 3), give_up=(60, 180), release=(0.3, 1), ship=(1, 4), bring_back=(1, 5),
    refund=(0.3, 1.5), review=(10, 60), deliver=(3, 20), promise=60,
)  # fmt: skip


class Life(Struct, frozen=True, kw_only=True):
    """What will become of one order."""

    channel: str
    origin: str
    order_id: str
    location: str
    provider: str
    captured_at: datetime
    lines: tuple[Line, ...]
    tax_minor: int
    scarce: bool
    cancelled_at: datetime | None
    paid_at: datetime
    released_at: datetime
    shipped_at: datetime
    collected: bool
    reviewed_at: datetime | None
    promised_at: datetime
    delivered_at: datetime
    returned: Line | None
    returned_to: str
    returned_at: datetime
    refunded_at: datetime

    @property
    def keeps_goods(self) -> bool:
        return self.cancelled_at is None

    @property
    def number(self) -> str:
        """What distinguishes the order among all of the estate, fit for other numbers to be made from it."""
        return self.order_id.replace("/", "-")

    @property
    def payment_id(self) -> str:
        return f"ch_{self.number}" if self.provider == CARDS else f"PY-{self.number}"

    @property
    def amount_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines) + self.tax_minor

    @property
    def shipment_id(self) -> str:
        return f"{'SH' if keeper(self.location) == 'wms' else 'PU'}-{self.number}"

    @property
    def return_id(self) -> str:
        return f"RT-{self.number}"

    @property
    def refund_id(self) -> str:
        return f"re_{self.number}" if self.provider == CARDS else f"RF-{self.number}"

    @property
    def refunded_minor(self) -> int:
        return self.returned.amount_minor + tax_of((self.returned,)) if self.returned else 0


def draw(seed: int, chance: Random, captured_at: datetime, number: int, pace: Pace) -> Life:
    """An order of any channel; ``number`` distinguishes it from every other."""
    channel = chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
    if pace is LIVE and channel == "web" and chance.random() < SCARCE_SHARE:
        return draw_scarce(seed, chance, captured_at, number, pace)
    collected = channel == "web" and chance.random() < COLLECT_SHARE
    location = chance.choice(STORES) if collected or channel == "store" else chance.choice(WAREHOUSES)
    lines = _basket(chance, assortment(seed, location), channel)
    return life_of(chance, channel, location, captured_at, number, pace, lines, collected=collected)


def draw_scarce(seed: int, chance: Random, captured_at: datetime, number: int, pace: Pace) -> Life:
    """An order of the web shop for what is not there; it is given up."""
    lines = (line_of(limited(seed), 1),)
    return life_of(chance, "web", chance.choice(WAREHOUSES), captured_at, number, pace, lines, scarce=True)


def life_of(
    chance: Random, channel: str, location: str, captured_at: datetime, number: int, pace: Pace,
    lines: tuple[Line, ...], *, collected: bool = False, scarce: bool = False,
) -> Life:  # fmt: skip
    """An order of these lines, taken from this location."""
    origin, order_id, provider = _numbered(chance, channel, location, captured_at, number)
    at_once = channel == "store"
    paid_at = captured_at + _within(chance, pace.pay)
    cancels = scarce or (not at_once and chance.random() < CANCEL_SHARE)
    reviewed = channel == "web" and not cancels and chance.random() < REVIEW_SHARE
    reviewed_at = paid_at + _within(chance, pace.review) if reviewed else None
    released_at = (reviewed_at or paid_at) + _within(chance, pace.release)
    shipped_at = paid_at + timedelta(milliseconds=100) if at_once else released_at + _within(chance, pace.ship)
    comes_back = not cancels and chance.random() < RETURN_SHARE
    promised_at = shipped_at + timedelta(seconds=pace.promise)
    delivered_at = shipped_at + _within(chance, pace.deliver)
    if not comes_back and chance.random() < LATE_SHARE:
        delivered_at += timedelta(seconds=pace.promise)
    returned_at = (shipped_at if at_once or collected else delivered_at) + _within(chance, pace.bring_back)
    to_store = not at_once and chance.random() < RETURN_TO_STORE_SHARE
    return Life(
        channel=channel,
        origin=origin,
        order_id=order_id,
        location=location,
        provider=provider,
        captured_at=captured_at,
        lines=lines,
        tax_minor=tax_of(lines),
        scarce=scarce,
        cancelled_at=paid_at + _within(chance, pace.give_up if scarce else pace.cancel) if cancels else None,
        paid_at=paid_at,
        released_at=released_at,
        shipped_at=shipped_at,
        collected=collected,
        reviewed_at=reviewed_at,
        promised_at=promised_at,
        delivered_at=delivered_at,
        returned=_some_of(chance, lines[0]) if comes_back else None,
        returned_to=chance.choice(STORES) if to_store else location,
        returned_at=returned_at,
        refunded_at=returned_at + _within(chance, pace.refund),
    )


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


def line_of(product: Product, quantity: int) -> Line:
    return Line(
        sku=product.sku,
        quantity=quantity,
        amount_minor=product.price_minor * quantity,
        unit_price_micros=product.price_minor * 10_000,
    )


def tax_of(lines: tuple[Line, ...]) -> int:
    """British VAT of 20 %, on the document."""
    return (sum(line.amount_minor for line in lines) + 2) // 5


def _numbered(chance: Random, channel: str, location: str, captured_at: datetime, number: int) -> tuple[str, str, str]:
    """(origin, order number, payment provider) as each channel's own system writes them."""
    since_epoch = number - int(EPOCH.timestamp()) * 100
    match channel:
        case "web":
            return SHOP, f"{5_600_000_000_000 + since_epoch}", CARDS
        case "amazon":
            return channel, f"302-{since_epoch // 10**7:07d}-{since_epoch % 10**7:07d}", channel
        case "bazaar":
            return channel, f"BZ{since_epoch:010d}", channel
        case _:
            receipt = f"{captured_at:%Y-%m-%d}/till-{chance.randrange(1, 4)}/{since_epoch % 100_000_000:08d}"
            return keeper(location), receipt, TILLS


def _basket(chance: Random, products: tuple[Product, ...], channel: str) -> tuple[Line, ...]:
    chosen = chance.sample(products, chance.choices((1, 2, 3, 4), (45, 30, 15, 10))[0])
    goods = tuple(line_of(product, chance.choices((1, 2, 3), (75, 18, 7))[0]) for product in chosen)
    if channel != "web":
        return goods
    carriage = Line(sku="CARRIAGE", quantity=1, amount_minor=395, kind="shipping", unit_price_micros=3_950_000)
    return (*goods, carriage)


def _some_of(chance: Random, line: Line) -> Line:
    quantity = chance.randrange(1, line.quantity + 1)
    return msgspec.structs.replace(line, quantity=quantity, amount_minor=line.amount_minor // line.quantity * quantity)


def _within(chance: Random, seconds: tuple[float, float]) -> timedelta:
    return timedelta(milliseconds=round(chance.uniform(*seconds) * 1000))


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
        reference=life.shipment_id if step == "picked_up" else "",
    )  # fmt: skip
    attempt = "failed" if failure else "done"
    return Happening(at, system.replace(" ", "-"), f"{step}/{attempt}/{life.order_id}", event)


def _shipment(life: Life) -> Happening:
    source = keeper(life.location)
    event = ShipmentShipped(
        origin=life.origin, order_id=life.order_id, shipment_id=life.shipment_id, location=life.location,
        tracking_id=f"TK{life.number}" if source == "wms" else "",
    )  # fmt: skip
    return Happening(life.shipped_at, source, f"shipment/{life.order_id}", event)


def _return(life: Life, line: Line) -> Iterator[Happening]:
    origin = life.origin if life.channel == "store" else RETURNS
    tax = tax_of((line,))
    received = ReturnReceived(
        origin=origin, return_id=life.return_id, order_origin=life.origin, order_id=life.order_id,
        channel=life.channel, location=life.returned_to, currency=CURRENCY, lines=(line,), tax_minor=tax,
    )  # fmt: skip
    refund = RefundIssued(
        origin=origin, return_id=life.return_id, refund_id=life.refund_id, provider=life.provider,
        amount_minor=line.amount_minor + tax, currency=CURRENCY, tax_minor=tax,
    )  # fmt: skip
    yield Happening(life.returned_at, keeper(life.returned_to), f"return/{life.order_id}", received)
    yield Happening(life.refunded_at, life.origin, f"refund/{life.order_id}", refund)
