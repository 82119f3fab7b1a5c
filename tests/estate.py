"""A retailer's systems before the core's front door: events in over HTTP, and the questions they ask."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import httpx

from collector.segments import SegmentLog
from collector.storage import Storage
from lineage import flows, slas
from lineage.model import Journey
from lineage.queries import Queries
from lineage.service import Lineage
from sync_core.messages import TYPE_OF, Event
from tests.core import Core, later
from tests.factories import NOON, cloudevent

Tell = Callable[[str], Journey]
"""What lineage tells of a number."""


def milestones(told: Journey) -> list[str]:
    return [hop.milestone for hop in told.hops if hop.milestone]


def telling(core: Core, storage: Storage, log: SegmentLog) -> Tell:
    """What lineage tells of a number once every span that the core has committed is stored."""
    service = Lineage(Queries(storage), flows.load(), slas.load(), lambda: core.now + dt.timedelta(minutes=1))

    stored = 0

    def tell(number: str) -> Journey:
        nonlocal stored
        committed = core.span_requests()
        for body in committed[stored:]:
            log.append(body).result(10)
        assert log.wait_stored(30)
        stored = len(committed)
        found = service.journey(number)
        assert isinstance(found, Journey), found
        return found

    return tell


class Estate:
    """Sends events as systems do, and asks as channels do."""

    def __init__(self, http: httpx.Client, core: Core) -> None:
        self._http = http
        self._core = core
        self._sent = 0

    def tell(self, *events: Event, source: str = "shop", at: dt.datetime = NOON, **more: str) -> None:
        """Give events to the core, one after the other, and have each worked off."""
        for event in events:
            self._sent += 1
            envelope = cloudevent(event, f"{self._sent}", at=at, source=source, type=TYPE_OF[type(event)], **more)
            answer = self._http.post("/v1/events", json=envelope)
            assert answer.json()["accepted"] == 1, answer.text
            self._core.work()
            later(self._core, seconds=1)

    def offer(self, sku: str = "A1", **asked: Any) -> dict[str, Any]:
        """What may be promised of a SKU, as it was known after all that was told."""
        deadline = time.monotonic() + 10
        while True:
            answer = self._http.get("/v1/availability", params={"sku": sku} | asked)
            assert answer.status_code == 200, answer.text
            if dt.datetime.fromisoformat(answer.json()["as_of"]) >= self._core.now:
                told: dict[str, Any] = answer.json()["items"][0]
                return told
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def at(self, location: str = "WH1", sku: str = "A1") -> dict[str, int]:
        """The figures of one location that are not zero."""
        [told] = self.offer(sku, location=location)["locations"]
        return {name: count for name, count in told.items() if isinstance(count, int) and count}

    def exceptions(self) -> list[tuple[str, str, int]]:
        return [(one["kind"], one["owner"], one["amount_minor"]) for one in self._http.get("/v1/exceptions").json()]

    def sound(self) -> bool:
        """Whether the product's own auditor finds nothing."""
        return [fault for check in self._http.get("/v1/audit").json()["checks"] for fault in check["faults"]] == []
