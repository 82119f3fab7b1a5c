"""What happens in the estate: thirty days, then second by second.

Everything is a function of the seed and the time, so a restart tells the same story under the same identities. Nothing
here sends anything. The estate lives fast: a live parcel takes seconds, a return follows at once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from msgspec import Struct

from sync_core.messages import (
    ChannelConnected,
    ChannelServed,
    ChannelTermsSet,
    ControlDocument,
    ControlTotalStated,
    Event,
    FeedReported,
    FinanceRecorded,
    LocationRegistered,
    StockAdjusted,
    StockLine,
    StockReceived,
)
from sync_core.returns.messages import ReturnEvent, ReturnReasonMapped
from tallytrace.estate import rhythm
from tallytrace.estate.lives import LIVE, PAST, Life, draw, draw_scarce
from tallytrace.estate.retailer import (
    CURRENCY,
    ERP,
    LOCATIONS,
    MARKETPLACES,
    ONLINE,
    RETURNS,
    SERVED,
    STORES,
    WAREHOUSES,
    Product,
    assortment,
    keeper,
    promoted,
    shown_in,
)
from tallytrace.estate.telling import REASONS, Happening, happenings_of

DAYS: Final = 30
ORDERS_A_DAY: Final = 500
HOUR: Final = 3_600
DETAILED: Final = timedelta(days=2)
"""Of older orders only those steps are told that something depends on."""
DELIVERED_AT: Final = time(6)
INVOICED_AFTER: Final = timedelta(days=3)
INVOICED_AT: Final = time(9)
DEARER_SHARE: Final = 0.2
SCARCE_EVERY_HOURS: Final = 72
WAITING_SINCE: Final = timedelta(minutes=20)
FEED_SECONDS: Final = {"wms": 10, "pos": 120}
ADJUSTMENT_SECONDS: Final = 15
RECEIPT_SECONDS: Final = 120
OPENING: Final = {True: 20_000, False: 120}
"""Units of each product in a warehouse, and in a store: more than thirty days sell."""
PROMOTED_UNITS: Final = 20
ACKNOWLEDGE_SECONDS: Final = {"past": 3_600, "live": 45}


class Sights(Struct, frozen=True):
    """Numbers worth looking up; "" where a short past has none."""

    shipped_order: str
    refunded_return: str
    waiting_order: str


def opening(seed: int, now: datetime, days: int = DAYS) -> list[Happening]:
    """Who there is and what stood on the shelves before these days: the first thing to be told."""
    at = _first_hour(now, days) - timedelta(hours=1)
    told = [_master(at, f"location/{location}", _location(location)) for location in LOCATIONS]
    for channel in ONLINE:
        served = ChannelServed(origin=ERP, channel=channel, locations=SERVED[channel])
        told.append(_master(at, f"served/{channel}", served))
    told += _terms(at, "past")
    told += [_master(at, f"reason/{code}", ReturnReasonMapped(origin=RETURNS, code=code, reason=reason))
             for code, reason in REASONS.items()]  # fmt: skip
    told += [_receipt(seed, at, location, OPENING[location in WAREHOUSES], opening=True) for location in LOCATIONS]
    line = StockLine(sku=promoted(seed).sku, quantity=PROMOTED_UNITS, unit_cost_minor=promoted(seed).cost_minor)
    return [*told, received(at, "DC1", (line,), "OP-PROMO", opening=True)]


def lives(seed: int, now: datetime, days: int = DAYS, orders_a_day: float = ORDERS_A_DAY) -> list[Life]:
    """The orders of so many days before ``now``."""
    first = int(_first_hour(now, days).timestamp()) // HOUR
    found = (life for hour in range(first, first + days * 24 + 1) for life in _hour(seed, hour, orders_a_day))
    at = now - WAITING_SINCE
    waiting = draw_scarce(seed, Random(f"{seed}:waiting:{at}"), at, int(at.timestamp()) * 100 + 97, PAST)
    return sorted((life for life in (*found, waiting) if life.captured_at < now), key=lambda life: life.captured_at)


def history(told: Iterable[Life], now: datetime) -> tuple[list[Happening], list[Happening]]:
    """What was told of orders, and of what came back of them, each oldest first; the rest of it lies after ``now``."""
    since = now - DETAILED
    found = (each for life in told for each in happenings_of(life, in_detail=life.captured_at >= since))
    sold: list[Happening] = []
    back: list[Happening] = []
    for each in found:
        (back if isinstance(each.event, ReturnEvent) else sold).append(each)
    return sorted(sold, key=lambda each: each.at), sorted(back, key=lambda each: each.at)


def deliveries(seed: int, now: datetime, days: int = DAYS) -> list[Happening]:
    """What suppliers bring each store in the morning of its day of the week."""
    told = []
    for morning, store in _store_days(now, days):
        chance = Random(f"{seed}:{store}:{morning.date()}")
        lines = tuple(_stock_line(each, 2) for each in chance.sample(assortment(seed, store), 3))
        told.append(received(morning, store, lines, f"GR-{store}-{morning:%Y%m%d}"))
    return [each for each in told if each.at < now]


def invoices(seed: int, delivered: Iterable[Happening], now: datetime) -> list[Happening]:
    """What suppliers ask for each day's deliveries, as the ERP takes it; now and then it is not what was agreed."""
    owed: defaultdict[date, int] = defaultdict(int)
    for each in delivered:
        if isinstance(each.event, StockReceived) and each.at.date() + INVOICED_AFTER < now.date():
            owed[each.at.date()] += sum(line.quantity * (line.unit_cost_minor or 0) for line in each.event.lines)
    return [_invoice(on, worth, Random(f"{seed}:invoice:{on}")) for on, worth in owed.items()]


