from datetime import UTC, datetime, timedelta

import pytest

from dashboards import wording
from dashboards.wording import DASH, MINUS
from lineage.model import Money

NOW = datetime(2026, 11, 20, 10, 42, 30, tzinfo=UTC)
SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (Money(-1320, "GBP"), f"{MINUS}£13.20"),
        (Money(977589033, "GBP"), "£9,775,890.33"),
        (Money(5, "EUR"), "€0.05"),
        (Money(1250, "JPY"), f"JPY{SPACE}1,250"),
        (Money(1250, "KWD"), f"KWD{SPACE}1.250"),
        (Money(-100, "CAD"), f"{MINUS}CAD{SPACE}1.00"),
    ],
)
def test_money_is_exact_in_its_own_currency(amount: Money, said: str) -> None:
    assert wording.money(amount) == said


def test_currencies_stand_side_by_side() -> None:
    amounts = wording.added([Money(100, "GBP"), Money(50, "EUR"), Money(-30, "GBP")])
    assert amounts == (Money(50, "EUR"), Money(70, "GBP"))
    assert wording.monies(amounts) == "€0.50 + £0.70"
    assert wording.monies([Money(0, "GBP")]) == "none"


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.98998, "98.99%"), (0.99, "99.00%"), (0.99999, "99.99%"), (1.0, "100.00%"), (0.0, "0.00%"), (None, DASH),
     (0.29, "29.00%")],
)  # fmt: skip
def test_a_share_is_never_rounded_up(value: float | None, said: str) -> None:
    assert wording.share(value) == said


def test_a_target_has_the_digits_it_was_given() -> None:
    assert [wording.target(value) for value in (0.99, 0.999, 0.9999, 0.95)] == ["99%", "99.9%", "99.99%", "95%"]


@pytest.mark.parametrize(
    ("left", "said"),
    [(0.42, "42%"), (0.0, "0%"), (-0.001, "overspent by 1%"), (-1.88, "overspent by 188%"), (None, DASH)],
)
def test_budget_may_be_overspent(left: float | None, said: str) -> None:
    assert wording.budget(left) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0123, "+1.23 pt"), (-0.0214, f"{MINUS}2.14 pt"), (0.00001, "unchanged"), (None, "no earlier period")],
)
def test_change_is_in_points(value: float | None, said: str) -> None:
    assert wording.change(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (0.4, "under 1 s"), (45, "45 s"), (125, "2 min 5 s"), (1_205, "20 min"), (3_600, "1 h"),
        (11_520, "3 h 12 min"), (187_200, "2 d 4 h"), (30 * 86_400 + 7_200, "30 d"), (-125, "2 min 5 s"),
    ],
)  # fmt: skip
def test_a_duration_has_its_two_largest_units(seconds: float, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(hours=3), "07:42"),
        (timedelta(days=3), "17 Nov, 10:42"),
        (timedelta(days=730), "20 Nov 2024, 10:42"),
    ],
)
def test_a_time_says_no_more_than_it_must(before: timedelta, said: str) -> None:
    assert wording.when(NOW - before, NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(20, "under 1 min"), (190, "3 min"), (7_500, "2 h"), (200_000, "2 d"), (-5, "under 1 min")]
)
def test_age_in_its_largest_unit(seconds: int, said: str) -> None:
    assert wording.age(NOW - timedelta(seconds=seconds), NOW) == said


def test_a_link_reads_from_here_to_there() -> None:
    assert wording.link("returns", "out") == "returns goods of"
    assert wording.link("returns", "in") == "goods came back in"
    assert wording.link("bundled_with", "in") == "bundled with"


def test_an_outcome_nobody_declared_is_shown_as_it_is() -> None:
    assert wording.outcome("half_done") == wording.State("half done", "question", "unknown")
