"""A journey beside what its flow declares, or beside another journey, step by step."""

from collections import Counter
from collections.abc import Iterator

from lineage.flows import Flows, Step
from lineage.model import ComparedStep, Comparison, Journey, StepStanding


def with_flow(journey: Journey, flows: Flows) -> Comparison:
    """Every step of its flow and of those included, in declared order, then what was reached beside them."""
    flow = next((flow for flow in flows.flows if flow.name == journey.header.kind), None)
    steps = (*flow.steps, *flows.included_in(flow)) if flow else ()
    reached = _reached(journey)
    rows = [_of_step(step, journey, reached) for step in steps]
    declared = {step.reached for step in steps}
    rows += [
        ComparedStep(title=title, milestone=milestone, standing="undeclared", after_seconds=after)
        for (milestone, nth), (title, after) in reached.items()
        if nth == 0 and milestone not in declared
    ]
    return Comparison(journey=journey.header, other=None, steps=tuple(rows))


def with_other(journey: Journey, other: Journey) -> Comparison:
    """Each milestone that either reached, the first of a kind beside the first, in the order of the journey."""
    left, right = _reached(journey), _reached(other)
    rows: list[ComparedStep] = []
    for key in (*left, *(key for key in right if key not in left)):
        title, after = left.get(key, right.get(key, ("", 0.0)))
        there = right[key][1] if key in right else None
        rows.append(
            ComparedStep(
                title=title,
                milestone=key[0],
                standing="reached" if key in left else "not reached",
                after_seconds=after if key in left else None,
                other_seconds=there,
            )
        )
    return Comparison(journey=journey.header, other=other.header, steps=tuple(rows))


def _reached(journey: Journey) -> dict[tuple[str, int], tuple[str, float]]:
    """Title and seconds since the beginning of each milestone, by its name and how many of the kind came before."""
    titles = {f"{hop.entity}.{hop.milestone}": hop.title for hop in journey.hops if hop.milestone}
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], tuple[str, float]] = {}
    for milestone, seconds in sorted(_milestones(journey), key=lambda one: one[1]):
        title = titles.get(milestone, milestone.replace(".", " ").replace("_", " "))
        found[milestone, seen[milestone]] = (title, seconds)
        seen[milestone] += 1
    return found


def _milestones(journey: Journey) -> Iterator[tuple[str, float]]:
    for thing in journey.objects:
        for reached in thing.milestones:
            yield f"{thing.entity}.{reached.milestone}", (reached.at - journey.header.started_at).total_seconds()


def _of_step(step: Step, journey: Journey, reached: dict[tuple[str, int], tuple[str, float]]) -> ComparedStep:
    awaited = [item for item in journey.expected if (item.flow, item.step) == (step.flow, step.name)]
    standing: StepStanding = "optional" if not step.expects else "not due"
    if awaited:
        standing = "overdue" if any(item.overdue for item in awaited) else "open"
    elif (step.reached, 0) in reached:
        standing = "reached"
    after = reached.get((step.reached, 0))
    return ComparedStep(
        title=step.title,
        milestone=step.reached,
        standing=standing,
        after_seconds=after[1] if after else None,
        due_at=awaited[0].due_at if awaited else None,
        owner=awaited[0].owner if awaited else "",
    )
