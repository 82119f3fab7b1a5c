"""The canary: a made-up transaction sent through the front door, and what lineage must say of it.

Its first hop is three days old, its second came a day later and after its deadline, its third is never sent. So a
collector that loses, a lineage that forgets days, and a judge that does not see what is missing are all found out.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector import otlp, semconv
from lineage.model import Answer, Journey

log = logging.getLogger(__name__)

ORIGIN: Final = "canary"
SENT_BEFORE: Final = timedelta(days=3)
SEEN_BEFORE: Final = timedelta(days=2)
PROMISED_WITHIN: Final = timedelta(minutes=1)
AMOUNT_MINOR: Final = 4_200
CURRENCY: Final = "EUR"
VISIBLE_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.1


class Flight(Struct, frozen=True):
    """How the last canary fared. ``fault`` is empty when lineage said what it must."""

    at: datetime
    fault: str
    visible_seconds: float  # from the acknowledgement until lineage told both hops


class Canary:
    """Sends one at each ``fly``, and keeps how the last fared."""

    def __init__(
        self, url: str, key: str, journey: Callable[[str], Answer], clock: Callable[[], datetime], client: httpx.Client
    ) -> None:
        """``url`` is the collector's /v1/traces, ``key`` what it knows us by; ``journey`` asks lineage about an ID."""
        self._url = url
        self._headers = {"Content-Type": otlp.PROTOBUF} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._journey = journey
        self._clock = clock
        self._client = client
        self._ended = threading.Event()
        self.last: Flight | None = None

    def stop(self) -> None:
        """Wait no longer for what was sent."""
        self._ended.set()

    def fly(self) -> None:
        now = self._clock()
        reference = f"canary-{now:%Y%m%dT%H%M%S}"
        began = time.monotonic()
        try:
            for hop in hops(reference, now):
                self._client.post(self._url, content=hop, headers=self._headers).raise_for_status()
            began = time.monotonic()
            fault = self._watch(reference, now, began + VISIBLE_SECONDS)
        except httpx.HTTPError as error:
            fault = f"the collector did not take it: {error}"
        if self._ended.is_set():
            return
        self.last = Flight(now, fault, time.monotonic() - began)
        if fault:
            log.error("canary %s: %s", reference, fault)

    def _watch(self, reference: str, now: datetime, until: float) -> str:
        while fault := told_wrong(self._journey(reference), reference, now):
            if time.monotonic() > until or self._ended.wait(LOOK_AGAIN_SECONDS):
                return fault
        return ""


def hops(reference: str, now: datetime) -> list[bytes]:
    """Two export requests: the first hop and the late one. Raises nothing that a reference made by us could cause."""
    sent, seen = now - SENT_BEFORE, now - SEEN_BEFORE
    promised = {"due_at": _nanoseconds(sent + PROMISED_WITHIN)}
    return [_request(reference, "sent", sent, {}), _request(reference, "seen", seen, promised)]


def told_wrong(answer: Answer, reference: str, now: datetime) -> str:
    """What lineage says otherwise than it must; empty when all is as it must be."""
    if not isinstance(answer, Journey):
        return "lineage does not find it by its ID"
    milestones = [hop.milestone for hop in answer.hops]
    if milestones != ["sent", "seen"]:
        return f"lineage tells the hops {milestones}, not sent and seen"
    sent, seen = answer.hops
    if (sent.at, seen.at) != (now - SENT_BEFORE, now - SEEN_BEFORE):
        return f"lineage tells other times: {sent.at}, {seen.at}"
    if seen.due_at is None or not seen.at > seen.due_at:
        return "lineage does not see that the second hop came after its deadline"
    missing = [(step.milestone, step.overdue, step.owner) for step in answer.expected]
    if missing != [("settled", True, "platform")]:
        return f"lineage does not miss just the third hop: {missing}"
    amount = answer.expected[0].amount
    if amount is None or (amount.amount_minor, amount.currency) != (AMOUNT_MINOR, CURRENCY):
        return f"lineage does not value what is missing: {amount}"
    return ""


def _request(reference: str, milestone: str, at: datetime, more: dict[str, int]) -> bytes:
    identity = semconv.correlation_id(ORIGIN, reference)
    started = _nanoseconds(at)
    span = Span(
        trace_id=identity, span_id=semconv.correlation_id(ORIGIN, f"{reference}/{milestone}")[:8],
        name=f"canary.{milestone}", start_time_unix_nano=started, end_time_unix_nano=started + 1_000,
    )  # fmt: skip
    values: dict[str, Any] = {
        "correlation_id": identity.hex(), "origin": ORIGIN, "domain": "canary", "hop": milestone, "outcome": "ok",
        "stage": "source", "entity": "canary", "entity_id": reference, "milestone": milestone, "occurred_at": started,
        "event_id": reference, "amount_minor": AMOUNT_MINOR, "currency": CURRENCY, "source": "generated",
    } | more  # fmt: skip
    for name, value in values.items():
        held = span.attributes.add(key=semconv.PREFIX + name).value
        if isinstance(value, int):
            held.int_value = value
        else:
            held.string_value = value
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "tallytrace-canary"
    resource.scope_spans.add().spans.append(span)
    encoded: bytes = request.SerializeToString()
    return encoded


def _nanoseconds(at: datetime) -> int:
    return (int(at.timestamp()) * 1_000_000 + at.microsecond) * 1_000
