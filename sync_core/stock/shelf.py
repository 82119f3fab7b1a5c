"""The read model of availability: stock of the SKUs that are asked about, kept in memory and never older than a moment.

It follows the movements: what they touched is read again. Neither a channel's question nor a burst of them reaches the
ERP, and only the first one about a SKU reaches the database.
"""

import datetime as dt
import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sync_core.clock import Clock
from sync_core.stock.availability import Answer, Held, Rules, Standing, answer
from sync_core.store import Store, load_held, load_standing

KEPT_SKUS: Final = 100_000
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
        self._data = Standing(Rules([]), {}, {}, frozenset())
        self._as_of = clock()
        self._told: dict[tuple[str, tuple[str, ...], str], Answer] = {}  # until the next look at the database

    def refresh(self) -> int:
        """Read again what changed; returns how many SKUs. Raises what the database raises."""
        now = self._clock()
        with self._db.transaction() as session:
            newest = session.one("newest_movement")[0]
            data = load_standing(session, now)
            asked_about = bool(self._by_sku)
            changed = [row[0] for row in session.rows("skus_moved", since=self._seen(now))] if asked_about else []
            with self._lock:
                wanted = [sku for sku in changed if sku in self._by_sku]
            found = load_held(session, wanted) if wanted else {}
        with self._lock:
            self._by_sku.update(found)
            self._data, self._as_of, self._told = data, now, {}
            self._newest.append((now, newest))
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
            self._by_sku.update(found)
            self._told = {}
            while len(self._by_sku) > self._kept_skus:
                self._by_sku.popitem(last=False)

    def look(self, skus: Sequence[str], locations: Sequence[str], channel: str, near: str) -> Shelf:
        """What is there of each SKU: at ``locations``, at ``near`` and the stores beside it, where ``channel`` sells
        from, or everywhere.
        """
        with self._lock:
            data, as_of, told = self._data, self._as_of, self._told
            found = {sku: self._by_sku.get(sku, {}) for sku in skus}
            for sku in found:
                if sku in self._by_sku:
                    self._by_sku.move_to_end(sku)
        places = list(locations)
        if near:
            places += [near, *data.near.get(near, ())]
        elif not places and channel:
            places = list(data.channels.get(channel, ()))
        items = []
        for sku, held in found.items():
            asked = (sku, tuple(places), channel)
            item = told.get(asked)
            if item is None:
                item = told[asked] = answer(sku, held, data.rules, places or sorted(held), channel, data.silent)
            items.append(item)
        return Shelf(as_of, items)
