from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from lineage.brands import Brand, Brands
from lineage.judge import Tally
from lineage.model import Money, Sample, SlaState
from lineage.rolling import ALL, DAY_US, DayRow, Measure, Segment, boundaries, by_segment, current
from lineage.rows import SampleRow, micros, moment
from lineage.samples import COLUMNS, naming_the_silent, read, sample, segments, stored, tile
from lineage.slas import load

REFUNDS = load()[1]
NOW = datetime(2011, 3, 31, 12, tzinfo=UTC)
TODAY = micros(NOW) // DAY_US


def row(day: int, channel: str = "trade", inside: int = 1, location: str = "WH1", **counts: int) -> DayRow:
    zero = dict.fromkeys(DayRow._fields[7:], 0)
    return DayRow(day, inside, channel, location, "card", "", "GBP", *(zero | counts).values())


def midnights(rows: list[DayRow], days: range, window_days: int) -> list[Measure]:
    starts = {day: day - window_days for day in days}
    return list(boundaries(ALL, rows, days, starts, {day: day * DAY_US for day in days}))


def test_segments_are_the_whole_and_the_declared_combinations() -> None:
    rows = [row(1), row(2), row(2, channel="web"), row(2, channel="web", location="")]
    found = by_segment(rows, [["channel"], ["channel", "location"]])
    assert {segment: len(of) for segment, of in found.items()} == {
        ALL: 4, Segment("trade"): 2, Segment("trade", "WH1"): 2, Segment("web"): 2, Segment("web", "WH1"): 1,
    }  # fmt: skip


def test_what_is_measured_of_places_is_measured_of_brands_and_their_channels() -> None:
    rows = [row(1), row(2), row(2, channel="web"), row(2, channel="web", location=""), row(2, "post", location="X")]
    brands = Brands((Brand("Harbour", channels=("web",)), Brand("Vale", channels=("trade",), locations=("WH1",))))
    found = by_segment(rows, [["channel"]], brands)
    assert {segment: len(of) for segment, of in found.items() if segment.brand} == {
        Segment(brand="Harbour"): 1, Segment("web", brand="Harbour"): 1, Segment(brand="Vale"): 3,
        Segment("trade", brand="Vale"): 2, Segment("web", brand="Vale"): 1,
    }  # fmt: skip
    assert {segment: len(of) for segment, of in found.items() if not segment.brand} == {
        ALL: 5, Segment("trade"): 2, Segment("web"): 2, Segment("post"): 1,
    }  # fmt: skip
    assert by_segment(rows, [["provider"]], brands).keys() == {ALL, Segment(provider="card")}


def test_now_counts_decisions_inside_the_window_and_everything_still_open() -> None:
    rows = [
        row(TODAY - 40, inside=0, good=7, bad=1, opened=9, closed=8, overdue_in=1, amount_in=500),
        row(TODAY - 28, inside=0, good=2, opened=2, closed=2),
        row(TODAY - 28, good=3, opened=3, closed=3),
        row(TODAY, good=4, bad=2, opened=8, closed=6, overdue_in=2, overdue_out=1, amount_in=300, amount_out=200,
            oldest_due_us=77),
    ]  # fmt: skip
    found = current(ALL, rows, NOW)
    assert found.tally == Tally(good=7, bad=2, pending=3, overdue_open=2)
    assert found.at_risk == (Money(600, "GBP"),)
    assert found.oldest_due_us == 77


