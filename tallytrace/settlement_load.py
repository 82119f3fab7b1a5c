"""A settlement of many lines over as many open items, in a database of its own: how fast it is kept and matched."""

import datetime as dt
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from sync_core import clock
from sync_core.connectors.stripe_payouts import COLUMNS
from sync_core.flows import Processor
from sync_core.ledger.ledger import load_rules
from sync_core.settlements import staging
from sync_core.settlements.matching import Matcher
from sync_core.store import Store
from tallytrace import postgres, posting_load
from tallytrace.errors import RemoteError
from tallytrace.posting_load import PostingReport

POSTING_BATCHES: Final = 20


class SettlementReport(Struct, frozen=True):
    """Seconds to keep a file's lines, and to match each with its item; memory is this process's at its most."""

    lines: int
    kept_seconds: float
    matched_seconds: float
    told_per_s: float
    peak_memory_mb: float
    postings: PostingReport


def measure(lines: int) -> SettlementReport:
    """Raises RemoteError unless every line is matched."""
    with tempfile.TemporaryDirectory(prefix="tallytrace-bench-") as name:
        Path(name).chmod(0o755)
        with postgres.serving(Path(name)) as url:
            db = Store(url)
            db.open()
            try:
                return _measured(db, lines)
            finally:
                db.close()


def _measured(db: Store, lines: int) -> SettlementReport:
    db.migrate()
    posting = load_rules()
    with db.transaction() as session:
        session.run("bench_items", account=posting.clearing("stripe"), count=lines, due_at=_later())
        run = session.one(
            "start_file", connector="stripe_payouts", name="bench", sha256="", shift_weeks=0, generated=False,
            now=clock.wall(),
        )[0]  # fmt: skip
    started = time.monotonic()
    staging.read(db, run, "stripe_payouts", "bench", lambda: _file(lines), posting, clock.wall)
    kept = time.monotonic() - started
    Processor(db, posting, clock.wall).run_once()
    matcher = Matcher(db, posting, clock.wall)
    started = time.monotonic()
    matched = matcher.match()
    seconds = time.monotonic() - started
    if matched != lines:
        raise RemoteError(f"{matched} of {lines} lines were matched")
    started = time.monotonic()
    told = matcher.tell_matches()
    told_per_s = told / (time.monotonic() - started)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    postings = posting_load.measure(db, posting, POSTING_BATCHES)
    return SettlementReport(lines, round(kept, 3), round(seconds, 3), round(told_per_s), round(peak_mb), postings)


def _later() -> dt.datetime:
    return clock.wall() + dt.timedelta(days=30)


def _file(lines: int) -> Iterator[str]:
    """A payout reconciliation in which the charges come in another order than the items."""
    yield ",".join(COLUMNS) + "\n"
    for number in range(lines):
        charge = number * 7_919 % lines + 1  # a prime: each charge once
        amount = f"{10 + charge % 500 / 100:.2f}"
        yield f"po_1,2026-03-05,txn_{number},gbp,{amount},0,{amount},charge,ch_{charge},ch_{charge},,\n"
