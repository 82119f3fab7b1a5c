"""Rows of one transaction to the journey that a person reads."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from lineage.deadlines import Calendar
from lineage.expectation import expected, held_to
from lineage.findings import findings
from lineage.hops import fold
from lineage.journal import entries
from lineage.lines import line_items, parked, total
from lineage.links import Linked, related, sums
from lineage.milestones import Arrival, arrivals, corrections, objects
from lineage.model import Expected, Header, Hop, JournalEntry, Journey, Match, Money, StageMoney
from lineage.rows import JournalRow, LinkedSumRow, SpanRow
from lineage.standing import Standing, Standings


class Material(Struct, frozen=True, kw_only=True):
    """Everything that was read about one transaction; ``spans`` also of the transactions linked to it."""

    query: str
    matched: Match
    spans: Mapping[str, Sequence[SpanRow]]
    journal: Sequence[JournalRow]
    linked: Sequence[Linked]
    linked_cut: bool
    linked_sums: Sequence[LinkedSumRow] = ()


def tell(material: Material, standings: Standings, calendar: Calendar, now: datetime) -> Journey:
    """The journey as of ``now``. Material must hold at least one span of the matched transaction."""
    own = material.spans[material.matched.correlation_id]
    by_span = {span.span_id: span for span in own}
    hops = fold(own, standings.titles)
    reached = arrivals(hops, by_span)
    awaited = expected(reached, standings.flows, calendar, now)
    standing = standings.of(hops, reached, awaited, own)
    journal = entries(material.journal, hops)
    return Journey(
        query=material.query,
        as_of=now,
        matched=material.matched,
        header=_header(material.matched.correlation_id, hops, own, standing, awaited),
        hops=hops,
        lines=tuple(line for hop in hops for line in line_items(by_span[hop.span_id])),
        objects=objects(reached),
        money=stage_money(reached),
        journal=journal,
        related=related(material.linked, material.spans, standings),
        related_cut=material.linked_cut,
        expected=awaited,
        parked=parked(hops, by_span),
        keys=_keys(own),
        notes=_notes(material, own, standing, hops, journal),
        linked=sums(material.linked_sums),
        corrections=corrections(own),
        findings=findings(hops, reached, awaited, standings.flows, now),
        held_to=held_to(reached, standings.flows, calendar),
    )


def _header(
    correlation_id: str, hops: Sequence[Hop], spans: Sequence[SpanRow], standing: Standing, awaited: Sequence[Expected]
) -> Header:
    return Header(
        correlation_id=correlation_id,
        origin=standing.origin,
        reference=standing.reference,
        kind=standing.kind,
        channel=next((hop.channel for hop in hops if hop.channel), ""),
        location=next((hop.location for hop in hops if hop.location), ""),
        state=standing.state,
        amount=standing.amount,
        started_at=hops[0].at,
        last_at=hops[-1].at,
        owner=awaited[0].owner if awaited else "",
        customer_ref=next((span.customer_ref for span in spans if span.customer_ref), ""),
        source=hops[0].source,
        trace_ids=tuple(dict.fromkeys(hop.trace_id for hop in hops)),
    )


def stage_money(reached: Sequence[Arrival]) -> tuple[StageMoney, ...]:
    """What the hops were worth at each milestone, in the order in which the milestones were reached first."""
    by_step: dict[str, list[Money]] = {}
    for entity, _, milestone, _, hop, _ in reached:
        if hop.amount and (entity, milestone) == (hop.entity, hop.milestone):
            by_step.setdefault(hop.title, []).append(hop.amount)
    return tuple(
        StageMoney(step=step, amount=amount, count=sum(one.currency == amount.currency for one in amounts))
        for step, amounts in by_step.items()
        for amount in total(amounts)
    )


def _keys(spans: Sequence[SpanRow]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for span in spans:
        for name, value in span.keys.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in sorted(found.items())}


def _notes(
    material: Material,
    spans: Sequence[SpanRow],
    standing: Standing,
    hops: Sequence[Hop],
    journal: Sequence[JournalEntry],
) -> tuple[str, ...]:
    notes: list[str] = []
    if not standing.begun:
        notes.append(f"The hop that began this transaction has not arrived; the first one known is {hops[0].title}.")
    notes += [f"Journal {entry.journal_id} does not balance." for entry in journal if not entry.balanced]
    notes += [f"Journal {entry.journal_id} lacks lines." for entry in journal if not entry.complete]
    if dropped := sum(span.dropped for span in spans):
        notes.append(f"The senders' limits cut off {dropped} attributes, events or links.")
    if material.linked_cut:
        notes.append("More transactions are linked than are shown here.")
    return tuple(notes)
