"""An evaluator of alerts in a process of its own, to be killed.

``python -m tests.evaluator_process POSTGRES FILE URL LATER``: FILE holds what is overdue by channel, as JSON; pages go
to URL; its clock is LATER seconds ahead. It ticks until it is killed.
"""

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import httpx
import msgspec

from alerts.condition import Counted
from alerts.readings import Segment, Undecided
from alerts.routing import load_routes
from alerts.rule import Overdue
from alerts.schedule import Evaluator
from alerts.senders.webhook import webhook
from alerts.store import Store
from lineage.model import Money, OverdueItem, Sample

SLA = "refund_to_ledger"
PAUSE_SECONDS = 0.1
RULE = Overdue(
    name="refund_not_in_ledger", sla=SLA, domain="refund", severity="major", owner="finance", overdue_at_least=1,
    summary="refund not in the ledger by its deadline", next_step="look", stale_after_seconds=300,
)  # fmt: skip


class FromFile:
    """Measurements as a file says them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.now = dt.datetime.min.replace(tzinfo=dt.UTC)

    def newest_samples(self) -> Mapping[str, Sequence[Sample]]:
        overdue = msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        total = self._sample("", sum(overdue.values()))
        return {SLA: [total, *(self._sample(channel, count) for channel, count in overdue.items())]}

    def _sample(self, channel: str, overdue: int) -> Sample:
        return Sample(
            sla=SLA, channel=channel, location="", provider="", as_of=self.now, window_start=self.now,
            window_end=self.now, good=90, bad=overdue, pending=0, excused=0, refused=0, overdue_open=overdue,
            at_risk=(Money(1250 * overdue, "GBP"),) if overdue else (), oldest_due_at=self.now if overdue else None,
            target=0.99, value=0.98, state="breached", reason="", watermark=self.now, definition="d",
        )  # fmt: skip

    def overdue_items(self, sla: str, channel: str, limit: int, /) -> Sequence[OverdueItem]:
        return ()

    def counted_at(
        self, sla: str, instants: Collection[dt.datetime], /
    ) -> Mapping[Segment, Mapping[dt.datetime, Counted]]:
        return {}

    def history(self, sla: str, since: dt.datetime, until: dt.datetime, /, *, located: bool) -> Sequence[Sample]:
        return ()

    def undecided(self) -> Sequence[Undecided]:
        return ()


@contextmanager
def evaluating(postgres: str, overdue: Path, url: str, later: float = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Killed when the block ends, if it still runs."""
    command = [sys.executable, "-m", __name__, postgres, str(overdue), url, str(later)]
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent) as process:
        try:
            yield process
        finally:
            process.kill()


def main(postgres: str, overdue: str, url: str, later: str) -> None:
    def clock() -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=float(later))

    samples = FromFile(Path(overdue))
    routes = load_routes((resources.files("alerts") / "routes.toml").read_text(encoding="utf-8"), {"webhook_url": url})
    with httpx.Client(timeout=30, trust_env=False, verify=False) as client:
        senders = {"webhook": webhook(client)}
        evaluator = Evaluator(Store.connect(postgres), samples, [RULE], routes, senders, clock)
        while True:
            samples.now = clock()
            evaluator.tick(samples.now)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
