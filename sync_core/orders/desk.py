"""Orders that channels hand in, taken together in one commit, and whoever waits until an event is decided."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, Literal

from msgspec import Struct

from sync_core import inbox
from sync_core.clock import Clock
from sync_core.door import Fault
from sync_core.inbox import Receipt
from sync_core.messages import OrderCaptured, message
from sync_core.orders.checks import HOLDING
from sync_core.stock import products
from sync_core.store import Row, Store, load_catalogue
from sync_core.workers import Loop, looping

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 200
LOOK_SECONDS: Final = 0.1
"""Until somebody who waits is looked for, where nobody says that events were decided."""
IDLE_SECONDS: Final = 60.0

Handed = Receipt | Literal["full"] | Fault
Key = tuple[str, str]  # source and ID of an event


class Decided(Struct, frozen=True):
    """What became of an event, why, and how the order stands that was asked about, in the columns of `order_state`."""

    state: str
    reason: str
    orders: Sequence[Row] = ()


def event_id_of(order: OrderCaptured) -> str:
    """The ID of the event that an order becomes; its source is the order's origin."""
    return f"order/{order.order_id}"


class Desk:
    """Safe to share between threads; works while ``open``."""

    def __init__(self, db: Store, clock: Clock, wake: Callable[[], None], *, max_queued: int) -> None:
        """``wake``: what to tell workers of this process; those of others are told through the database."""
        self._db = db
        self._clock = clock
        self._wake = wake
        self._max_queued = max_queued
        self._lock = threading.Lock()
        self._handed: list[tuple[OrderCaptured, Future[Handed]]] = []
        self._asked: dict[Key, list[tuple[str, Future[Decided]]]] = {}
        self._taking = Loop("desk", self._take, idle_seconds=IDLE_SECONDS)
        self._looking = Loop("desk-answers", self._look, idle_seconds=LOOK_SECONDS)

    @contextmanager
    def open(self) -> Iterator[None]:
        with looping((self._taking, self._looking)):
            yield

    def hand_in(self, order: OrderCaptured) -> Future[Handed]:
        """Resolved when the order is on disk, or refused: too much is queued, or it names what is not known."""
        handed = Future[Handed]()
        with self._lock:
            self._handed.append((order, handed))
        self._taking.wake()
        return handed

    def decided(self, source: str, event_id: str, order_id: str = "") -> Future[Decided]:
        """Resolved when an event is no longer queued, with how orders of that number stand if there is one."""
        asked = Future[Decided]()
        with self._lock:
            self._asked.setdefault((source, event_id), []).append((order_id, asked))
        self.look_again()
        return asked

    def look_again(self) -> None:
        """Events were decided."""
        self._looking.wake()

    def wake_workers(self) -> None:
        """There are events to decide."""
        self._wake()

    def _take(self) -> int:
        with self._lock:
            some = self._handed[:MOST_AT_ONCE]
            del self._handed[:MOST_AT_ONCE]
        if wanted := [one for one in some if one[1].set_running_or_notify_cancel()]:
            self._accept_each(wanted)
        return len(some)

    def _accept_each(self, some: Sequence[tuple[OrderCaptured, Future[Handed]]]) -> None:
        try:
            receipts = self._accept([order for order, _ in some])
        except Exception as error:
            log.exception("%d orders could not be taken", len(some))
            if len(some) == 1:
                some[0][1].set_exception(error)
            else:
                for one in some:
                    self._accept_each([one])
            return
        for (_, handed), receipt in zip(some, receipts, strict=True):
            handed.set_result(receipt)

    def _accept(self, orders: Sequence[OrderCaptured]) -> list[Handed]:
        now = self._clock()
        sources, names = [one.origin for one in orders], [event_id_of(one) for one in orders]
        with self._db.transaction() as session:
            told = {(source, name): at for source, name, at in
                    session.rows("event_times", source=sources, event_id=names)}  # fmt: skip
            full = session.one("queued", limit=self._max_queued)[0] >= self._max_queued
            catalogue = load_catalogue(session, orders)
            refused = {n: wrong for n, one in enumerate(orders) if (wrong := products.fault(one, catalogue))}
            taken = [
                n for n, key in enumerate(zip(sources, names, strict=True))
                if key in told or not (full or n in refused)
            ]  # fmt: skip
            asked = [
                message(orders[n], source=sources[n], event_id=names[n],
                        occurred_at=told.get((sources[n], names[n]), now))
                for n in taken
            ]  # fmt: skip
            receipts = dict(zip(taken, inbox.accept(session, asked, now), strict=True))
        self._wake()
        return [receipts.get(n) or refused.get(n) or "full" for n in range(len(orders))]

    def _look(self) -> int:
        """Answer those whose events were decided."""
        with self._lock:
            self._asked = {
                key: left
                for key, some in self._asked.items()
                if (left := [(number, one) for number, one in some if not one.done()])
            }
            waiting = dict(self._asked)
        if not waiting:
            return 0
        with self._db.transaction() as session:
            rows = session.rows("decided", source=[one for one, _ in waiting], event_id=[two for _, two in waiting])
            numbers = {number for source, event_id, *_ in rows for number, _ in waiting[source, event_id] if number}
            stand = session.rows("order_state", order_ids=sorted(numbers), holding=HOLDING) if numbers else []
        for source, event_id, state, reason in rows:
            with self._lock:
                some = self._asked.pop((source, event_id), [])
            for number, one in some:
                if one.set_running_or_notify_cancel():
                    one.set_result(
                        Decided(state, reason, [row for row in stand if (row[1], row[2]) == (source, number)])
                    )
        return 0
