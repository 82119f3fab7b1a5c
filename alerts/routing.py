"""Whose is an alert, how are they reached, and which alerts are told together?"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from alerts.register import ContactPlan, Escalation, Name, Owned, Owner, things, zone_fault
from alerts.rule import Severity

GroupBy = Literal["rule", "sla", "owner", "domain", "channel", "location", "provider", "subject", "severity"]
Matched = tuple[str, ...]


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts: in each field one of the values, in the text the expression; what is empty does not matter."""

    rule: Matched = ()
    owner: Matched = ()
    domain: Matched = ()
    channel: Matched = ()
    location: Matched = ()
    provider: Matched = ()
    severity: tuple[Severity, ...] = ()
    subject: Matched = ()
    text: str = ""


FIELDS: Final = ("rule", "owner", "domain", "channel", "location", "provider", "severity", "subject")


class Labels(Struct, frozen=True, kw_only=True):
    """What routes and silences look at."""

    rule: str
    owner: str
    domain: str
    severity: str
    channel: str = ""
    location: str = ""
    provider: str = ""
    subject: str = ""
    sla: str = ""
    text: str = ""


class RoutePlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Alerts that match are told to ``contacts``, or to those of their owner, grouped by ``group_by``.

    ``group_wait_seconds``: before the first message, so that what breaks together is told together;
    ``group_interval_seconds``: before what has changed is told. Where two routes match, the narrower one counts.
    """

    match: Match = Match()
    contacts: tuple[Name, ...] = ()
    escalation: Name | None = None
    group_by: tuple[GroupBy, ...] = ("rule", "channel", "provider", "subject")
    group_wait_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0
    group_interval_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 300


class RouteFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fallback: Name
    owners: dict[Name, Owner]
    contacts: dict[Name, ContactPlan]
    routes: tuple[RoutePlan, ...] = ()
    escalations: dict[Name, Escalation] = {}
    owns: Owned = Owned()


class Contact(Struct, frozen=True, kw_only=True):
    """A way to reach an owner. An empty address means that nobody set one: messages wait until somebody does."""

    name: str
    sender: str
    address: str
    secret: str = ""
    at_most: int | None = None
    per_seconds: float = 60
    template: str = ""

    def __repr__(self) -> str:
        """Without the address and the secret: both open doors, and a repr ends in logs."""
        return f"Contact({self.name!r}, sender={self.sender!r})"


class Routes(Struct, frozen=True, kw_only=True):
    fallback: str
    owners: dict[str, Owner]
    contacts: dict[str, Contact]
    plans: tuple[RoutePlan, ...]
    escalations: dict[str, Escalation]
    owned: Owned


class Routed(Struct, frozen=True):
    """``owner`` is who is told; ``owned`` is false when that is the fallback for want of an owner with a contact."""

    owner: str
    title: str
    contacts: tuple[Contact, ...]
    reason: str
    owned: bool = True


class RoutesRefusedError(ValueError):
    """The routes of alerts cannot be loaded."""


_HEADER: Final = re.compile(r"^\s*\[\[\s*routes\s*]]")


def load_routes(text: str, addresses: Mapping[str, str]) -> Routes:
    """The routes of a TOML text; ``addresses`` holds those that contacts may name.

    Raises RoutesRefusedError with the reason.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), RouteFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RoutesRefusedError(str(error)) from error
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if _HEADER.match(line)]
    faults = [*_faults(file, addresses), *_route_faults(file, lines)]
    if faults:
        raise RoutesRefusedError("; ".join(faults))
    return Routes(
        fallback=file.fallback,
        owners=file.owners,
        contacts={name: _contact(name, plan, addresses) for name, plan in file.contacts.items()},
        plans=file.routes,
        escalations=file.escalations,
        owned=file.owns,
    )


def _contact(name: str, plan: ContactPlan, addresses: Mapping[str, str]) -> Contact:
    return Contact(
        name=name,
        sender=plan.sender,
        address=addresses[plan.address],
        secret=addresses[plan.secret] if plan.secret else "",
        at_most=plan.at_most,
        per_seconds=plan.per_seconds,
        template=plan.template,
    )


def route(owner: str, routes: Routes) -> Routed:
    """The contacts of an owner; those of the fallback owner when the owner has none."""
    known = routes.owners.get(owner)
    if known and known.contacts:
        return Routed(owner, known.title, _contacts(known.contacts, routes), f"{owner} owns it")
    last = routes.owners[routes.fallback]
    why = f"{owner} has no contact" if known else f"{owner} is no known owner" if owner else "nobody owns it"
    told = f"{why}, so {routes.fallback} is told"
    return Routed(routes.fallback, last.title, _contacts(last.contacts, routes), told, owned=False)


