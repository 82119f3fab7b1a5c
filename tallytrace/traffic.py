"""Plays the simulated estate against a running product: thirty days in one burst, then live, with things that go wrong.

Run alone with ``python -m tallytrace.traffic --core http://127.0.0.1:8081 --erp http://127.0.0.1:9400
--marketplaces http://127.0.0.1:9401 --home DIRECTORY``. Into the directory it writes every incident, in
``incidents.jsonl``, and from ``asked.jsonl`` it reads those that somebody causes by hand.
"""

import argparse
import heapq
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import httpx
import msgspec
from msgspec import Meta, Struct

from tallytrace.estate import incidents, payouts, story
from tallytrace.estate.counting import counts
from tallytrace.estate.incidents import Incident, Plan
from tallytrace.estate.kinds import WHAT, Kind
from tallytrace.estate.lives import Life
from tallytrace.estate.payouts import File
from tallytrace.estate.retailer import MARKETPLACES
from tallytrace.estate.telling import Happening, encode
from tallytrace.lifeline import end_with_parent
from tallytrace.settings import BACKFILLING

log = logging.getLogger(__name__)

ASKED: Final = "asked.jsonl"
BEGUN: Final = "incidents.jsonl"
SIGHTS: Final = "sights.json"
MOST_EVENTS_PER_REQUEST: Final = 1_000
FEEDS_BEFORE: Final = timedelta(minutes=8)
POLL_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
LONGEST_QUIET_SECONDS: Final = 2.0
QUIET_A_SECOND: Final = 10_000
LONGEST_INCIDENT_SECONDS: Final = 86_400.0
ROUNDS: Final = 100
WAITING: Final = ("inbox_queued", "outbox_waiting", "spans_waiting")
BATCH_TYPE: Final = "application/cloudevents-batch+json"
LIMITS: Final[dict[str, object]] = {"requests_per_second": 8, "max_concurrent": 2}
"""What the cloud ERP allows."""
ERP_LIVE: Final[dict[str, object]] = {"latency_ms": 25, "fail_share": 0.04}


class Asked(Struct, frozen=True):
    """An incident that somebody causes by hand."""

    kind: Kind
    seconds: Annotated[float, Meta(gt=0, le=LONGEST_INCIDENT_SECONDS)]


class Systems(Struct, frozen=True):
    """What the estate speaks to."""

    core: httpx.Client
    erp: httpx.Client
    marketplaces: httpx.Client


