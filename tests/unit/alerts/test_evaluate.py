"""A rule stepped along a timetable: at which second is somebody told, and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from alerts.condition import Counted, Place, Reading, judged
from alerts.evaluate import AlertState, step
from alerts.incident import Where, inhibited
from alerts.readings import of_samples
from alerts.rule import BadCount, Overdue
from lineage.model import Money, Sample

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def rule(**changed: Any) -> Overdue:
    fields: dict[str, Any] = {
        "overdue_at_least": 1,
        "for_seconds": 0.0,
        "keep_firing_for_seconds": 0.0,
        "stale_after_seconds": 60.0,
        **changed,
    }
    return Overdue(
        name="refund_not_in_ledger", sla="refund_to_ledger", domain="refund", severity="major", owner="finance",
        summary="refund not in the ledger by its deadline", next_step="look", **fields,
    )  # fmt: skip


def sample(second: float, overdue: int, *, channel: str = "web", value: int = 1250, location: str = "") -> Sample:
    at_risk = (Money(overdue * value, "GBP"),) if overdue else ()
    return Sample(
        sla="refund_to_ledger", channel=channel, location=location, provider="", as_of=at(second),
        window_start=at(-1000), window_end=at(second), good=9, bad=overdue, pending=0, excused=0, refused=0,
        oldest_due_at=at(-5) if overdue else None, target=0.99, value=0.9, state="breached", reason="",
        watermark=None, definition="d", overdue_open=overdue, at_risk=at_risk,
    )  # fmt: skip


def reading(second: float, overdue: int, *, channel: str = "web") -> Reading:
    ((_, found),) = of_samples([sample(second, overdue, channel="")], ["all"], {}).values()
    assert found is not None
    return msgspec.structs.replace(found, place=Place(level="channel", channel=channel))


def told(by: Overdue, overdue_by_second: dict[int, int | None]) -> list[tuple[int, str, str]]:
    """Steps once a second; the value of a second holds until the next one that is given, None is no measurement."""
    state = AlertState(rule=by.name, group="web")
    current: int | None = 0
    notices: list[tuple[int, str, str]] = []
    for second in range(max(overdue_by_second) + 1):
        current = overdue_by_second.get(second, current)
        taken = step(state, None if current is None else reading(second, current), by, at(second))
        state = taken.state
        if taken.change in ("firing", "resolved"):
            notices.append((second, taken.change, taken.reason))
    return notices


def test_pages_once_and_resolves_once() -> None:
    assert told(rule(), {0: 0, 3: 2, 9: 3, 20: 0, 30: 0}) == [
        (3, "firing", "2 overdue and still open"),
        (20, "resolved", "0 overdue, fewer than 1"),
    ]


def test_pages_after_it_held_for_long_enough() -> None:
    assert told(rule(for_seconds=5), {2: 1, 30: 1}) == [(7, "firing", "1 overdue and still open for 5 s")]


def test_nobody_is_told_of_what_was_over_in_time() -> None:
    assert told(rule(for_seconds=5), {2: 1, 6: 0, 8: 1, 12: 0, 40: 0}) == []


def test_keeps_firing_through_a_flicker() -> None:
    assert told(rule(keep_firing_for_seconds=4), {1: 1, 5: 0, 7: 1, 10: 0, 30: 0}) == [
        (1, "firing", "1 overdue and still open"),
        (13, "resolved", "0 overdue, fewer than 1"),
    ]


def test_silence_neither_pages_nor_resolves() -> None:
    assert told(rule(for_seconds=2), {1: 1, 5: None, 20: 0, 25: 0}) == [
        (3, "firing", "1 overdue and still open for 2 s"),
        (20, "resolved", "0 overdue, fewer than 1"),
    ]
    assert told(rule(), {0: None, 20: None}) == []


def test_a_stale_or_older_measurement_changes_nothing() -> None:
    by = rule(stale_after_seconds=10)
    quiet = AlertState(rule=by.name, group="web")
    stale = step(quiet, reading(0, 4), by, at(11))
    assert (stale.state, stale.change) == (quiet, None)
    assert stale.reason == "the newest measurement is of 2026-03-01 09:00:00 UTC"
    fired = step(quiet, reading(5, 1), by, at(5)).state
    late = step(fired, reading(4, 0), by, at(6))
    assert (late.state, late.reason) == (fired, "a newer measurement was judged already")


def test_each_firing_has_an_identity_of_its_own() -> None:
    by = rule()
    quiet = AlertState(rule=by.name, group="web")
    first = step(quiet, reading(1, 1), by, at(1)).state
    assert step(quiet, reading(1, 1), by, at(1)).state == first
    resolved = step(first, reading(2, 0), by, at(2)).state
    assert (resolved.phase, resolved.alert_id) == ("resolved", first.alert_id)
    second = step(resolved, reading(3, 1), by, at(3)).state
    assert second.phase == "firing"
    assert second.alert_id != first.alert_id
    other = step(AlertState(rule=by.name, group="store"), reading(1, 1, channel="store"), by, at(1)).state
    assert other.alert_id not in {first.alert_id, second.alert_id}


def test_a_resolve_still_knows_what_was_at_stake() -> None:
    by = rule()
    fired = step(AlertState(rule=by.name, group="web"), reading(1, 2), by, at(1)).state
    resolved = step(fired, reading(2, 0), by, at(2)).state
    assert (resolved.at_risk, resolved.oldest_due_at, resolved.overdue_open) == ((Money(2500, "GBP"),), at(-5), 0)


@pytest.mark.parametrize(
    ("samples", "known", "overdue"),
    [
        pytest.param([("", 3), ("web", 2), ("store", 1)], [], {"web": 2, "store": 1}, id="one judgement per channel"),
        pytest.param([("", 0)], ["web"], {"web": 0}, id="a channel that is gone has nothing open"),
        pytest.param([("web", 2)], ["web", "store"], {"web": None, "store": None}, id="without the total, nothing"),
        pytest.param([], [], {"*": None}, id="nothing measured"),
        pytest.param([("", 3), ("web", 2)], [], {"web": 2, "": 1}, id="what has no channel is not lost"),
        pytest.param([("", 2), ("web", 2)], ["", "web"], {"web": 2, "": 0}, id="and resolves"),
    ],
)
def test_channels(samples: list[tuple[str, int]], known: list[str], overdue: dict[str, int | None]) -> None:
    places = {channel: Place(level="channel", channel=channel) for channel in known}
    judged = of_samples([sample(1, count, channel=channel) for channel, count in samples], ["channel"], places)
    assert {channel: each.overdue_open if each else None for channel, (_, each) in judged.items()} == overdue


def test_each_level_is_judged_apart_and_only_when_asked() -> None:
    measured = [sample(1, 2, channel=""), sample(1, 2), sample(1, 2, location="WH1")]
    assert {key: each and each.overdue_open for key, (_, each) in of_samples(measured, ["channel"], {}).items()} == {
        "web": 2
    }
    assert set(of_samples(measured, ["all", "channel", "location"], {})) == {"*", "web", "web/WH1"}


def test_the_value_without_channel_is_the_rest() -> None:
    _, rest = of_samples([sample(1, 3, channel=""), sample(1, 2)], ["channel"], {})[""]
    assert rest is not None
    assert rest.at_risk == (Money(1250, "GBP"),)


def test_a_channel_that_the_newest_measurement_does_not_cover_has_nothing_open() -> None:
    web = Place(level="channel", channel="web")
    _, judged = of_samples([sample(9, 0, channel=""), sample(5, 2)], ["channel"], {"web": web})["web"]
    assert judged is not None
    assert (judged.overdue_open, judged.as_of) == (0, at(9))


def holds(by: Any, **seen: Any) -> tuple[bool, str]:
    found = judged(by, Reading(place=Place(), as_of=at(0), **seen), at(0))
    return found.holds, found.why


def test_a_number_tells_only_where_few_were_decided_and_value_and_age_always() -> None:
    by = rule(overdue_at_least=3, decided_under=50, value_at_least={"GBP": 5000}, oldest_seconds=3600)
    assert holds(by, overdue_open=3, decided=49) == (True, "3 overdue and still open")
    assert holds(by, overdue_open=3, decided=50) == (
        False, "3 overdue, 50 decided, so that a number says nothing and less than 50.00 GBP"
    )  # fmt: skip
    assert holds(by, overdue_open=3, decided=50, at_risk=(Money(5000, "GBP"),))[0]
    assert holds(by, overdue_open=1, decided=50, oldest_due_at=at(-3600)) == (
        True, "1 overdue and still open, the oldest for 1 h"
    )  # fmt: skip


def test_bad_items_are_counted_in_their_window() -> None:
    by = BadCount(
        name="escaped", sla="duplicate_order_rate", domain="order", severity="critical", summary="s", next_step="n",
        stale_after_seconds=60, bad_at_least=2, within_seconds=3600,
    )  # fmt: skip
    assert holds(by, recent={3600: Counted(900, 1)}) == (False, "1 bad in 1 h")
    assert holds(by, recent={3600: Counted(0, 2)}) == (True, "2 bad in 1 h")


@pytest.mark.parametrize(
    ("where", "firing", "why"),
    [
        (Where("channel", "web"), ("mine", Where("all")), "the same rule fires for all of it"),
        (Where("location", "store", "LON"), ("mine", Where("channel", "store")), "the same rule fires for store"),
        (Where("location", "store", "LON"), ("mine", Where("channel", "web")), ""),
        (Where("all"), ("mine", Where("channel", "web")), ""),
        (Where("all"), ("cause", Where("all")), "cause fires for all of it"),
        (Where("channel", "web"), ("cause", Where("channel", "web")), "cause fires for web"),
        (Where("channel", "web"), ("cause", Where("location", "web", "LON")), ""),
        (Where("all", "web", subject="exception:x"), ("cause", Where("channel", "web")), "cause fires for web"),
        (Where("channel", "web"), ("other", Where("all")), ""),
    ],
)
def test_what_another_tells_already_is_not_told(where: Where, firing: tuple[str, Where], why: str) -> None:
    assert inhibited("mine", where, {firing}, ["cause"]) == why
