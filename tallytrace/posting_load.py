"""Balanced journals into the ledger, in batches, each with what is told of it and offered to the ERP: how fast."""

import datetime as dt
import time
from typing import Final

from msgspec import Struct

from sync_core import clock
from sync_core.ledger.ledger import JournalLine, PostingRules
from sync_core.settlements.matching import cause, save
from sync_core.store import Store, load_books
from sync_core.unit import Step, Unit

ORIGIN: Final = "bench"
BATCH: Final = 1_000
AMOUNT_MINOR: Final = 300


class PostingReport(Struct, frozen=True):
    """``cpu_seconds`` are this process's alone, for 10,000 journals; the database has its own."""

    journals: int
    journals_per_s: float
    cpu_seconds: float


def measure(db: Store, rules: PostingRules, batches: int) -> PostingReport:
    """The first batch is not counted."""
    _post(db, rules, 0)
    started, worked = time.monotonic(), time.process_time()
    for place in range(1, batches + 1):
        _post(db, rules, place)
    seconds, worked = time.monotonic() - started, time.process_time() - worked
    journals = batches * BATCH
    return PostingReport(journals, round(journals / seconds), round(worked * 10_000 / journals, 3))


def _post(db: Store, rules: PostingRules, place: int) -> None:
    now = clock.wall()
    with db.transaction() as session:
        unit = Unit(rules)
        load_books(session, unit, {now.date()})
        step = Step(unit, cause(ORIGIN, f"batch/{place}", now.date(), now), now, dt.timedelta())
        for number in range(place * BATCH, (place + 1) * BATCH):
            step.post(
                origin=ORIGIN, correlation_id=number.to_bytes(16, "big"), document="processor_fee",
                entity_id=str(number), channel="web", location="WH1", currency="GBP",
                lines=[
                    JournalLine(rules.accounts.processor_fees, AMOUNT_MINOR, "generated"),
                    JournalLine(rules.clearing("stripe"), -AMOUNT_MINOR, "generated", reference=str(number)),
                ],
            )  # fmt: skip
        save(session, unit, now)
