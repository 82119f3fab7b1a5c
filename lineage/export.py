"""Journeys for other tools: a table of hops as CSV, and an object-centric event log (OCEL 2.0, JSON).

OCEL 2.0: ocel-standard.org. An object is what a transaction touched, and the transaction itself; what joins two
transactions is a relation between these, qualified by the kind of link. Relations have no time there: the events have.
Every value is a string there, whatever the type that is declared for it.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from lineage.model import Hop, Journey

COLUMNS: Final = (
    "transaction", "kind", "reference", "at", "recorded_at", "hop", "title", "entity", "entity_id", "milestone",
    "outcome", "attempts", "duplicates", "stage", "service", "system", "channel", "location", "amount_minor",
    "currency", "quantity", "owner", "due_at", "reason", "trace_id", "span_id",
)  # fmt: skip
_TRANSACTION: Final = "transaction"
_OF_EVENTS: Final = {
    "outcome": "string", "stage": "string", "service": "string", "channel": "string", "location": "string",
    "owner": "string", "reason": "string", "amount_minor": "integer", "currency": "string", "attempts": "integer",
    "recorded_at": "time", "trace_id": "string", "span_id": "string",
}  # fmt: skip
_OF_TRANSACTIONS: Final = {"kind": "string", "reference": "string", "origin": "string", "state": "string"}


def as_csv(journeys: Iterable[Journey]) -> str:
    """A line for each hop. A text that a spreadsheet would take for a formula is led by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for journey in journeys:
        header = journey.header
        for hop in journey.hops:
            cells = (header.correlation_id, header.kind, header.reference, *_cells(hop))
            writer.writerow([_plain(cell) for cell in cells])
    return out.getvalue()


def _cells(hop: Hop) -> tuple[object, ...]:
    amount = (hop.amount.amount_minor, hop.amount.currency) if hop.amount else ("", "")
    return (
        hop.at.isoformat(), hop.recorded_at.isoformat(), hop.name, hop.title, hop.entity, hop.entity_id, hop.milestone,
        hop.outcome, len(hop.attempts), hop.duplicates, hop.stage, hop.service, hop.system, hop.channel, hop.location,
        *amount, hop.quantity, hop.owner, hop.due_at.isoformat() if hop.due_at else "", hop.reason, hop.trace_id,
        hop.span_id,
    )  # fmt: skip


def _plain(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def as_ocel(journeys: Iterable[Journey]) -> dict[str, Any]:
    """The log of the journeys; what they are linked to is an object, with events only when it is among them."""
    objects: dict[str, dict[str, Any]] = {}
    events: list[dict[str, Any]] = []
    for journey in journeys:
        for one in _objects(journey):
            known = objects.setdefault(one["id"], one)
            if one["attributes"]:
                known["attributes"] = one["attributes"]
            known["relationships"] += [rel for rel in one["relationships"] if rel not in known["relationships"]]
        events += [_event(journey, hop) for hop in journey.hops]
    kinds = sorted({one["type"] for one in objects.values()})
    return {
        "objectTypes": [
            {"name": kind, "attributes": _typed(_OF_TRANSACTIONS) if kind == _TRANSACTION else []} for kind in kinds
        ],
        "eventTypes": [
            {"name": name, "attributes": _typed(_OF_EVENTS)} for name in sorted({e["type"] for e in events})
        ],
        "objects": [objects[key] for key in sorted(objects)],
        "events": sorted(events, key=lambda event: (event["time"], event["id"])),
    }


def _typed(names: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": type_} for name, type_ in names.items()]


def _objects(journey: Journey) -> Iterator[dict[str, Any]]:
    own = journey.header.correlation_id
    near = [one for one in journey.related if one.depth == 1]
    linked = [_relation(one.correlation_id, one.link) for one in near if one.direction == "out"]
    yield _object(own, _TRANSACTION, _told(journey), linked)
    for one in near:
        back = [_relation(own, one.link)] if one.direction == "in" else []
        yield _object(one.correlation_id, _TRANSACTION, [], back)
    for thing in journey.objects:
        yield _object(_id(own, thing.entity, thing.entity_id), thing.entity, [], [_relation(own, "part of")])


def _told(journey: Journey) -> list[dict[str, str]]:
    header = journey.header
    values = {"kind": header.kind, "reference": header.reference, "origin": header.origin}
    first = [{"name": name, "time": _time(header.started_at), "value": value} for name, value in values.items()]
    return [*first, {"name": "state", "time": _time(header.last_at), "value": header.state}]


def _object(id_: str, kind: str, attributes: list[dict[str, str]], relations: list[dict[str, str]]) -> dict[str, Any]:
    return {"id": id_, "type": kind, "attributes": attributes, "relationships": relations}


def _relation(object_id: str, qualifier: str) -> dict[str, str]:
    return {"objectId": object_id, "qualifier": qualifier}


def _event(journey: Journey, hop: Hop) -> dict[str, Any]:
    own = journey.header.correlation_id
    values: dict[str, Any] = {
        "outcome": hop.outcome, "stage": hop.stage, "service": hop.service, "channel": hop.channel,
        "location": hop.location, "owner": hop.owner, "reason": hop.reason,
        "amount_minor": hop.amount.amount_minor if hop.amount else 0,
        "currency": hop.amount.currency if hop.amount else "", "attempts": len(hop.attempts),
        "recorded_at": _time(hop.recorded_at), "trace_id": hop.trace_id, "span_id": hop.span_id,
    }  # fmt: skip
    known = {(thing.entity, thing.entity_id) for thing in journey.objects}
    about = (hop.entity, hop.entity_id)
    relations = [_relation(_id(own, *about), hop.milestone or "about")] if about in known else []
    return {
        "id": hop.span_id,
        "type": hop.name.replace(".", " ").replace("_", " "),
        "time": _time(hop.at),
        "attributes": [{"name": name, "value": str(value)} for name, value in values.items()],
        "relationships": [*relations, _relation(own, "in")],
    }


def _id(correlation_id: str, entity: str, entity_id: str) -> str:
    """Numbers repeat between systems; within a transaction they do not."""
    return f"{entity}/{entity_id}@{correlation_id[:8]}"


def _time(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
