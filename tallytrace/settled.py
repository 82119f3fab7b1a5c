"""``tallytrace faults``: a trade with what its provider, its bank and its channels state of it.

The plan of what is wrong is written beside the state of this home; only the check reads it.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from sync_core.answers import Status
from sync_core.files import FileStatus
from sync_core.messages import TYPE_OF, ControlTotalStated
from tallytrace import outside, remote
from tallytrace.errors import RemoteError
from tallytrace.faults import WATCHED, Fault, Raised, Verdict, judge, plan_of, plant
from tallytrace.replay import Outcome, watch, with_erp
from tallytrace.settings import Settings
from tallytrace.supervisor import Product, running

PATIENCE_SECONDS: Final = 600.0
POLL_SECONDS: Final = 2.0
LISTS_IN_A_REQUEST: Final = 20
READ_BACK_SECONDS: Final = 1
ERP_SECONDS: Final = 60.0


class Report(Struct, frozen=True):
    """What was replayed, what was planted, and what the check says of it."""

    outcome: Outcome
    faults: list[Fault]
    verdict: Verdict


def run(settings: Settings, path: Path, seed: int | None, console: Console) -> Report:
    """Replay a file and state the rest; with a seed some of it is wrong. Raises RemoteError, ValueError."""
    sales = outside.sales_of(path)
    plan = None if seed is None else plan_of(seed, sales)
    with ExitStack() as undo:
        settings = undo.enter_context(with_erp(settings, console))
        settings = msgspec.structs.replace(settings, clock="file", erp_read_back_seconds=READ_BACK_SECONDS)
        if plan:
            _tell_erp(settings, {"wrong": plan.wrong_journals})
        product = undo.enter_context(running(settings))
        outcome = watch(product, path, until_now=False, console=console)
        with _journal(product) as journal:
            world = outside.world_of(sales, outside.refunds_of(journal))
        planted = plant(plan, world) if plan else []
        (settings.directory / "faults.json").write_bytes(msgspec.json.encode(planted))
        state(product, world)
        faults = msgspec.json.decode((settings.directory / "faults.json").read_bytes(), type=list[Fault])
        return Report(outcome, faults, _judged(product, faults, console))


def state(product: Product, world: outside.World) -> None:
    """Give the core what the channels, the provider and the bank state."""
    for first in range(0, len(world.totals), LISTS_IN_A_REQUEST):
        events = [_event(total) for total in world.totals[first : first + LISTS_IN_A_REQUEST]]
        _post(f"{product.core_url}/v1/events", msgspec.json.encode(events), "application/cloudevents-batch+json")
    _give(product, "stripe_payouts", "payouts", outside.payout_file(world.payouts))
    for currency in sorted({one.currency for one in world.payouts}):
        of_it = [one for one in world.payouts if one.currency == currency]
        _give(product, "camt053", currency, outside.statement(of_it, f"ST-{currency}"))


def _event(total: ControlTotalStated) -> dict[str, object]:
    at = dt.datetime.combine(total.business_date, dt.time(23), dt.UTC)
    return {"specversion": "1.0", "id": total.document_id, "source": "outside", "type": TYPE_OF[type(total)],
            "time": at, "provenance": "generated", "data": total}  # fmt: skip


def _judged(product: Product, faults: list[Fault], console: Console) -> Verdict:
    """What the exceptions say once they say it twice; a failing verdict stands when for minutes nothing changed."""
    before, days, deadline = None, -1, 0.0
    while True:
        time.sleep(POLL_SECONDS)
        lag = remote.read(f"{product.core_url}/v1/status", Status)
        verdict = judge(faults, _raised(product))
        moving = lag.inbox_queued + lag.spans_waiting + lag.outbox_waiting + lag.days_to_reconcile
        if (verdict, lag.days_to_reconcile) != (before, days):
            deadline = time.monotonic() + PATIENCE_SECONDS
        if (not moving and verdict.passed and verdict == before) or time.monotonic() > deadline:
            return verdict
        if verdict != before:
            console.print(f"{len(verdict.missed)} not named, {len(verdict.surplus)} too many")
        before, days = verdict, lag.days_to_reconcile


def _raised(product: Product) -> list[Raised]:
    url = f"{product.core_url}/v1/exceptions"
    return [one for kind in WATCHED for one in remote.read(url, list[Raised], kind=kind, limit=1000)]


def _tell_erp(settings: Settings, change: dict[str, object]) -> None:
    deadline = time.monotonic() + ERP_SECONDS
    while True:
        try:
            answer = remote.client().post(f"{settings.erp_url}/v1/chaos", content=msgspec.json.encode(change))
            break
        except httpx.HTTPError as error:  # a stand-in takes a moment to begin
            if time.monotonic() > deadline:
                raise RemoteError(f"the ERP does not answer ({type(error).__name__})") from error
            time.sleep(POLL_SECONDS / 4)
    if answer.status_code != 200:
        raise RemoteError("this ERP cannot be told to book wrongly: faults need the stand-in")


@contextmanager
def _journal(product: Product) -> Iterator[Iterable[str]]:
    url = f"{product.core_url}/v1/journal"
    with remote.client().stream("GET", url, params={"format": "canonical"}, timeout=300.0) as response:
        if response.status_code != 200:
            raise RemoteError(f"HTTP {response.status_code} from {url}")
        yield response.iter_lines()


def _post(url: str, body: bytes, kind: str) -> None:
    answer = remote.client().post(url, content=body, headers={"Content-Type": kind}, timeout=120.0)
    if answer.status_code not in (200, 202):
        raise RemoteError(remote.problem(answer))


def _give(product: Product, connector: str, name: str, lines: Iterator[str]) -> None:
    url = f"{product.core_url}/v1/files/{connector}/{name}"
    answer = remote.client().put(url, content=(line.encode() for line in lines), timeout=120.0)
    if answer.status_code != 202:
        raise RemoteError(remote.problem(answer))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (told := remote.read(url, FileStatus)).state == "reading":
        if time.monotonic() > deadline:
            raise RemoteError(f"{name} was not read within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.5)
    if told.error:
        raise RemoteError(told.error)


def show(report: Report, console: Console) -> None:
    """What was planted, and what of it was not named or was named beside it."""
    for fault in report.faults:
        mark = "[red]MISSED[/]" if fault in report.verdict.missed else "[green]named[/] "
        console.print(f"{mark} {fault.done}: {fault.number}")
    for one in report.verdict.surplus:
        console.print(f"[red]NOT PLANTED[/] {one.kind}: {one.detail}")
    console.print(f"{report.verdict.planted} planted, {len(report.verdict.missed)} missed,"
                  f" {len(report.verdict.surplus)} named beside them")  # fmt: skip
