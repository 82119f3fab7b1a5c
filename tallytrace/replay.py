"""``tallytrace replay``: a file of real trade through the whole product, with its progress."""

import contextlib
import datetime as dt
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sync_core.answers import Status
from sync_core.files import FileStatus
from tallytrace import presence
from tallytrace.demo import Child
from tallytrace.errors import RemoteError
from tallytrace.remote import client, problem, read
from tallytrace.settings import Settings
from tallytrace.supervisor import Product, running

CONNECTOR: Final = "online_retail"
POLL_SECONDS: Final = 0.5
PLAIN_SECONDS: Final = 10.0
T = TypeVar("T")
PATIENCE_SECONDS: Final = 180.0
"""How long a process may be away (it may be starting again) before the replay gives up watching."""


class Outcome(Struct, frozen=True):
    """What a replay came to. Seconds are from the upload until everything was drained."""

    file: FileStatus
    seconds: float
    lines_per_s: float
    left_waiting: int


def run(settings: Settings, path: Path, *, until_now: bool, console: Console) -> Outcome:
    """Replay ``path``; what is not running is started, and stopped after. Raises RemoteError, ServiceError."""
    with contextlib.ExitStack() as undo:
        settings = undo.enter_context(with_erp(settings, console))
        if not until_now:
            settings = msgspec.structs.replace(settings, clock="file")
        product = undo.enter_context(running(settings))
        return watch(product, path, until_now=until_now, console=console)


@contextlib.contextmanager
def with_erp(settings: Settings, console: Console) -> Iterator[Settings]:
    """Settings that name an ERP: where none is set and no core runs yet, a stand-in with its books under home."""
    if settings.erp_url or presence.find(settings.directory, "core"):
        yield settings
        return
    logs = settings.directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    port, state = free_port(), settings.directory / "erp.jsonl"
    stand_in = Child("erp_stub", ["--port", str(port), "--state", str(state)], logs / "erp_stub.log")
    try:
        console.print(f"no ERP is set: a stand-in takes the journals and keeps its books in {state}")
        yield msgspec.structs.replace(settings, erp_url=f"http://127.0.0.1:{port}")
    finally:
        stand_in.stop()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def watch(product: Product, path: Path, *, until_now: bool, console: Console) -> Outcome:
    """Upload and wait until every event is processed, every journal is posted and every span is acknowledged."""
    started = time.monotonic()
    _upload(product, path, until_now=until_now)
    columns = (
        TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[lag]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        lines = progress.add_task("lines", total=None, lag="")
        told = Told(console)
        status = _follow(product, path.name, progress, lines, told)
        waiting = _drain(product, progress, told)
    seconds = time.monotonic() - started
    return Outcome(status, seconds, status.lines / seconds, waiting)


def _upload(product: Product, path: Path, *, until_now: bool) -> None:
    url = f"{product.core_url}/v1/files/{CONNECTOR}/{path.name}"
    try:
        with path.open("rb") as content:
            response = client().put(url, content=content, params={"until_now": until_now}, timeout=120.0)
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} does not answer ({type(error).__name__})") from error
    if response.status_code != 202:
        raise RemoteError(problem(response))


class Told:
    """Progress where no bar can be drawn: a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last >= PLAIN_SECONDS:
            self._last = now
            self._console.print(text)


def _follow(product: Product, name: str, progress: Progress, task: TaskID, told: Told) -> FileStatus:
    while True:
        status = _patiently(f"{product.core_url}/v1/files/{CONNECTOR}/{name}", FileStatus)
        lag = _patiently(f"{product.core_url}/v1/status", Status)
        progress.update(task, total=status.lines_total or None, completed=status.lines, lag=describe(lag))
        told.say(f"{status.lines:,} of {status.lines_total:,} lines; {describe(lag)}")
        if status.state != "reading":
            return status
        time.sleep(POLL_SECONDS)


def _drain(product: Product, progress: Progress, told: Told) -> int:
    """Wait until nothing is on its way; what the ERP refused or parks for long is left and counted."""
    task = progress.add_task("draining", total=None, lag="")
    while True:
        lag = _patiently(f"{product.core_url}/v1/status", Status)
        progress.update(task, lag=describe(lag))
        told.say(f"draining; {describe(lag)}")
        moving = lag.inbox_queued + lag.spans_waiting + (0 if lag.erp == "none" else lag.outbox_waiting)
        if not moving:
            progress.update(task, total=1, completed=1)
            return lag.outbox_waiting
        time.sleep(POLL_SECONDS)


def describe(lag: Status) -> str:
    """What waits, in words."""
    parts = [
        f"{lag.inbox_queued} queued" if lag.inbox_queued else "",
        f"{lag.outbox_waiting} journals await the ERP ({lag.oldest_waiting_seconds:.0f} s)"
        if lag.outbox_waiting
        else "",
        f"ERP down: {lag.erp_problem}" if lag.erp == "down" else "",
        f"{lag.spans_waiting} span batches wait" if lag.spans_waiting else "",
    ]
    return ", ".join(part for part in parts if part)


def _patiently(url: str, into: type[T]) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return read(url, into, timeout_seconds=30.0)
        except RemoteError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def report(outcome: Outcome, console: Console) -> None:
    """What was read, what was known already, and what was generated because the file lacks it."""
    file = outcome.file
    console.print(
        f"{file.lines:,} lines, {file.messages:,} events: {file.accepted:,} accepted, {file.duplicates:,} duplicates,"
        f" {file.conflicts:,} conflicts; {outcome.seconds:.1f} s, {outcome.lines_per_s:,.0f} lines/s"
    )
    if file.conflicts:
        console.print("a conflict is an event known with other content: `tallytrace exceptions` names its owner")
    if file.shift_weeks:
        console.print(
            f"times are shifted by {file.shift_weeks} weeks ({dt.timedelta(weeks=file.shift_weeks).days} days)"
        )
    console.print("generated, not in the file: opening stock, unit cost, VAT, payments, shipments, feed heartbeats")
