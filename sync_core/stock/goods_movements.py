"""What comes to a location and goes from it, as the ERP is told. Decisions only; nothing here does I/O."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from sync_core.model import Hop
from sync_core.stock.buckets import PHYSICAL
from sync_core.unit import ForErp, Movement, Told, Unit

DOCUMENT: Final = "goods_movement"
HERE: Final = ""
WAYS: Final[Mapping[str, tuple[str, str]]] = {
    "receipt": ("supplier", HERE),
    "shipment": (HERE, "customer"),
    "return_receipt": ("customer", HERE),
    "return_out": (HERE, "transit"),
    "return_in": ("transit", HERE),
    "return_sent_back": (HERE, "customer"),
    "adjustment": ("adjustment", HERE),
    "count": ("adjustment", HERE),
    "transfer_out": (HERE, "transit"),
    "transfer_in": ("transit", HERE),
    "transfer_found": ("adjustment", HERE),
    **{f"{bucket}_to_scrap": (HERE, "scrap") for bucket in PHYSICAL},
}
"""By kind of movement: between which places goods go. What only changes their state or promise is not the ERP's."""


def hand_over(unit: Unit, locations: Iterable[str], now: dt.datetime) -> None:
    """The ERP is to have every movement of these locations, by the rules' deadline."""
    told = set(locations)
    for movement in unit.movements.values():
        if movement.location in told and movement.kind in WAYS:
            for sign, back in ((1, ""), (-1, "/back")):
                units = {sku: sign * count for sku, count in movement.units.items() if sign * count > 0}
                if units:
                    _add(unit, movement, f"{movement.business_key}@{movement.location}/{movement.kind}{back}", units,
                         _places(movement)[::sign], now)  # fmt: skip


def _places(movement: Movement) -> tuple[str, ...]:
    return tuple(place or movement.location for place in WAYS[movement.kind])


def _add(
    unit: Unit, movement: Movement, key: str, units: Mapping[str, int], places: tuple[str, ...], now: dt.datetime
) -> None:
    message, origin = movement.message, movement.business_key.partition(":")[0]
    due_at = message.occurred_at + dt.timedelta(minutes=unit.rules.deadline_minutes[DOCUMENT])
    stock = [(unit.stock[(sku, movement.location)], count) for sku, count in units.items()]
    one = ForErp(
        document_id=key, kind="goods_movement", lane=unit.rules.lane(DOCUMENT),
        correlation_id=movement.correlation_id, origin=origin, document=DOCUMENT, entity_id=key, channel="",
        location=movement.location, currency=next((held.currency for held, _ in stock if held.currency), ""),
        worth_minor=sum(count * (held.unit_cost_minor or 0) for held, count in stock), due_at=due_at,
        body=msgspec.json.encode(
            {
                "idempotency_key": key, "kind": movement.kind, "business_date": message.business_date,
                "from_place": places[0], "to_place": places[1],
                "lines": [{"sku": sku, "quantity": count} for sku, count in units.items()],
            }
        ),
    )  # fmt: skip
    unit.for_erp.append((one, message, movement.clock_offset))
    about = {"location": movement.location, "quantity": sum(units.values()), "due_at": due_at}
    hop = Hop("inventory.hand_over", "queue", movement.correlation_id, origin, "stock", key, attributes=about)
    unit.told.append(Told(hop, message.cause, now + movement.clock_offset))
