"""A cell of a reconciled day: what is explained is not missing, and it falls due on the next business day."""

import datetime as dt

import pytest

from sync_core.reconcile import Cell, next_business_day


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


def test_what_is_explained_is_named_and_the_rest_is_unexplained() -> None:
    cell = Cell("web", "order", "GBP", 10_000, 7_000, {"waiting": 1_500, "refused": 0, "not paid yet": 1_400})
    assert (cell.unexplained_minor, cell.reason) == (100, "not paid yet 1400, waiting 1500")


def test_more_in_the_journal_than_in_the_documents_is_unexplained_too() -> None:
    assert Cell("web", "order", "GBP", 0, 5, {}).unexplained_minor == -5
    assert Cell("web", "credit_memo", "GBP", -500, -500, {"waiting": 0}).reason == ""
