"""Spans of one transaction to its hops: retries and duplicate deliveries folded, in business time, with the gaps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from lineage.model import Attempt, Hop
from lineage.rows import SpanRow, moment, moment_or_none, money

_NOT_YET: Final = "failed"  # will be tried again
_AGAIN: Final = "duplicate"  # was already done
_STAGES: Final = ("source", "transformation", "queue", "delivery", "erp")


class _Folded(Struct):
    attempts: list[SpanRow]
    duplicates: list[SpanRow] = field(default_factory=list)

    @property
    def decided(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].outcome != _NOT_YET

    @property
    def deciding(self) -> SpanRow:
        return (self.attempts or self.duplicates)[-1]


def fold(spans: Iterable[SpanRow], titles: Mapping[str, str]) -> tuple[Hop, ...]:
    """Oldest business time first. ``titles`` has the words for ``<entity>.<milestone>``, in the order of the flows.

    Failed attempts belong to the next attempt at the same object; a duplicate belongs to the hop it repeats. A second
    decision about the same object (back-ordered, then reserved) is a hop of its own.
    """
    latest: dict[tuple[str, str, str], _Folded] = {}
    folded: list[_Folded] = []
    for span in sorted(spans, key=lambda span: (span.start_us, span.attempt, span.span_id)):
        key = (span.name, span.entity, span.entity_id)
        into = latest.get(key)
        if into is None or (into.decided and span.outcome != _AGAIN):
            into = latest[key] = _Folded([])
            folded.append(into)
        (into.duplicates if span.outcome == _AGAIN else into.attempts).append(span)
    places = {milestone: place for place, milestone in enumerate(titles)}
    return _with_gaps(sorted((_hop(hop, titles) for hop in folded), key=lambda hop: _order(hop, places)))


def _order(hop: Hop, places: Mapping[str, int]) -> tuple[object, ...]:
    """Business time, then the service's; what one unit of work did at once stands as the flows declare it."""
    stage = _STAGES.index(hop.stage) if hop.stage in _STAGES else len(_STAGES)
    place = places.get(f"{hop.entity}.{hop.milestone}", len(places))
    return hop.at, hop.recorded_at, stage, place, hop.name, hop.entity_id


def _with_gaps(hops: Sequence[Hop]) -> tuple[Hop, ...]:
    befores = [None, *hops][: len(hops)]
    return tuple(
        replace(hop, gap_seconds=(hop.at - before.at).total_seconds()) if before else hop
        for before, hop in zip(befores, hops, strict=True)
    )


def _attempt(span: SpanRow) -> Attempt:
    return Attempt(
        span_id=span.span_id,
        at=moment(span.start_us),
        outcome=span.outcome,
        attempt=span.attempt,
        reason=span.reason or span.status_message,
        duration_us=span.end_us - span.start_us,
    )


def _hop(folded: _Folded, titles: Mapping[str, str]) -> Hop:
    span = folded.deciding
    return Hop(
        name=span.name,
        title=title(span, titles),
        domain=span.domain,
        hop=span.hop,
        stage=span.stage,
        outcome=span.outcome,
        entity=span.entity,
        entity_id=span.entity_id,
        milestone=span.milestone,
        at=moment(span.occurred_us),
        recorded_at=moment(span.start_us),
        duration_us=span.end_us - span.start_us,
        gap_seconds=0.0,
        attempts=tuple(map(_attempt, folded.attempts)),
        duplicates=len(folded.duplicates),
        reason=span.reason or span.status_message,
        owner=span.owner,
        service=span.service,
        system=span.system,
        channel=span.channel,
        location=span.location,
        provider=span.provider,
        amount=money(span.amount_minor, span.currency) if span.amount_minor else None,
        quantity=span.quantity,
        due_at=moment_or_none(span.due_us),
        lines=sum(event.name == "line" for event in span.events),
        source=span.source,
        trace_id=span.trace_id,
        span_id=span.span_id,
        keys=span.keys,
        attrs=span.attrs,
    )


def title(span: SpanRow, titles: Mapping[str, str]) -> str:
    """ "stock reserved"; for a hop without a milestone, or not done yet, its name and what became of it."""
    if span.milestone and span.outcome not in (_NOT_YET, _AGAIN):
        words = f"{span.entity} {span.milestone}".replace("_", " ").replace("erp", "ERP")
        return titles.get(f"{span.entity}.{span.milestone}", words)
    words = span.name.replace(".", " ").replace("_", " ").replace("erp", "ERP")
    return words if span.outcome in ("ok", "") else f"{words}: {span.outcome.replace('_', ' ')}"