def count_days(now: datetime, days: int = DAYS) -> list[tuple[datetime, str]]:
    """When each store counts: in the evening of its day of the week."""
    evenings = ((morning + timedelta(hours=12), store) for morning, store in _store_days(now, days))
    return [one for one in evenings if one[0] < now]


def order_lists(told: Iterable[Life], now: datetime) -> list[Happening]:
    """Each online channel's list of the orders of each day that is over."""
    days: defaultdict[tuple[date, str, str], list[Life]] = defaultdict(list)
    for life in told:
        if life.channel in ONLINE and life.captured_at.date() < now.date():
            days[life.captured_at.date(), life.channel, life.origin].append(life)
    return [_order_list(on, channel, origin, some) for (on, channel, origin), some in sorted(days.items())]


def going_live(at: datetime, urls: dict[str, str]) -> list[Happening]:
    """The marketplaces are told what they may sell from now on, and want to hear of their orders sooner."""
    return _terms(at, "live") + [
        Happening(at, ERP, f"connected/{channel}/{at:%Y%m%dT%H%M%S}",
                  ChannelConnected(origin=ERP, channel=channel, url=url, requests_per_second=2))
        for channel, url in urls.items()
    ]  # fmt: skip


def live(seed: int, second: int, orders_per_second: float) -> list[Happening]:
    """All that begins in one second (of the Unix epoch); its consequences lie up to three minutes later."""
    at = datetime.fromtimestamp(second, UTC)
    chance = Random(f"{seed}:{second}")
    told: list[Happening] = []
    for number in range(_count(chance, orders_per_second * rhythm.live_share(at))):
        captured_at = at + timedelta(milliseconds=chance.randrange(1000))
        told.extend(happenings_of(draw(seed, chance, captured_at, second * 100 + number, LIVE)))
    told.extend(signs_of_life(at))
    if second % ADJUSTMENT_SECONDS == 0:
        told.append(_adjustment(seed, chance, at, chance.choice(LOCATIONS)))
    if second % RECEIPT_SECONDS == 0:
        told.extend(_receipt(seed, at, location, 20, opening=False) for location in WAREHOUSES)
    return sorted(told, key=lambda each: each.at)


def signs_of_life(at: datetime) -> Iterator[Happening]:
    """The feeds that report in this second: each store in its turn."""
    second = int(at.timestamp())
    if second % FEED_SECONDS["wms"] == 0:
        for location in WAREHOUSES:
            yield from _reports(at, location)
    every = FEED_SECONDS["pos"]
    for location in STORES[second % every :: every]:
        yield from _reports(at, location)


def received(
    at: datetime, location: str, lines: tuple[StockLine, ...], document_id: str, *, opening: bool = False
) -> Happening:
    """Goods from a supplier."""
    source = keeper(location)
    event = StockReceived(
        origin=source, document_id=document_id, location=location, currency=CURRENCY, opening=opening, lines=lines
    )
    return Happening(at, source, f"receipt/{document_id}", event)


def sights(told: Sequence[Life], now: datetime) -> Sights:
    """A shipped order, a refunded return and an order that waits for stock, of the web shop, before ``now``."""
    recent = [life for life in reversed(told) if life.channel == "web"]
    shipped = (one.order_id for one in recent if one.keeps_goods and not one.returned and one.delivered_at < now)
    returned = (one.return_id for one in recent if one.keeps_goods and one.returned and one.refunded_at < now)
    waiting = (one.order_id for one in recent if one.scarce and one.cancelled_at and one.cancelled_at > now)
    return Sights(next(shipped, ""), next(returned, ""), next(waiting, ""))


