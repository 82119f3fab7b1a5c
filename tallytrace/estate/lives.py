"""The life of one order, drawn from chance."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import msgspec
from msgspec import Struct

from sync_core.messages import Line
from sync_core.money import units_share
from tallytrace.estate.retailer import (
    CARDS,
    SHOP,
    STORES,
    TILLS,
    WAREHOUSES,
    Product,
    assortment,
    keeper,
    limited,
)

CHANNELS: Final = {"store": 70, "web": 18, "amazon": 8, "walmart": 4}
"""Shares of the orders, in per cent."""
RETURN_SHARE: Final = 0.12
RETURN_TO_STORE_SHARE: Final = 0.3  # of what was bought online
COLLECT_SHARE: Final = 0.15  # of the web shop's orders: the customer comes to a store for them
FROM_STORE_SHARE: Final = 0.1  # of them: a store sends them
ANNOUNCED_SHARE: Final = 0.5  # of what comes back of them: the customer asks the returns platform first
REVIEW_SHARE: Final = 0.001  # of them: held until somebody has looked at the customer
CANCEL_SHARE: Final = 0.05
LATE_SHARE: Final = 0.03  # of parcels: later than the carrier promised
SCARCE_SHARE: Final = 0.004  # of what is live in the web shop: asks for what is not there
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


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
    announced: bool  # the returns platform hears of it before the goods come
    returned_to: str
    returned_at: datetime
    refunded_at: datetime

    @property
    def keeps_goods(self) -> bool:
        return self.cancelled_at is None

    @property
    def sent(self) -> bool:
        """A carrier brings it; other goods are handed over in a store."""
        return self.channel != "store" and not self.collected

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
        return f"{'SH' if self.sent else 'PU'}-{self.number}"

    @property
    def return_id(self) -> str:
        return f"RT-{self.number}"

    @property
    def refund_id(self) -> str:
        if self.announced:  # as the core instructs it
            return f"{self.return_id}-1"
        return f"re_{self.number}" if self.provider == CARDS else f"RF-{self.number}"

    @property
    def refunded_minor(self) -> int:
        return self.returned.amount_minor + self.returned_tax_minor if self.returned else 0

    @property
    def returned_tax_minor(self) -> int:
        """What is announced gives back its share of the order's tax, to the penny."""
        if not self.returned:
            return 0
        if not self.announced:
            return tax_of((self.returned,))
        whole, first = sum(line.amount_minor for line in self.lines), self.lines[0]
        of_line = units_share(self.tax_minor, 0, first.amount_minor, whole)
        return units_share(of_line, 0, self.returned.quantity, first.quantity)


def draw(seed: int, chance: Random, captured_at: datetime, number: int, pace: Pace) -> Life:
    """An order of any channel; ``number`` distinguishes it from every other."""
    channel = chance.choices(list(CHANNELS), list(CHANNELS.values()))[0]
    if pace is LIVE and channel == "web" and chance.random() < SCARCE_SHARE:
        return draw_scarce(seed, chance, captured_at, number, pace)
    way = chance.random() if channel == "web" else 1.0
    collected = way < COLLECT_SHARE
    in_store = channel == "store" or way < COLLECT_SHARE + FROM_STORE_SHARE
    location = chance.choice(STORES if in_store else WAREHOUSES)
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
    announced = not at_once and chance.random() < ANNOUNCED_SHARE
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
        announced=announced,
        returned_to=chance.choice(STORES) if to_store else location,
        returned_at=returned_at,
        refunded_at=returned_at + _within(chance, pace.refund),
    )


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
        case "walmart":
            return channel, f"{108_000_000_000_000 + since_epoch}", channel
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
