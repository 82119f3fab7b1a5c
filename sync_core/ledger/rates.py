"""What currencies are worth in each other, by date. Pure."""

import datetime as dt
import hashlib
from bisect import bisect_right
from collections import defaultdict

from msgspec import Struct, field


def rate_identity(currency: str, into: str) -> bytes:
    """What an event waits for that cannot be booked until a rate is known."""
    return hashlib.sha256(f"rate\x1f{currency}\x1f{into}".encode()).digest()[:16]


class Rates(Struct):
    """Rates in millionths, by pair of currencies and the day from which each holds."""

    known: defaultdict[tuple[str, str], list[tuple[dt.date, int]]] = field(default_factory=lambda: defaultdict(list))

    def set(self, currency: str, into: str, valid_from: dt.date, rate_ppm: int) -> None:
        held = dict(self.known[(currency, into)])
        held[valid_from] = rate_ppm
        self.known[(currency, into)] = sorted(held.items())

    def has(self, currency: str, into: str) -> bool:
        return currency == into or bool(self.known.get((currency, into)))

    def at(self, currency: str, into: str, day: dt.date) -> int:
        """The rate of a day: the latest until then, or the first that is known."""
        if currency == into:
            return 1_000_000
        held = self.known[(currency, into)]
        return held[max(0, bisect_right(held, day, key=lambda one: one[0]) - 1)][1]
