"""A peak in which everything goes wrong at once: after it the books are whole and every order is done or owned."""

import datetime as dt
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest

from sync_core.messages import TYPE_OF, Event, Line, OrderCaptured, OrderStepped, PaymentCaptured, ShipmentShipped
from tests.acceptance.conftest import Installation, installation
from tests.factories import cloudevent, goods_in

STORES: Final = 400
CHANNELS: Final = ("web", "amazon", "walmart")
SKUS: Final = tuple(f"SKU-{number:03}" for number in range(60))
PROMOTED: Final = SKUS[:3]
OFFLINE: Final = "ST007"
PROMOTION_SHARE: Final = 0.5
TWICE_SHARE: Final = 0.02
EVENTS_PER_REQUEST: Final = 200
ORDERS_PER_REQUEST: Final = 50
REQUESTS_A_SECOND: Final = 8  # of 50 orders: 400 a second
HOURS_OF_TRADE: Final = dt.timedelta(hours=2)
MOST_ASKED: Final = 20_000


class Retailer:
    """Stores that sell over the counter and online channels that sell from one warehouse, seeded."""

    def __init__(self, http: httpx.Client, seed: int, seconds: float) -> None:
        self._http = http
        self._pace = HOURS_OF_TRADE / seconds  # of the stores' clocks for each second here
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._at = dt.datetime.now(dt.UTC) - HOURS_OF_TRADE
        self.sent: list[dict[str, Any]] = []
        self.orders: list[tuple[str, str]] = []
        self.late: list[dict[str, Any]] = []
        self._offline = OFFLINE

    def stock_up(self) -> None:
        """Plenty in stores, little of what will be promoted in the warehouse."""
        places = [*(f"ST{number:03}" for number in range(STORES)), "DC"]
        for place in places:
            units = {sku: 40 if place == "DC" and sku in PROMOTED else 500 for sku in SKUS}
            self._give([self._event(goods_in(f"GR-{place}", units, location=place, origin="wms"))])

    def trade(self, seconds: float) -> None:
        """Sales for so long; one store hears nothing of it until `reconnect`."""
        began, opened, requests = time.monotonic(), self._at, 0
        while (passed := time.monotonic() - began) < seconds:
            self._at = opened + passed * self._pace
            batch = [one for _ in range(ORDERS_PER_REQUEST // 2) for one in self._counter_sale()]
            batch += [one for _ in range(ORDERS_PER_REQUEST // 2) for one in self._online_sale()]
            self._give(batch)
            requests += 1
            time.sleep(max(0.0, began + requests / REQUESTS_A_SECOND - time.monotonic()))

    def reconnect(self) -> None:
        """The sales of the hour in which a store was offline, in bulk and in any order."""
        self._offline = ""
        self._chance.shuffle(self.late)
        for first in range(0, len(self.late), EVENTS_PER_REQUEST):
            self._give(self.late[first : first + EVENTS_PER_REQUEST])

    def states(self) -> dict[str, str]:
        """How orders stand by their number, one by one, as their channels would ask: all, or very many by chance."""
        some = self._chance.sample(self.orders, min(len(self.orders), MOST_ASKED))
        with ThreadPoolExecutor(8) as channels:
            found = channels.map(lambda one: self._state(*one), some)
            return {number: state for (_, number), state in zip(some, found, strict=True)}

    def _state(self, origin: str, number: str) -> str:
        found = self._http.get(f"/v1/orders/{number}").json()
        return str(next(one["state"] for one in found if one["origin"] == origin))

    def _counter_sale(self) -> Iterator[dict[str, Any]]:
        store = OFFLINE if self._chance.random() < 0.02 else f"ST{self._chance.randrange(STORES):03}"
        events = self._sale(f"pos:{store.lower()}", "store", store, self._chance.choice(SKUS))
        if store == self._offline:
            self.late += events
        else:
            yield from events

    def _online_sale(self) -> Iterator[dict[str, Any]]:
        wanted = PROMOTED if self._chance.random() < PROMOTION_SHARE else SKUS
        channel = self._chance.choice(CHANNELS)
        captured, paid, shipped = self._sale(channel, channel, "DC", self._chance.choice(wanted))
        number = captured["data"]["order_id"]
        cleared = OrderStepped(origin=channel, order_id=number, step="fraud_cleared", system="risk")
        yield from (captured, self._event(cleared), paid, shipped)

    def _sale(self, origin: str, channel: str, location: str, sku: str) -> list[dict[str, Any]]:
        number, units = f"{origin}-{next(self._numbers)}", self._chance.randint(1, 3)
        self.orders.append((origin, number))
        goods = Line(sku=sku, quantity=units, amount_minor=1_000 * units)
        return [
            self._event(one)
            for one in (
                OrderCaptured(origin=origin, order_id=number, channel=channel, location=location, currency="GBP",
                              lines=(goods,), tax_minor=200 * units),
                PaymentCaptured(origin=origin, order_id=number, payment_id=f"P{number}", provider="card",
                                amount_minor=1_200 * units, currency="GBP"),
                ShipmentShipped(origin=origin, order_id=number, shipment_id=f"S{number}", location=location),
            )
        ]  # fmt: skip

    def _event(self, event: Event) -> dict[str, Any]:
        source = str(event.origin)  # type: ignore[union-attr]
        return cloudevent(event, f"{next(self._numbers)}", at=self._at, source=source, type=TYPE_OF[type(event)])

    def _give(self, batch: Sequence[dict[str, Any]]) -> None:
        """Send until taken, whatever becomes of the core meanwhile, and some of what was sent once more."""
        again = [self._chance.choice(self.sent) for one in batch if self.sent and self._chance.random() < TWICE_SHARE]
        while True:
            try:
                answer = self._http.post("/v1/events", json=[*batch, *again])
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.status_code == 202:
                break
            assert answer.status_code in (429, 503), answer.text
            time.sleep(float(answer.headers["Retry-After"]))
        assert answer.json()["conflicts"] == 0
        self.sent = [*self.sent, *batch][-2_000:]


def peak(free_port: Callable[[], int], seconds: float, seed: int) -> None:
    with (
        installation(free_port, TALLYTRACE_WORKER_PROCESSES="2", TALLYTRACE_WORKERS="1") as product,
        httpx.Client(base_url=product.core, timeout=60, trust_env=False, verify=False) as http,
    ):
        shop = Retailer(http, seed, seconds)
        shop.stock_up()
        product.stop_erp()
        for role in ("worker-1", "worker-2"):
            shop.trade(seconds / 3)
            product.kill(role)
        shop.reconnect()
        shop.trade(seconds / 3)
        product.wait_for(lambda: product.status()["inbox_queued"] == 0, 300 + seconds)
        assert product.status()["erp"] == "down"
        product.start_erp()
        product.wait_until_drained(300 + 3 * seconds)
        check(product, shop)


def backorders(product: Installation) -> Iterator[dict[str, Any]]:
    asked: dict[str, Any] = {"kind": "backorder", "limit": 1000}
    while told := httpx.get(f"{product.core}/v1/exceptions", params=asked, timeout=60).json():
        yield from told
        asked["after"] = told[-1]["exception_id"]


def check(product: Installation, shop: Retailer) -> None:
    status = product.status()
    assert (status["inbox_parked"], status["inbox_dead"], status["outbox_refused"]) == (0, 0, 0)
    waiting = {one["entity_id"] for one in backorders(product) if one["owner"]}
    states = shop.states()
    assert shop.late, "no store was offline"
    assert set(states.values()) == {"shipped", "backordered"}, "the promotion did not sell out"
    assert {one for one in states if states[one] == "backordered"} == waiting & states.keys()
    verified = product.run("verify")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.proves(199, 299)
def test_a_peak_with_everything_going_wrong_leaves_whole_books(free_port: Callable[[], int]) -> None:
    peak(free_port, seconds=4, seed=1)


@pytest.mark.long
def test_a_long_peak_with_everything_going_wrong_leaves_whole_books(free_port: Callable[[], int]) -> None:
    peak(free_port, seconds=600, seed=2)
