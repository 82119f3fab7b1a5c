"""What a transaction still has to reach: the steps that its flows promise and that have not happened."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from lineage.deadlines import Calendar
from lineage.flows import ANY_OBJECT, Flows, Step
from lineage.milestones import Arrival
from lineage.model import Expected

_FAR: Final = float("inf")


def expected(reached: Sequence[Arrival], flows: Flows, calendar: Calendar, now: datetime) -> tuple[Expected, ...]:
    """By due time, so overdue steps first; of two promises about one milestone the earlier due one is kept."""
    by_milestone: dict[str, list[Arrival]] = {}
    for arrival in reached:
        by_milestone.setdefault(arrival.reached, []).append(arrival)
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


def _due(item: Expected) -> float:
    return item.due_at.timestamp() if item.due_at else _FAR


def _closed(step: Step, start: Arrival, by_milestone: dict[str, list[Arrival]]) -> bool:
    if start.parked and not step.even_when_parked:
        return True
    if start.entity_id.startswith(step.leaves_to_others):
        return True
    if _reached(by_milestone.get(step.reached, ()), step.id, start.entity_id):
        return True
    return any(_reached(by_milestone.get(end, ()), "{id}", start.entity_id) for end in step.unless)


def _reached(arrivals: Iterable[Arrival], object_id: str, started_id: str) -> bool:
    wanted = object_id.replace("{id}", started_id)
    return any(object_id == ANY_OBJECT or arrival.entity_id == wanted for arrival in arrivals)


def _expect(step: Step, start: Arrival, calendar: Calendar, now: datetime) -> Expected:
    deadline = step.deadline_for(start.hop.channel)
    due_at = deadline.due(start.at, calendar) if deadline else None
    if step.due_from_hop and start.hop.due_at:
        due_at = start.hop.due_at
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
