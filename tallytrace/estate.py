"""A small simulated retailer: a web shop, a marketplace, three stores and one warehouse.

Everything that happens is a function of the seed and the time, so a restart tells the same story under the same
identities. Nothing here sends anything. The estate lives fast: a live parcel takes seconds, a return follows at once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from sync_core.messages import (
    TYPES,
    Event,
    FeedReported,
    Line,
    OrderCancelled,
    OrderCaptured,
    OrderStepName,
    OrderStepped,
    PaymentCaptured,
    ShipmentShipped,
    StockAdjusted,
    StockLine,
    StockReceived,
)
from sync_core.returns.messages import RefundIssued, ReturnReceived

CURRENCY: Final = "GBP"
WAREHOUSE: Final = "WH1"
STORES: Final = ("ST01", "ST02", "ST03")
LOCATIONS: Final = (WAREHOUSE, *STORES)
FEEDS: Final = (
    ("wms", "web", WAREHOUSE), ("wms", "marketplace", WAREHOUSE),
    ("pos:st01", "store", "ST01"), ("pos:st02", "store", "ST02"), ("pos:st03", "store", "ST03"),
)  # fmt: skip
"""Which channel shows whose stock: feed, channel, location."""

HISTORY: Final = timedelta(days=5)
HISTORY_STEP_SECONDS: Final = 720  # one order every twelve minutes: 600 in five days
FEED_SECONDS: Final = 10
ADJUSTMENT_SECONDS: Final = 15
RECEIPT_SECONDS: Final = 120
MOST_ORDERS_PER_SECOND: Final = 8

SCARCE_EVERY: Final = 120  # of history's orders: one a day asks for what is not there
SCARCE_SHARE: Final = 0.004
RETURN_SHARE: Final = 0.15
COLLECT_SHARE: Final = 0.15  # of the web shop's orders: the customer comes to a store for them
REVIEW_SHARE: Final = 0.02  # of them: held until somebody has looked at the customer
LATE_SHARE: Final = 0.03  # of parcels: later than the carrier promised
FAILS: Final[dict[str, tuple[float, str]]] = {
    "taxed": (0.005, "no answer within 5 s"),
    "payment_confirmed": (0.02, "declined by the issuer"),
    "acknowledged": (0.01, "throttled by the marketplace"),
    "picked": (0.01, "not found in its bin"),
    "delivered": (0.02, "nobody at home"),
    "notified": (0.005, "mailbox is full"),
}
"""How often a step fails at first, and why; later it is done all the same."""
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)

_TYPES: Final = {struct: name for name, struct in TYPES.items()}


class Product(Struct, frozen=True):
    sku: str
    price_minor: int
    cost_minor: int


class Pace(Struct, frozen=True, kw_only=True):
    """Seconds (from, to) between the steps of an order's life."""

    pay: tuple[float, float]
    cancel: tuple[float, float]
    ship: tuple[float, float]
    bring_back: tuple[float, float]
    refund: tuple[float, float]
    review: tuple[float, float]
    deliver: tuple[float, float]
    promise: float  # from the shipment until the carrier means to deliver


PAST: Final = Pace(
    pay=(2, 60), cancel=(120, 1800), ship=(7_200, 72_000), bring_back=(43_200, 172_800), refund=(1_800, 7_200),
    review=(1_800, 14_400), deliver=(21_600, 151_200), promise=172_800,
)  # fmt: skip
LIVE: Final = Pace(
    pay=(0.2, 1), cancel=(1, 3), ship=(1, 4), bring_back=(1, 5), refund=(0.3, 1.5), review=(10, 60), deliver=(3, 20),
    promise=60,
)  # fmt: skip


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


class Sights(Struct, frozen=True):
    """Numbers worth looking up: what they are, and the number."""

    shipped_order: str
    refunded_return: str
    backordered_order: str


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
    shipped_at: datetime
    collected: bool
    reviewed_at: datetime | None
    promised_at: datetime
    delivered_at: datetime
    returned: Line | None
    returned_at: datetime
    refunded_at: datetime

    @property
    def keeps_goods(self) -> bool:
        return not self.scarce and self.cancelled_at is None

    @property
    def number(self) -> str:
        """What distinguishes the order among all of its origin, fit for other numbers to be made from it."""
        return self.order_id.replace("/", "-")


