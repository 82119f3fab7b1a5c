"""What is told of one instant is judged alike, in whatever order it came and however the engine has merged it since."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import slas
from lineage.item_params import Window
from lineage.measure import Measurer
from lineage.queries import Filter, Queries
from lineage.rows import micros
from lineage.slas import Sla
from tests.hops import Hops, at

NOW = at("2026-03-31 12:00:00")
WINDOW = Window(NOW, NOW - dt.timedelta(days=28), NOW - dt.timedelta(days=60))
TOLD = ("parked", "ok", "rejected")


def promise(name: str) -> Sla:
    return next(one for one in slas.load() if one.name == name)


def judged(storage: Storage, name: str) -> dict[str, tuple[str, str]]:
    found = Queries(storage).items(promise(name), WINDOW, Filter(most=1000))
    return {one.entity_id: (one.verdict, one.channel) for one in found}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    made.migrate()
    made.execute("SYSTEM STOP MERGES milestones")
    yield made
    made.close()


def receive(hops: Hops, number: str, outcome: str) -> None:
    channel = "waiting" if outcome == "parked" else "web"
    hops.hop(correlation_id("uci", number), f"return.receive_{outcome}", "2026-03-20 10:00:00", "return", number,
             "received", channel=channel, outcome=outcome)  # fmt: skip


def test_what_went_on_goes_before_what_was_parked_at_the_same_instant(storage: Storage, tmp_path: Path) -> None:
    pairs = [(first, then) for first in TOLD for then in TOLD if "parked" in (first, then) and first != then]
    names = {f"{first}-{then}-{apart}": (first, then, apart) for first, then in pairs for apart in ("one", "two")}
    for insert in (0, 1):
        hops = Hops()
        for name, (first, then, apart) in names.items():
            for number, outcome in enumerate((first, then)):
                if insert == (number if apart == "two" else 0):
                    receive(hops, name, outcome)
        if not insert:
            receive(hops, "waits", "parked")
        hops.store(storage, tmp_path)
    expected = dict.fromkeys(names, ("bad", "web"))
    assert judged(storage, "return_cycle") == expected
    storage.execute("SYSTEM START MERGES milestones")
    storage.execute("OPTIMIZE TABLE milestones FINAL")
    assert judged(storage, "return_cycle") == expected


@pytest.mark.proves(245)
def test_what_was_spoiled_in_part_and_is_overdue_is_at_risk_once(storage: Storage, tmp_path: Path) -> None:
    hops = Hops()
    about: dict[str, Any] = {"provider": "card", "channel": "", "amount": 10_000}
    for number, by_hand in (("P1", 1), ("P2", 3), ("P3", 0)):
        identity = correlation_id("card", number)
        hops.hop(identity, "settlement.receive", "2026-03-20 10:00:00", "settlement", number, "received", quantity=3,
                 **about)  # fmt: skip
        if by_hand:
            hops.hop(identity, "settlement.match_by_hand", "2026-03-21 10:00:00", "settlement", number, "hand_matched",
                     quantity=by_hand, **about)  # fmt: skip
    hops.store(storage, tmp_path)
    effort = promise("reconciliation_effort")
    found = Queries(storage).items(effort, WINDOW, Filter())
    assert sorted((one.entity_id, one.weight, one.amount_minor) for one in found) == [
        ("P1", 1, 3333), ("P1", 2, 6667), ("P2", 3, 10_000), ("P3", 3, 10_000),
    ]  # fmt: skip
    whole = Measurer(Queries(storage), [effort], lambda: NOW).tick(NOW)[0]
    assert (whole.bad, whole.overdue_open, [one.amount_minor for one in whole.at_risk]) == (9, 9, [30_000])


RUNS = tuple(map(at, ("2026-03-24 07:00:00", "2026-03-24 08:00:00", "2026-03-24 12:00:00", "2026-03-25 12:00:00")))
UNEXPLAINED: dict[str, tuple[int | None, ...]] = {  # by channel, of each run; None: the run has no such cell
    "stated_again": (0, 0, 0, 0),
    "mended": (7, 0, 0, 0),
    "gone": (7, None, None, None),
    "late": (7, 7, 0, 0),
    "gone_late": (7, 7, None, None),
    "found_later": (0, 0, 7, 7),
    "found_and_mended": (0, 0, 7, 0),
    "known_late": (None, None, 0, 0),
}


def cells(storage: Storage, now: dt.datetime) -> dict[str, tuple[str, bool, int, int]]:
    window = Window(now, NOW - dt.timedelta(days=28), NOW - dt.timedelta(days=60))
    found = Queries(storage).items(promise("reconciliation_variance"), window, Filter(most=1000))
    return {one.channel: (one.verdict, bool(one.overdue), one.decided_us, one.amount_minor) for one in found}


@pytest.mark.proves(246)
def test_a_cell_is_reconciled_by_the_first_run_since_which_it_agreed(storage: Storage, tmp_path: Path) -> None:
    hops = Hops()
    for number, run_at in enumerate(RUNS):
        told: dict[str, Any] = {"at": run_at, "level": "L1", "business_date": "2026-03-23", "kind": "order",
                                "currency": "GBP", "run": number + 1}  # fmt: skip
        items = [told | {"channel": channel, "unexplained_minor": of[number]} for channel, of in UNEXPLAINED.items()
                 if of[number] is not None]  # fmt: skip
        hops.hop(correlation_id("reconciliation", "L1/2026-03-23"), "posting.reconcile",
                 f"{run_at:%Y-%m-%d %H:%M:%S}", "period", "L1/2026-03-23", "reconciled",
                 events=[("recon.item", one) for one in items])  # fmt: skip
    hops.store(storage, tmp_path)
    first, second, *_ = map(micros, RUNS)
    due = micros(at("2026-03-24 09:00:00"))
    in_time = {"stated_again": ("good", False, first, 0), "mended": ("good", False, second, 0),
               "gone": ("good", False, second, 0)}  # fmt: skip
    assert cells(storage, at("2026-03-24 10:00:00")) == in_time | {
        "late": ("bad", True, due, 7), "gone_late": ("bad", True, due, 7),
        "found_later": ("good", False, first, 0), "found_and_mended": ("good", False, first, 0),
    }  # fmt: skip
    assert cells(storage, NOW) == in_time | {
        "late": ("bad", False, due, 0), "gone_late": ("bad", False, due, 0), "found_later": ("bad", True, due, 7),
        "found_and_mended": ("bad", False, due, 0), "known_late": ("bad", False, due, 0),
    }  # fmt: skip
