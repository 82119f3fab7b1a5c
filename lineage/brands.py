"""Brands: the channels and locations that trade under one name, of each of which promises are measured too."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from lineage import definitions
from lineage.definitions import DefinitionError


class Brand(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens at one of its locations is of a brand, and what happens in its channels, but not at another's."""

    name: str
    channels: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Another one when the brand is made of other places."""
        return _mark(self)


class Within(Struct, frozen=True):
    """The places of a brand, as a query is told of them."""

    channels: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # locations of other brands


def _mark(of: Brand | Sequence[Brand]) -> str:
    return blake2b(msgspec.json.encode(of), digest_size=4).hexdigest()


def _owners(places: Mapping[str, Sequence[str]], what: str) -> dict[str, str]:
    owners: dict[str, str] = {}
    for name, mine in places.items():
        for place in mine:
            if not place or place in owners:
                raise DefinitionError(f"brand {name}: {what} {place!r} is empty or given twice")
            owners[place] = name
    return owners


class Brands:
    """The declared brands, in their order. Safe to share between threads."""

    def __init__(self, brands: Sequence[Brand] = ()) -> None:
        """Raises DefinitionError when a name, channel or location is given twice, and for a brand of no place."""
        self._brands = {brand.name: brand for brand in brands}
        if len(self._brands) < len(brands) or "" in self._brands:
            raise DefinitionError("each brand needs a name of its own")
        for brand in brands:
            if not (brand.channels or brand.locations):
                raise DefinitionError(f"brand {brand.name} has neither channels nor locations")
        self._channels = _owners({brand.name: brand.channels for brand in brands}, "channel")
        self._locations = _owners({brand.name: brand.locations for brand in brands}, "location")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._brands)

    def __iter__(self) -> Iterator[Brand]:
        return iter(self._brands.values())

    def of(self, channel: str, location: str) -> str:
        """The name of the brand that a place is of; "" when it is of none."""
        return self._locations.get(location) or self._channels.get(channel, "")

    @property
    def mark(self) -> str:
        """Another one when any of them is made of other places; "" of none."""
        return _mark(tuple(self)) if self._brands else ""

    def named(self, name: str) -> Brand | None:
        """None for "", which is everything. Of a name that is not declared there is no place."""
        return self._brands.get(name, Brand(name)) if name else None

    def within(self, name: str) -> Within | None:
        """As of ``named``."""
        brand = self.named(name)
        if brand is None:
            return None
        others = (place for place, owner in self._locations.items() if owner != name)
        return Within(brand.channels, brand.locations, tuple(others))


NONE = Brands()


def toml(brands: Iterable[Brand]) -> str:
    """The file that `load` reads."""
    return "\n".join(
        f"[[brand]]\nname = {json.dumps(brand.name)}\n"
        f"channels = {json.dumps(brand.channels)}\nlocations = {json.dumps(brand.locations)}\n"
        for brand in brands
    )


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    brand: tuple[Brand, ...]


def load(path: Path) -> Brands:
    """A TOML file with a table ``[[brand]]`` for each: name, channels, locations. Raises DefinitionError."""
    declared = definitions.read(path, _File).brand
    try:
        return Brands(declared)
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error}") from error
