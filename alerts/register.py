"""The register: who owns which API, event, kind of master data and reconciliation rule, and how owners are reached."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9 _-]{0,63}$")]
Sender = Literal["webhook", "pagerduty", "slack", "smtp", "apprise"]
ClockTimes = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


class Owner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``hours`` are local to ``zone``; outside them only what is critical is sent, the rest waits for the morning.

    ``escalation`` names the path that an alert takes which nobody of the owner acknowledges.
    """

    title: str
    contacts: tuple[Name, ...]
    zone: str = "UTC"
    hours: ClockTimes | None = None
    escalation: Name | None = None


class ContactPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``address`` and ``secret`` name addresses; a contact without a secret gets unsigned messages.

    At most ``at_most`` messages go out in ``per_seconds``; the others wait, the most severe first. ``template`` words
    the message, with the fields of a page in braces.
    """

    sender: Sender
    address: Name
    secret: Name | None = None
    at_most: Annotated[int, Meta(ge=1)] | None = None
    per_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 60
    template: Annotated[str, Meta(max_length=2000)] = ""


class EscalationStep(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So long after the page, unless somebody has acknowledged it, this owner is told too."""

    after_seconds: Annotated[float, Meta(ge=1, le=86_400 * 7)]
    owner: Name


class Escalation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After the last step everyone is told again, every ``repeat_seconds``, until somebody acknowledges it."""

    steps: Annotated[tuple[EscalationStep, ...], Meta(min_length=1, max_length=10)]
    repeat_seconds: Annotated[float, Meta(ge=60)] = 14_400


class Owned(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Owners of things: of events by the beginning of their type, of APIs by that of their path, of master data by what
    it is, of reconciliation rules by their level. The longest beginning counts."""

    events: dict[str, Name] = {}
    apis: dict[str, Name] = {}
    master_data: dict[str, Name] = {}
    reconciliation: dict[str, Name] = {}
    exceptions: dict[str, Name] = {}


def things(owned: Owned) -> frozenset[str]:
    """Everything that the register names: ``event:…``, ``api:…``, ``master_data:…``, ``reconciliation:…``."""
    return frozenset(
        f"{kind}:{name}"
        for kind, table in (
            ("event", owned.events), ("api", owned.apis), ("master_data", owned.master_data),
            ("reconciliation", owned.reconciliation), ("exception", owned.exceptions),
        )
        for name in table
    )  # fmt: skip


def owner_of(thing: str, owned: Owned) -> str:
    """The owner by the longest beginning that fits, "" for none. An event of master data is its steward's."""
    kind, _, name = thing.partition(":")
    if kind == "event" and (steward := _longest(_about(name), owned.master_data, whole=True)):
        return steward
    table = {
        "event": owned.events, "api": owned.apis, "master_data": owned.master_data,
        "reconciliation": owned.reconciliation, "exception": owned.exceptions,
    }.get(kind, {})  # fmt: skip
    return _longest(name, table, whole=kind in WHOLE)


WHOLE: Final = frozenset({"master_data", "reconciliation", "exception"})


def _about(event_type: str) -> str:
    """``tallytrace.product.registered.v1`` is about product."""
    parts = event_type.split(".")
    return parts[1] if len(parts) > 2 else ""


def _longest(name: str, table: Mapping[str, str], *, whole: bool) -> str:
    fitting = [each for each in table if (name == each if whole else name.startswith(each))]
    return table[max(fitting, key=len)] if fitting else ""


def zone_fault(owner: str, zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return f"owner {owner!r}: unknown time zone {zone!r}"
    return ""


def told_from(owner: Owner, severity: str, now: datetime) -> datetime:
    """When a message may go to an owner: now, or when its hours begin."""
    if owner.hours is None or severity == "critical":
        return now
    opens, closes = (time.fromisoformat(text) for text in owner.hours.split("-"))
    local = now.astimezone(ZoneInfo(owner.zone))
    inside = opens <= local.time() < closes if opens < closes else not closes <= local.time() < opens
    if inside:
        return now
    begins = local.replace(hour=opens.hour, minute=opens.minute, second=0, microsecond=0)
    return (begins if begins > local else begins + timedelta(days=1)).astimezone(now.tzinfo)
