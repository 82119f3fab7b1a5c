"""The product master: which numbers an origin's documents may name, and what they leave out. Decisions only, no I/O.

An origin is bound to the master once a product is registered for it; others may name what they like.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from collector.semconv import correlation_id
from sync_core.door import Fault
from sync_core.messages import (
    Event,
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


def completed(event: Event, known: Catalogue) -> tuple[Event, list[str]]:
    """The event with the products' own SKUs and what it left out, and where each of these is from."""
    if not isinstance(event, Naming):
        return event, []
    notes: list[str] = []
    changes: dict[str, Any] = {}
    if isinstance(event, OrderCaptured) and not event.location and event.channel in known.defaults:
        changes["location"] = known.defaults[event.channel]
        notes.append(f"location {changes['location']} from channel {event.channel}")
    lines: list[Any] = list(event.lines)
    for place, number in _goods(event):
        sku = known.skus.get((event.origin, number), number)
        if sku != number:
            lines[place] = msgspec.structs.replace(lines[place], sku=sku)
            notes.append(f"SKU {sku} from its number {number}")
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
    if isinstance(event, OrderCaptured) and not event.location:
        reason = f"location: none is given, and nothing serves channel {event.channel}"
        return Verdict("parked", reason, identity_of("channel", event.channel))
    return None


def tell(step: Step, event: Event, notes: Sequence[str]) -> None:
    """What was added to an order, and from where."""
    if notes and isinstance(event, OrderCaptured):
        step.tell(
            Hop("order.enrich", "transformation", correlation_id(event.origin, event.order_id), event.origin, "order",
                event.order_id, attributes={"channel": event.channel, "location": event.location,
                                            "reason": "; ".join(notes)[:2000]})
        )  # fmt: skip


def _goods(event: Naming) -> list[tuple[int, str]]:
    lines: Sequence[Any] = event.lines
    return [(place, line.sku) for place, line in enumerate(lines) if getattr(line, "kind", "goods") == "goods"]
