"""What the sync core says of itself: what waits in it, in words for the head of every page."""

from typing import Literal

import httpx
import msgspec

from dashboards import wording
from dashboards.wording import State

PATIENCE_SECONDS = 1.0
BRISK_SECONDS = 60.0
"""Work that waits less than this is work in progress, not lag."""


class CoreStatus(msgspec.Struct, frozen=True):
    """Body of ``GET /v1/status``."""

    inbox_queued: int
    outbox_waiting: int
    oldest_waiting_seconds: float
    spans_waiting: int
    erp: Literal["up", "down", "none"]
    erp_problem: str = ""


def read(client: httpx.Client, core_url: str) -> CoreStatus | None:
    """None when the core does not answer, or answers something else."""
    try:
        answer = client.get(f"{core_url.rstrip('/')}/v1/status", timeout=PATIENCE_SECONDS).raise_for_status()
        return msgspec.json.decode(answer.content, type=CoreStatus)
    except (httpx.HTTPError, msgspec.MsgspecError):
        return None


def state(status: CoreStatus | None) -> State:
    if status is None:
        return State("Core not reachable", "question", "unknown")
    waiting = [
        wording.count(number, one)
        for number, one in ((status.inbox_queued, "event"), (status.outbox_waiting, "journal"))
        if number
    ]
    if not waiting:
        if status.erp == "down":
            return State("ERP not answering", "warning", "warn")
        return State("All work is through", "check", "good")
    journals_only = not status.inbox_queued and status.erp == "up"
    queue = f"{' and '.join(waiting)} waiting" + (" for the ERP" if journals_only else "")
    if status.erp == "none" and status.outbox_waiting:
        return State(f"No ERP set: {queue}", "warning", "warn")
    since = f", oldest {wording.duration(status.oldest_waiting_seconds)}"
    if status.erp == "down":
        return State(f"ERP not answering: {queue}{since}", "cross", "bad")
    if status.oldest_waiting_seconds >= BRISK_SECONDS:
        return State(f"{queue}{since}", "clock", "warn")
    return State(queue, "flow", "quiet")


def details(status: CoreStatus | None) -> str:
    if status is None:
        return "The sync core does not answer. What is shown here is what lineage has recorded so far."
    return (
        f"Queued events: {status.inbox_queued:,}. Journals waiting for the ERP: {status.outbox_waiting:,}. "
        f"Spans waiting for the collector: {status.spans_waiting:,}. ERP: {status.erp}"
        f"{f' ({status.erp_problem})' if status.erp_problem else ''}."
    )
