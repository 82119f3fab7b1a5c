"""What is told of the alerts that fire: routes, groups, silences, roll-ups and escalations, applied to all of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from alerts.incident import Decided, Incident, Member, Transition, Where, acknowledged, covering, decide, inhibited
from alerts.page import Alert, Page, page
from alerts.register import told_from
from alerts.routing import Labels, Routed, Routes, group_key, plan_for, route
from alerts.silence import Silence, hiding
from alerts.store import Desk, Message
from lineage.model import OverdueItem

PRIORITIES: Final = {"critical": 0, "major": 1, "minor": 2}
RESOLVE_PRIORITY: Final = 3
LATER: Final = 4  # what only adds to something already told
MOST_AT_ONCE: Final = 500  # incidents told in one transaction, so that the first messages need not wait for the last
LOOK_AGAIN: Final = timedelta(minutes=5)  # at what is hidden, at the latest

Items = Callable[[Alert], Sequence[OverdueItem]]


class Told(Struct, frozen=True):
    transition: Transition
    incident_id: str
    reason: str


class Teller:
    """``items`` finds the items that a page names, ``public_url`` is where its links lead.

    ``hidden_by``: the rules that tell already what a rule would, by its name.
    """

    def __init__(
        self, routes: Routes, items: Items, public_url: str, hidden_by: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._routes = routes
        self._items = items
        self._public_url = public_url
        self._hidden_by = hidden_by or {}

    def tell(self, desk: Desk, now: datetime) -> list[Told]:
        """Decide about every open alert and incident, and put into the outbox what is to be told.

        At most ``MOST_AT_ONCE``, the most urgent first: when it told so many it wants to be called again.
        """
        alerts = desk.alerts()
        incidents = desk.incidents()
        if not alerts and not incidents:
            return []
        shown, by_alerts = self._hidden(desk, alerts, now)
        placed, opened = self._placed(shown, incidents, now)
        members: dict[str, list[Alert]] = {}
        for alert in placed:
            members.setdefault(alert.incident_id, []).append(alert)
        told: list[Told] = []
        after: list[Incident] = []
        marked: list[Alert] = []
        for before in sorted((incidents | opened).values(), key=_urgency):
            if len(told) == MOST_AT_ONCE:
                break
            mine = members.get(before.incident_id, [])
            decided = self._decided(before, mine, by_alerts, now)
            if decided.notice.send:
                desk.send(self._messages(desk, decided, mine, now), now)
                told.append(Told(decided.notice.send, before.incident_id, decided.notice.reason))
                mine = [msgspec.structs.replace(one, announced=one.announced or not one.hidden) for one in mine]
            if decided.incident != incidents.get(before.incident_id):
                after.append(decided.incident)
            marked += mine
        known = {one.alert_id: one for one in alerts}
        desk.mark([one for one in marked if one != known[one.alert_id]])
        desk.keep(after)
        return told

    def acknowledge(self, desk: Desk, alert: Alert, by: str, note: str, until: datetime, now: datetime) -> bool:
        """False when nothing of it fires any more."""
        incident = desk.incident(alert.incident_id)
        if incident is None or incident.resolved_at:
            return False
        after = acknowledged(incident, by, note, until, now)
        mine = [one for one in desk.alerts() if one.incident_id == incident.incident_id]
        told = page(
            mine or [alert], transition="acknowledge", owner_title=self._title(incident.told_owner),
            why=f"until {until:%Y-%m-%d %H:%M:%S} UTC", items=(), public_url=self._public_url,
            zone=self._zone(incident.told_owner), now=now, by=by, note=note,
        )  # fmt: skip
        contacts = desk.told_contacts(incident.incident_id)
        desk.send(_to(contacts, told, after.notices, LATER, now), now)
        desk.keep([after])
        return True

    def _hidden(self, desk: Desk, alerts: Sequence[Alert], now: datetime) -> tuple[list[Alert], set[str]]:
        """The same alerts, with what each is hidden by; and the IDs of those that other alerts hide."""
        firing = {(one.rule, _where(one)) for one in alerts if one.resolved_at is None}
        silences = desk.silences(now)
        hid: list[tuple[int, str]] = []
        by_alerts: set[str] = set()
        found = []
        for one in alerts:
            why = ""
            if one.resolved_at is None:
                silence = hiding(silences, labels(one), now) if silences else None
                why = _by(silence) if silence else self._inhibited(one, firing)
                if silence and not one.hidden:
                    hid.append((silence.silence_id, one.alert_id))
                elif why and not silence:
                    by_alerts.add(one.alert_id)
            found.append(msgspec.structs.replace(one, hidden=why) if why != one.hidden else one)
        if hid:
            desk.hid(hid)
        return found, by_alerts

    def _inhibited(self, alert: Alert, firing: Collection[tuple[str, Where]]) -> str:
        return inhibited(alert.rule, _where(alert), firing, self._hidden_by.get(alert.rule, ()))

    def _placed(
        self, alerts: Sequence[Alert], incidents: dict[str, Incident], now: datetime
    ) -> tuple[list[Alert], dict[str, Incident]]:
        """Each alert with its incident, and the incidents that are new.

        What spreads from a part that was told to the whole joins the incident of the part.
        """
        by_group = {one.group_key: one for one in incidents.values()}
        parts = self._parts(alerts, incidents)
        opened: dict[str, Incident] = {}
        placed = []
        for alert in alerts:
            if not alert.incident_id:
                incident = parts.get((alert.rule, alert.owner, _where(alert))) or self._incident(alert, by_group, now)
                if incident.incident_id not in incidents:
                    opened[incident.incident_id] = incident
                placed.append(msgspec.structs.replace(alert, incident_id=incident.incident_id))
            else:
                placed.append(alert)
        return placed, opened

    def _parts(
        self, alerts: Sequence[Alert], incidents: Mapping[str, Incident]
    ) -> dict[tuple[str, str, Where], Incident]:
        """By rule, owner and each place that is more than where it fires: the incident of what was told first."""
        found: dict[tuple[str, str, Where], Incident] = {}
        for one in alerts:
            if one.announced and one.resolved_at is None and one.incident_id in incidents:
                for more in covering(_where(one))[1:]:
                    found.setdefault((one.rule, one.owner, more), incidents[one.incident_id])
        return found

    def _incident(self, alert: Alert, by_group: dict[str, Incident], now: datetime) -> Incident:
        named = labels(alert)
        plan = plan_for(named, self._routes)
        key = group_key(plan, named)
        if key not in by_group:
            owner = self._routes.owners.get(alert.told)
            by_group[key] = Incident(
                incident_id=alert.alert_id,
                group_key=key,
                owner=alert.owner,
                told_owner=alert.told,
                severity=alert.severity,
                opened_at=now,
                next_at=now + timedelta(seconds=plan.group_wait_seconds),
                escalation=plan.escalation or (owner.escalation if owner else None) or "",
                group_wait_seconds=plan.group_wait_seconds,
                group_interval_seconds=plan.group_interval_seconds,
            )
        return by_group[key]

    def _decided(
        self, incident: Incident, members: Sequence[Alert], by_alerts: Collection[str], now: datetime
    ) -> Decided:
        seen = [
            Member(
                alert_id=one.alert_id, firing=one.resolved_at is None, told=one.announced, hidden=one.hidden,
                inhibited=one.alert_id in by_alerts,
            )
            for one in members
        ]  # fmt: skip
        decided = decide(incident, seen, self._routes.escalations.get(incident.escalation), now)
        after = decided.incident
        if after.resolved_at is None and (after.next_at is None or after.next_at <= now):
            after = msgspec.structs.replace(after, next_at=now + LOOK_AGAIN)
        return Decided(after, decided.notice)

    def _messages(self, desk: Desk, decided: Decided, members: Sequence[Alert], now: datetime) -> list[Message]:
        incident, notice = decided.incident, decided.notice
        assert notice.send is not None
        over = notice.send == "resolve"
        shown = [one for one in members if over or (one.resolved_at is None and not one.hidden)]
        told_owner = notice.owner or incident.told_owner
        told = page(
            shown, transition=notice.send, owner_title=self._title(told_owner), why=_why(decided, shown),
            items=self._items(shown[0]) if notice.send in ("page", "escalate") else (), public_url=self._public_url,
            zone=self._zone(told_owner), now=now, dedup_key=incident.incident_id,
            told_because=notice.reason if notice.owner else "",
        )  # fmt: skip
        if over or notice.send in ("update", "remind"):
            contacts = desk.told_contacts(incident.incident_id)
        else:
            contacts = [one.name for one in self._routed(shown[0], notice.owner).contacts]
        if over:
            return _to(contacts, told, incident.notices, RESOLVE_PRIORITY, now)
        first = notice.send in ("page", "escalate")
        owner = self._routes.owners[self._reached(told_owner)]
        not_before = told_from(owner, incident.severity, now)
        return _to(contacts, told, incident.notices, PRIORITIES[incident.severity] if first else LATER, not_before)

    def _routed(self, alert: Alert, escalated_to: str) -> Routed:
        if escalated_to:
            return route(escalated_to, self._routes)
        plan = plan_for(labels(alert), self._routes)
        routed = route(alert.owner, self._routes)
        if plan.contacts:
            contacts = tuple(self._routes.contacts[name] for name in plan.contacts)
            return msgspec.structs.replace(routed, contacts=contacts)
        return routed

    def _reached(self, owner: str) -> str:
        return owner if owner in self._routes.owners else self._routes.fallback

    def _title(self, owner: str) -> str:
        return self._routes.owners[self._reached(owner)].title

    def _zone(self, owner: str) -> str:
        return self._routes.owners[self._reached(owner)].zone


def labels(alert: Alert) -> Labels:
    return Labels(
        rule=alert.rule,
        owner=alert.owner,
        domain=alert.domain,
        severity=alert.severity,
        channel=alert.channel,
        location=alert.location,
        provider=alert.provider,
        subject=alert.subject,
        sla=alert.sla,
        text=f"{alert.summary} {alert.reason}",
    )


def _where(alert: Alert) -> Where:
    return Where(alert.level, alert.channel, alert.location, alert.provider, alert.subject)


def _urgency(incident: Incident) -> tuple[int, datetime, str]:
    return PRIORITIES[incident.severity], incident.opened_at, incident.incident_id


def _by(silence: Silence) -> str:
    until = f"{silence.ends_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{silence.kind} {silence.silence_id} of {silence.author} until {until}: {silence.reason}"


def _why(decided: Decided, shown: Sequence[Alert]) -> str:
    if decided.notice.send == "resolve":
        last = max(shown, key=lambda one: one.resolved_at or one.opened_at)
        return last.resolved_reason
    more = f", and {len(shown) - 1} more" if len(shown) > 1 else ""
    before = "" if decided.notice.send == "page" else f"{decided.notice.reason}; "
    return f"{before}{shown[0].reason}{more}"


def _to(contacts: Sequence[str], told: Page, ordinal: int, priority: int, not_before: datetime) -> list[Message]:
    body = msgspec.json.encode(told).decode()
    return [
        Message(
            dedup_key=told.dedup_key,
            transition=told.transition,
            ordinal=ordinal,
            contact=contact,
            priority=priority,
            body=body,
            not_before=not_before,
        )
        for contact in contacts
    ]
