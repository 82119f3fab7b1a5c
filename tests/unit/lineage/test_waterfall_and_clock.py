from datetime import UTC, datetime, timedelta

from lineage.clock import BusinessClock, business_now
from lineage.rows import EventRow, TraceRow
from lineage.waterfall import waterfall

WALL = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)


def row(span_id: str, parent: str, start_us: int, end_us: int, outcome: str = "ok") -> TraceRow:
    events = (EventRow(start_us, "line", {"sku": "22952"}),)
    return TraceRow(span_id, parent, f"hop {span_id}", "core", start_us, end_us, 0, "", outcome, "", {}, events)


def test_parents_come_before_children_and_orphans_are_told() -> None:
    rows = [row("c", "b", 30, 40), row("x", "gone", 5, 90, "failed"), row("b", "a", 20, 60), row("a", "", 10, 70)]
    trace = waterfall("t", rows)
    assert [(span.span_id, span.depth, span.offset_us, span.duration_us) for span in trace.spans] == [
        ("x", 0, 0, 85), ("a", 0, 5, 60), ("b", 1, 15, 40), ("c", 2, 25, 10),
    ]  # fmt: skip
    assert (trace.duration_us, trace.orphans, trace.failed) == (85, 1, 1)
    assert trace.spans[0].events[0].attrs == {"sku": "22952"}


def test_spans_that_name_each_other_as_parents_are_shown_too() -> None:
    trace = waterfall("t", [row("a", "b", 1, 2), row("b", "a", 1, 2), row("c", "c", 1, 2)])
    assert sorted(span.span_id for span in trace.spans) == ["a", "b", "c"]


def test_business_present() -> None:
    assert business_now(WALL, "wall", NEWEST) == WALL
    assert business_now(WALL, "file", NEWEST) == NEWEST
    assert business_now(WALL, "file", None) == WALL


def test_the_store_is_asked_again_after_two_seconds() -> None:
    wall, asked = [WALL], []

    def newest(now: datetime) -> datetime:
        asked.append(now)
        return NEWEST + timedelta(days=len(asked))

    clock = BusinessClock(lambda: wall[0], "file", newest)
    assert clock() == clock() == NEWEST + timedelta(days=1)
    wall[0] += timedelta(seconds=2)
    assert clock() == NEWEST + timedelta(days=2)
    assert len(asked) == 2
    assert BusinessClock(lambda: WALL, "wall", newest)() == WALL
