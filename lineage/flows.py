"""Flows: which milestones a transaction should reach, by when, and whose they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from collector.semconv import STAGES
from lineage.deadlines import Deadline, InvalidDeadlineError, parse
from lineage.definitions import DefinitionError, read, require_milestone
from lineage.slas import Sla

DEFAULT_FLOWS: Final = Path(__file__).with_name("flows.toml")
ANY_OBJECT: Final = "*"
"""As a step's ``id``: one object of that entity anywhere in the transaction is enough."""


class _Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    title: str
    milestone: str
    state: str | None = None
    after: str = ""
    id: str = "{id}"
    unless: tuple[str, ...] = ()
    optional: bool = False
    ends: bool = False
    within: str = ""
    sla: str = ""
    due_from_hop: bool = False
    even_when_parked: bool = False
    owner: str = ""
    stage: str = "source"
    hop: str = ""
    needs: tuple[str, ...] = ()
    needs_same: bool = False


class _Flow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    begins: str | tuple[str, ...]
    includes: tuple[str, ...] = ()
    listed: bool = True
    steps: tuple[_Step, ...]


class Step(Struct, frozen=True, kw_only=True):
    """One milestone of a flow.

    ``stage`` and ``hop`` say where it is done and by what; ``needs`` what cannot be missing before it.
    It is expected once ``after`` was reached, until it is reached itself or an ``unless`` milestone of the same object
    (a branch, or an end) is. A step without ``after``, and an optional one, is never missed.
    """

    flow: str
    name: str
    title: str
    entity: str
    milestone: str
    state: str  # the word for a transaction that got this far; "" = tells nothing of its state
    after: str  # "<entity>.<milestone>" or ""
    id: str  # its object's ID, from the ID of the object that started it: "{id}", "refund/{id}", or ANY_OBJECT
    unless: tuple[str, ...]
    deadline: Deadline | None
    deadline_by_channel: dict[str, Deadline]  # of the service level, where it has its own
    sla: str  # the service level that counts it
    due_from_hop: bool  # the deadline that the starting hop carries goes before ``deadline``
    ends: bool  # the flow's own work is done; the flows it includes give the state from here on
    even_when_parked: bool  # is expected also after a start that was parked
    owner: str
    stage: str  # where its hop works: source, transformation, queue, delivery, erp
    hop: str  # the hop that brings it: what is open of the step is what a failing hop holds up
    needs: tuple[str, ...]  # milestones of which one comes before it, in the same transaction
    needs_same: bool  # and on the same object
    leaves_to_others: tuple[str, ...] = ()  # prefixes of IDs that a more specific step looks after

    def deadline_for(self, channel: str) -> Deadline | None:
        return self.deadline_by_channel.get(channel, self.deadline)

    @property
    def reached(self) -> str:
        return f"{self.entity}.{self.milestone}"

    @property
    def expects(self) -> bool:
        return bool(self.after)

    def expected_after(self, started_id: str) -> bool:
        """Whether no other step looks after that object more specifically."""
        return not started_id.startswith(self.leaves_to_others)

    def object_id(self, started_id: str) -> str:
        return self.id.replace("{id}", started_id)


class Need(Struct, frozen=True, kw_only=True):
    """What must have happened before a milestone: a receipt before its refund, an order before its posting."""

    flow: str
    step: str
    title: str
    reached: str
    prefix: str  # of the IDs that it is about
    any_of: tuple[str, ...]
    same: bool
    stage: str
    owner: str

    @property
    def wanted(self) -> str:
        return " or ".join(self.any_of)

    def concerns(self, reached: str, entity_id: str) -> bool:
        return reached == self.reached and entity_id.startswith(self.prefix)

    def is_met(self, reached: str, entity_id: str, about_id: str) -> bool:
        return reached in self.any_of and (not self.same or entity_id == about_id)


class Flow(Struct, frozen=True, kw_only=True):
    name: str
    title: str
    begins: tuple[str, ...]  # any of these milestones
    steps: tuple[Step, ...]
    includes: tuple[str, ...] = ()
    listed: bool = True  # what it misses stands in the lists of what is overdue, not only in its own journeys


class Flows(Struct, frozen=True):
    flows: tuple[Flow, ...]

    @property
    def expecting(self) -> tuple[Step, ...]:
        return tuple(step for flow in self.flows for step in flow.steps if step.expects)

    @property
    def listed(self) -> tuple[Step, ...]:
        """The expected steps that the lists of what is overdue count."""
        return tuple(step for flow in self.flows if flow.listed for step in flow.steps if step.expects)

    @property
    def needs(self) -> tuple[Need, ...]:
        return tuple(
            Need(
                flow=flow.name,
                step=step.name,
                title=step.title,
                reached=step.reached,
                prefix="" if step.id == ANY_OBJECT else step.id.partition("{id}")[0],
                any_of=step.needs,
                same=step.needs_same,
                stage=step.stage,
                owner=step.owner,
            )
            for flow in self.flows
            for step in flow.steps
            if step.needs
        )

    def brought_by(self, hop: str) -> Step | None:
        """Whatever else looks after some of its objects, the step is about all of them here."""
        found = next((step for step in self.expecting if step.hop == hop), None)
        return replace(found, leaves_to_others=()) if found else None

    def beginning_with(self, reached: str) -> Flow | None:
        return next((flow for flow in self.flows if reached in flow.begins), None)

    def included_in(self, flow: Flow) -> tuple[Step, ...]:
        by_name = {other.name: other.steps for other in self.flows}
        return tuple(step for name in flow.includes for step in by_name[name])

    def titles(self) -> dict[str, str]:
        """The words for each declared milestone, in declared order; a step about its own object tells it best."""
        steps = [step for flow in self.flows for step in flow.steps]
        own = {step.reached for step in steps if step.id == "{id}"}
        titles: dict[str, str] = {}
        for step in steps:
            if step.id == "{id}" or step.reached not in own:
                titles.setdefault(step.reached, step.title)
        return titles


