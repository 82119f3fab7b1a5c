"""Senders that retry until they are acknowledged, and what must be stored of what they were told was taken.

Requests are numbered from 1 and hold spans numbered ``number * SPANS`` and on, five for each transaction. Everything
in a span follows from its number, so the numbers of the acknowledged requests imply every row of every table.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import httpx

from collector import otlp
from collector.storage import Storage
from tests.unit.collector.spans import START, request, span

SPANS: Final = 25
TRANSACTION: Final = 5
NUMBERS: Final = 1_000_000  # of requests, for each sender
PAUSE_SECONDS: Final = 0.02
JOIN_SECONDS: Final = 120.0

_FIGURES: Final = """
    SELECT
        (SELECT count() FROM spans FINAL),
        (SELECT sum(amount_minor) FROM spans FINAL),
        (SELECT count() FROM business_keys FINAL),
        (SELECT count() FROM links FINAL),
        (SELECT count() FROM journal_lines FINAL),
        (SELECT sum(amount_minor) FROM journal_lines FINAL),
        (SELECT count() FROM milestones FINAL),
        (SELECT sum(amount_minor) FROM milestones FINAL),
        (SELECT count() FROM recon_items FINAL),
        (SELECT sum(unexplained_minor) FROM recon_items FINAL),
        (SELECT count() FROM stock_freshness FINAL),
        (SELECT count() FROM failures FINAL),
        (SELECT sum(amount_minor) FROM failures FINAL),
        (SELECT count() FROM concerns FINAL)
"""
_SPAN_IDS: Final = "SELECT DISTINCT reinterpretAsUInt64(reverse(span_id)) FROM spans"


class Figures(NamedTuple):
    spans: int
    spans_minor: int
    business_keys: int
    links: int
    journal_lines: int
    journal_lines_minor: int
    milestones: int
    milestones_minor: int
    recon_items: int
    recon_items_minor: int
    stock_freshness: int
    failures: int
    failures_minor: int
    concerns: int


def numbered_request(number: int, *, at: int = START) -> bytes:
    return request(*(_numbered_span(number * SPANS + index, at) for index in range(SPANS)))


def amount_minor(span_number: int) -> int:
    return span_number * 7_919 % 20_011 - 5_000


def _numbered_span(number: int, at: int) -> Any:
    transaction, step = divmod(number, TRANSACTION)
    amount = amount_minor(number)
    attributes = {
        "correlation_id": f"{transaction:032x}", "origin": "shop", "domain": "order",
        "outcome": "parked" if step == 1 else "ok", "sku": f"S{number}" if step == 2 else "",
        "order_id": f"O{transaction}", "journal_id": f"J{transaction}", "payment_id": f"P{number}",
        "entity": "order", "entity_id": f"O{transaction}", "milestone": f"step_{step}",
        "amount_minor": amount, "currency": "GBP",
    }  # fmt: skip
    events: list[tuple[str, dict[str, object]]] = [
        ("journal.line", {"line_no": step, "account": "1200", "amount_minor": amount, "currency": "GBP"})
    ]
    if step == 0:
        link: dict[str, object] = {"from": f"{transaction:032x}", "to": f"{transaction + 1:032x}", "kind": "part_of"}
        events.append(("link", link))
    if number % SPANS == 0:
        item: dict[str, object] = {
            "level": "day",
            "business_date": "2026-11-21",
            "provider": f"provider-{number}",
            "currency": "GBP",
        }
        events.append(("recon.item", item | {"kind": "payout", "unexplained_minor": amount}))
        events.append(("watermark", {"feed": f"feed-{number}", "channel": "web", "source_at": at}))
    return span(number, attributes, events=events, at=at + number * 1_000)


def implied(numbers: Iterable[int]) -> Figures:
    """What the tables hold when exactly the requests of these numbers are stored, each once."""
    firsts = [number * SPANS for number in set(numbers)]
    spans = len(firsts) * SPANS
    transactions = spans // TRANSACTION
    minor = sum(amount_minor(first + index) for first in firsts for index in range(SPANS))
    return Figures(
        spans=spans,
        spans_minor=minor,
        business_keys=2 * transactions + spans,
        links=2 * transactions,  # at both of its ends
        journal_lines=spans,
        journal_lines_minor=minor,
        milestones=spans,
        milestones_minor=minor,
        recon_items=len(firsts),
        recon_items_minor=sum(map(amount_minor, firsts)),
        stock_freshness=len(firsts),
        failures=transactions,
        failures_minor=sum(amount_minor(first + index) for first in firsts for index in range(1, SPANS, TRANSACTION)),
        concerns=transactions,
    )


def assert_stored(storage: Storage, numbers: Iterable[int]) -> None:
    """Exactly the requests of these numbers are stored, each once, in every table."""
    expected = {number * SPANS + index for number in numbers for index in range(SPANS)}
    found = {number for (number,) in storage.query(_SPAN_IDS, max_seconds=60)}
    lost, foreign = sorted(expected - found), sorted(found - expected)
    assert (lost[:10], foreign[:10]) == ([], []), f"{len(lost)} spans are lost, {len(foreign)} were never acknowledged"
    stored = Figures(*storage.query(_FIGURES, max_seconds=60)[0])
    wrong = {
        name: f"{found} instead of {expected}"
        for name, found, expected in zip(Figures._fields, stored, implied(numbers), strict=True)
        if found != expected
    }
    assert wrong == {}, wrong


class Senders:
    """Threads that post numbered requests, one after the other, each as often as it takes to be told 200."""

    def __init__(self, port: int, count: int, *, make: Callable[[int], bytes] = numbered_request) -> None:
        self.acknowledged: set[int] = set()
        self.answers: Counter[int] = Counter()  # by HTTP status; 0 when there was none
        self.refusals: set[str] = set()
        self._url = f"http://127.0.0.1:{port}/v1/traces"
        self._make = make
        self._lock = threading.Lock()
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._send_forever, args=[number]) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Each is acknowledged once more, then ends."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), f"not acknowledged: {self.answers}"

    def abandon(self) -> None:
        """End now, acknowledged or not."""
        self._abandoned.set()
        self.stop()

    def _send_forever(self, sender: int) -> None:
        headers = {"Content-Type": otlp.PROTOBUF}
        with httpx.Client(headers=headers, trust_env=False, verify=False, timeout=30) as client:
            for number in itertools.count(sender * NUMBERS + 1):
                body = self._make(number)
                while self._post(client, body) != 200:
                    if self._abandoned.wait(PAUSE_SECONDS):
                        return
                with self._lock:
                    self.acknowledged.add(number)
                if number % 10 == 0:
                    self._post(client, body)  # as one whose acknowledgement did not arrive
                if self._stopping.wait(PAUSE_SECONDS):
                    return

    def _post(self, client: httpx.Client, body: bytes) -> int:
        status, told = 0, ""
        try:
            answer = client.post(self._url, content=body)
            status, told = answer.status_code, answer.text
        except httpx.TransportError:
            pass
        with self._lock:
            self.answers[status] += 1
            if status not in (0, 200):
                self.refusals.add(told)
        return status