def plan_for(labels: Labels, routes: Routes) -> RoutePlan:
    """The narrowest route that matches; without one, that of the owner."""
    fitting = [plan for plan in routes.plans if matches(plan.match, labels)]
    return max(fitting, key=lambda plan: _narrowness(plan.match)) if fitting else RoutePlan()


def matches(match: Match, labels: Labels) -> bool:
    named = ((getattr(match, field), getattr(labels, field)) for field in FIELDS)
    if any(wanted and value not in wanted for wanted, value in named):
        return False
    return not match.text or re.search(match.text, labels.text) is not None


def group_key(plan: RoutePlan, labels: Labels) -> str:
    return "\x1f".join([labels.owner, labels.severity, *(f"{by}={getattr(labels, by)}" for by in plan.group_by)])


def _contacts(names: tuple[str, ...], routes: Routes) -> tuple[Contact, ...]:
    return tuple(routes.contacts[name] for name in names)


def _narrowness(match: Match) -> int:
    return sum(bool(getattr(match, field)) for field in (*FIELDS, "text"))


def _faults(file: RouteFile, addresses: Mapping[str, str]) -> Iterator[str]:
    if not file.owners.get(file.fallback, Owner(title="", contacts=())).contacts:
        yield f"fallback {file.fallback!r} is no owner with a contact"
    named = [contact for owner in file.owners.values() for contact in owner.contacts]
    named += [contact for plan in file.routes for contact in plan.contacts]
    yield from (f"contact {name!r} is not declared" for name in named if name not in file.contacts)
    yield from (f"contact {name!r} belongs to no owner" for name in file.contacts if name not in named)
    for name, plan in file.contacts.items():
        wanted = [it for it in (plan.address, plan.secret) if it and it not in addresses]
        yield from (f"contact {name!r}: unknown address {it!r}" for it in wanted)
    yield from filter(None, (zone_fault(name, owner.zone) for name, owner in file.owners.items()))
    paths = [(f"owner {name!r}", owner.escalation) for name, owner in file.owners.items()]
    paths += [(f"route {number}", plan.escalation) for number, plan in enumerate(file.routes, start=1)]
    yield from (f"{who}: unknown escalation {path!r}" for who, path in paths if path and path not in file.escalations)
    told = [(f"escalation {name!r}", step.owner) for name, path in file.escalations.items() for step in path.steps]
    tables = (file.owns.events, file.owns.apis, file.owns.master_data, file.owns.reconciliation, file.owns.exceptions)
    told += [(f"owns {thing!r}", owner) for table in tables for thing, owner in table.items()]
    yield from (f"{who}: unknown owner {owner!r}" for who, owner in told if owner not in file.owners)


def _route_faults(file: RouteFile, lines: list[int]) -> Iterator[str]:
    def where(number: int) -> str:
        return f"line {lines[number]}, route {number + 1}" if len(lines) == len(file.routes) else f"route {number + 1}"

    for number, plan in enumerate(file.routes):
        try:
            re.compile(plan.match.text)
        except re.error as error:
            yield f"{where(number)}: text: {error}"
        unknown = [owner for owner in plan.match.owner if owner not in file.owners]
        yield from (f"{where(number)}: unknown owner {owner!r}" for owner in unknown)
    for (first, one), (second, other) in combinations(enumerate(file.routes), 2):
        if _overlap(one.match, other.match) and not (_within(one.match, other.match) ^ _within(other.match, one.match)):
            yield f"{where(second)} overlaps with {where(first)}, and neither is the narrower one"


def _overlap(one: Match, other: Match) -> bool:
    pairs = ((set(getattr(one, field)), set(getattr(other, field))) for field in FIELDS)
    return all(not mine or not theirs or mine & theirs for mine, theirs in pairs)


def _within(one: Match, other: Match) -> bool:
    """Whether everything that ``one`` matches is matched by ``other``, and ``one`` names more fields or as many."""
    pairs = [(set(getattr(one, field)), set(getattr(other, field))) for field in FIELDS]
    inside = all(not theirs or (mine and mine <= theirs) for mine, theirs in pairs)
    return inside and other.text in ("", one.text) and _narrowness(one) >= _narrowness(other)


def all_things(routes: Routes) -> frozenset[str]:
    return things(routes.owned)