def load(path: Path = DEFAULT_FLOWS, *, promises: Iterable[Sla] = ()) -> Flows:
    """Reads the flows. A step that names an SLA and no ``within`` takes its deadline from that of ``promises``.

    Raises DefinitionError naming the file, the key and the reason.
    """
    raw = read(path, dict[str, _Flow])
    by_name = {promise.name: promise for promise in promises}
    file = str(path)
    flows = tuple(_flow(name, flow, file, by_name) for name, flow in raw.items())
    for flow in flows:
        for included in flow.includes:
            if included not in raw:
                raise DefinitionError(f"{file}: {flow.name}.includes: no flow is called {included!r}")
    return Flows(tuple(replace(flow, steps=tuple(_leaving(step, flows) for step in flow.steps)) for flow in flows))


def _leaving(step: Step, flows: tuple[Flow, ...]) -> Step:
    """A refund's posting is expected by the step about refunds, with its deadline, not by the one about postings."""
    if step.id != "{id}":
        return step
    others = [other for flow in flows for other in flow.steps if other.expects and other.reached == step.reached]
    prefixes = (other.id.partition("{id}")[0] for other in others if other.id != ANY_OBJECT)
    return replace(step, leaves_to_others=tuple(prefix for prefix in prefixes if prefix))


def _flow(name: str, flow: _Flow, file: str, promises: Mapping[str, Sla]) -> Flow:
    begins = (flow.begins,) if isinstance(flow.begins, str) else flow.begins
    for milestone in begins:
        require_milestone(milestone, file, f"{name}.begins")
    names = [step.name for step in flow.steps]
    if double := {step for step in names if names.count(step) > 1}:
        raise DefinitionError(f"{file}: {name}.steps: {sorted(double)[0]!r} is declared twice")
    steps = tuple(_step(name, step, file, promises) for step in flow.steps)
    return Flow(name=name, title=flow.title, begins=begins, steps=steps, includes=flow.includes, listed=flow.listed)


def _step(flow: str, step: _Step, file: str, promises: Mapping[str, Sla]) -> Step:
    key = f"{flow}.steps.{step.name}"
    _check_milestones(step, file, key)
    entity, _, milestone = step.milestone.partition(".")
    promise = promises.get(step.sla)
    deadline = _deadline(step, file, key, promise)
    keyed = promise if promise and not step.within and promise.deadline_by == "channel" else None
    return Step(
        flow=flow,
        name=step.name,
        title=step.title,
        entity=entity,
        milestone=milestone,
        state=step.name if step.state is None else step.state,
        after="" if step.optional else step.after,
        id=step.id,
        unless=step.unless,
        deadline=deadline,
        deadline_by_channel=keyed.deadlines if keyed else {},
        sla=step.sla,
        due_from_hop=step.due_from_hop,
        ends=step.ends,
        even_when_parked=step.even_when_parked,
        owner=step.owner,
        stage=step.stage,
        hop=step.hop,
        needs=step.needs,
        needs_same=step.needs_same,
    )


def _check_milestones(step: _Step, file: str, key: str) -> None:
    require_milestone(step.milestone, file, f"{key}.milestone")
    if step.after:
        require_milestone(step.after, file, f"{key}.after")
    if step.id != ANY_OBJECT and step.id.count("{id}") != 1:
        raise DefinitionError(f'{file}: {key}.id: {step.id!r} must hold {{id}} once, or be "*"')
    if step.stage not in STAGES:
        raise DefinitionError(f"{file}: {key}.stage: {step.stage!r} is none of {', '.join(sorted(STAGES))}")
    if step.hop and (not step.after or step.id != "{id}"):
        raise DefinitionError(f"{file}: {key}.hop: only a step that is expected of the same object has a hop")
    for index, needed in enumerate(step.needs):
        require_milestone(needed, file, f"{key}.needs[{index}]")
    if (step.needs or (step.after and not step.optional)) and not step.owner:
        raise DefinitionError(f"{file}: {key}.owner: a step that is expected needs an owner")
    for index, other in enumerate(step.unless):
        require_milestone(other, file, f"{key}.unless[{index}]")
        if other.partition(".")[0] != step.after.partition(".")[0]:
            raise DefinitionError(f"{file}: {key}.unless[{index}]: {other!r} is not of the entity of {step.after!r}")


def _deadline(step: _Step, file: str, key: str, promise: Sla | None) -> Deadline | None:
    if not step.within:
        return promise.deadline if promise else None
    try:
        return parse(step.within)
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {key}.within: {error}") from error
