"""The product master: which numbers an origin's documents may name, and what they leave out. Decisions only, no I/O.

An origin is bound to the master once a product is registered for it; others may name what they like.
"""

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from collector.semconv import correlation_id
from sync_core.door import Fault
from sync_core.master_messages import TaxCodeSet
from sync_core.messages import (
    Event,
    FeedReported,
    LocationRegistered,
    OrderCaptured,
    OrderEdited,
    ProductRegistered,
    StockAdjusted,
    StockCounted,
    StockReceived,
    StockReclassified,
    TransferRequested,
)
from sync_core.model import Catalogue, Hop
from sync_core.money import at_rate, cumulative_share, shared
from sync_core.unit import DONE, Step, Verdict

Naming = (
    OrderCaptured | OrderEdited | StockReceived | StockAdjusted | StockReclassified | StockCounted | TransferRequested
)
"""Documents that bring SKUs in; all others speak of what these brought."""


def register(step: Step, event: ProductRegistered) -> Verdict:
    """A product as it is now, and the numbers it is known by; what waited for one of them goes on."""
    numbers = list(dict.fromkeys([event.sku, *event.aliases]))
    identities = [identity_of("product", event.origin, number) for number in numbers]
    about = msgspec.structs.asdict(event)
    del about["aliases"]
    step.unit.settings.append(
        ("save_product", about | {"numbers": numbers, "identities": identities, "at": step.message.occurred_at})
    )
    step.unit.arrived.update(identities)
    reference = f"product/{event.sku}"
    step.tell(
        Hop("master_data.register", "source", correlation_id(event.origin, reference), event.origin, "master_data",
            reference, "changed", occurred_at=step.message.occurred_at, attributes={"sku": event.sku})
    )  # fmt: skip
    return DONE


def identity_of(*names: str) -> bytes:
    """What waits for a product or a channel waits for this."""
    return hashlib.sha256("\x1f".join(names).encode()).digest()[:16]


def named(events: Iterable[Event]) -> list[tuple[str, str]]:
    """The origins and numbers of goods that documents name."""
    return sorted({(one.origin, number) for one in events if isinstance(one, Naming) for _, number in _goods(one)})


def set_tax_code(step: Step, event: TaxCodeSet) -> Verdict:
    """A rate from now on; orders that waited for one go on."""
    identity = identity_of("tax_code", event.origin, event.tax_code)
    step.unit.arrived.add(identity)
    about = msgspec.structs.asdict(event) | {"identity": identity, "at": step.message.occurred_at}
    step.unit.settings.append(("save_tax_code", about))
    reference = f"tax_code/{event.tax_code}"
    step.tell(
        Hop("master_data.tax_code", "source", correlation_id(event.origin, reference), event.origin, "master_data",
            reference, "changed", occurred_at=step.message.occurred_at,
            attributes={"reason": f"{event.rate_ppm} ppm"})
    )  # fmt: skip
    return DONE


def located(events: Iterable[Event]) -> list[tuple[str, str]]:
    """The systems and their names of places that documents name."""
    return sorted({(_system(event), name) for event in events for name in _places(event).values()})