@cache
def catalogue(seed: int) -> tuple[Product, ...]:
    """Forty products; the last one is never in stock."""
    chance = Random(f"{seed}:catalogue")
    kinds = ("MUG", "LAMP", "BAG", "TIN", "CLOCK", "CANDLE", "APRON", "FRAME", "BOWL", "CARD")
    colours = ("RED", "BLU", "GRN", "WHT")
    products = []
    for number in range(40):
        price = chance.randrange(150, 4_500, 5)
        cost = price * chance.randrange(35, 60) // 100
        products.append(Product(f"{kinds[number % 10]}-{colours[number // 10]}-{100 + number}", price, cost))
    products[-1] = Product("LTD-GLD-139", 12_500, 7_000)
    return tuple(products)


def opening(seed: int, now: datetime) -> list[Happening]:
    """What stood on the shelves before the history of five days: the first thing to be told."""
    at = datetime.fromtimestamp(_slots(now).start * HISTORY_STEP_SECONDS, UTC) - timedelta(hours=1)
    products = catalogue(seed)
    return [
        _receipt(products, at, location, 600 if location == WAREHOUSE else 150, opening=True) for location in LOCATIONS
    ]


def history(seed: int, now: datetime) -> list[Happening]:
    """Five days up to ``now``, oldest first. What orders of these days still have before them lies after ``now``."""
    products = catalogue(seed)
    told = [each for slot in _slots(now) for each in _events_of(_past_life(seed, slot, products))]
    return sorted(told, key=lambda each: each.at)


def steps_of_history(seed: int, now: datetime) -> list[Happening]:
    """What systems and people did for the orders of these five days beside moving goods and money."""
    products = catalogue(seed)
    told = [each for slot in _slots(now) for each in _steps_of(_past_life(seed, slot, products))]
    return sorted(told, key=lambda each: each.at)


def live(seed: int, second: int, orders_per_second: float) -> list[Happening]:
    """All that begins in one second (of the Unix epoch); its consequences lie up to three minutes later."""
    products = catalogue(seed)
    at = datetime.fromtimestamp(second, UTC)
    chance = Random(f"{seed}:{second}")
    told: list[Happening] = []
    arrivals = sum(chance.random() < orders_per_second / MOST_ORDERS_PER_SECOND for _ in range(MOST_ORDERS_PER_SECOND))
    for number in range(arrivals):
        captured_at = at + timedelta(milliseconds=chance.randrange(1000))
        scarce = chance.random() < SCARCE_SHARE
        life = _life(chance, products, captured_at, second * 10 + number, LIVE, scarce)
        told.extend((*_events_of(life), *_steps_of(life)))
    if second % FEED_SECONDS == 0:
        told.extend(signs_of_life(at))
    if second % ADJUSTMENT_SECONDS == 0:
        told.append(_adjustment(chance, products, at))
    if second % RECEIPT_SECONDS == 0:
        told.extend(_receipts(products, at))
    return sorted(told, key=lambda each: each.at)


def signs_of_life(at: datetime) -> Iterator[Happening]:
    for feed, channel, location in FEEDS:
        event = FeedReported(feed=feed, channel=channel, location=location, source_at=at)
        yield Happening(at, feed, f"feed/{feed}/{channel}/{location}/{at:%Y%m%dT%H%M%S}", event)


def sights(seed: int, now: datetime) -> Sights:
    """A shipped order, a refunded return and a back-ordered order of the web shop, before ``now``."""
    products = catalogue(seed)
    lives = (_past_life(seed, slot, products) for slot in reversed(_slots(now)))
    recent = [life for life in lives if life.channel == "web"]
    shipped = next(each for each in recent if each.keeps_goods and not each.returned and each.shipped_at < now)
    returned = next(each for each in recent if each.keeps_goods and each.returned and each.refunded_at < now)
    backordered = next(each for each in recent if each.scarce and each.cancelled_at is None)
    return Sights(shipped.order_id, f"RT-{returned.number}", backordered.order_id)


def encode(happening: Happening, *, live_since: datetime) -> bytes:
    """The happening as a CloudEvent; what lies before ``live_since`` is history that the simulation made up."""
    return msgspec.json.encode(
        CloudEvent(
            id=happening.event_id,
            source=happening.source,
            type=_TYPES[type(happening.event)],
            time=happening.at,
            data=happening.event,
            provenance="live" if happening.at >= live_since else "generated",
        )
    )


