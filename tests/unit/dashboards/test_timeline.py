from collections.abc import Callable
from datetime import datetime, timedelta

from dashboards.timeline import LONGEST, Awaited, Deadline, Gap, LeftOut, Missing, Now, Step, rows
from lineage.model import Expected, HeldTo, Hop, Journey


def expected(now: datetime, due_hours: float | None, *, overdue: bool = False) -> Expected:
    due = None if due_hours is None else now + timedelta(hours=due_hours)
    return Expected(
        flow="order", step="erp", title="accepted by the ERP", entity="posting", entity_id="order/1",
        milestone="erp_accepted", since=now, due_at=due, overdue=overdue,
        overdue_seconds=3_600 * -(due_hours or 0) if overdue else 0.0, owner="finance", amount=None,
    )  # fmt: skip


def test_idle_time_is_one_row_with_its_length(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    moments = [timedelta(days=-3), timedelta(days=-3, seconds=59), timedelta(days=-3, minutes=20), timedelta(hours=-5)]
    told = rows(make_journey(hops=tuple(make_hop(f"a.{n}", now + at) for n, at in enumerate(moments))))

    assert [type(row) for row in told] == [Step, Step, Gap, Step, Gap, Step]
    assert [row for row in told if isinstance(row, Gap)] == [
        Gap(label="19 min later", size="short"),
        Gap(label="2 d 18 h later", size="long"),
    ]


def held_to(hop: Hop, due_at: datetime, *, promise: str = "", set_by: str = "") -> HeldTo:
    return HeldTo(span_id=hop.span_id, at=hop.at, due_at=due_at, promise=promise, set_by=set_by)


def test_a_step_says_which_deadline_it_had(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    hops = tuple(make_hop(f"a.{n}", now + timedelta(seconds=n), span_id=str(n)) for n in range(4))
    due = now + timedelta(hours=1)
    told = rows(
        make_journey(
            hops=hops,
            held_to=(
                held_to(hops[1], due, promise="refund_to_ledger"),
                held_to(hops[1], due + timedelta(hours=3), set_by="journal written"),
                held_to(hops[2], due, set_by="journal written"),
                held_to(hops[3], due),
            ),
        )
    )
    assert [step.due.label if step.due else "" for step in told if isinstance(step, Step)] == [
        "",
        "59 min before the deadline of “Refund to ledger”",
        "59 min before the deadline set with “journal written”",
        "59 min before the deadline of its flow",
    ]
    assert not [row for row in told if isinstance(row, Deadline)]


def test_a_late_step_stands_below_the_deadline_it_missed(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    due = now + timedelta(hours=1)
    late = make_hop("posting.send", now + timedelta(hours=3), title="accepted by the ERP", span_id="b")
    told = rows(
        make_journey(
            hops=(make_hop("posting.journal", now, span_id="a"), late), held_to=(held_to(late, due, set_by="sent"),)
        )
    )
    assert [type(row) for row in told] == [Step, Gap, Deadline, Gap, Step]
    assert told[2] == Deadline(at=due, label="deadline for: accepted by the ERP")
    last = told[4]
    assert isinstance(last, Step)
    assert last.due is not None
    assert (last.due.late, last.due.label) == (True, "2 h after the deadline set with “sent”")


def test_what_is_missing_stands_where_it_was_due_and_what_is_awaited_after_now(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    late, coming, someday = expected(now, -2, overdue=True), expected(now, 4), expected(now, None)
    told = rows(
        make_journey(
            hops=(make_hop("a.b", now - timedelta(hours=6)), make_hop("a.c", now - timedelta(hours=1))),
            expected=(late, coming, someday),
        )
    )
    assert [type(row) for row in told] == [Step, Gap, Missing, Gap, Step, Gap, Now, Awaited, Awaited]
    assert told[2] == Missing(at=now - timedelta(hours=2), expected=late)
    assert told[-2:] == (
        Awaited(at=now + timedelta(hours=4), wait_seconds=14_400.0, expected=coming),
        Awaited(at=None, wait_seconds=0.0, expected=someday),
    )


def test_a_journey_that_is_complete_has_no_now(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    assert [type(row) for row in rows(make_journey(hops=(make_hop("a.b", now),)))] == [Step]


def test_of_a_very_long_journey_the_middle_is_left_out(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    told = rows(make_journey(hops=tuple(make_hop("a.b", now, entity_id=str(n)) for n in range(LONGEST + 7))))
    assert len(told) == LONGEST + 1
    assert told[LONGEST // 2] == LeftOut(count=7)
    last = told[-1]
    assert isinstance(last, Step)
    assert last.hop.entity_id == str(LONGEST + 6)
