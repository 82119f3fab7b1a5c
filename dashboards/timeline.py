"""A journey as rows to read from top to bottom: what happened, how long nothing did, what was due, what is missing."""

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from dashboards.wording import duration, plain, sentence
from lineage.model import Expected, HeldTo, Hop, Journey

LONGEST: Final = 200
"""Rows shown; of a longer journey the middle is left out, and the page says so."""


class Gap(Struct, frozen=True, kw_only=True):
    """Time in which nothing happened, drawn short and labelled."""

    label: str  # "2 d 4 h later"
    size: Literal["short", "middle", "long"]


class Due(Struct, frozen=True, kw_only=True):
    """How a step stands to the deadline that it had, and whose deadline that is."""

    at: datetime
    late: bool
    label: str  # "3 h before the deadline of “Refund to ledger”"


class Step(Struct, frozen=True, kw_only=True):
    at: datetime
    hop: Hop
    due: Due | None


class Deadline(Struct, frozen=True, kw_only=True):
    """A deadline that passed before the step it was for."""

    at: datetime
    label: str


class Missing(Struct, frozen=True, kw_only=True):
    """A step that should have happened by now, at the time it was due."""

    at: datetime
    expected: Expected


class Now(Struct, frozen=True, kw_only=True):
    at: datetime


class Awaited(Struct, frozen=True, kw_only=True):
    """A step still to come."""

    at: datetime | None
    wait_seconds: float  # from now to its deadline; 0 when it has none
    expected: Expected


class LeftOut(Struct, frozen=True, kw_only=True):
    count: int


Mark = Step | Deadline | Missing | Now | Awaited
Row = Mark | Gap | LeftOut


def rows(journey: Journey) -> tuple[Row, ...]:
    marks = _shortened(_marks(journey))
    told: list[Row] = []
    before: datetime | None = None
    for mark in marks:
        at = None if isinstance(mark, LeftOut | Awaited) else mark.at
        if before and at and (gap := _gap(before, at)):
            told.append(gap)
        told.append(mark)
        before = at or before
    return tuple(told)


def _marks(journey: Journey) -> list[Mark]:
    hops = journey.hops
    held_to = {one.span_id: one for one in sorted(journey.held_to, key=_spare, reverse=True)}  # the least spare stays
    past: list[Mark] = []
    for hop in hops:
        due = _due(held_to[hop.span_id]) if hop.span_id in held_to else None
        if due and due.late:
            past.append(Deadline(at=due.at, label=f"deadline for: {hop.title}"))
        past.append(Step(at=hop.at, hop=hop, due=due))
    past += [Missing(at=late.due_at, expected=late) for late in journey.expected if late.overdue and late.due_at]
    past.sort(key=lambda mark: mark.at or journey.as_of)
    coming = (step for step in journey.expected if not (step.overdue and step.due_at))
    awaited = [Awaited(at=step.due_at, wait_seconds=_wait(step, journey.as_of), expected=step) for step in coming]
    return [*past, *([Now(at=journey.as_of)] if journey.expected else []), *awaited]


def _spare(one: HeldTo) -> float:
    return (one.due_at - one.at).total_seconds()


def _due(one: HeldTo) -> Due:
    spare = _spare(one)
    whose = f"of “{sentence(plain(one.promise))}”" if one.promise else f"set with “{one.set_by}”" if one.set_by else ""
    said = f"{duration(spare)} {'before' if spare >= 0 else 'after'} the deadline {whose or 'of its flow'}"
    return Due(at=one.due_at, late=spare < 0, label=said)


def _wait(step: Expected, now: datetime) -> float:
    return (step.due_at - now).total_seconds() if step.due_at else 0.0


def _gap(before: datetime, at: datetime) -> Gap | None:
    seconds = (at - before).total_seconds()
    if seconds < 60:
        return None
    size: Literal["short", "middle", "long"] = "short" if seconds < 3_600 else "middle" if seconds < 86_400 else "long"
    return Gap(label=f"{duration(seconds)} later", size=size)


def _shortened(marks: list[Mark]) -> list[Mark | LeftOut]:
    if len(marks) <= LONGEST:
        return list(marks)
    half = LONGEST // 2
    return [*marks[:half], LeftOut(count=len(marks) - LONGEST), *marks[-half:]]
