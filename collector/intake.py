"""What both receivers do with a request: admit its sender, hold it to limits, check it, make it durable, count it."""

import asyncio
import hashlib
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from collector import otlp
from collector.errors import BusyError, UnknownSenderError
from collector.segments import SegmentLog

MAX_BODY_BYTES: Final = 64 << 20
MAX_REQUESTS: Final = 128
MAX_HELD_BYTES: Final = 256 << 20
REMEMBERED: Final = 20_000
RETRY_AFTER_SECONDS: Final = 1
LONGEST_RETRY_SECONDS: Final = 5
"""Some senders drop a batch at once when they would have to wait longer than about ten seconds in all."""

_BEARER: Final = "bearer "


class Sender(Struct, frozen=True):
    """Whose key came with a request, and how much it may send; limits hold over a second or two."""

    name: str
    spans_per_second: float = math.inf
    bytes_per_second: float = math.inf  # after decompression


ANYONE: Final = Sender("")

FindSender = Callable[[str], Sender | None]
"""The sender that a key belongs to; ``""`` asks who may send without one."""


def admit_anyone(key: str) -> Sender | None:
    """Of a receiver that only this machine reaches."""
    return None if key else ANYONE


class Totals(Struct, frozen=True):
    """Since the start of this process."""

    requests: Mapping[str, int]  # outcome: accepted, duplicate, busy, unauthorized, too_large, invalid, unavailable
    duplicate_spans: int  # in requests that were recognised as sent before
    refused_spans: Mapping[str, int]  # by reason, in requests that were accepted but for these
    held_bytes: int  # of requests under way, now


class Intake:
    """Bounded in requests at once and in the bytes they hold. Safe for several threads and event loops."""

    def __init__(
        self,
        log: SegmentLog,
        find_sender: FindSender = admit_anyone,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_requests: int = MAX_REQUESTS,
        max_held_bytes: int = MAX_HELD_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._log = log
        self._find_sender = find_sender
        self._max_requests = max_requests
        self._max_held_bytes = max_held_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way = self._held_bytes = 0
        self._allowances: dict[str, _Allowance] = {}
        self._recent = _Recent(REMEMBERED)
        self._requests: Counter[str] = Counter()
        self._refused_spans: Counter[str] = Counter()
        self._duplicate_spans = 0

    def totals(self) -> Totals:
        with self._lock:
            return Totals(dict(self._requests), self._duplicate_spans, dict(self._refused_spans), self._held_bytes)

    def count(self, outcome: str) -> None:
        """One more request that ended so."""
        with self._lock:
            self._requests[outcome] += 1

    def sender(self, authorization: str) -> Sender:
        """Whose ``Authorization`` this is. Raises UnknownSenderError."""
        given = authorization.strip()
        if given and not given.lower().startswith(_BEARER):
            raise UnknownSenderError("send the key as 'Authorization: Bearer KEY'")
        found = self._find_sender(given[len(_BEARER) :].strip())
        if found is None:
            raise UnknownSenderError(
                "this key is unknown or withdrawn" if given else "a key is needed: 'Authorization: Bearer KEY'"
            )
        return found

    @contextmanager
    def place(self) -> "Iterator[Place]":
        """Room for one request, until the block ends. Raises BusyError when there is none."""
        with self._lock:
            if self._under_way >= self._max_requests:
                raise BusyError("too many requests at once", RETRY_AFTER_SECONDS)
            self._under_way += 1
        place = Place(self)
        try:
            yield place
        finally:
            with self._lock:
                self._under_way -= 1
                self._held_bytes -= place.size_bytes

    async def take(self, sender: Sender, checked: otlp.Checked, size_bytes: int, identity: bytes) -> Mapping[str, int]:
        """Returns when the request is durable: the spans that were refused, by reason.

        The same ``identity`` again within the last 20,000 requests is acknowledged together with the first. Raises
        BusyError when the sender is over its limits, and what the log raises.
        """
        if not checked.spans:
            durable = None
        elif durable := self._recognised(sender, identity, checked.spans):
            await asyncio.wrap_future(durable)
            self.count("duplicate")
            return checked.refused
        else:
            self._spend(sender, checked.spans, size_bytes)
            durable = self._log.append(checked.body, checked.spans)
            with self._lock:
                self._recent.add((sender.name, identity), durable)
            await asyncio.wrap_future(durable)
        with self._lock:
            self._requests["accepted"] += 1
            self._refused_spans.update(checked.refused)
        return checked.refused

    def _recognised(self, sender: Sender, identity: bytes, spans: int) -> "Future[None] | None":
        with self._lock:
            found = self._recent.find((sender.name, identity))
            if found is not None:
                self._duplicate_spans += spans
            return found

    def _spend(self, sender: Sender, spans: int, size_bytes: int) -> None:
        if math.isinf(sender.spans_per_second) and math.isinf(sender.bytes_per_second):
            return
        with self._lock:
            allowance = self._allowances.setdefault(sender.name, _Allowance(self._clock()))
            wait = allowance.spend(sender, spans, size_bytes, self._clock())
        if wait > 0:
            seconds = min(LONGEST_RETRY_SECONDS, math.ceil(wait))
            raise BusyError(f"{sender.name} sends more than it may; the limit holds for {wait:.1f} s more", seconds)

    def _hold(self, place: "Place", size_bytes: int) -> None:
        with self._lock:
            others = self._held_bytes - place.size_bytes
            if others and self._held_bytes + size_bytes > self._max_held_bytes:
                raise BusyError(f"requests under way hold {self._held_bytes} bytes", RETRY_AFTER_SECONDS)
            self._held_bytes += size_bytes
            place.size_bytes += size_bytes


class Place:
    """What one request under way holds."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.size_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Take so much more memory. Raises BusyError when all requests together would hold too much."""
        self._intake._hold(self, size_bytes)


def identity_of(body: bytes, idempotency_key: str = "") -> bytes:
    """What makes a request the same as another: the key its sender gave and its length, else all its bytes."""
    if idempotency_key:
        return f"{len(body)} {idempotency_key}".encode()
    return hashlib.sha256(body).digest()


class _Allowance:
    """What a sender may still send: it grows by the limits up to a second's worth, and a request may overdraw it."""

    def __init__(self, now: float) -> None:
        self._at = now
        self._spans = self._bytes = 1.0  # seconds' worth

    def spend(self, sender: Sender, spans: int, size_bytes: int, now: float) -> float:
        """Seconds until something may be sent again; 0 when this is allowed, and then it is spent."""
        gained, self._at = now - self._at, now
        self._spans = min(1.0, self._spans + gained)
        self._bytes = min(1.0, self._bytes + gained)
        wait = -min(self._spans, self._bytes)
        if wait > 0:
            return wait
        self._spans -= spans / sender.spans_per_second
        self._bytes -= size_bytes / sender.bytes_per_second
        return 0.0


class _Recent:
    """The latest requests and whether they are durable; the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._durable: OrderedDict[tuple[str, bytes], Future[None]] = OrderedDict()

    def find(self, request: tuple[str, bytes]) -> "Future[None] | None":
        """Durable, or on its way to it; one that failed is none."""
        found = self._durable.get(request)
        return None if found is None or (found.done() and found.exception() is not None) else found

    def add(self, request: tuple[str, bytes], durable: "Future[None]") -> None:
        self._durable[request] = durable
        self._durable.move_to_end(request)
        while len(self._durable) > self._most:
            self._durable.popitem(last=False)
