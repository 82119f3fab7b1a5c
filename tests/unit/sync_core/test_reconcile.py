"""Cells of a reconciled day: what is explained is not missing, and they fall due on the next business day."""

import datetime as dt

import pytest

from sync_core.ledger.ledger import load_rules
from sync_core.reconciliation.cells import Day, Key, Level, Pair, add, due_at, next_business_day
from sync_core.reconciliation.onboarding import passed_on


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2026-03-02", "2026-03-03"),
        ("2026-03-06", "2026-03-09"),
        ("2026-03-07", "2026-03-09"),
        ("2026-03-08", "2026-03-09"),
    ],
)
def test_the_next_business_day_skips_the_weekend(day: str, following: str) -> None:
    assert next_business_day(dt.date.fromisoformat(day)) == dt.date.fromisoformat(following)


KEY = Key("L1", dt.date(2026, 3, 2), "web", "", "", "order", "", "GBP")


@pytest.mark.parametrize(
    ("level", "provider", "kind", "due"),
    [
        ("L0", "", "order_list", "2026-03-03"), ("L1", "", "order", "2026-03-03"), ("L2", "", "shipment", "2026-03-03"),
        ("L3", "card", "sale", "2026-03-10"), ("L3", "amazon", "refund", "2026-03-24"),
        ("L3", "card", "net", "2026-03-03"),
        ("L4", "card", "payout", "2026-03-04"), ("L5", "", "tax", "2026-03-03"),
    ],
)  # fmt: skip
def test_a_cell_falls_due_when_its_money_is_due(level: Level, provider: str, kind: str, due: str) -> None:
    key = Key(level, dt.date(2026, 3, 2), "", provider, "", kind, "", "GBP")
    assert due_at(key, load_rules()) == dt.datetime.fromisoformat(f"{due}T09:00:00+00:00")


def whole(left: int, right: int, explained: int = 0, why: str = "") -> Pair:
    return Pair(KEY, None, "", "", "", left, right, 1, 1, explained, why, "")


def test_what_is_explained_is_named_and_the_rest_is_unexplained() -> None:
    day = Day()
    one = Pair(KEY, b"x" * 16, "shop", "order", "1", 1_000, 0, 1, 0, 900, "timing", "journal_differs")
    add({("L1", KEY.business_date): day}, [whole(9_000, 7_000, 1_900, "known"), whole(1_000, 0, 900, "timing"), one])
    [cell] = day.cells.values()
    assert (cell.left_minor, cell.unexplained_minor, cell.reason) == (10_000, 200, "known 1900, timing 900")
    assert [(entry.why, entry.amount_minor) for entry in day.entries] == [("timing", 900), ("unexplained", 100)]
    assert (day.broken, day.unexplained_minor) == (True, 200)


def test_more_on_the_right_is_unexplained_too() -> None:
    day = Day()
    add({("L1", KEY.business_date): day}, [whole(0, 5)])
    assert day.cells[KEY].unexplained_minor == -5


@pytest.mark.parametrize(
    ("clean", "broken", "passed"),
    [
        ("3 4 5", "", 5),
        ("5 6 9", "", 9),
        ("6 7 8 9", "", None),
        ("6 9 10", "8", None),
        ("3 4 6", "", None),
        ("3 4 6 9 10", "5", 10),
        ("3 4 10", "5", None),
    ],
)
def test_a_channel_is_live_after_three_business_days_running_without_a_difference(
    clean: str, broken: str, passed: int | None
) -> None:
    told = [(day, wrong) for days, wrong in ((clean, False), (broken, True)) for day in days.split()]
    found = passed_on({dt.date(2026, 3, int(day)): wrong for day, wrong in told})
    assert found == (passed and dt.date(2026, 3, passed))
