"""Which objects a transaction touched, and which milestones each of them reached."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from collector.semconv import EVENT_CORRECTION, EVENT_MILESTONE
from lineage.model import BusinessObject, Correction, Hop, Reached
from lineage.rows import SpanRow, moment

_COUNTS: Final = frozenset(["ok", "compensated", "replayed", "parked", "rejected", "dead_letter"])


class Arrival(NamedTuple):
    """One object at one milestone, brought there by ``hop``."""

    entity: str
    entity_id: str
    milestone: str
    at: datetime
    hop: Hop
    parked: bool  # when it came last; what went on goes before what was parked at the same instant

    @property
    def reached(self) -> str:
        return f"{self.entity}.{self.milestone}"


def arrivals(hops: Iterable[Hop], spans: Mapping[str, SpanRow]) -> tuple[Arrival, ...]:
    """Every milestone of the hops and of their span events that was not taken back, the earliest kept, oldest first."""
    first: dict[tuple[str, str, str], Arrival] = {}
    last: dict[tuple[str, str, str], tuple[datetime, bool]] = {}
    wrong = {(one.entity, one.entity_id, one.milestone, one.at) for one in corrections(spans.values())}
    for hop in hops:
        if hop.outcome not in _COUNTS:
            continue
        for arrival in _of(hop, spans[hop.span_id]):
            if arrival[:4] in wrong:
                continue
            key = arrival[:3]
            known = first.get(key)
            if known is None or arrival.at < known.at:
                first[key] = arrival
            stood = (arrival.at, not arrival.parked)
            last[key] = max(last.get(key, stood), stood)
    found = [arrival._replace(parked=not last[key][1]) for key, arrival in first.items()]
    return tuple(sorted(found, key=lambda arrival: arrival.at))


def _of(hop: Hop, span: SpanRow) -> Iterable[Arrival]:
    parked = hop.outcome == "parked"
    if hop.entity and hop.entity_id and hop.milestone:
        yield Arrival(hop.entity, hop.entity_id, hop.milestone, hop.at, hop, parked)
    for event in span.events:
        if event.name == EVENT_MILESTONE:
            attrs = event.attrs
            at = moment(int(attrs["occurred_at"]) // 1000) if "occurred_at" in attrs else hop.at
            about = (attrs.get("entity", ""), attrs.get("entity_id", ""), attrs.get("milestone", ""))
            yield Arrival(*about, at, hop, parked)


def corrections(spans: Iterable[SpanRow]) -> tuple[Correction, ...]:
    """What was declared not to be so, as EPCIS corrects: nothing is deleted, what is right is told anew."""
    return tuple(
        Correction(
            entity=event.attrs.get("entity", ""),
            entity_id=event.attrs.get("entity_id", ""),
            milestone=event.attrs.get("milestone", ""),
            at=moment(int(event.attrs.get("occurred_at", "0")) // 1000),
            reason=event.attrs.get("reason", ""),
            by=event.attrs.get("by", ""),
            declared_at=moment(event.at_us),
        )
        for span in spans
        for event in span.events
        if event.name == EVENT_CORRECTION
    )


def objects(reached: Sequence[Arrival]) -> tuple[BusinessObject, ...]:
    """In the order in which the objects appeared; an object's amount is that of its first hop that tells one."""
    by_object: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in reached:
        by_object.setdefault((arrival.entity, arrival.entity_id), []).append(arrival)
    return tuple(
        BusinessObject(
            entity=entity,
            entity_id=entity_id,
            milestones=tuple(Reached(milestone=arrival.milestone, at=arrival.at) for arrival in of),
            amount=next((a.hop.amount for a in of if a.hop.entity == entity and a.hop.amount), None),
        )
        for (entity, entity_id), of in by_object.items()
    )