def _store_days(now: datetime, days: int) -> Iterator[tuple[datetime, str]]:
    first = _first_hour(now, days).date()
    for day in (first + timedelta(days=number) for number in range(1, days + 1)):
        for place in range(day.toordinal() % 7, len(STORES), 7):
            yield datetime.combine(day, DELIVERED_AT, UTC) + timedelta(seconds=place), STORES[place]


def _invoice(on: date, received_minor: int, chance: Random) -> Happening:
    more_minor = received_minor // 200 if chance.random() < DEARER_SHARE else 0
    event = FinanceRecorded(
        origin=ERP, document_id=f"SI-{on:%Y%m%d}", kind="supplier_invoice", currency=CURRENCY,
        amounts={"received": received_minor, "amount": received_minor + more_minor},
    )  # fmt: skip
    return Happening(datetime.combine(on + INVOICED_AFTER, INVOICED_AT, UTC), ERP, f"invoice/{on}", event)


def _first_hour(now: datetime, days: int) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days)


def _hour(seed: int, hour: int, orders_a_day: float) -> Iterator[Life]:
    chance = Random(f"{seed}:past:{hour}")
    start = datetime.fromtimestamp(hour * HOUR, UTC)
    for number in range(_count(chance, orders_a_day / 24 * rhythm.share(start))):
        captured_at = start + timedelta(milliseconds=chance.randrange(HOUR * 1000))
        yield draw(seed, chance, captured_at, (hour * HOUR + number) * 100 + 99, PAST)
    if hour % SCARCE_EVERY_HOURS == 0:
        yield draw_scarce(seed, chance, start + timedelta(minutes=1), hour * HOUR * 100 + 98, PAST)


def _count(chance: Random, mean: float) -> int:
    return int(mean) + (chance.random() < mean % 1)


def _location(location: str) -> LocationRegistered:
    is_store = location not in WAREHOUSES
    return LocationRegistered(
        origin=ERP, location=location, kind="store" if is_store else "warehouse", stock_source=keeper(location),
        goods_to_erp=not is_store,
    )  # fmt: skip


def _master(at: datetime, what: str, event: Event) -> Happening:
    return Happening(at, ERP, what, event)


def _terms(at: datetime, era: str) -> list[Happening]:
    return [
        _master(at, f"terms/{channel}/{era}",
                ChannelTermsSet(origin=ERP, channel=channel, acknowledge_seconds=ACKNOWLEDGE_SECONDS[era]))
        for channel in MARKETPLACES
    ]  # fmt: skip


def _order_list(on: date, channel: str, origin: str, told: Sequence[Life]) -> Happening:
    documents = tuple(
        ControlDocument(number=life.order_id, amount_minor=life.amount_minor - life.tax_minor, tax_minor=life.tax_minor)
        for life in told
    )
    event = ControlTotalStated(
        origin=origin, document_id=f"{channel}-{on}", kind="order_list", business_date=on, channel=channel,
        currency=CURRENCY, count=len(documents), amount_minor=sum(one.amount_minor for one in documents),
        tax_minor=sum(one.tax_minor for one in documents), documents=documents,
    )  # fmt: skip
    at = datetime.combine(on + timedelta(days=1), datetime.min.time(), UTC) - timedelta(seconds=1)
    return Happening(at, origin, f"list/{channel}/{on}", event)


def _reports(at: datetime, location: str) -> Iterator[Happening]:
    feed = keeper(location)
    for channel in shown_in(location):
        event = FeedReported(feed=feed, channel=channel, location=location, source_at=at)
        yield Happening(at, feed, f"feed/{feed}/{channel}/{location}/{at:%Y%m%dT%H%M%S}", event)


def _receipt(seed: int, at: datetime, location: str, quantity: int, *, opening: bool) -> Happening:
    document = f"{'OP' if opening else 'GR'}-{location}-{at:%Y%m%d-%H%M%S}"
    lines = tuple(_stock_line(each, quantity) for each in assortment(seed, location))
    return received(at, location, lines, document, opening=opening)


def _stock_line(product: Product, quantity: int) -> StockLine:
    return StockLine(sku=product.sku, quantity=quantity, unit_cost_minor=product.cost_minor)


def _adjustment(seed: int, chance: Random, at: datetime, location: str) -> Happening:
    product, source = chance.choice(assortment(seed, location)), keeper(location)
    quantity, reason = chance.choice(((-1, "damaged"), (-2, "not found in the count"), (1, "found in the count")))
    event = StockAdjusted(
        origin=source, document_id=f"CC-{location}-{at:%Y%m%d-%H%M%S}", location=location,
        channel=shown_in(location)[0], currency=CURRENCY, lines=(StockLine(sku=product.sku, quantity=quantity),),
        reason=reason,
    )  # fmt: skip
    return Happening(at, source, f"count/{location}/{at:%Y%m%dT%H%M%S}", event)
