from datetime import UTC, datetime, timedelta

import pytest

from lineage.judge import Judged, Tally, Thresholds, budget_left, judge, state

START = datetime(2011, 3, 1, 12, tzinfo=UTC)
DUE = START + timedelta(hours=4)


def after(**length: float) -> datetime:
    return START + timedelta(**length)


NEVER = None
EARLY, LATE_NOW = after(hours=3), after(hours=10)


@pytest.mark.parametrize(
    ("ended", "stopped", "now", "expected"),
    [
        pytest.param(after(hours=1), NEVER, LATE_NOW, Judged("good", after(hours=1)), id="in time"),
        pytest.param(DUE, NEVER, LATE_NOW, Judged("good", DUE), id="at the deadline itself"),
        pytest.param(NEVER, NEVER, EARLY, Judged("pending"), id="open and not due"),
        pytest.param(NEVER, NEVER, DUE, Judged("pending"), id="open at the deadline itself"),
        pytest.param(NEVER, NEVER, LATE_NOW, Judged("bad", DUE, True, 6 * 3600.0), id="open after it: overdue"),
        pytest.param(after(hours=5), NEVER, LATE_NOW, Judged("bad", DUE, False, 3600.0), id="late stays bad"),
        pytest.param(after(hours=5), NEVER, EARLY, Judged("pending"), id="what comes later has not happened yet"),
        pytest.param(NEVER, after(hours=2), LATE_NOW, Judged("excused", after(hours=2)), id="cancelled in time"),
        pytest.param(NEVER, DUE, LATE_NOW, Judged("excused", DUE), id="cancelled at the deadline itself"),
        pytest.param(NEVER, after(hours=5), LATE_NOW, Judged("bad", DUE, False, 21600.0), id="cancelled too late"),
        pytest.param(after(hours=1), after(hours=2), LATE_NOW, Judged("good", after(hours=1)), id="done first"),
        pytest.param(after(hours=2), after(hours=1), LATE_NOW, Judged("excused", after(hours=1)), id="cancelled first"),
        pytest.param(after(minutes=-2), NEVER, LATE_NOW, Judged("good", START), id="two minutes of skew are no time"),
        pytest.param(after(minutes=-2, seconds=-1), NEVER, LATE_NOW, Judged("refused", START), id="more is refused"),
    ],
)
def test_deadline_rule(ended: datetime | None, stopped: datetime | None, now: datetime, expected: Judged) -> None:
    assert judge(started_at=START, due_at=DUE, ended_at=ended, stopped_at=stopped, now=now) == expected


RULES = Thresholds(target_ppm=990_000)
NOW = datetime(2011, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tally", "watermark", "word", "reason"),
    [
        (Tally(), NOW, "no_data", "nothing was due in the window"),
        (Tally(good=4), NOW, "low_volume", "4 decided, fewer than 50; 0 overdue"),
        (Tally(pending=1), NOW, "low_volume", "0 decided, fewer than 50; 0 overdue"),
        (Tally(good=40, bad=2, overdue_open=2), NOW, "low_volume", "42 decided, fewer than 50; 2 overdue"),
        (Tally(bad=3, overdue_open=3), NOW, "low_volume", "3 decided, fewer than 50; 3 are overdue, 2 are allowed"),
        (Tally(good=995, bad=5), NOW, "meeting", "5 of 1,000 missed the deadline"),
        (Tally(good=992, bad=8), NOW, "at_risk", "20% of the budget is left"),
        (Tally(good=990, bad=10), NOW, "at_risk", "0% of the budget is left"),
        (Tally(good=989, bad=11), NOW, "breached", "11 of 1,000 missed the deadline, 10 are allowed"),
        (Tally(good=995, bad=5), None, "stale", "nothing arrived"),
        (Tally(good=995, bad=5), NOW - timedelta(hours=27), "stale", "nothing arrived since 2011-02-27 21:00 UTC"),
        (Tally(good=995, bad=5), NOW - timedelta(hours=26), "meeting", "5 of 1,000 missed the deadline"),
    ],
)
def test_state(tally: Tally, watermark: datetime | None, word: str, reason: str) -> None:
    assert state(tally, RULES, watermark, NOW) == (word, reason)


def test_open_items_are_not_left_out() -> None:
    """30,000 refunds, 5 % never posted: counting only finished ones shows 100 %, the deadline rule the truth."""
    tally = Tally(good=28_200, bad=1_485, pending=315)
    assert tally.value == pytest.approx(0.94997, abs=1e-5)


def test_budget() -> None:
    assert budget_left(Tally(good=1000), 990_000) == 1.0
    assert budget_left(Tally(good=990, bad=10), 990_000) == 0.0
    assert budget_left(Tally(good=980, bad=20), 990_000) == -1.0
    assert budget_left(Tally(), 990_000) is None
