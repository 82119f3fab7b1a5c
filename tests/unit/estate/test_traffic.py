"""What the estate's traffic sends, in which order, and what it does when the core is not there."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import FeedReported, Message, OrderStepped, from_cloudevents
from tallytrace.estate import history, opening
from tallytrace.traffic import Traffic, weather_between


class Core:
    """A core over HTTP that answers as it is told and keeps what it accepted."""

    def __init__(self, *answers: int) -> None:
        self.accepted: list[Message] = []
        self.at_quiet: list[int] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/status":
            self.at_quiet.append(len(self.accepted))
            return httpx.Response(200, json={"inbox_queued": len(self.at_quiet) % 2, "outbox_waiting": 0})
        status = self._answers.pop(0) if self._answers else 202
        if request.url.path == "/v1/events" and status == 202:
            assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
            self.accepted += from_cloudevents(request.content, batch=True)
        return httpx.Response(status)


class Erp:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.told.append(msgspec.json.decode(request.content))
        return httpx.Response(200)


def play(core: Core, erp: Erp, *, until: Callable[[], bool]) -> datetime:
    """Runs the traffic until the condition holds; returns when it began."""
    stop, began = threading.Event(), datetime.now(UTC)
    with (
        httpx.Client(base_url="http://core", transport=httpx.MockTransport(core)) as to_core,
        httpx.Client(base_url="http://erp", transport=httpx.MockTransport(erp)) as to_erp,
    ):
        traffic = Traffic(to_core, to_erp, seed=3, orders_per_second=8, clock=lambda: datetime.now(UTC), stop=stop)
        thread = threading.Thread(target=traffic.run)
        thread.start()
        deadline = time.monotonic() + 20
        while not until() and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()
        thread.join()
    assert until()
    return began


def test_history_then_feeds_then_live_and_nothing_twice_or_lost() -> None:
    core, erp = Core(503, 200, 503, 202, 429), Erp()
    began = play(core, erp, until=lambda: any(each.provenance == "live" for each in core.accepted))
    told = [*opening(3, began), *(each for each in history(3, began) if each.at <= began)]
    generated = [each for each in core.accepted if each.provenance == "generated"]
    in_history = [each for each in generated if not isinstance(each.event, FeedReported | OrderStepped)]
    assert any(isinstance(each.event, OrderStepped) for each in generated)
    assert {each.event_id for each in in_history[: len(told)]} == {each.event_id for each in told}
    assert [each.occurred_at for each in in_history] == sorted(each.occurred_at for each in in_history)
    identities = [(each.source, each.event_id) for each in core.accepted]
    assert len(set(identities)) == len(identities)
    first_feed = next(at for at, each in enumerate(core.accepted) if isinstance(each.event, FeedReported))
    chapters = [4, first_feed, first_feed + 45 * 5]
    assert core.at_quiet == [at for at in chapters for _ in range(2)], "each is worked off before the next is told"
    assert erp.told[0] == {"latency_ms": 25, "fail_share": 0.04}


@pytest.mark.parametrize(
    ("since", "until", "changes"),
    [
        (0, 1, [{"latency_ms": 25, "fail_share": 0.04}]),
        (2.9, 3.1, [{"hold_kinds": ["refund"]}]),
        (3.1, 3.3, []),
        (32.9, 33.1, [{"hold_kinds": []}]),
        (602.9, 603.1, []),
        (749.9, 750.2, [{"down_seconds": 6}]),
    ],
)
def test_weather(since: float, until: float, changes: list[dict[str, object]]) -> None:
    assert list(weather_between(since, until)) == changes