def test_each_midnight_has_the_window_that_ended_then() -> None:
    rows = [
        row(10, good=5, bad=1, opened=8, closed=6, overdue_in=1, amount_in=100),
        row(11, good=1, opened=1, closed=2, overdue_out=1, amount_out=100),
        row(14, good=2, opened=2, closed=2),
    ]
    found = {one.as_of_us // DAY_US: one for one in midnights(rows, range(11, 17), 3)}
    assert [found[day].tally.good for day in range(11, 17)] == [5, 6, 6, 1, 2, 2]
    assert [found[day].tally.bad for day in range(11, 17)] == [1, 1, 1, 0, 0, 0]
    assert [found[day].tally.pending for day in range(11, 17)] == [2, 1, 1, 1, 1, 1]
    assert [found[day].tally.overdue_open for day in range(11, 17)] == [1, 0, 0, 0, 0, 0]
    assert found[11].at_risk == (Money(100, "GBP"),)
    assert found[12].at_risk == ()


def test_a_window_that_began_before_the_bounded_history_is_whole() -> None:
    rows = [row(10, good=5), row(12, good=1)]
    (only,) = midnights(rows, range(13, 14), 28)
    assert only.tally.good == 6


def measured(good: int, bad: int, as_of: datetime = NOW, **also: Any) -> Sample:
    measure = current(ALL, [row(TODAY, good=good, bad=bad, **also)], as_of)
    return sample(REFUNDS, measure, micros(as_of))


def as_read(one: Sample) -> Sample:
    values = dict(zip(COLUMNS, stored(one, NOW, daily=False), strict=True))
    for name in ("as_of", "window_start", "window_end", "measured_at", "watermark"):
        values[name] = micros(values[name])
    kept = [values[name] for name in COLUMNS if name not in ("value_at_risk_minor", "currency", "daily")]
    return read(SampleRow(*kept))


def test_a_sample_reads_back_as_it_was_stored() -> None:
    one = measured(980, 20, overdue_in=2, amount_in=1320, oldest_due_us=5_000_000)
    assert one.state == "breached"
    assert one.oldest_due_at == moment(5_000_000)
    assert as_read(one) == msgspec.structs.replace(one, measured_at=NOW)
    row_of = dict(zip(COLUMNS, stored(one, NOW, daily=False), strict=True))
    assert (row_of["value_at_risk_minor"], row_of["currency"], row_of["target_ppm"]) == (1320, "GBP", 990_000)


def test_tile_of_a_promise_and_its_history() -> None:
    history = [measured(90, 10, NOW - timedelta(days=days)) for days in (40, 28, 1)]
    found = tile(REFUNDS, measured(995, 5), history, None)
    assert (found.state, found.value, found.target) == ("meeting", 0.995, 0.99)
    assert found.budget_left == 0.5
    assert found.change == 0.995 - 0.9
    assert [one.value for one in found.history] == [0.9, 0.9, 0.9, 0.995]
    assert (found.window_days, found.deadline, found.owner, found.unit) == (28, "4 h", "finance", "refunds")


def test_tile_before_the_first_measurement_and_after_the_last() -> None:
    never = tile(REFUNDS, None, [], None)
    assert (never.state, never.reason, never.value, never.as_of) == ("no_data", "not measured yet", None, None)
    stopped = tile(REFUNDS, measured(995, 5), [], NOW)
    assert stopped.state == "stale"
    assert stopped.reason == "not measured since 2011-03-31 12:00 UTC; was meeting: 5 of 1,000 missed the deadline"
    assert stopped.value == 0.995


def test_segments_come_worst_first() -> None:
    def of(channel: str, good: int, bad: int) -> Sample:
        return msgspec.structs.replace(measured(good, bad), channel=channel)

    channels = [of("a", 999, 1), of("b", 90, 10), of("c", 992, 8), of("d", 10, 0), of("e", 50, 50)]
    found = segments([measured(1, 1), *channels])
    assert [(one.channel, one.state) for one in found] == [
        ("e", "breached"), ("b", "breached"), ("c", "at_risk"), ("d", "low_volume"), ("a", "meeting"),
    ]  # fmt: skip


def test_the_whole_names_the_places_that_have_gone_silent() -> None:
    def at_place(location: str, word: SlaState) -> Sample:
        return msgspec.structs.replace(measured(9, 1), channel="store", location=location, state=word)

    whole = measured(995, 5)
    places = [at_place(f"S{number}", "stale") for number in range(5)]
    told, *others = naming_the_silent([whole, at_place("", "stale"), at_place("S9", "meeting"), *places])
    assert told.reason == "5 of 1,000 missed the deadline; silent: store/S0, store/S1, store/S2 and 2 more"
    assert told.state == "meeting"
    assert len(others) == 7
    assert naming_the_silent([whole, at_place("S9", "meeting")])[0] == whole
