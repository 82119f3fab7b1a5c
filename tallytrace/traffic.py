"""Plays the simulated estate against a running product: history in one burst, then live, with an ERP that has bad days.

Run alone with ``python -m tallytrace.traffic --core http://127.0.0.1:8081 --erp http://127.0.0.1:9400``.
"""

import argparse
import heapq
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
from msgspec import Struct

from tallytrace import estate
from tallytrace.estate import Happening
from tallytrace.lifeline import end_with_parent

log = logging.getLogger(__name__)

MOST_EVENTS_PER_REQUEST: Final = 200
FEEDS_BEFORE: Final = timedelta(minutes=45)
POLL_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
BATCH_TYPE: Final = "application/cloudevents-batch+json"


class Weather(Struct, frozen=True):
    """What the ERP is told to do wrong from a second of the live part on."""

    from_second: float
    change: dict[str, object]


BAD_DAYS: Final = (
    Weather(0, {"latency_ms": 25, "fail_share": 0.04}),
    Weather(3, {"hold_kinds": ["refund"]}),
    Weather(33, {"hold_kinds": []}),
    Weather(150, {"down_seconds": 6}),
    Weather(300, {"fail_share": 0.15}),
    Weather(330, {"fail_share": 0.04}),
)
"""Refunds are held once, for 30 s; everything else comes again every ten minutes."""
AGAIN_AFTER_SECONDS: Final = 600


def weather_between(since: float, until: float) -> Iterator[dict[str, object]]:
    """The changes that begin in these seconds of the live part, since <= second < until."""
    for each in BAD_DAYS:
        repeats = range(int(until // AGAIN_AFTER_SECONDS) + 1) if "hold_kinds" not in each.change else range(1)
        if any(since <= each.from_second + again * AGAIN_AFTER_SECONDS < until for again in repeats):
            yield each.change


class Traffic:
    """``stop`` ends everything within a second; what was not sent is told again by the next run."""

    def __init__(
        self, core: httpx.Client, erp: httpx.Client, *, seed: int, orders_per_second: float,
        clock: Callable[[], datetime], stop: threading.Event,
    ) -> None:  # fmt: skip
        self._core = core
        self._erp = erp
        self._seed = seed
        self._orders_per_second = orders_per_second
        self._clock = clock
        self._stop = stop
        self._live_since = clock()
        self._ahead: list[tuple[datetime, str, str, Happening]] = []

    def run(self) -> None:
        self._await_core()
        began = self._live_since = self._clock()
        sent = 0
        for chapter in self._past(began):
            self._plan(chapter)
            sent += self._send(self._due(began))
            self._await_quiet()
        log.info("history: %d events in %.1f s", sent, (self._clock() - began).total_seconds())
        self._live(began)

    def _past(self, began: datetime) -> Iterator[Iterable[Happening]]:
        """In chapters, each told when the core has worked off the one before: its workers run side by side."""
        yield estate.opening(self._seed, began)
        yield estate.history(self._seed, began)
        minutes = range(int(FEEDS_BEFORE.total_seconds()) // 60, 0, -1)
        yield (each for ago in minutes for each in estate.signs_of_life(began - timedelta(minutes=ago)))

    def _live(self, began: datetime) -> None:
        started = self._clock()
        self._plan(estate.steps_of_history(self._seed, began))
        next_second = int(began.timestamp()) + 1
        weathered = 0.0
        while not self._stop.wait(POLL_SECONDS):
            now = self._clock()
            while next_second <= now.timestamp():
                self._plan(estate.live(self._seed, next_second, self._orders_per_second))
                next_second += 1
            self._send(self._due(now))
            elapsed = (now - started).total_seconds()
            for change in weather_between(weathered, elapsed):
                self._change_erp(change)
            weathered = elapsed

    def _plan(self, happenings: Iterable[Happening]) -> None:
        for each in happenings:
            heapq.heappush(self._ahead, (each.at, each.source, each.event_id, each))

    def _due(self, now: datetime) -> list[Happening]:
        due = []
        while self._ahead and self._ahead[0][0] <= now:
            due.append(heapq.heappop(self._ahead)[-1])
        return due

    def _send(self, happenings: list[Happening]) -> int:
        for batch in batches(happenings, MOST_EVENTS_PER_REQUEST):
            body = b"[" + b",".join(estate.encode(each, live_since=self._live_since) for each in batch) + b"]"
            self._insist("/v1/events", body)
        return len(happenings)

    def _insist(self, path: str, body: bytes) -> None:
        """Until it is accepted: events have an identity, so sending one twice is harmless."""
        pause = POLL_SECONDS
        while not self._stop.is_set():
            try:
                answer = self._core.post(path, content=body, headers={"Content-Type": BATCH_TYPE})
            except httpx.HTTPError as error:
                log.warning("core: %s: %s", type(error).__name__, error)
            else:
                if answer.is_success:
                    return
                if answer.is_client_error and answer.status_code not in (408, 429):
                    log.error("core refused %d bytes: %s %s", len(body), answer.status_code, answer.text[:500])
                    return
            self._stop.wait(pause)
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    def _change_erp(self, change: dict[str, object]) -> None:
        try:
            self._erp.post("/v1/chaos", json=change).raise_for_status()
            log.info("the ERP from now on: %s", change)
        except httpx.HTTPError as error:
            log.warning("erp: %s: %s", type(error).__name__, error)

    def _await_core(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                if self._core.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                continue

    def _await_quiet(self) -> None:
        """Until the core has worked off what it was sent."""
        while not self._stop.wait(POLL_SECONDS):
            try:
                status = self._core.get("/v1/status").raise_for_status().json()
            except httpx.HTTPError as error:
                log.warning("core: %s: %s", type(error).__name__, error)
                continue
            if not status["inbox_queued"] and not status["outbox_waiting"]:
                return


def batches(happenings: list[Happening], most: int) -> Iterator[list[Happening]]:
    return (happenings[start : start + most] for start in range(0, len(happenings), most))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tallytrace.traffic", description=__doc__)
    parser.add_argument("--core", required=True, help="base URL of the sync core")
    parser.add_argument("--erp", required=True, help="base URL of the stand-in ERP")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders-per-second", type=float, default=3)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.Formatter.converter = time.gmtime
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    if given.supervised:
        end_with_parent()
    with (
        httpx.Client(base_url=given.core, timeout=30, trust_env=False) as core,
        httpx.Client(base_url=given.erp, timeout=5, trust_env=False) as erp,
    ):
        Traffic(
            core, erp, seed=given.seed, orders_per_second=given.orders_per_second, clock=lambda: datetime.now(UTC),
            stop=stop,
        ).run()  # fmt: skip


if __name__ == "__main__":
    main()
