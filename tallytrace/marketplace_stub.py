"""A stand-in for marketplaces that are told what they may sell: it takes figures, and throttles when asked to.

``POST /stock/NAME`` takes a publication, ``GET /stock/NAME`` shows what customers see, and after ``POST /throttle`` a
name answers 429 for so many seconds.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from sync_core.stock.publication import Publication
from tallytrace import stub_server

MOST_BYTES: Final = 4 * 1024 * 1024


class Throttle(Struct, frozen=True, forbid_unknown_fields=True):
    channel: str
    seconds: Annotated[float, Meta(ge=0, le=86_400)]


class Shown(Struct, frozen=True):
    """What a marketplace shows of a SKU; ``location`` is empty for all together."""

    sku: str
    location: str
    sellable: int


class Marketplaces:
    """Keeps the newest figure of each channel, SKU and location."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._throttled_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, channel: str, body: bytes) -> int:
        """The status to answer a publication with."""
        with self._lock:
            if time.monotonic() < self._throttled_until.get(channel, 0.0):
                return 429
            try:
                told = msgspec.json.decode(body, type=Publication)
            except msgspec.DecodeError:
                return 400
            for one in told.figures:
                place = (channel, one.sku, one.location)
                if told.sequence > self._figures.get(place, (0, 0))[0]:
                    self._figures[place] = (told.sequence, one.sellable)
        return 204

    def throttle(self, body: bytes) -> int:
        try:
            asked = msgspec.json.decode(body, type=Throttle)
        except msgspec.DecodeError:
            return 400
        with self._lock:
            self._throttled_until[asked.channel] = time.monotonic() + asked.seconds
        return 204

    def shown(self, channel: str) -> bytes:
        with self._lock:
            figures = sorted(self._figures.items())
        return msgspec.json.encode([Shown(sku, place, left) for (c, sku, place), (_, left) in figures if c == channel])


@contextmanager
def serving(marketplaces: Marketplaces, port: int) -> Iterator[str]:
    """The base URL of the marketplaces."""

    def take(path: str, _headers: Message, body: bytes) -> int:
        return marketplaces.throttle(body) if path == "/throttle" else marketplaces.take(_channel(path), body)

    def show(path: str) -> bytes:
        return marketplaces.shown(_channel(path))

    with stub_server.serving("marketplaces", port, take, show, most_bytes=MOST_BYTES) as url:
        yield url


def _channel(path: str) -> str:
    return path.rpartition("/")[2]
