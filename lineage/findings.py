"""What is wrong with a transaction, the first cause first: what failed, is stuck, late, out of order or never came."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec.structs import replace

from lineage.flows import Flows, Need, Step
from lineage.milestones import Arrival
from lineage.model import Expected, Finding, Hop, Money

STUCK_AFTER: Final = timedelta(minutes=15)
CLOCKS_DIFFER: Final = timedelta(minutes=2)
REFUSED: Final = frozenset({"rejected", "dead_letter"})
WAITS: Final = frozenset({"failed", "parked"})
_DONE: Final = frozenset({"ok", "compensated", "replayed", ""})


def findings(
    hops: Sequence[Hop], reached: Sequence[Arrival], awaited: Sequence[Expected], flows: Flows, now: datetime
) -> tuple[Finding, ...]:
    """Oldest first. What is overdue of an object that failed is told with the failure, not twice.

    What is parked with a deadline that is not over yet (a back-order with its promise) is not stuck.
    ``awaited`` is in the order of its deadlines.
    """
    found = {(one.entity, one.entity_id): one for one in _failures(hops, now)}
    waiting = {(hop.entity, hop.entity_id) for hop in hops if hop.outcome == "parked"}
    first: dict[tuple[str, str], Expected] = {}
    for item in awaited:
        first.setdefault((item.entity, item.entity_id), item)
    for about, item in first.items():
        if about in found and about in waiting and not item.overdue:
            del found[about]
        elif about in found:
            found[about] = _with_deadline(found[about], item)
    steps = {(step.flow, step.name): step for step in flows.expecting}
    late = [item for item in awaited if item.overdue and (item.entity, item.entity_id) not in found]
    others = [
        *_disorder(reached, flows, now),
        *(_overdue(item, steps[item.flow, item.step], flows.titles()) for item in late),
    ]
    return tuple(sorted((*found.values(), *others), key=lambda one: (one.since, one.kind, one.entity_id)))


def _failures(hops: Sequence[Hop], now: datetime) -> Iterator[Finding]:
    """The last trouble of each object that nothing has healed since."""
    for index, hop in enumerate(hops):
        refused = hop.outcome in REFUSED
        began = min((attempt.at for attempt in hop.attempts), default=hop.recorded_at)
        waits = hop.outcome in WAITS and hop.entity != "exception" and now - began > STUCK_AFTER
        if not (refused or waits) or any(_heals(later, hop) for later in hops[index + 1 :]):
            continue
        yield Finding(
            kind="failed" if refused else "stuck",
            title=hop.title,
            flow="",
            step="",
            entity=hop.entity,
            entity_id=hop.entity_id,
            stage=hop.stage,
            cause=next((attempt.reason for attempt in hop.attempts if attempt.reason), hop.reason),
            hop=hop.name,
            attempts=len(hop.attempts),
            since=began,
            due_at=None,
            owner=hop.owner,
            amount=hop.amount,
        )


def _heals(later: Hop, hop: Hop) -> bool:
    same = (later.entity, later.entity_id) == (hop.entity, hop.entity_id)
    return same and later.recorded_at >= hop.recorded_at and later.outcome in _DONE


def _with_deadline(failure: Finding, item: Expected) -> Finding:
    return replace(
        failure,
        flow=item.flow,
        step=item.step,
        due_at=item.due_at,
        owner=failure.owner or item.owner,
        amount=failure.amount or item.amount,
    )


def _overdue(item: Expected, step: Step, titles: Mapping[str, str]) -> Finding:
    """What waits for a delivery of which nothing was heard waits in the queue before it."""
    return Finding(
        kind="overdue",
        title=f"not yet: {item.title}",
        flow=item.flow,
        step=item.step,
        entity=item.entity,
        entity_id=item.entity_id,
        stage="queue" if step.stage in ("delivery", "erp") else step.stage,
        cause=f"nothing was heard after: {titles.get(step.after, step.after)}",
        hop="",
        attempts=0,
        since=item.since,
        due_at=item.due_at,
        owner=item.owner,
        amount=item.amount,
    )


def _disorder(reached: Sequence[Arrival], flows: Flows, now: datetime) -> Iterator[Finding]:
    told = set()
    for need in flows.needs:
        for arrival in reached:
            about = (arrival.entity, arrival.entity_id, need.wanted)
            if not need.concerns(arrival.reached, arrival.entity_id) or arrival.parked or about in told:
                continue
            hop = arrival.hop
            before = [other.at for other in reached if need.is_met(other.reached, other.entity_id, arrival.entity_id)]
            kind = disorder(arrival.at, min(before, default=None), now)
            if kind:
                told.add(about)
                yield of_need(
                    need, kind, arrival.entity_id, arrival.at, min(before, default=None), hop.owner, hop.amount
                )


def disorder(at: datetime, needed_at: datetime | None, now: datetime) -> Literal["missing", "out_of_order"] | None:
    """What is wrong when a milestone was reached then, and what it needs before it at ``needed_at``."""
    if needed_at is None:
        return "missing" if now - at > STUCK_AFTER else None
    return "out_of_order" if needed_at - at > CLOCKS_DIFFER else None


def of_need(
    need: Need,
    kind: Literal["missing", "out_of_order"],
    entity_id: str,
    at: datetime,
    needed_at: datetime | None,
    owner: str,
    amount: Money | None,
) -> Finding:
    wanted = need.wanted.replace(".", " ").replace("_", " ")
    later = f"{(needed_at - at).total_seconds():.0f} s later" if needed_at else "never told"
    return Finding(
        kind=kind,
        title=f"{need.title} {'without' if kind == 'missing' else 'before'} {wanted}",
        flow=need.flow,
        step=need.step,
        entity=need.reached.partition(".")[0],
        entity_id=entity_id,
        stage=need.stage,
        cause=f"{wanted}: {later}",
        hop="",
        attempts=0,
        since=at,
        due_at=None,
        owner=owner or need.owner,
        amount=amount,
    )