def _slots(now: datetime) -> range:
    last = int(now.timestamp()) // HISTORY_STEP_SECONDS
    return range(last - int(HISTORY.total_seconds()) // HISTORY_STEP_SECONDS, last)


def _past_life(seed: int, slot: int, products: tuple[Product, ...]) -> Life:
    chance = Random(f"{seed}:past:{slot}")
    captured_at = datetime.fromtimestamp(slot * HISTORY_STEP_SECONDS + chance.randrange(HISTORY_STEP_SECONDS), UTC)
    number = int(captured_at.timestamp()) * 10 + 9
    return _life(chance, products, captured_at, number, PAST, slot % SCARCE_EVERY == 0)


def _life(
    chance: Random, products: tuple[Product, ...], captured_at: datetime, number: int, pace: Pace, scarce: bool
) -> Life:
    channel = "web" if scarce else chance.choices(("web", "marketplace", "store"), (45, 25, 30))[0]
    origin, order_id, location, provider = _place(chance, channel, captured_at, number)
    lines = (_line(products[-1], 1),) if scarce else _basket(chance, products, channel)
    leaves_at_once = channel == "store"
    paid_at = captured_at + _within(chance, pace.pay)
    shipped_at = paid_at + (timedelta(milliseconds=100) if leaves_at_once else _within(chance, pace.ship))
    cancels = not leaves_at_once and chance.random() < (0.5 if scarce else 0.05)
    comes_back = not cancels and not scarce and chance.random() < RETURN_SHARE
    own = Random(order_id)
    collected = channel == "web" and not scarce and own.random() < COLLECT_SHARE
    reviewed = channel == "web" and not cancels and not scarce and own.random() < REVIEW_SHARE
    reviewed_at = paid_at + _within(own, pace.review) if reviewed else None
    shipped_at += reviewed_at - paid_at if reviewed_at else timedelta()
    returned_at = shipped_at + _within(chance, pace.bring_back)
    promised_at = shipped_at + timedelta(seconds=pace.promise)
    delivered_at = shipped_at + _within(own, pace.deliver)
    if comes_back:
        delivered_at = min(delivered_at, shipped_at + (returned_at - shipped_at) / 2)
    elif own.random() < LATE_SHARE:
        delivered_at += timedelta(seconds=pace.promise)
    return Life(
        channel=channel,
        origin=origin,
        order_id=order_id,
        location=own.choice(STORES) if collected else location,
        provider=provider,
        captured_at=captured_at,
        lines=lines,
        tax_minor=_tax(lines),
        scarce=scarce,
        cancelled_at=paid_at + _within(chance, pace.cancel) if cancels else None,
        paid_at=paid_at,
        shipped_at=max(shipped_at, paid_at + timedelta(seconds=pace.cancel[1] + 1)) if cancels else shipped_at,
        collected=collected,
        reviewed_at=reviewed_at,
        promised_at=promised_at,
        delivered_at=delivered_at,
        returned=_some_of(chance, lines[0]) if comes_back else None,
        returned_at=returned_at,
        refunded_at=returned_at + _within(chance, pace.refund),
    )


def _place(chance: Random, channel: str, captured_at: datetime, number: int) -> tuple[str, str, str, str]:
    """(origin, order number, location, payment provider) as each channel's own system writes them."""
    since_epoch = number - int(EPOCH.timestamp()) * 10
    if channel == "web":
        return "webshop", f"W{since_epoch:09d}", WAREHOUSE, chance.choice(("card", "card", "wallet"))
    if channel == "marketplace":
        return "marketplace", f"302-{since_epoch // 10**7:07d}-{since_epoch % 10**7:07d}", WAREHOUSE, "marketplace_pay"
    store = chance.choice(STORES)
    receipt = f"{captured_at:%Y-%m-%d}/till-{chance.randrange(1, 4)}/{since_epoch % 1_000_000:06d}"
    return f"pos:{store.lower()}", receipt, store, chance.choice(("till_card", "till_card", "cash"))


def _basket(chance: Random, products: tuple[Product, ...], channel: str) -> tuple[Line, ...]:
    chosen = chance.sample(products[:-1], chance.choices((1, 2, 3, 4), (45, 30, 15, 10))[0])
    goods = tuple(_line(product, chance.choices((1, 2, 3), (75, 18, 7))[0]) for product in chosen)
    if channel != "web":
        return goods
    carriage = Line(sku="CARRIAGE", quantity=1, amount_minor=395, kind="shipping", unit_price_micros=3_950_000)
    return (*goods, carriage)


def _line(product: Product, quantity: int) -> Line:
    return Line(
        sku=product.sku,
        quantity=quantity,
        amount_minor=product.price_minor * quantity,
        unit_price_micros=product.price_minor * 10_000,
    )


def _some_of(chance: Random, line: Line) -> Line:
    quantity = chance.randrange(1, line.quantity + 1)
    return msgspec.structs.replace(line, quantity=quantity, amount_minor=line.amount_minor // line.quantity * quantity)


def _tax(lines: tuple[Line, ...]) -> int:
    """British VAT of 20 %, on the document."""
    return (sum(line.amount_minor for line in lines) + 2) // 5


def _within(chance: Random, seconds: tuple[float, float]) -> timedelta:
    return timedelta(milliseconds=round(chance.uniform(*seconds) * 1000))


def _events_of(life: Life) -> Iterator[Happening]:
    net = sum(line.amount_minor for line in life.lines)
    order = OrderCaptured(
        origin=life.origin, order_id=life.order_id, channel=life.channel, location=life.location, currency=CURRENCY,
        lines=life.lines, tax_minor=life.tax_minor,
    )  # fmt: skip
    payment = PaymentCaptured(
        origin=life.origin, order_id=life.order_id, payment_id=f"PY-{life.number}", provider=life.provider,
        amount_minor=net + life.tax_minor, currency=CURRENCY,
    )  # fmt: skip
    yield Happening(life.captured_at, life.origin, f"order/{life.order_id}", order)
    yield Happening(life.paid_at, life.origin, f"payment/{life.order_id}", payment)
    if life.cancelled_at is not None:
        reason = "not available" if life.scarce else "customer changed their mind"
        cancelled = OrderCancelled(
            origin=life.origin, order_id=life.order_id, cancellation_id=f"CN-{life.number}", reason=reason
        )
        yield Happening(life.cancelled_at, life.origin, f"cancellation/{life.order_id}", cancelled)
    elif not life.scarce:
        yield _shipment(life)
        if life.returned:
            yield from _return(life, life.returned)


def _keeper(life: Life) -> str:
    """The system that knows when goods of an order leave or come back."""
    return "wms" if life.location == WAREHOUSE else f"pos:{life.location.lower()}"


def _steps_of(life: Life) -> Iterator[Happening]:
    """What was done for an order; what fails at first is done at half the time to the next step."""
    if life.channel == "store":
        return
    chance = Random(f"{life.order_id}/steps")
    steps = [*_checks_of(life), *(_handling_of(life) if life.keeps_goods else ())]
    if life.reviewed_at:
        yield _step(life, life.paid_at, "fraud_cleared", "risk engine", "address and card of two countries")
    for number, (at, step, system) in enumerate(steps):
        share, reason = FAILS.get(step, (0.0, ""))
        if chance.random() < share:
            yield _step(life, at, step, system, reason)
            following = steps[number + 1][0] if number + 1 < len(steps) else at + (at - life.captured_at) / 4
            at += (following - at) / 2
        yield _step(life, at, step, system)


def _checks_of(life: Life) -> Iterator[tuple[datetime, OrderStepName, str]]:
    """Before the warehouse hears of it."""
    paying = life.paid_at - life.captured_at
    if life.channel == "marketplace":
        yield life.captured_at + paying / 4, "acknowledged", life.origin
        return
    yield life.captured_at + paying / 8, "validated", "oms"
    yield life.captured_at + paying / 4, "taxed", "tax engine"
    yield life.captured_at + paying / 2, "payment_confirmed", life.provider
    yield life.reviewed_at or life.captured_at + paying * 3 / 4, "fraud_cleared", "risk engine"


def _handling_of(life: Life) -> Iterator[tuple[datetime, OrderStepName, str]]:
    """From the route to the customer's hands."""
    start = life.reviewed_at or life.paid_at
    handling = life.shipped_at - start
    keeper = _keeper(life)
    yield start + handling / 8, "routed", "oms"
    yield start + handling / 4, "released", keeper
    yield start + handling / 2, "picked", keeper
    if life.collected:
        yield start + handling * 5 / 8, "ready_for_pickup", keeper
        yield start + handling * 3 / 4, "notified", "mail"
        yield life.shipped_at, "picked_up", keeper
        return
    yield start + handling * 3 / 4, "packed", keeper
    parcel = life.delivered_at - life.shipped_at
    yield life.shipped_at + parcel / 16, "delivery_promised", "carrier"
    yield life.shipped_at + parcel / 8, "notified", "mail"
    yield life.delivered_at, "delivered", "carrier"


def _step(life: Life, at: datetime, step: OrderStepName, system: str, failure: str = "") -> Happening:
    event = OrderStepped(
        origin=life.origin, order_id=life.order_id, step=step, system=system, location=life.location,
        due_at=life.promised_at if step == "delivery_promised" else None, failed=bool(failure), reason=failure,
        reference=_shipment_id(life) if step == "picked_up" else "",
    )  # fmt: skip
    attempt = "failed" if failure else "done"
    return Happening(at, system.replace(" ", "-"), f"{step}/{attempt}/{life.order_id}", event)


def _shipment(life: Life) -> Happening:
    source = _keeper(life)
    event = ShipmentShipped(
        origin=life.origin, order_id=life.order_id, shipment_id=_shipment_id(life), location=life.location,
        tracking_id=f"TK{life.number}" if source == "wms" else "",
    )  # fmt: skip
    return Happening(life.shipped_at, source, f"shipment/{life.order_id}", event)


def _shipment_id(life: Life) -> str:
    return f"{'SH' if _keeper(life) == 'wms' else 'PU'}-{life.number}"


def _return(life: Life, line: Line) -> Iterator[Happening]:
    source = _keeper(life)
    tax = _tax((line,))
    received = ReturnReceived(
        origin=life.origin, return_id=f"RT-{life.number}", order_origin=life.origin, order_id=life.order_id,
        channel=life.channel, location=life.location, currency=CURRENCY, lines=(line,), tax_minor=tax,
    )  # fmt: skip
    refund = RefundIssued(
        origin=life.origin, return_id=f"RT-{life.number}", refund_id=f"RF-{life.number}", provider=life.provider,
        amount_minor=line.amount_minor + tax, currency=CURRENCY, tax_minor=tax,
    )  # fmt: skip
    yield Happening(life.returned_at, source, f"return/{life.order_id}", received)
    yield Happening(life.refunded_at, life.origin, f"refund/{life.order_id}", refund)


def _receipts(products: tuple[Product, ...], at: datetime) -> Iterator[Happening]:
    """About as much as is sold in between."""
    for location in LOCATIONS:
        yield _receipt(products, at, location, 20 if location == WAREHOUSE else 3, opening=False)


def _receipt(products: tuple[Product, ...], at: datetime, location: str, quantity: int, *, opening: bool) -> Happening:
    source = "wms" if location == WAREHOUSE else f"pos:{location.lower()}"
    document = f"{'OP' if opening else 'GR'}-{location}-{at:%Y%m%d-%H%M%S}"
    event = StockReceived(
        origin=source, document_id=document, location=location, currency=CURRENCY, opening=opening,
        lines=tuple(StockLine(sku=each.sku, quantity=quantity, unit_cost_minor=each.cost_minor)
                    for each in products[:-1]),
    )  # fmt: skip
    return Happening(at, source, f"receipt/{document}", event)


def _adjustment(chance: Random, products: tuple[Product, ...], at: datetime) -> Happening:
    feed, channel, location = chance.choice(FEEDS)
    product = chance.choice(products[:-1])
    quantity, reason = chance.choice(((-1, "damaged"), (-2, "not found in the count"), (1, "found in the count")))
    event = StockAdjusted(
        origin=feed, document_id=f"CC-{location}-{at:%Y%m%d-%H%M%S}", location=location, channel=channel,
        currency=CURRENCY, lines=(StockLine(sku=product.sku, quantity=quantity),), reason=reason,
    )  # fmt: skip
    return Happening(at, feed, f"count/{location}/{at:%Y%m%dT%H%M%S}", event)
