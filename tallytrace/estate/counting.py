"""What stands on the shelves after all that was told, and the counts of it in the stores."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final

from sync_core.messages import CountLine, OrderCaptured, ShipmentShipped, StockCounted, StockReceived
from sync_core.returns.messages import ReturnDispositioned
from tallytrace.estate.retailer import CURRENCY, assortment, keeper
from tallytrace.estate.telling import Happening

COUNTED: Final = 3  # products of a store at a time
DRIFT_SHARE: Final = 0.005  # of counted lines: more is missing than anybody knows why


class Shelves:
    """Good units by (SKU, location), as what is told moves them."""

    def __init__(self) -> None:
        self._units: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._ordered: dict[tuple[str, str], OrderCaptured] = {}

    def units(self, sku: str, location: str) -> int:
        return self._units[sku, location]

    def correct(self, sku: str, location: str, counted: int) -> None:
        self._units[sku, location] = counted

    def take(self, told: Happening) -> None:
        match told.event:
            case StockReceived(location=location, lines=lines):
                for line in lines:
                    self._units[line.sku, location] += line.quantity
            case OrderCaptured(origin=origin, order_id=number) as order:
                self._ordered[origin, number] = order
            case ShipmentShipped(origin=origin, order_id=number, location=location):
                for sold in self._ordered.pop((origin, number)).lines:
                    self._units[sold.sku, location] -= sold.quantity
            case ReturnDispositioned(location=location, lines=lines):
                for back in lines:
                    self._units[back.sku, location] += back.quantity
            case _:
                pass


def counts(seed: int, told: Iterable[Happening], due: Iterable[tuple[datetime, str]]) -> Iterator[Happening]:
    """``told`` is all that moves stock; ``due`` when which store counts. Both oldest first."""
    shelves, coming = Shelves(), iter(told)
    following = next(coming, None)
    for at, location in due:
        while following is not None and following.at <= at:
            shelves.take(following)
            following = next(coming, None)
        chance = Random(f"{seed}:{location}:{at}")
        products = chance.sample(assortment(seed, location), COUNTED)
        lines = tuple(CountLine(sku=one.sku, quantity=_found(chance, shelves, one.sku, location)) for one in products)
        event = StockCounted(
            origin=keeper(location), document_id=f"CC-{location}-{at:%Y%m%d}", location=location, channel="store",
            currency=CURRENCY, lines=lines,
        )  # fmt: skip
        yield Happening(at + timedelta(milliseconds=1), event.origin, f"count/{event.document_id}", event)


def _found(chance: Random, shelves: Shelves, sku: str, location: str) -> int:
    there = shelves.units(sku, location)
    if chance.random() < DRIFT_SHARE:
        there -= min(there, chance.randrange(2, 6))
        shelves.correct(sku, location, there)
    return there
