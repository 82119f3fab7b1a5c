"""Alerts that are told together, and what is told next, to whom, and why. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from alerts.register import Escalation

Transition = Literal["page", "update", "escalate", "remind", "acknowledge", "resolve", "heartbeat"]
REMIND_AFTER: Final = timedelta(hours=1)
REPEAT: Final = timedelta(hours=4)
LINGER: Final = timedelta(minutes=10)  # after what hid it is over: mostly both are


class Member(Struct, frozen=True, kw_only=True):
    """One alert of an incident, as far as telling is concerned. ``hidden``: why it is not told; "" when it is.

    ``inhibited``: another alert hides it, and no silence.
    """

    alert_id: str
    firing: bool
    told: bool
    hidden: str = ""
    inhibited: bool = False


class Where(NamedTuple):
    """The place of an alert; an empty field means all."""

    level: str
    channel: str = ""
    location: str = ""
    provider: str = ""
    subject: str = ""


ALL: Final = Where("all")


class Incident(Struct, frozen=True, kw_only=True):
    """``incident_id`` is the dedup key of every message. ``next_at``: when it is looked at again; None when resolved.

    ``step``: how many steps of its escalation were taken. ``told_owners``: who was told, the owner first.
    """

    incident_id: str
    group_key: str
    owner: str
    told_owner: str
    severity: str
    opened_at: datetime
    next_at: datetime | None
    escalation: str = ""
    group_wait_seconds: float = 0
    group_interval_seconds: float = 300
    paged_at: datetime | None = None
    last_told_at: datetime | None = None
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    remind_at: datetime | None = None
    step: int = 0
    notices: int = 0
    inhibited_at: datetime | None = None  # when another alert hid all of it last
    standing: str = ""  # why nothing was told when it was looked at last


class Notice(Struct, frozen=True):
    """What is told now, and why; without a transition, why nothing is."""

    send: Transition | None
    reason: str
    owner: str = ""  # whom an escalation is told to


class Decided(Struct, frozen=True):
    incident: Incident
    notice: Notice


def decide(incident: Incident, members: Sequence[Member], path: Escalation | None, now: datetime) -> Decided:
    """The next thing to tell of one incident. It is asked again after each, so one at a time is enough."""
    firing = [one for one in members if one.firing]
    shown = [one for one in firing if not one.hidden]
    if not firing:
        return _over(incident, now)
    if not shown:
        return _quiet(_inhibited(incident, firing, now), firing[0].hidden, None)
    if incident.paged_at is None:
        page_at = incident.opened_at + timedelta(seconds=incident.group_wait_seconds)
        if now < page_at:
            return _quiet(incident, "waits for what belongs to it", page_at)
        if incident.inhibited_at and now < incident.inhibited_at + LINGER:
            return _quiet(incident, "waits for its end, since what hid it is over", incident.inhibited_at + LINGER)
        paged = _told(incident, now, paged_at=now)
        return Decided(_with_next(paged, path, now), Notice("page", f"{len(shown)} firing"))
    if incident.remind_at and now >= incident.remind_at:
        opened = _told(incident, now, acknowledged_at=None, acknowledged_by="", remind_at=None, paged_at=now, step=0)
        why = f"{incident.acknowledged_by} acknowledged it, and it still fires"
        return Decided(_with_next(opened, path, now), Notice("remind", why))
    if incident.acknowledged_at:
        return _quiet(incident, f"acknowledged by {incident.acknowledged_by}", incident.remind_at)
    return _unanswered(incident, shown, path, now)


def _inhibited(incident: Incident, firing: Sequence[Member], now: datetime) -> Incident:
    """With the time, to the minute, so that it need not be kept each time."""
    if not any(one.inhibited for one in firing):
        return incident
    return msgspec.structs.replace(incident, inhibited_at=now.replace(second=0, microsecond=0))


def _unanswered(incident: Incident, shown: Sequence[Member], path: Escalation | None, now: datetime) -> Decided:
    assert incident.paged_at is not None
    assert incident.last_told_at is not None
    steps = path.steps if path else ()
    if incident.step < len(steps):
        step = steps[incident.step]
        if now - incident.paged_at >= timedelta(seconds=step.after_seconds):
            told = _told(incident, now, step=incident.step + 1)
            waited = f"nobody acknowledged it for {(now - incident.paged_at).total_seconds():.0f} s"
            return Decided(_with_next(told, path, now), Notice("escalate", waited, step.owner))
    elif now - incident.last_told_at >= _repeat(path):
        return Decided(_with_next(_told(incident, now), path, now), Notice("remind", "nobody acknowledged it"))
    fresh = [one for one in shown if not one.told]
    if fresh and now - incident.last_told_at >= timedelta(seconds=incident.group_interval_seconds):
        told = _told(incident, now)
        return Decided(_with_next(told, path, now), Notice("update", f"{len(fresh)} more, {len(shown)} in all"))
    standing = f"{len(fresh)} more since it was told" if fresh else "told"
    return Decided(_with_next(msgspec.structs.replace(incident, standing=standing), path, now), Notice(None, standing))


def acknowledged(incident: Incident, by: str, note: str, until: datetime, now: datetime) -> Incident:
    """Nothing more is told until ``until``, when it still fires; then everyone is reminded."""
    return msgspec.structs.replace(
        incident, acknowledged_at=now, acknowledged_by=by, note=note, remind_at=until, next_at=until,
        notices=incident.notices + 1,
    )  # fmt: skip


def covering(where: Where) -> list[Where]:
    """The place itself and those that it is part of, from the narrowest."""
    found = [where]
    if where.channel and (where.location or where.subject):
        found.append(Where("channel", where.channel))
    if where != ALL:
        found.append(ALL)
    return found


def inhibited(rule: str, where: Where, firing: Collection[tuple[str, Where]], hidden_by: Sequence[str] = ()) -> str:
    """Why nobody is told: the rule fires for more than this place, or one of ``hidden_by`` for as much; else "".

    ``firing``: rule and place of all that fires.
    """
    places = covering(where)
    for more in places[1:]:
        if (rule, more) in firing:
            return f"the same rule fires for {_in_words(more)}"
    for other in hidden_by:
        for more in places:
            if (other, more) in firing:
                return f"{other} fires for {_in_words(more)}"
    return ""


def _in_words(where: Where) -> str:
    named = "/".join(filter(None, (where.subject, where.channel, where.location, where.provider)))
    return named or ("all of it" if where == ALL else "no channel")


def _told(incident: Incident, now: datetime, **changed: object) -> Incident:
    return msgspec.structs.replace(incident, last_told_at=now, notices=incident.notices + 1, standing="", **changed)


def _over(incident: Incident, now: datetime) -> Decided:
    over = msgspec.structs.replace(incident, resolved_at=now, next_at=None, remind_at=None)
    if incident.paged_at is None:
        return Decided(msgspec.structs.replace(over, standing="over before it was told"), Notice(None, "never told"))
    return Decided(_told(over, now), Notice("resolve", "nothing of it fires any more"))


def _quiet(incident: Incident, why: str, until: datetime | None) -> Decided:
    return Decided(
        msgspec.structs.replace(incident, standing=why, next_at=until or incident.next_at), Notice(None, why)
    )


def _repeat(path: Escalation | None) -> timedelta:
    return timedelta(seconds=path.repeat_seconds) if path else REPEAT


def _with_next(incident: Incident, path: Escalation | None, now: datetime) -> Incident:
    """When something is due at the latest, if nothing happens: what the auditor holds it to."""
    assert incident.paged_at is not None
    assert incident.last_told_at is not None
    steps = path.steps if path else ()
    if incident.step < len(steps):
        due = incident.paged_at + timedelta(seconds=steps[incident.step].after_seconds)
    else:
        due = incident.last_told_at + _repeat(path)
    return msgspec.structs.replace(incident, next_at=max(due, now))
