"""``tallytrace bench``: what this machine does, beside what the product promises."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

import collector
from collector.bench import Report
from sync_core.answers import Status
from tallytrace import order_load, page_load, query_load, replay, settlement_load, synthetic_trade
from tallytrace.errors import RemoteError
from tallytrace.order_load import Waits
from tallytrace.page_load import PageReport
from tallytrace.query_load import QueryReport
from tallytrace.remote import read
from tallytrace.settings import Settings
from tallytrace.settlement_load import SettlementReport
from tallytrace.supervisor import Product, running

SEED: Final = 1
YEAR_LINES: Final = 541_909
SPANS_PER_SECOND: Final = 110_000
"""The load of a second, a little over what must be reached."""
WORKERS: Final = (1, 2, 4)
ORDERS_PER_SECOND: Final = 200
QUESTIONS_PER_SECOND: Final = 500
SKUS_IN_A_QUESTION: Final = 100
VIEWERS: Final = 50
OFFERED_SPANS_PER_SECOND: Final = 50_000
SHOWN_ORDERS: Final = 1_000
DRAIN_SECONDS: Final = 900.0


class Figure(Struct, frozen=True):
    """A measured figure and its targets: what must be reached and what is aimed at; at most, where ``most`` is set."""

    name: str
    value: float
    must: float
    aim: float
    most: bool = False

    @property
    def verdict(self) -> str:
        reached = [self.value <= bound if self.most else self.value >= bound for bound in (self.must, self.aim)]
        return "aim" if reached[1] else "must" if reached[0] else "below"


def collected(*, spans: int) -> tuple[list[Figure], Report]:
    """Measure the collector, in a process of its own: the embedded engine allows one directory in a process."""
    command = [sys.executable, "-m", "collector.bench", str(spans)]
    environment = os.environ | {"PYTHONPATH": str(Path(collector.__file__).parent.parent)}
    with tempfile.TemporaryDirectory(prefix="tallytrace-bench-") as place:  # the engine writes where it is started
        done = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = msgspec.json.decode(done.stdout.splitlines()[-1], type=Report)
    return [
        Figure("collector.acknowledged_spans_per_s", found.acknowledged_spans_per_s, 100_000, 250_000),
        Figure("collector.queryable_spans_per_s", found.queryable_spans_per_s, 100_000, 250_000),
        Figure("collector.bytes_per_span", found.bytes_per_span, 80, 60, most=True),
    ], found


def show_collector(report: Report, console: Console) -> None:
    """What has no target, for those who want to know where the time goes."""
    table = Table("collector", "measured", box=None)
    for name in ("acknowledged_p50_ms", "acknowledged_p99_ms", "cpu_seconds_per_million_spans", "peak_memory_mb",
                 "native_spans_per_s", "share_of_native"):  # fmt: skip
        table.add_row(name, f"{getattr(report, name):,.2f}")
    for one in report.small_requests:
        table.add_row(
            f"requests of {one.spans_per_request} over {one.connections} connections",
            f"{one.requests_per_s:,.0f} requests/s, {one.spans_per_s:,.0f} spans/s, p99 {one.p99_ms:,.1f} ms",
        )
    console.print(table)


def show(figures: list[Figure], console: Console) -> None:
    table = Table("figure", "measured", "must", "aim", "reached", box=None)
    for one in figures:
        table.add_row(one.name, f"{one.value:,.0f}", f"{one.must:,.0f}", f"{one.aim:,.0f}", one.verdict)
    console.print(table)


def replayed(*, lines: int, file: Path | None, console: Console) -> list[Figure]:
    """Measure the replay of ``file``, or of generated lines. Raises what a replay raises."""
    with _settings() as settings:
        source = file or synthetic_trade.write(settings.directory / "trade.csv", lines, SEED)
        console.print(f"replaying {'the file' if file else f'{lines:,} generated lines'} through the whole product")
        outcome = replay.run(settings, source, until_now=False, console=console)
    return [Figure("replay.lines_per_s", outcome.lines_per_s, YEAR_LINES / 60, YEAR_LINES / 35)]


def settled(*, lines: int, console: Console) -> tuple[list[Figure], SettlementReport]:
    """Measure the matching of one settlement, in a database of its own. Raises RemoteError for lines left over."""
    console.print(f"{lines:,} lines of a settlement against as many open items")
    found = settlement_load.measure(lines)
    per_million = 1_000_000 / lines
    return [
        Figure("settlements.match_seconds_per_million", found.matched_seconds * per_million, 120, 30, most=True),
        Figure("settlements.peak_memory_mb", found.peak_memory_mb, 2_048, 1_024, most=True),
        Figure("ledger.postings_per_s", found.postings.journals_per_s, 10_000, 20_000),
    ], found


def show_settlements(report: SettlementReport, console: Console) -> None:
    """What has no target: how fast lines are kept, and matches told to lineage."""
    table = Table("settlements", "measured", box=None)
    table.add_row("lines kept a second", f"{report.lines / report.kept_seconds:,.0f}")
    table.add_row("matches told a second", f"{report.told_per_s:,.0f}")
    table.add_row(
        "processor seconds of 10,000 postings, the database's not counted", f"{report.postings.cpu_seconds:.2f}"
    )
    console.print(table)


def queried(*, home: Path, orders: int, console: Console) -> tuple[list[Figure], QueryReport]:
    """Questions to a store of ``orders`` made inside ClickHouse. Raises RefusedError and RuntimeError."""
    console.print(f"{orders:,} orders of {query_load.SPANS_EACH} spans in {home}")
    found = query_load.measure(home, orders, console.print)
    limits = {"journey": (50, 15), "settlement": (50, 15), "overdue": (300, 100), "search": (1_000, 300),
              "blast": (500, 200), "SLA overview": (300, 100), "items": (300, 100), "tick": (5_000, 1_000)}  # fmt: skip
    return [
        Figure(f"query.{kind.lower().replace(' ', '_')}_p99_ms", found.p99_of(kind), must, aim, most=True)
        for kind, (must, aim) in limits.items()
    ], found


def show_queries(report: QueryReport, console: Console) -> None:
    table = Table(f"{report.spans:,} spans", "asked", "p50 ms", "p99 ms", "CPU ms", "rows", box=None)
    for one in report.answers:
        table.add_row(one.question, f"{one.asked}", f"{one.p50_ms:,.1f}", f"{one.p99_ms:,.1f}", f"{one.cpu_ms:,.1f}",
                      f"{one.rows:,}")  # fmt: skip
    console.print(table)
    console.print(f"{report.bytes_per_span} bytes a span; generated in {report.generated_seconds:,.0f} s")
    console.print(
        f"what is open was judged in {report.judged_cpu_seconds:,.1f} s of the processor, "
        f"items of promises in {report.kept_cpu_seconds:,.1f} s"
    )


class CoreReport(Struct, frozen=True):
    """What the sync core did: lifecycles a second by the number of worker processes, and how long answers took."""

    lifecycles: int
    lifecycles_per_s: dict[int, float]
    order_post: Waits
    availability: Waits

    @property
    def best(self) -> float:
        return max(self.lifecycles_per_s.values())


def cored(
    *, lifecycles: int, seconds: float, console: Console, workers: Sequence[int] = WORKERS
) -> tuple[list[Figure], CoreReport]:
    """Measure the product with so many worker processes each; requests at a set rate for ``seconds``, with the first.

    Raises RemoteError, ServiceError, and RuntimeError for what the core refuses.
    """
    rates: dict[int, float] = {}
    waits: list[Waits] = []
    for count in workers:
        console.print(f"{lifecycles:,} orders of {order_load.LINES} lines from capture to the ERP, workers: {count}")
        with (
            _settings(workers=1, worker_processes=count, canary_seconds=0.0) as plain,
            replay.with_erp(plain, console) as settings,
            running(settings) as product,
        ):
            order_load.send(product.core_url, order_load.receipts())
            _drained(product)
            rates[count] = round(_lifecycles_per_s(product, lifecycles), 1)
            waits = waits or _answered(product, seconds, console)
    report = CoreReport(lifecycles, rates, *waits)
    return [
        Figure("core.lifecycles_per_s", report.best, 500, 1_000),
        Figure("core.lines_per_s", report.best * order_load.LINES, 5_000, 10_000),
        Figure("core.order_post_p99_ms", report.order_post.p99_ms, 100, 30, most=True),
        Figure("core.availability_p99_ms", report.availability.p99_ms, 20, 10, most=True),
    ], report


def show_core(report: CoreReport, console: Console) -> None:
    """What has no target: each number of workers, and the middle of the answers."""
    table = Table("core", "measured", box=None)
    for workers, rate in report.lifecycles_per_s.items():
        table.add_row(f"lifecycles a second, workers: {workers}", f"{rate:,.0f}")
    for name, waits in (("POST /v1/orders", report.order_post), ("GET /v1/availability", report.availability)):
        table.add_row(f"{name}, {waits.requests:,} requests", f"p50 {waits.p50_ms:,.1f} ms, p99 {waits.p99_ms:,.1f} ms")
    console.print(table)


def _lifecycles_per_s(product: Product, lifecycles: int) -> float:
    bodies = order_load.lifecycles(lifecycles, "bench")
    started = time.monotonic()
    order_load.send(product.core_url, bodies)
    found = _drained(product)
    if found.inbox_parked or found.inbox_dead or found.outbox_refused or found.exceptions_open:
        raise RemoteError(f"not every lifecycle came to its end: {found}")
    return lifecycles / (time.monotonic() - started)


def _answered(product: Product, seconds: float, console: Console) -> list[Waits]:
    console.print(f"{ORDERS_PER_SECOND} orders a second, then {QUESTIONS_PER_SECOND} questions a second")
    ask = order_load.questions(SKUS_IN_A_QUESTION)
    order_load.at_rate(product.core_url, ask, per_second=50, seconds=1)  # the shelf reads each SKU once
    orders = order_load.at_rate(
        product.core_url, order_load.orders("post"), per_second=ORDERS_PER_SECOND, seconds=seconds
    )
    _drained(product)
    return [orders, order_load.at_rate(product.core_url, ask, per_second=QUESTIONS_PER_SECOND, seconds=seconds)]


def _drained(product: Product) -> Status:
    """How the core stands when nothing is on its way any more."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        found = read(f"{product.core_url}/v1/status", Status)
        if not (found.inbox_queued or found.outbox_waiting or found.spans_waiting):
            return found
        if time.monotonic() > deadline:
            raise RemoteError(f"not drained within {DRAIN_SECONDS:.0f} s: {found}")
        time.sleep(0.1)


