"""``tallytrace bench``: what this machine does, beside what the product promises."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

import collector
from collector.bench import Report
from tallytrace import replay, synthetic_trade
from tallytrace.settings import Settings

SEED: Final = 1
YEAR_LINES: Final = 541_909
SPANS_PER_SECOND: Final = 110_000
"""The load of a second, a little over what must be reached."""


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
    with tempfile.TemporaryDirectory(prefix="tallytrace-bench-") as name:
        home = Path(name)
        home.chmod(0o755)
        source = file or synthetic_trade.write(home / "trade.csv", lines, SEED)
        console.print(f"replaying {'the file' if file else f'{lines:,} generated lines'} through the whole product")
        settings = Settings(
            home=str(home),
            core_port=replay.free_port(),
            plane_port=replay.free_port(),
            otlp_port=replay.free_port(),
            otlp_grpc_port=0,
        )
        outcome = replay.run(settings, source, until_now=False, console=console)
    return [Figure("replay.lines_per_s", outcome.lines_per_s, YEAR_LINES / 60, YEAR_LINES / 35)]
