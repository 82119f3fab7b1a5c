"""What is waited for in every transaction: the steps with a deadline, what a hop brings, and what must come first."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from lineage.flows import ANY_OBJECT, Flows, Need, Step

_START, _END, _ANYWHERE, _SAME = range(4)
HOPS: Final = "hop/"
NEEDS: Final = "need/"


class Watch(Struct, frozen=True, kw_only=True):
    """Something is open from ``start`` on until an end is reached; ``step`` says by when, for what has a deadline."""

    name: str
    start: str
    start_prefix: str = ""  # of the IDs that it is about
    left_to_others: tuple[str, ...] = ()  # prefixes of IDs that it is not about
    ends: tuple[str, ...] = ()
    end_prefix: str = ""  # of the IDs that the ends are reached under
    anywhere: bool = False  # any object that reaches an end ends it
    stops: tuple[str, ...] = ()  # ends of the same object
    parked_too: bool = False
    for_order: bool = False  # an end that came after the start by more than clocks differ is none
    step: Step | None = None


def watches(flows: Flows) -> tuple[Watch, ...]:
    """Those of the lists of what is overdue by "<flow>/<step>", those of hops by "hop/<hop>"."""
    listed = {f"{step.flow}/{step.name}": step for step in flows.listed if step.deadline}
    brought = {step.hop: flows.brought_by(step.hop) for step in flows.expecting if step.hop}
    hops = {f"{HOPS}{hop}": step for hop, step in brought.items() if step and step.deadline}
    return (
        *(_of_step(name, step) for name, step in (listed | hops).items()),
        *(_of_need(f"{NEEDS}{number}", need) for number, need in enumerate(flows.needs)),
    )


def definition(of: Sequence[Watch], calendar: object) -> str:
    return hashlib.sha256(msgspec.json.encode((of, calendar), order="deterministic")).hexdigest()[:12]


def _of_step(name: str, step: Step) -> Watch:
    anywhere = step.id == ANY_OBJECT
    return Watch(
        name=name,
        start=step.after,
        left_to_others=step.leaves_to_others,
        ends=(step.reached,),
        end_prefix="" if anywhere else step.id.partition("{id}")[0],
        anywhere=anywhere,
        stops=step.unless,
        parked_too=step.even_when_parked,
        step=step,
    )


def _of_need(name: str, need: Need) -> Watch:
    return Watch(
        name=name,
        start=need.reached,
        start_prefix=need.prefix,
        ends=() if need.same else need.any_of,
        anywhere=True,
        parked_too=True,
        stops=need.any_of if need.same else (),
        for_order=True,
    )


def params(of: Sequence[Watch]) -> dict[str, Any]:
    """What the query over open items is given; a watch is known by its place, from 1."""
    roles: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, watch in enumerate(of, 1):
        roles[watch.start].append((number, _START))
        for end in watch.ends:
            roles[end].append((number, _ANYWHERE if watch.anywhere else _END))
        for stop in watch.stops:
            roles[stop].append((number, _SAME))
    return {
        "reached": list(roles),
        "roles": list(roles.values()),
        "entities": sorted({reached.partition(".")[0] for reached in roles}),
        "prefixes": [watch.end_prefix for watch in of],
        "start_prefixes": [watch.start_prefix for watch in of],
        "left_to_others": [list(watch.left_to_others) for watch in of],
        "parked_too": [int(watch.parked_too) for watch in of],
        "for_order": [int(watch.for_order) for watch in of],
    }
