"""What a retailer's systems ask of the sync core: lifecycles as fast as they are taken, requests at a rate."""

import datetime as dt
import http.client
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from sync_core.messages import (
    TYPE_OF,
    Event,
    Line,
    OrderCaptured,
    PaymentCaptured,
    ShipmentShipped,
    StockLine,
    StockReceived,
)

SKUS: Final = 2_000
LINES: Final = 10
STOCK: Final = 10_000_000
TAX_PERCENT: Final = 20
WAREHOUSES: Final = 4
ORDERS_PER_REQUEST: Final = 250
CONNECTIONS: Final = 32
PATIENCE_SECONDS: Final = 30.0
PATIENCE: Final = 3.0

Ask = Callable[[int], tuple[str, str, bytes]]
"""Method, path and body of a numbered request."""


class Waits(Struct, frozen=True):
    """How long answers took, from the moment a request was due: a late sender counts against the answer.

    What was ``asked`` and not sent or not answered in time waits until the end; ``requests`` were answered.
    """

    asked: int
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def receipts() -> list[bytes]:
    """Enough of every SKU at every warehouse, as bodies of requests."""
    lines = tuple(StockLine(sku=_sku(n), quantity=STOCK, unit_cost_minor=400) for n in range(SKUS))
    return [
        _batch([
            StockReceived(origin="load", document_id=f"GR-{place}", location=place, currency="GBP", lines=lines)
        ])
        for place in map(_warehouse, range(WAREHOUSES))
    ]  # fmt: skip


def lifecycles(count: int, run: str) -> list[bytes]:
    """Orders of ten lines captured, paid and shipped, as bodies of requests, in the order in which they are sent."""
    made = [_order(n, run) for n in range(count)]
    bodies = []
    for first in range(0, count, ORDERS_PER_REQUEST):
        some = made[first : first + ORDERS_PER_REQUEST]
        bodies += [_batch(some), _batch([_payment(one) for one in some]), _batch([_shipment(one) for one in some])]
    return bodies


def orders(run: str) -> Ask:
    """One order a request, for POST /v1/orders."""
    return lambda number: ("POST", "/v1/orders", msgspec.json.encode(_order(number, run)))


def questions(skus: int) -> Ask:
    """What may be promised of so many SKUs."""
    paths = [
        "/v1/availability?" + urlencode([("sku", _sku((n * skus + i) % SKUS)) for i in range(skus)])
        for n in range(SKUS // skus)
    ]
    return lambda number: ("GET", paths[number % len(paths)], b"")


def send(core_url: str, bodies: Sequence[bytes]) -> None:
    """Give events to the core as fast as it takes them. Raises RuntimeError for what it refuses."""
    connection = _connected(core_url)
    for body in bodies:
        while True:
            status, answer, pause_seconds = _asked(connection, "POST", "/v1/events", body)
            if status == 202:
                break
            if status not in (429, 503):
                raise RuntimeError(f"the core answered {status}: {answer.decode(errors='replace')[:300]}")
            time.sleep(pause_seconds)
    connection.close()


def at_rate(url: str, ask: Ask, *, per_second: float, seconds: float, content: str = "application/json") -> Waits:
    """Send requests at a steady rate, whether or not earlier ones were answered. Raises RuntimeError for a refusal.

    What cannot be sent within ``PATIENCE`` times the ``seconds`` is not.
    """
    total = int(per_second * seconds)
    numbers = itertools.count()
    started = time.perf_counter() + 0.1
    ends = started + seconds * PATIENCE

    def share(_: int) -> list[tuple[int, float]]:
        return list(_paced(url, ask, numbers, total, started, ends, per_second, content))

    with ThreadPoolExecutor(CONNECTIONS) as senders:
        answered = dict(itertools.chain.from_iterable(senders.map(share, range(CONNECTIONS))))
    at_end = (ends - started - number / per_second for number in range(total) if number not in answered)
    waits = sorted([*answered.values(), *at_end])
    percentiles = (round(waits[int(total * part)] * 1_000, 2) for part in (0.5, 0.95, 0.99))
    return Waits(total, len(answered), *percentiles)


def _paced(
    url: str,
    ask: Ask,
    numbers: Iterator[int],
    total: int,
    started: float,
    ends: float,
    per_second: float,
    content: str,
) -> Iterator[tuple[int, float]]:
    connection = _connected(url)
    for number in numbers:
        if number >= total or time.perf_counter() > ends:
            break
        due = started + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        method, path, body = ask(number)
        try:
            status, answer, _ = _asked(connection, method, path, body, content)
        except TimeoutError:
            connection.close()
            connection = _connected(url)
            continue
        if status not in (200, 201, 202, 204):
            raise RuntimeError(f"{path} answered {status}: {answer.decode(errors='replace')[:300]}")
        yield number, time.perf_counter() - due
    connection.close()


def _connected(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_SECONDS)


def _asked(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, content: str = "application/json"
) -> tuple[int, bytes, float]:
    """Status, body and the pause that was asked for."""
    connection.request(method, path, body, {"Content-Type": content} if body else {})
    answer = connection.getresponse()
    return answer.status, answer.read(), float(answer.headers.get("Retry-After", 0))


def _order(number: int, run: str) -> OrderCaptured:
    """Each run has customers of its own: who orders the same again is suspected of having done so by mistake."""
    lines = tuple(
        Line(sku=_sku(number * 7 + place * 211), quantity=1 + place % 3, amount_minor=1_000 * (1 + place % 3))
        for place in range(LINES)
    )
    net = sum(line.amount_minor for line in lines)
    return OrderCaptured(
        origin="load", order_id=f"{run}-{number}", channel="web", location=_warehouse(number), currency="GBP",
        customer_ref=f"{run}-c{number % 5_000}", tax_minor=net * TAX_PERCENT // 100, lines=lines,
    )  # fmt: skip


def _payment(order: OrderCaptured) -> PaymentCaptured:
    paid = sum(line.amount_minor for line in order.lines) + order.tax_minor
    return PaymentCaptured(
        origin=order.origin, payment_id=f"P-{order.order_id}", order_id=order.order_id, provider="card",
        amount_minor=paid, currency=order.currency,
    )  # fmt: skip


def _shipment(order: OrderCaptured) -> ShipmentShipped:
    return ShipmentShipped(
        origin=order.origin, shipment_id=f"S-{order.order_id}", order_id=order.order_id, location=order.location
    )


def _batch(events: Sequence[Event]) -> bytes:
    at = dt.datetime.now(dt.UTC)
    return msgspec.json.encode([_envelope(event, at) for event in events])


def _envelope(event: Event, at: dt.datetime) -> dict[str, Any]:
    number = getattr(event, event.__struct_fields__[1])
    kind = TYPE_OF[type(event)]
    return {"specversion": "1.0", "id": f"{kind}/{number}", "source": "load", "type": kind, "time": at, "data": event}


def _sku(number: int) -> str:
    return f"SKU-{number % SKUS:05}"


def _warehouse(number: int) -> str:
    return f"WH{number % WAREHOUSES}"
