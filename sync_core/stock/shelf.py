"""The read model of availability: stock of the SKUs that are asked about, kept in memory and never older than a moment.

It follows the movements: what they touched is read again. Neither a channel's question nor a burst of them reaches the
ERP, and only the first one about a SKU reaches the database.
"""

import datetime as dt
import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from sync_core.clock import Clock
from sync_core.stock.availability import Answer, Held, Rules, Standing, answer
from sync_core.store import Store, load_held, load_standing

KEPT_SKUS: Final = 100_000
KEPT_ANSWERS: Final = 64
"""Of each SKU, by locations and channel that were asked about."""
Asked = tuple[tuple[str, ...], str]  # locations and channel
VISIBLE_AFTER: Final = dt.timedelta(seconds=30)
"""Movements are numbered before their transaction ends: numbers given in so long are looked at again."""


class Shelf(Struct, frozen=True):
    """``as_of`` is when this was known to be so."""

    as_of: dt.datetime
    items: list[Answer]


class Shelves:
    """Safe to share between threads."""

    def __init__(self, db: Store, clock: Clock, *, kept_skus: int = KEPT_SKUS) -> None:
        self._db = db
        self._clock = clock
        self._kept_skus = kept_skus
        self._lock = threading.Lock()
        self._by_sku: OrderedDict[str, Mapping[str, Held]] = OrderedDict()
        self._newest: deque[tuple[dt.datetime, int]] = deque()
        self._read: set[int] = set()  # movements that `_newest` has us look for again
        self._data = Standing(Rules([]), {}, {}, frozenset())
        self._as_of = clock()
        self._told: dict[str, dict[Asked, Raw]] = {}  # by SKU, until something of it changes

    def refresh(self) -> int:
        """Read again what changed; returns how many SKUs. Raises what the database raises."""
        now = self._clock()
        with self._db.transaction() as session:
            newest = session.one("newest_movement")[0]
            data = load_standing(session, now)
            asked_about = bool(self._by_sku)
            since = self._seen(now)
            told = session.rows("movements_between", since=since, until=newest) if asked_about else []
            numbers = {number for (number,) in told}
            unread = sorted(numbers - self._read)
            changed = [sku for (sku,) in session.rows("skus_moved", movements=unread)] if unread else []
            with self._lock:
                wanted = [sku for sku in changed if sku in self._by_sku]
            found = load_held(session, wanted) if wanted else {}
        with self._lock:
            self._as_of = now
            if data != self._data:
                self._data, self._told = data, {}
            self._put(found)
            self._newest.append((now, newest))
            self._read = numbers
        return 0

    def _seen(self, now: dt.datetime) -> int:
        """The newest movement that was seen so long ago that everything below it is visible."""
        while len(self._newest) > 1 and self._newest[1][0] <= now - VISIBLE_AFTER:
            self._newest.popleft()
        return self._newest[0][1] if self._newest else 0

    def missing(self, skus: Collection[str]) -> list[str]:
        """Those that `load` must read first."""
        with self._lock:
            return [sku for sku in skus if sku not in self._by_sku]

    def load(self, skus: Collection[str]) -> None:
        """Take SKUs onto the shelf; the ones nobody asked about for longest leave it."""
        with self._db.transaction() as session:
            found = load_held(session, skus)
        with self._lock:
            self._put(found)
            while len(self._by_sku) > self._kept_skus:
                self._told.pop(self._by_sku.popitem(last=False)[0], None)

    def _put(self, found: Mapping[str, Mapping[str, Held]]) -> None:
        self._by_sku.update(found)
        for sku in found:
            self._told.pop(sku, None)

    def look(self, sku: str) -> Answer:
        """What is there of a SKU, everywhere; nothing of one that was not loaded."""
        with self._lock:
            data, held = self._data, self._by_sku.get(sku, {})
        return answer(sku, held, data.rules, sorted(held), "", data.silent)

    def tell(self, skus: Sequence[str], locations: Sequence[str], channel: str, near: str) -> bytes:
        """A `Shelf` as JSON, of each SKU: at ``locations``, at ``near`` and the stores beside it, where ``channel``
        sells from, or everywhere. What is told twice of stock that did not change is made once.
        """
        with self._lock:
            data, as_of = self._data, self._as_of
            found: dict[str, tuple[Mapping[str, Held], dict[Asked, Raw]]] = {sku: ({}, {}) for sku in skus}
            for sku in found:
                if sku in self._by_sku:
                    self._by_sku.move_to_end(sku)
                    found[sku] = (self._by_sku[sku], self._told.setdefault(sku, {}))
        places = list(locations)
        if near:
            places += [near, *data.near.get(near, ())]
        elif not places and channel:
            places = list(data.channels.get(channel, ()))
        asked = (tuple(places), channel)
        items = []
        for sku, (held, told) in found.items():
            item = told.get(asked)
            if item is None:
                made = answer(sku, held, data.rules, places or sorted(held), channel, data.silent)
                if len(told) >= KEPT_ANSWERS:
                    told.clear()
                item = told[asked] = Raw(msgspec.json.encode(made))
            items.append(item)
        return msgspec.json.encode({"as_of": as_of, "items": items})
