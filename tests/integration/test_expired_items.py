"""Items of promises are told of no longer than the milestones they came of; what they did stays counted by day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas
from lineage.item_params import Window
from lineage.measure import Measurer
from lineage.model import Money, Sample
from lineage.queries import Filter, Queries
from lineage.rows import ItemRow
from lineage.service import Lineage

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
MENDING = """
[mending]
kind = "interval"
title = "Mending"
unit = "messages"
start = "message.failed"
ends = ["message.recovered"]
deadline = "4 h"
deadline_by_channel = { slow = "90 d" }
target = 0.9
owner = "integration"
"""
AGES = {"old": 40, "new": 0}
DAYS = 30
COLUMNS = (
    "entity", "entity_id", "correlation_id", "milestone", "occurred_at", "channel", "amount_minor", "currency",
    "ingested_on",
)  # fmt: skip
TOLD = (("good", "web", 1), ("late", "web", 30), ("open", "web", 0), ("slow", "slow", 0))


def figures(one: Sample) -> tuple[object, ...]:
    return one.good, one.bad, one.pending, one.overdue_open, one.at_risk, one.all_good, one.all_bad


class Estate:
    """Messages that came long ago and of late: taken in time, too late, never, and not due yet."""

    def __init__(self, storage: Storage, directory: Path) -> None:
        self.storage, self.queries = storage, Queries(storage)
        (directory / "slas.toml").write_text(MENDING)
        [self.sla] = [one for one in slas.load(directory / "slas.toml") if one.name == "mending"]
        for age, days in AGES.items():
            for name, channel, hours in (
                ("good", "web", 1),
                ("late", "web", 30),
                ("open", "web", 0),
                ("slow", "slow", 0),
            ):
                self.tell(f"{age}-{name}", "failed", 0, channel, days_ago=days)
                if hours:
                    self.tell(f"{age}-{name}", "recovered", hours, channel, days_ago=days)

    def tell(
        self, number: str, milestone: str, hours: int, channel: str = "web", days_ago: int = 0, transaction: bytes = b""
    ) -> None:
        """What happened so many hours after the beginning came so many days ago."""
        at = NOON - timedelta(days=3) + timedelta(hours=hours)
        came = datetime.now(UTC).date() - timedelta(days=days_ago)
        identity = transaction or correlation_id("uci", number)
        row = ("message", number, identity, milestone, at, channel, 700, "GBP", came)
        self.storage.insert("milestones", COLUMNS, [row])

    def expire(self) -> None:
        """What came longer ago than milestones are kept is gone."""
        self.storage.keep({"milestones": DAYS})
        self.storage.execute("OPTIMIZE TABLE milestones FINAL")

    def measured(self) -> tuple[object, ...]:
        """Also how many midnights were measured again."""
        now, *midnights = Measurer(self.queries, [self.sla], lambda: NOON).tick(NOON)
        return (*figures(now), len(midnights))

    def items(self) -> list[ItemRow]:
        kept = Lineage(self.queries, flows.load(), [self.sla], lambda: NOON, judged_at_once=0)
        return sorted(kept.judged(self.sla, self.window(), Filter()))

    def judged(self) -> list[ItemRow]:
        return sorted(self.queries.items(self.sla, self.window(), Filter()))

    def window(self) -> Window:
        return Window(NOON, self.sla.window_start(NOON), NOON - timedelta(days=90))

    def named(self) -> set[str]:
        rows = self.storage.query("SELECT entity_id FROM promise_items GROUP BY entity_id HAVING sum(copies) > 0")
        return {name for (name,) in rows}


@pytest.fixture
def estate(storage: Storage, tmp_path: Path) -> Estate:
    for table in ("milestones", "promise_items", "promise_days", "promise_builds", "sli_samples"):
        storage.execute(f"TRUNCATE TABLE {table}")
    storage.keep({})
    return Estate(storage, tmp_path)


EVERYTHING = (2, 4, 2, 2, (Money(1400, "GBP"),), 2, 4)
OF_LATE = (2, 4, 1, 1, (Money(700, "GBP"),), 2, 4)
"""What is decided stays counted."""


def test_items_are_forgotten_with_their_milestones_and_stay_counted(estate: Estate) -> None:
    assert estate.measured() == (*EVERYTHING, 3)
    assert {name.partition("-")[0] for name in estate.named()} == set(AGES)
    estate.expire()
    assert estate.measured() == (*OF_LATE, 0)
    assert estate.named() == {"", "new-good", "new-late", "new-open", "new-slow"}
    assert estate.items() == estate.judged() != []
    estate.tell("old-open", "recovered", 20)
    assert estate.measured() == (*OF_LATE, 0), "what comes of what is forgotten changes nothing"
    estate.tell("nobody's", "failed", 1, "slow", transaction=bytes(16))
    assert estate.measured()[:3] == (2, 4, 2), "what is of no transaction is none of those forgotten"
    estate.tell("new-open", "recovered", 20)
    assert estate.measured() == (2, 4, 2, 0, (), 2, 4, 2), "the midnights after it was mended"


@pytest.mark.parametrize("step", ["take_promise_changes", "write_promise_days"])
def test_forgetting_that_was_broken_off_counts_nothing_twice(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    estate.measured()
    estate.expire()
    with monkeypatch.context() as broken:
        broken.setattr(estate.queries, step, lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            estate.measured()
    estate.measured()
    assert estate.measured() == (*OF_LATE, 0)
    assert estate.items() == estate.judged()
