"""Stored measurements as readings of the places that a rule is judged for."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from alerts.condition import Counted, Place, Reading
from alerts.page import Alert, summed
from alerts.rule import Level, OpenExceptions
from lineage.model import Money, Sample

Segment = tuple[str, str, str]  # channel, location, provider
Placed = dict[str, tuple[Place, Reading | None]]  # by key of the place


class Undecided(Struct, frozen=True, kw_only=True):
    """Open exceptions of one kind, severity, owner, type of event, channel and currency, as the core adds them up."""

    kind: str
    severity: str
    owner: str
    event_type: str
    channel: str
    currency: str
    open: int
    amount_minor: int
    oldest_at: datetime

    @property
    def subject(self) -> str:
        """An event that cannot be processed is its owner's; anything else is the exception's own."""
        of_event = self.event_type and self.kind in {"dead_letter", "identity_conflict", "out_of_sequence"}
        return f"event:{self.event_type}" if of_event else f"exception:{self.kind}"


def of_samples(
    samples: Iterable[Sample],
    levels: Collection[Level],
    known: Mapping[str, Place],
    recent: Mapping[Segment, Mapping[float, Counted]] | None = None,
) -> Placed:
    """The reading of each place of ``levels``, ``known`` ones included, by key.

    The measurement of the whole says what is current: a place that it does not cover any more has nothing open, and
    what is open beyond all channels belongs to no channel. Without it there is no measurement of anything.
    """
    by_segment = {(one.channel, one.location, one.provider): one for one in samples if not one.kind}
    total = by_segment.get(("", "", ""))
    if total is None:
        places = known or {"*": Place()}
        return {key: (place, None) for key, place in places.items()}
    whole = _reading(total, Place(), recent)
    found: Placed = {key: (place, _nothing_open(whole, place)) for key, place in known.items()}
    for segment, sample in by_segment.items():
        place = _place(segment)
        if place.level in levels and sample.as_of >= total.as_of:
            found[place.key] = (place, _reading(sample, place, recent))
    if "channel" in levels:
        channels = [sample for segment, sample in by_segment.items() if _place(segment).level == "channel"]
        rest = _without_channel(whole, [each for each in channels if each.as_of >= total.as_of])
        if rest.overdue_open or "" in known:
            found[""] = (rest.place, rest)
    return found


def of_promises(slas: Iterable[str], newest: Mapping[str, Sequence[Sample]]) -> Placed:
    """The measurement of the whole of each promise, by promise."""
    found: Placed = {}
    for sla in slas:
        place = Place(level="promise", promise=sla)
        whole = (one for one in newest.get(sla, ()) if not (one.channel or one.location or one.provider or one.kind))
        found[place.key] = (place, next((_reading(one, place) for one in whole), None))
    return found


def of_exceptions(
    undecided: Sequence[Undecided], rule: OpenExceptions, known: Mapping[str, Place], now: datetime
) -> Placed:
    """The open exceptions that a rule looks at, by what they are about; what is gone has nothing open."""
    found: Placed = {key: (place, Reading(place=place, as_of=now)) for key, place in known.items()}
    for one in undecided:
        if (rule.kinds and one.kind not in rule.kinds) or (rule.severities and one.severity not in rule.severities):
            continue
        place = Place(subject=one.subject, channel=one.channel)
        before = found.get(place.key, (place, None))[1] or Reading(place=place, as_of=now)
        found[place.key] = (place, _added(before, one))
    return found


def of_unowned(alerts: Iterable[Alert], known: Mapping[str, Place], now: datetime) -> Placed:
    """Open alerts whose owner cannot be reached, by whose or what they are."""
    found: Placed = {key: (place, Reading(place=place, as_of=now)) for key, place in known.items()}
    for one in alerts:
        if one.resolved_at or one.owner == one.told:
            continue
        place = Place(subject=f"owner:{one.owner}" if one.owner else one.subject or one.rule)
        before = found.get(place.key, (place, None))[1] or Reading(place=place, as_of=now)
        more = msgspec.structs.replace(
            before, overdue_open=before.overdue_open + 1, at_risk=summed((*before.at_risk, *one.at_risk))
        )
        found[place.key] = (place, more)
    return found


def _added(before: Reading, one: Undecided) -> Reading:
    value = Counter({money.currency: money.amount_minor for money in before.at_risk})
    value[one.currency] += one.amount_minor
    return msgspec.structs.replace(
        before,
        overdue_open=before.overdue_open + one.open,
        at_risk=tuple(Money(amount, currency) for currency, amount in value.items() if amount),
        oldest_due_at=min(filter(None, (before.oldest_due_at, one.oldest_at))),
        owner=one.owner,
        severity=one.severity,
    )


def _place(segment: Segment) -> Place:
    channel, location, provider = segment
    level: Level = "location" if location else "provider" if provider else "channel" if channel else "all"
    return Place(level=level, channel=channel, location=location, provider=provider)


def _reading(sample: Sample, place: Place, recent: Mapping[Segment, Mapping[float, Counted]] | None = None) -> Reading:
    return Reading(
        place=place,
        as_of=sample.as_of,
        decided=sample.good + sample.bad,
        overdue_open=sample.overdue_open,
        at_risk=sample.at_risk,
        oldest_due_at=sample.oldest_due_at,
        watermark=sample.watermark,
        target=sample.target,
        recent=(recent or {}).get((sample.channel, sample.location, sample.provider), {}),
    )


def _nothing_open(whole: Reading, place: Place) -> Reading:
    nothing = {seconds: Counted(0, 0) for seconds in whole.recent}
    return msgspec.structs.replace(
        whole, place=place, decided=0, overdue_open=0, at_risk=(), oldest_due_at=None, recent=nothing
    )


def _without_channel(whole: Reading, channels: Collection[Sample]) -> Reading:
    value = Counter({money.currency: money.amount_minor for money in whole.at_risk})
    for money in (money for each in channels for money in each.at_risk):
        value[money.currency] -= money.amount_minor
    open_items = max(0, whole.overdue_open - sum(each.overdue_open for each in channels))
    at_risk = tuple(Money(amount, currency) for currency, amount in value.items() if amount)
    nothing = _nothing_open(whole, Place(level="channel"))
    return msgspec.structs.replace(
        nothing, overdue_open=open_items, at_risk=at_risk, oldest_due_at=whole.oldest_due_at if open_items else None
    )
