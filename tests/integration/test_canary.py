"""The canary flies through a real receiver, a real engine and lineage; each thing that is wrong is found out."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector import otlp, receiver
from collector.intake import Intake, Sender
from collector.segments import SegmentLog
from collector.storage import Storage
from lineage import flows, slas
from lineage.model import Journey
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import canary, webserver
from tallytrace.canary import Canary

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECONDS = 20.0  # on a busy machine


@pytest.fixture(scope="module")
def lineage(storage: Storage) -> Lineage:
    return Lineage(Queries(storage), flows.load(), slas.load(), lambda: NOW + timedelta(hours=1))


@pytest.fixture
def collector(storage: Storage, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    with SegmentLog(tmp_path / "log", storage.insert_segment, otlp.normalised, max_age_seconds=0.01) as log:
        app = receiver.create_app(log, Intake(log, {"key": Sender("tallytrace")}.get))
        with webserver.serving(app, "127.0.0.1", port := free_port(), name="collector"):
            yield f"http://127.0.0.1:{port}/v1/traces"


@pytest.fixture
def fly(monkeypatch: pytest.MonkeyPatch) -> Callable[..., canary.Flight]:
    def fly(
        url: str, journey: Callable[[str], Any], *, at: datetime, key: str = "key", within: float = 1.0
    ) -> canary.Flight:
        monkeypatch.setattr(canary, "VISIBLE_SECONDS", within)
        with httpx.Client(trust_env=False, verify=False) as client:
            bird = Canary(url, key, journey, lambda: at, client)
            bird.fly()
        assert bird.last is not None
        return bird.last

    return fly


def patiently(journey: Callable[[str], Any], hops: int) -> Callable[[str], Any]:
    """Asks until lineage knows that many hops of the number: a busy machine takes its time."""

    def ask(reference: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            answer = journey(reference)
            if isinstance(answer, Journey) and len(answer.hops) >= hops:
                break
            time.sleep(0.05)
        return answer

    return ask


def test_a_canary_that_arrives_says_how_long_it_took(
    collector: str, lineage: Lineage, fly: Callable[..., canary.Flight]
) -> None:
    flight = fly(collector, lineage.journey, at=NOW, within=SECONDS)
    assert (flight.fault, flight.at) == ("", NOW)
    assert 0 < flight.visible_seconds < SECONDS
    assert lineage.overdue().items == ()


@pytest.mark.parametrize(
    ("lost", "fault"),
    [("", "does not find it"), ("sent", "tells the hops ['seen']"), ("seen", "tells the hops ['sent']")],
)
def test_a_hop_that_is_lost_is_found_out(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch, collector: str, fly: Callable[..., canary.Flight],
    lost: str, fault: str,
) -> None:  # fmt: skip
    made = canary.hops
    keep = [] if not lost else [1] if lost == "sent" else [0]
    monkeypatch.setattr(canary, "hops", lambda reference, now: [made(reference, now)[number] for number in keep])
    ask = patiently(lineage.journey, 1) if keep else lineage.journey
    flight = fly(collector, ask, at=NOW + timedelta(seconds=10 + keep[0] if keep else 9))
    assert fault in flight.fault


def test_a_judge_that_misses_nothing_is_found_out(
    storage: Storage, collector: str, fly: Callable[..., canary.Flight]
) -> None:
    declared = flows.load()
    blind = flows.Flows(tuple(flow for flow in declared.flows if flow.name != "canary"))
    lineage = Lineage(Queries(storage), blind, slas.load(), lambda: NOW + timedelta(hours=1))
    flight = fly(collector, patiently(lineage.journey, 2), at=NOW + timedelta(minutes=5))
    assert flight.fault == "lineage does not miss just the third hop: []"


def test_a_collector_that_takes_nothing_is_found_out(
    lineage: Lineage, collector: str, free_port: Callable[[], int], fly: Callable[..., canary.Flight]
) -> None:
    assert "did not take it" in fly(f"http://127.0.0.1:{free_port()}", lineage.journey, at=NOW).fault
    assert "401" in fly(collector, lineage.journey, at=NOW, key="another").fault