def taxed_by_code(events: Iterable[Event], skus: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """The origins and SKUs of goods in orders whose tax is asked for."""
    asked = [one for one in events if isinstance(one, OrderCaptured) and one.tax_by_code]
    return sorted({(one.origin, skus.get((one.origin, sku), sku)) for one in asked for _, sku in _goods(one)})


def completed(event: Event, known: Catalogue, at: dt.datetime) -> tuple[Event, list[str]]:
    """The event with our names of products and places and what it left out, and where each of these is from."""
    notes: list[str] = []
    changes: dict[str, Any] = {}
    for name, value in _places(event).items():
        if ours := known.places.get((_system(event), value)):
            changes[name] = ours
            notes.append(f"{name} {ours} from its name {value}")
    if not isinstance(event, Naming):
        return (msgspec.structs.replace(event, **changes), notes) if changes else (event, [])
    if isinstance(event, OrderCaptured) and not event.location and event.channel in known.defaults:
        changes["location"] = known.defaults[event.channel]
        notes.append(f"location {changes['location']} from channel {event.channel}")
    lines: list[Any] = list(event.lines)
    for place, number in _goods(event):
        sku = known.skus.get((event.origin, number), number)
        if sku != number:
            lines[place] = msgspec.structs.replace(lines[place], sku=sku)
            notes.append(f"SKU {sku} from its number {number}")
    if isinstance(event, OrderCaptured) and event.tax_by_code and not _untaxed(event, known):
        changes["tax_minor"], note = _tax(event, known, at, lines)
        notes.append(note)
    if lines != list(event.lines):
        changes["lines"] = tuple(lines)
    return (msgspec.structs.replace(event, **changes), notes) if changes else (event, [])


def unknown(event: Event, known: Catalogue) -> list[tuple[int, str]]:
    """The lines that name what is no product: their places, and the numbers."""
    if not isinstance(event, Naming) or event.origin not in known.bound:
        return []
    return [(place, number) for place, number in _goods(event) if (event.origin, number) not in known.skus]


def fault(event: OrderCaptured, known: Catalogue) -> Fault | None:
    """What a channel that waits for its answer must mend; other events wait until it is known."""
    for place, number in unknown(event, known):
        return Fault(f"lines[{place}].sku", f"{number} is no product of {event.origin}")
    for place, sku in _untaxed(event, known):
        return Fault(f"lines[{place}].sku", f"{sku} has no tax code with a rate")
    if not event.location and event.channel not in known.defaults:
        return Fault("location", f"none is given, and nothing serves channel {event.channel}")
    return None


def wait(event: Event, known: Catalogue) -> Verdict | None:
    """Park what names no product, or comes from a channel that nothing serves; None when all is known."""
    if strange := unknown(event, known):
        place, number = strange[0]
        assert isinstance(event, Naming)
        reason = f"lines[{place}].sku: {number} is no product of {event.origin}"
        return Verdict("parked", reason, identity_of("product", event.origin, number))
    if isinstance(event, OrderCaptured) and (untaxed := _untaxed(event, known)):
        place, sku = untaxed[0]
        reason = f"lines[{place}].sku: {sku} has no tax code with a rate"
        rates = known.rates.get((event.origin, sku))
        missing = (
            ("tax_code", event.origin, rates.tax_code) if rates and rates.tax_code else ("product", event.origin, sku)
        )
        return Verdict("parked", reason, identity_of(*missing))
    if isinstance(event, OrderCaptured) and not event.location:
        reason = f"location: none is given, and nothing serves channel {event.channel}"
        return Verdict("parked", reason, identity_of("channel", event.channel))
    return None


_PLACES: Final = ("location", "from_location", "to_location")


def tell(step: Step, event: Event, notes: Sequence[str]) -> None:
    """What was added to an order, and from where."""
    if notes and isinstance(event, OrderCaptured):
        step.tell(
            Hop("order.enrich", "transformation", correlation_id(event.origin, event.order_id), event.origin, "order",
                event.order_id, attributes={"channel": event.channel, "location": event.location,
                                            "reason": "; ".join(notes)[:2000]})
        )  # fmt: skip


def _untaxed(event: OrderCaptured, known: Catalogue) -> list[tuple[int, str]]:
    """The lines of goods whose tax is asked for and not known: their places and SKUs."""
    if not event.tax_by_code:
        return []
    lines = [(place, known.skus.get((event.origin, number), number)) for place, number in _goods(event)]
    rates = known.rates
    return [(n, sku) for n, sku in lines if not ((found := rates.get((event.origin, sku))) and found.since)]


def _tax(event: OrderCaptured, known: Catalogue, at: dt.datetime, lines: list[Any]) -> tuple[int, str]:
    """What the tax codes of an order's goods come to, code by code, and how; each of ``lines`` gets its own of it."""
    nets: Counter[tuple[str, int]] = Counter()
    places: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, number in _goods(event):
        rates = known.rates[event.origin, known.skus.get((event.origin, number), number)]
        nets[code := (rates.tax_code, rates.at(at))] += event.lines[place].amount_minor
        places[code].append(place)
    for (code_name, ppm), of_code in places.items():
        amounts = [event.lines[place].amount_minor for place in of_code]
        own = shared(at_rate(sum(amounts), ppm), amounts)
        for place, tax in zip(of_code, own, strict=True):
            lines[place] = msgspec.structs.replace(lines[place], tax_code=code_name, tax_minor=tax)
    goods_minor, tax_minor = sum(nets.values()), sum(at_rate(net, ppm) for (_, ppm), net in nets.items())
    beside_minor = sum(line.amount_minor for line in event.lines) - goods_minor
    tax_minor += cumulative_share(tax_minor, 0, beside_minor, goods_minor) if goods_minor else 0
    codes = ", ".join(f"{code} at {ppm} ppm" for code, ppm in sorted(nets))
    return tax_minor, f"tax {tax_minor} from {codes}"


def _places(event: Event) -> dict[str, str]:
    """The fields in which a document names places."""
    if isinstance(event, LocationRegistered):
        return {}
    return {name: value for name in _PLACES if (value := getattr(event, name, ""))}


def _system(event: Event) -> str:
    """Whose names for places a document uses."""
    return event.feed if isinstance(event, FeedReported) else event.origin


def _goods(event: Naming) -> list[tuple[int, str]]:
    lines: Sequence[Any] = event.lines
    return [(place, line.sku) for place, line in enumerate(lines) if getattr(line, "kind", "goods") == "goods"]