class Traffic:
    """``stop`` ends everything within a second; what was not sent is told again by the next run."""

    def __init__(
        self, systems: Systems, home: Path, *, seed: int, days: int, orders_per_second: float,
        clock: Callable[[], datetime], stop: threading.Event,
    ) -> None:  # fmt: skip
        """``days`` of history come first; of none, or of very few, there is nothing to see."""
        self._systems = systems
        self._home = home
        self._seed = seed
        self._days = days
        self._orders_per_second = orders_per_second
        self._clock = clock
        self._stop = stop
        self._live_since = clock()
        self._ahead: list[tuple[datetime, str, str, Happening]] = []
        self._files: list[tuple[datetime, str, File]] = []
        self._past: list[Life] = []
        self._active: list[tuple[Incident, Plan]] = []
        self._disturbed: set[tuple[str, str]] = set()
        self._asked = 0

    def run(self) -> None:
        self._await_core()
        self._change_erp(LIMITS)
        began = self._live_since = self._clock()
        sent = 0
        for chapter in self._history(began):
            if isinstance(chapter, File):
                self._put(chapter)
                self._await_read(chapter)
                continue
            self._plan(chapter)
            sent += self._send(self._due(began))
            self._await_quiet()
        self._await_quiet(WAITING)
        self._close_month(began)
        (self._home / BACKFILLING).unlink(missing_ok=True)
        (self._home / SIGHTS).write_bytes(msgspec.json.encode(story.sights(self._past, began)))
        log.info("history: %d events in %.1f s", sent, (self._clock() - began).total_seconds())
        self._live(began)

    def _history(self, began: datetime) -> Iterator[Iterable[Happening] | File]:
        """In chapters, each told when the core has worked off the one before: its workers run side by side."""
        yield (opening := story.opening(self._seed, began, self._days))
        self._past = story.lives(self._seed, began, self._days)
        yield (delivered := story.deliveries(self._seed, began, self._days))
        sold, back = story.history(self._past, began)
        yield sold
        yield back
        moved = sorted([*opening, *delivered, *sold, *back], key=lambda each: each.at)
        yield counts(self._seed, moved, story.count_days(began, self._days))
        yield [*story.order_lists(self._past, began), *story.invoices(self._seed, delivered, began)]
        self._insist("PUT", "/v1/mappings/walmart", payouts.WALMART_MAPPING)
        paid_out = payouts.payouts_of(self._past, (began - timedelta(days=self._days)).date(), began.date())
        yield from payouts.files(paid_out, "history", generated=True)
        yield from payouts.statement(paid_out, began.date(), "history")
        seconds = range(int(FEEDS_BEFORE.total_seconds()), 0, -1)
        yield (each for ago in seconds for each in story.signs_of_life(began - timedelta(seconds=ago)))

    def _close_month(self, began: datetime) -> None:
        """Finance closes the month before, once all that is told of it is."""
        last = began.replace(day=1) - timedelta(days=1)
        if last.date() < (began - timedelta(days=self._days)).date():
            return
        order = {"by": "finance", "reason": "month end", "accept_open": True}
        self._insist("POST", f"/v1/periods/{last:%Y-%m}/close", msgspec.json.encode(order), "application/json")

    def _live(self, began: datetime) -> None:
        """What happened while the history was told belongs to it: its own time is its clock."""
        started = self._live_since = self._clock()
        self._change_erp(ERP_LIVE)
        base = str(self._systems.marketplaces.base_url).rstrip("/")
        self._plan(story.going_live(started, {one: f"{base}/stock/{one}" for one in MARKETPLACES}))
        timetable = incidents.timetable(self._seed, started, ROUNDS)
        next_second = int(began.timestamp()) + 1
        while not self._stop.wait(POLL_SECONDS):
            now = self._clock()
            while timetable and timetable[0].begins <= now:
                self._begin(timetable.pop(0))
            for asked in self._newly_asked():
                self._begin(Incident(asked.kind, now, asked.seconds))
            self._end(now)
            while next_second <= now.timestamp():
                self._plan(story.live(self._seed, next_second, self._orders_per_second))
                next_second += 1
            self._send([each for one in self._due(now) for each in self._as_told(one, now)])
            while self._files and self._files[0][0] <= now:
                self._put(heapq.heappop(self._files)[-1])

    def _begin(self, incident: Incident) -> None:
        plan = incidents.plan_of(incident, self._seed, self._past)
        self._active.append((incident, plan))
        self._plan(plan.happenings)
        for at, file in plan.files:
            heapq.heappush(self._files, (at, file.name, file))
        if plan.erp:
            self._change_erp(plan.erp)
        if plan.throttle:
            self._throttle(plan.throttle, incident.seconds)
        with (self._home / BEGUN).open("ab") as begun:
            begun.write(msgspec.json.encode(incident) + b"\n")
        log.info("%s for %.0f s: %s", incident.kind, incident.seconds, WHAT[incident.kind])

    def _end(self, now: datetime) -> None:
        for incident, plan in [one for one in self._active if one[0].ends <= now]:
            self._active.remove((incident, plan))
            others = [other.erp for _, other in self._active]
            if plan.erp_after and not any(plan.erp_after.keys() & other.keys() for other in others):
                self._change_erp(plan.erp_after)
        if not self._active:
            self._disturbed.clear()

    def _newly_asked(self) -> list[Asked]:
        """What was asked for since the last look, line by line."""
        path = self._home / ASKED
        if not path.exists():
            return []
        lines = path.read_bytes().splitlines()[self._asked :]
        self._asked += len(lines)
        return [msgspec.json.decode(line, type=Asked) for line in lines]

    def _as_told(self, one: Happening, now: datetime) -> list[Happening]:
        """A happening as an incident has it told: once, later, twice or not at all."""
        identity = (one.source, one.event_id)
        for incident, _ in self._active:
            told = None if identity in self._disturbed else incidents.disturbed(incident, one)
            if told is not None:
                self._disturbed.add(identity)
                for at, each in told:
                    if at > now:
                        heapq.heappush(self._ahead, (at, each.source, each.event_id, each))
                return [each for at, each in told if at <= now]
        return [one]

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
            body = b"[" + b",".join(encode(each, live_since=self._live_since) for each in batch) + b"]"
            self._insist("POST", "/v1/events", body)
        return len(happenings)

    def _put(self, file: File) -> None:
        address = f"/v1/files/{file.connector}/{file.name}"
        self._insist("PUT", f"{address}?generated=true" if file.generated else address, file.body)

    def _await_read(self, file: File) -> None:
        """Until the core has read a file that it was given, or refused it."""
        while not self._stop.wait(POLL_SECONDS / 10):
            try:
                answer = self._systems.core.get(f"/v1/files/{file.connector}/{file.name}")
            except httpx.HTTPError as error:
                log.warning("core: %s: %s", type(error).__name__, error)
                continue
            if answer.is_client_error or (answer.is_success and answer.json()["state"] != "reading"):
                return

    def _insist(self, method: str, path: str, body: bytes, content_type: str = BATCH_TYPE) -> None:
        """Until it is accepted: events and settlements have an identity, so sending one twice is harmless."""
        pause = POLL_SECONDS
        while not self._stop.is_set():
            try:
                answer = self._systems.core.request(method, path, content=body, headers={"Content-Type": content_type})
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
            self._systems.erp.post("/v1/chaos", json=change).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("erp: %s: %s", type(error).__name__, error)

    def _throttle(self, channel: str, seconds: float) -> None:
        try:
            asked = {"channel": channel, "seconds": seconds}
            self._systems.marketplaces.post("/throttle", json=asked).raise_for_status()
        except httpx.HTTPError as error:
            log.warning("marketplaces: %s: %s", type(error).__name__, error)

    def _await_core(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                if self._systems.core.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                continue

    def _await_quiet(self, waiting: Sequence[str] = ("inbox_queued",)) -> None:
        """Until nothing of this waits in the core any more; asked the less often the more there is."""
        pause = POLL_SECONDS
        while not self._stop.wait(pause):
            try:
                status = self._systems.core.get("/v1/status").raise_for_status().json()
            except httpx.HTTPError as error:
                log.warning("core: %s: %s", type(error).__name__, error)
                continue
            if not (left := sum(status[one] for one in waiting)):
                return
            pause = min(LONGEST_QUIET_SECONDS, POLL_SECONDS + left / QUIET_A_SECOND)


def batches(happenings: list[Happening], most: int) -> Iterator[list[Happening]]:
    return (happenings[start : start + most] for start in range(0, len(happenings), most))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tallytrace.traffic", description=__doc__)
    parser.add_argument("--core", required=True, help="base URL of the sync core")
    parser.add_argument("--erp", required=True, help="base URL of the stand-in ERP")
    parser.add_argument("--marketplaces", required=True, help="base URL of the stand-in marketplaces")
    parser.add_argument("--home", required=True, type=Path, help="directory of what is asked and what has begun")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=story.DAYS, help="of history")
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
        httpx.Client(base_url=given.marketplaces, timeout=5, trust_env=False) as marketplaces,
    ):
        Traffic(
            Systems(core, erp, marketplaces), given.home, seed=given.seed, days=given.days,
            orders_per_second=given.orders_per_second, clock=lambda: datetime.now(UTC), stop=stop,
        ).run()  # fmt: skip


if __name__ == "__main__":
    main()
