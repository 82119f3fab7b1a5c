"""What goes wrong in the estate: each kind of incident, a timetable of them, and what systems then tell otherwise."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

import msgspec
from msgspec import Struct, field

from sync_core.messages import FeedReported, OrderCaptured, OrderStepped, PaymentSettlementAnnounced, StockLine
from tallytrace.estate import payouts
from tallytrace.estate.kinds import KINDS, Kind
from tallytrace.estate.lives import LIVE, Life, Pace, life_of, line_of
from tallytrace.estate.payouts import Amount, File, Payout
from tallytrace.estate.retailer import (
    CARDS,
    CURRENCY,
    FLAGSHIP,
    SHOP,
    STORES,
    Product,
    assortment,
    keeper,
    limited,
    promoted,
)
from tallytrace.estate.story import PROMOTED_UNITS, received
from tallytrace.estate.telling import Happening, happenings_of

SECONDS: Final[dict[Kind, float]] = {"erp-outage": 45}
"""How long an incident of the timetable lasts; any other lasts 60 s."""
FIRST_AFTER: Final = 3.0
EVERY: Final = 150.0
"""Seconds from the beginning of one incident of the timetable to that of the next."""
THROTTLED: Final = "walmart"
DIFFERS_EVERY: Final = 5
SETTLES_WITHIN: Final = timedelta(seconds=20)
AFTERWARDS: Final = Pace(
    pay=(0.2, 1), cancel=(1, 3), give_up=(60, 180), release=(8, 20), ship=(1, 4), bring_back=(1, 5), refund=(0.3, 1.5),
    review=(10, 60), deliver=(3, 20), promise=60,
)  # fmt: skip


class Incident(Struct, frozen=True):
    """Something that goes wrong from ``begins`` on; its own numbers are made from it and the kind."""

    kind: Kind
    begins: datetime
    seconds: float

    @property
    def ends(self) -> datetime:
        return self.begins + timedelta(seconds=self.seconds)

    @property
    def number(self) -> str:
        return f"{self.begins:%Y%m%d%H%M%S}"


class Plan(Struct, kw_only=True):
    """What an incident does to the ERP and the marketplaces, when it begins and ends, and what is told beside it."""

    erp: dict[str, object] = field(default_factory=dict)
    erp_after: dict[str, object] = field(default_factory=dict)
    throttle: str = ""
    happenings: list[Happening] = field(default_factory=list)
    files: list[tuple[datetime, File]] = field(default_factory=list)


def timetable(seed: int, began: datetime, rounds: int = 1) -> list[Incident]:
    """Every kind once a round: first the refund, then the others in an order that the seed draws."""
    found: list[Incident] = []
    for number in range(rounds):
        others = list(KINDS[1:])
        Random(f"{seed}:timetable:{number}").shuffle(others)
        found += [
            Incident(kind, began + timedelta(seconds=FIRST_AFTER + EVERY * (len(KINDS) * number + place)),
                     SECONDS.get(kind, 60.0))
            for place, kind in enumerate([KINDS[0], *others])
        ]  # fmt: skip
    return found


def plan_of(incident: Incident, seed: int, past: Sequence[Life]) -> Plan:
    """``past``: the orders of the history, some of which are settled."""
    chance = Random(f"{seed}:{incident.kind}:{incident.number}")
    match incident.kind:
        case "erp-outage":
            return Plan(erp={"down_seconds": incident.seconds})
        case "marketplace-throttling":
            return Plan(throttle=THROTTLED)
        case "pickup-still-shown":
            return Plan(throttle=THROTTLED, happenings=list(_pickup(incident, seed, chance)))
        case "refund-in-parts":
            return _refund_in_parts(incident, seed, chance)
        case "store-offline":
            return Plan(happenings=list(_sales(incident, seed, chance)))
        case "late-settlement":
            return _late_settlement(incident, seed, chance)
        case "refund-unposted":
            return Plan(files=_refund_unposted(incident, chance, past))
        case "promotion-early":
            return Plan(happenings=list(_promotion(incident, seed, chance)))
        case "doubled-webhook":
            return Plan()


def disturbed(incident: Incident, one: Happening) -> list[tuple[datetime, Happening]] | None:
    """When and what is told instead of a happening while an incident lasts; None: it is told as it is."""
    event = one.event
    match incident.kind:
        case "store-offline" if one.source == keeper(store_of(incident)):
            return [] if isinstance(event, FeedReported) else [(incident.ends, one)]
        case "marketplace-throttling" if (
            isinstance(event, OrderStepped) and event.step == "acknowledged" and event.origin == THROTTLED
        ):
            failed = msgspec.structs.replace(event, failed=True, reason="throttled by the marketplace")
            tried = Happening(one.at, one.source, f"{one.event_id}/throttled", failed)
            return [(one.at, tried), (incident.ends, msgspec.structs.replace(one, at=incident.ends))]
        case "doubled-webhook" if one.source == SHOP and isinstance(event, OrderCaptured):
            again = one.at + timedelta(seconds=1)
            other = msgspec.structs.replace(one, event=msgspec.structs.replace(event, customer_ref="guest"))
            return [(one.at, one), (again, other if int(event.order_id) % DIFFERS_EVERY == 0 else one)]
        case _:
            return None


def store_of(incident: Incident) -> str:
    """The store that is offline."""
    return Random(incident.number).choice(STORES)


def _numbers(incident: Incident) -> Iterator[int]:
    """Order numbers that no other order has: nine of each kind in a second."""
    first, place = int(incident.begins.timestamp()), KINDS.index(incident.kind)
    return (((first + number // 4) * 100) + 50 + place * 4 + number % 4 for number in range(10_000))


def _kept(
    chance: Random, numbers: Iterator[int], channel: str, location: str, at: datetime, product: Product,
    *, collected: bool = False, pace: Pace = LIVE,
) -> Life:  # fmt: skip
    """An order of one product that is neither cancelled nor held nor brought back."""
    lines = (line_of(product, 1),)
    life = life_of(chance, channel, location, at, next(numbers), pace, lines, collected=collected)
    return msgspec.structs.replace(life, cancelled_at=None, reviewed_at=None, returned=None, announced=False)


def _pickup(incident: Incident, seed: int, chance: Random) -> Iterator[Happening]:
    at, product, numbers = incident.begins, limited(seed), _numbers(incident)
    line = StockLine(sku=product.sku, quantity=1, unit_cost_minor=product.cost_minor)
    yield received(at - timedelta(seconds=5), FLAGSHIP, (line,), f"GR-{FLAGSHIP}-{incident.number}")
    yield from happenings_of(_kept(chance, numbers, "web", FLAGSHIP, at, product, collected=True))
    sold = _kept(chance, numbers, THROTTLED, FLAGSHIP, at + timedelta(seconds=12), product)
    given_up = incident.ends + timedelta(seconds=15)
    yield from happenings_of(msgspec.structs.replace(sold, scarce=True, cancelled_at=given_up))


def _refund_in_parts(incident: Incident, seed: int, chance: Random) -> Plan:
    at, numbers, product = incident.begins, _numbers(incident), assortment(seed, "DC1")[0]
    sold, other = (_kept(chance, numbers, "web", "DC1", at, product) for _ in range(2))
    back = sold.shipped_at + timedelta(seconds=1)
    sold = msgspec.structs.replace(
        sold, returned=sold.lines[0], returned_to="DC1", returned_at=back, refunded_at=back + timedelta(seconds=1)
    )
    part = sold.refunded_minor * 6 // 10
    first = [_charge(sold), _back(sold, sold.refund_id, part)]
    second = [_charge(other), _back(sold, sold.refund_id, sold.refunded_minor - part)]
    return Plan(
        erp={"hold_kinds": ["refund"]},
        erp_after={"hold_kinds": []},
        happenings=[*happenings_of(sold), *happenings_of(other)],
        files=[*_paid_out(incident, sold.refunded_at + timedelta(seconds=5), "1", first),
               *_paid_out(incident, incident.ends, "2", second)],
    )  # fmt: skip


def _sales(incident: Incident, seed: int, chance: Random) -> Iterator[Happening]:
    """The store sells something every ten seconds, so that there is something that comes late."""
    store, numbers = store_of(incident), _numbers(incident)
    for second in range(1, int(incident.seconds), 10):
        at = incident.begins + timedelta(seconds=second)
        yield from happenings_of(_kept(chance, numbers, "store", store, at, chance.choice(assortment(seed, store))))


def _late_settlement(incident: Incident, seed: int, chance: Random) -> Plan:
    numbers, product = _numbers(incident), assortment(seed, "DC2")[1]
    told: list[Happening] = []
    amounts = []
    for _ in range(3):
        life = _kept(chance, numbers, THROTTLED, "DC2", incident.begins, product)
        announced = PaymentSettlementAnnounced(
            origin=life.origin, order_id=life.order_id, payment_id=life.payment_id, provider=life.provider,
            amount_minor=life.amount_minor, currency=CURRENCY, settles_by=life.paid_at + SETTLES_WITHIN,
        )  # fmt: skip
        at = life.paid_at + timedelta(seconds=1)
        told += [*happenings_of(life), Happening(at, life.origin, f"announced/{life.order_id}", announced)]
        amounts.append(_charge(life))
    return Plan(happenings=told, files=_paid_out(incident, incident.ends, "1", amounts))


def _refund_unposted(incident: Incident, chance: Random, past: Sequence[Life]) -> list[tuple[datetime, File]]:
    long_ago = incident.begins - timedelta(days=6)
    kept = [life for life in past if life.provider == CARDS and life.keeps_goods and not life.returned]
    life = chance.choice([one for one in kept if one.captured_at < long_ago] or kept[:1])  # of a short one the first
    amounts = [_back(life, f"re_{incident.number}", life.amount_minor // 2)]
    return _paid_out(incident, incident.begins, "1", amounts, days_ago=3)


def _promotion(incident: Incident, seed: int, chance: Random) -> Iterator[Happening]:
    product, numbers = promoted(seed), _numbers(incident)
    wanted = min(PROMOTED_UNITS * 2, 10 + int(incident.seconds))
    wait = (incident.ends - incident.begins).total_seconds()
    later = msgspec.structs.replace(AFTERWARDS, release=(wait + 8, wait + 20))
    for place in range(wanted):
        at = incident.begins + timedelta(seconds=place * incident.seconds / wanted / 2)
        yield from happenings_of(_kept(chance, numbers, "web", "DC1", at, product, pace=later))
    line = StockLine(sku=product.sku, quantity=wanted, unit_cost_minor=product.cost_minor)
    yield received(incident.ends, "DC1", (line,), f"GR-PROMO-{incident.number}")


def _charge(life: Life) -> Amount:
    return next(payouts.amounts_of(life))


def _back(life: Life, reference: str, amount_minor: int) -> Amount:
    on = life.refunded_at.date()
    return Amount(on, life.provider, reference, life.payment_id, life.order_id, -amount_minor)


def _paid_out(
    incident: Incident, at: datetime, part: str, amounts: list[Amount], *, days_ago: int = 0
) -> list[tuple[datetime, File]]:
    name = f"{incident.kind}-{incident.number}-{part}"
    on = (at - timedelta(days=days_ago)).date()
    payout = Payout(f"po_{name}", amounts[0].provider, on, amounts)
    return [(at, file) for file in payouts.files([payout], name, generated=bool(days_ago))]