def viewed(*, seconds: float, console: Console) -> tuple[list[Figure], PageReport]:
    """Measure the pages while they are watched and spans come in. Raises ServiceError and RuntimeError."""
    console.print(f"{VIEWERS} viewers of the pages while {OFFERED_SPANS_PER_SECOND:,} spans/s come in")
    with (
        _settings(canary_seconds=0.0) as plain,
        replay.with_erp(plain, console) as settings,
        running(settings) as product,
    ):
        order_load.send(product.core_url, [*order_load.receipts(), *order_load.lifecycles(SHOWN_ORDERS, "shown")])
        _drained(product)
        found = page_load.measure(product, settings.directory / "offered", viewers=VIEWERS,
                                  spans_per_s=OFFERED_SPANS_PER_SECOND, seconds=seconds)  # fmt: skip
    return [
        Figure("pages.acknowledged_p99_ms", found.acknowledged.p99_ms, 100, 50, most=True),
        Figure("pages.callback_p95_ms", found.callbacks.p95_ms, 300, 100, most=True),
        Figure("pages.change_p95_ms", found.changes.p95_ms, 500, 250, most=True),
        Figure("pages.lost_spans", found.lost_spans, 0, 0, most=True),
        Figure("pages.first_page_ms", found.first_page_ms, 4_000, 2_000, most=True),
    ], found


def show_pages(report: PageReport, console: Console) -> None:
    """What has no target: the middle of the answers, and what a first visit transfers."""
    table = Table("pages", "measured", box=None)
    shown = {"acknowledgements": report.acknowledged, "callbacks": report.callbacks, "changes of page": report.changes}
    for name, waits in shown.items():
        took = f"p50 {waits.p50_ms:,.1f} ms, p95 {waits.p95_ms:,.1f} ms, p99 {waits.p99_ms:,.1f} ms"
        table.add_row(f"{name}, {waits.requests:,} of {waits.asked:,}", took)
    table.add_row("first page, all that is sent", f"{report.first_page_bytes:,} bytes")
    console.print(table)


@contextmanager
def _settings(**over: Any) -> Iterator[Settings]:
    """An installation of its own, gone after the block."""
    with tempfile.TemporaryDirectory(prefix="tallytrace-bench-") as name:
        Path(name).chmod(0o755)
        yield Settings(
            home=name,
            core_port=replay.free_port(),
            plane_port=replay.free_port(),
            otlp_port=replay.free_port(),
            otlp_grpc_port=0,
            **over,
        )
