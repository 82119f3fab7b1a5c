"""What the estate's traffic sends, in which order, and what it does when the core is not there."""

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import FeedReported, Message, OrderCaptured, from_cloudevents
from tallytrace.estate.incidents import Incident, disturbed, plan_of, store_of, timetable
from tallytrace.estate.kinds import KINDS, WHAT, Kind
from tallytrace.estate.story import deliveries, live, lives
from tallytrace.settings import BACKFILLING
from tallytrace.traffic import ASKED, BEGUN, SIGHTS, Asked, Systems, Traffic


class Core:
    """A core over HTTP that answers as it is told and keeps what it accepted."""

    def __init__(self, *answers: int) -> None:
        self.accepted: list[Message] = []
        self.at_quiet: list[int] = []
        self.files: list[str] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/status":
            self.at_quiet.append(len(self.accepted))
            waiting = {"inbox_queued": len(self.at_quiet) % 2, "outbox_waiting": 0, "spans_waiting": 0}
            return httpx.Response(200, json=waiting)
        if request.method == "GET" and request.url.path.startswith("/v1/files/"):
            return httpx.Response(200, json={"state": "read"})
        if request.method == "PUT":
            self.files.append(request.url.raw_path.decode())
            return httpx.Response(202)
        status = self._answers.pop(0) if self._answers else 202
        if request.url.path == "/v1/events" and status == 202:
            assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
            self.accepted += from_cloudevents(request.content, batch=True)
        return httpx.Response(status)


class Other:
    """The ERP, or the marketplaces: keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.told.append(msgspec.json.decode(request.content))
        return httpx.Response(200)


def play(core: Core, home: Path, *, until: Callable[[Other, Other], bool]) -> tuple[datetime, Other, Other]:
    """Runs the traffic until the condition holds; returns when it began, and the ERP and the marketplaces."""
    stop, began, erp, marketplaces = threading.Event(), datetime.now(UTC), Other(), Other()
    with (
        httpx.Client(base_url="http://core", transport=httpx.MockTransport(core)) as to_core,
        httpx.Client(base_url="http://erp", transport=httpx.MockTransport(erp)) as to_erp,
        httpx.Client(base_url="http://marketplaces", transport=httpx.MockTransport(marketplaces)) as to_marketplaces,
    ):
        traffic = Traffic(
            Systems(to_core, to_erp, to_marketplaces), home, seed=3, days=3, orders_per_second=8,
            clock=lambda: datetime.now(UTC), stop=stop,
        )  # fmt: skip
        thread = threading.Thread(target=traffic.run)
        thread.start()
        deadline = time.monotonic() + 60
        while not until(erp, marketplaces) and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        thread.join()
    assert until(erp, marketplaces)
    return began, erp, marketplaces


def test_history_then_feeds_then_live_and_nothing_twice_or_lost(tmp_path: Path) -> None:
    core = Core(503, 200, 503, 202, 429)
    (tmp_path / BACKFILLING).touch()
    (tmp_path / ASKED).write_bytes(msgspec.json.encode(Asked("marketplace-throttling", 5)) + b"\n")

    def over(erp: Other, marketplaces: Other) -> bool:
        live_orders = (each for each in core.accepted if each.provenance == "live")
        return any(isinstance(each.event, OrderCaptured) for each in live_orders) and bool(marketplaces.told)

    began, erp, marketplaces = play(core, tmp_path, until=over)
    assert not (tmp_path / BACKFILLING).exists(), "what is told is measured from then on"
    identities = [(each.source, each.event_id) for each in core.accepted]
    assert len(set(identities)) == len(identities)
    delivered = {each.event_id for each in deliveries(3, began, 3)}
    assert delivered <= {each.event_id for each in core.accepted}
    first_feed = next(at for at, each in enumerate(core.accepted) if isinstance(each.event, FeedReported))
    assert first_feed == core.at_quiet[-5], "all else is worked off before feeds are told"
    assert all(each.occurred_at < began for each in core.accepted[:first_feed])
    assert core.files[0] == "/v1/mappings/walmart"
    assert all(one.endswith("?generated=true") for one in core.files[1:])
    assert erp.told[:2] == [{"requests_per_second": 8, "max_concurrent": 2}, {"latency_ms": 25, "fail_share": 0.04}]
    assert marketplaces.told == [{"channel": "walmart", "seconds": 5.0}]
    [begun] = (msgspec.json.decode(line, type=Incident) for line in (tmp_path / BEGUN).read_bytes().splitlines())
    assert (begun.kind, begun.seconds) == ("marketplace-throttling", 5)
    assert msgspec.json.decode((tmp_path / SIGHTS).read_bytes()).keys() == {
        "shipped_order", "refunded_return", "waiting_order",
    }  # fmt: skip


NOW = datetime(2026, 3, 4, 11, 23, 45, tzinfo=UTC)


def test_the_timetable_is_the_same_for_a_seed_and_has_every_kind() -> None:
    planned = timetable(1, NOW, 2)
    assert planned == timetable(1, NOW, 2) != timetable(2, NOW, 2)
    assert [one.kind for one in planned[:9]] != [one.kind for one in planned[9:]]
    assert {one.kind for one in planned[:9]} == {one.kind for one in planned[9:]} == set(KINDS) == set(WHAT)
    assert planned[0] == Incident("refund-in-parts", NOW + timedelta(seconds=3), 60)
    assert all(one.ends < after.begins for one, after in itertools.pairwise(planned))


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_history_is_enough_for_every_kind(kind: Kind) -> None:
    plan = plan_of(Incident(kind, NOW, 20), 1, lives(1, NOW, 3))
    files_wanted = kind in ("refund-in-parts", "late-settlement", "refund-unposted")
    assert bool(plan.files) == files_wanted


def test_a_store_without_its_line_tells_everything_later_and_gives_no_sign_of_life() -> None:
    incident = Incident("store-offline", NOW, 120)
    source = f"pos:{store_of(incident).lower()}"
    first = int(NOW.timestamp())
    told = [each for second in range(first, first + 120) for each in live(3, second, 12)]
    changed = {each.event_id: disturbed(incident, each) for each in told if disturbed(incident, each) is not None}
    assert changed
    for each in told:
        if each.source != source:
            assert each.event_id not in changed
        elif isinstance(each.event, FeedReported):
            assert changed[each.event_id] == []
        else:
            assert changed[each.event_id] == [(incident.ends, each)]
