"""What a transaction still has to reach: the steps that its flows promise and that have not happened."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from lineage.deadlines import Calendar
from lineage.flows import ANY_OBJECT, Flows, Step
from lineage.milestones import Arrival
from lineage.model import Expected, HeldTo

_FAR: Final = float("inf")


def expected(reached: Sequence[Arrival], flows: Flows, calendar: Calendar, now: datetime) -> tuple[Expected, ...]:
    """By due time, so overdue steps first; of two promises about one milestone the earlier due one is kept."""
    by_milestone = _by_milestone(reached)
    found: dict[tuple[str, str, str], Expected] = {}
    for step in flows.expecting:
        for start in by_milestone.get(step.after, ()):
            if _closed(step, start, by_milestone):
                continue
            item = _expect(step, start, calendar, now)
            key = (item.entity, item.entity_id, item.milestone)
            if key not in found or _due(item) < _due(found[key]):
                found[key] = item
    return tuple(sorted(found.values(), key=lambda item: (_due(item), item.since)))


def held_to(reached: Sequence[Arrival], flows: Flows, calendar: Calendar) -> tuple[HeldTo, ...]:
    """Of each step that was expected of an object and happened, the earliest deadline; by the hop that reached it."""
    by_milestone = _by_milestone(reached)
    found: dict[tuple[str, str, str], HeldTo] = {}
    for step in flows.expecting:
        for start in by_milestone.get(step.after, ()):
            due_at = _due_at(step, start, calendar)
            if due_at is None or not step.expected_after(start.entity_id):
                continue
            for end in by_milestone.get(step.reached, ()):
                if end.entity_id != step.object_id(start.entity_id):
                    continue
                key = (end.entity, end.entity_id, end.milestone)
                if key not in found or due_at < found[key].due_at:
                    by_hop = step.due_from_hop and start.hop.due_at is not None
                    found[key] = HeldTo(span_id=end.hop.span_id, at=end.at, due_at=due_at, promise=step.sla,
                                        set_by=start.hop.title if by_hop else "")  # fmt: skip
    return tuple(sorted(found.values(), key=lambda one: one.at))


def _by_milestone(reached: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    found: dict[str, list[Arrival]] = {}
    for arrival in reached:
        found.setdefault(arrival.reached, []).append(arrival)
    return found


def _due(item: Expected) -> float:
    return item.due_at.timestamp() if item.due_at else _FAR


def _closed(step: Step, start: Arrival, by_milestone: dict[str, list[Arrival]]) -> bool:
    if start.parked and not step.even_when_parked:
        return True
    if not step.expected_after(start.entity_id):
        return True
    if _reached(by_milestone.get(step.reached, ()), step.id, start.entity_id):
        return True
    return any(_reached(by_milestone.get(end, ()), "{id}", start.entity_id) for end in step.unless)


def _reached(arrivals: Iterable[Arrival], object_id: str, started_id: str) -> bool:
    wanted = object_id.replace("{id}", started_id)
    return any(object_id == ANY_OBJECT or arrival.entity_id == wanted for arrival in arrivals)


def _due_at(step: Step, start: Arrival, calendar: Calendar) -> datetime | None:
    if step.due_from_hop and start.hop.due_at:
        return start.hop.due_at
    deadline = step.deadline_for(start.hop.channel)
    return deadline.due(start.at, calendar) if deadline else None


def _expect(step: Step, start: Arrival, calendar: Calendar, now: datetime) -> Expected:
    due_at = _due_at(step, start, calendar)
    late = (now - due_at).total_seconds() if due_at else 0.0
    return Expected(
        flow=step.flow,
        step=step.name,
        title=step.title,
        entity=step.entity,
        entity_id="" if step.id == ANY_OBJECT else step.object_id(start.entity_id),
        milestone=step.milestone,
        since=start.at,
        due_at=due_at,
        overdue=late > 0,
        overdue_seconds=max(late, 0.0),
        owner=start.hop.owner or step.owner,
        amount=start.hop.amount,
    )
