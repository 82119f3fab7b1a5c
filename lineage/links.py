"""What is joined to a transaction: a bounded walk over links, and the lines that concern both ends."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from collector.semconv import EVENT_LINK, InvalidReferenceError, correlation_id
from lineage.hops import fold
from lineage.lines import back, line_items, total
from lineage.milestones import arrivals
from lineage.model import LineItem, LinkDirection, Money, Related
from lineage.rows import LinkRow, SpanRow, moment, money
from lineage.standing import Standings

DEPTH: Final = 3
NODES: Final = 200
_GIVES_BACK: Final = frozenset({"returns", "refunds"})


class Linked(NamedTuple):
    """``other`` was reached from ``via`` over ``link``, ``depth`` links away from where the walk began."""

    other: str
    via: str
    link: LinkRow
    depth: int

    @property
    def direction(self) -> LinkDirection:
        return "out" if self.link.from_id == self.via else "in"


def walk(
    start: str, links_of: Callable[[Collection[str]], Iterable[LinkRow]], *, depth: int = DEPTH, nodes: int = NODES
) -> tuple[tuple[Linked, ...], bool]:
    """Breadth first, each transaction once by its shortest way. The second value tells that there was more.

    ``links_of`` gives every link that has one of the transactions at either end.
    """
    seen = {start}
    found: list[Linked] = []
    frontier: set[str] = {start}
    for level in range(1, depth + 1):
        steps = _outward(frontier, links_of(frontier), seen, level)
        room = nodes - len(found)
        found += steps[:room]
        if len(steps) > room:
            return tuple(found), True
        frontier = {step.other for step in steps}
        if not frontier:
            return tuple(found), False
        seen |= frontier
    return tuple(found), bool(_outward(frontier, links_of(frontier), seen, depth + 1))


def _outward(frontier: set[str], links: Iterable[LinkRow], seen: set[str], level: int) -> list[Linked]:
    steps: dict[str, Linked] = {}
    for link in sorted(links, key=lambda link: (link.at_us, link.from_id, link.to_id, link.kind)):
        for via, other in ((link.from_id, link.to_id), (link.to_id, link.from_id)):
            if via in frontier and other not in seen:
                steps.setdefault(other, Linked(other, via, link, level))
    return list(steps.values())


def related(
    linked: Iterable[Linked], spans: Mapping[str, Sequence[SpanRow]], standings: Standings
) -> tuple[Related, ...]:
    """``spans`` holds the spans of every linked transaction and of the one the walk began at, by correlation ID.

    Beyond depth 1 they come without events: what such a transaction itself says of its lines is not shown.
    """
    return tuple(_related(item, spans, standings) for item in linked)


def _related(item: Linked, spans: Mapping[str, Sequence[SpanRow]], standings: Standings) -> Related:
    own = spans.get(item.other, ())
    by_span = {span.span_id: span for span in own}
    hops = fold(own, standings.titles)
    standing = standings.of(hops, arrivals(hops, by_span), (), own)
    lines = _shared_lines(item.link, spans)
    return Related(
        correlation_id=item.other,
        origin=standing.origin,
        reference=standing.reference,
        kind=standing.kind,
        state=standing.state,
        title=f"{standing.kind} {standing.reference or item.other[:8]}",
        link=item.link.kind,
        direction=item.direction,
        via=item.via,
        depth=item.depth,
        evidence=item.link.evidence,
        by=item.link.by,
        at=moment(item.link.at_us),
        amount=_worth(item.link, lines, spans) or (standing.amount if item.depth == 1 else None),
        lines=lines,
        started_at=hops[0].at if hops else None,
    )


def _worth(link: LinkRow, lines: Sequence[LineItem], spans: Mapping[str, Sequence[SpanRow]]) -> Money | None:
    """The shared lines, and what the named transaction's own hops say the link took from it (a cancelled part)."""
    ends = {"from": link.from_id, "to": link.to_id}.items()
    hops = (
        span
        for span in spans.get(link.to_id, ())
        if any(event.name == EVENT_LINK and ends <= event.attrs.items() for event in span.events)
    )
    told = [amount for span in hops if (amount := money(span.amount_minor, span.currency))]
    taken = [back(amount) for amount in told] if link.kind in _GIVES_BACK else told
    sums = total([*(line.amount for line in lines), *taken])
    return sums[0] if len(sums) == 1 else None


def _shared_lines(link: LinkRow, spans: Mapping[str, Sequence[SpanRow]]) -> tuple[LineItem, ...]:
    """The lines at the naming end (a return) that give the other end (its order) as theirs."""
    named = spans.get(link.to_id, ())
    naming = spans.get(link.from_id, ())
    origins = {span.origin for span in (*named, *naming) if span.origin}
    lines = (line for span in naming for line in line_items(span) if line.order_id)
    return tuple(line for line in lines if any(_is(link.to_id, origin, line.order_id) for origin in origins))


def _is(identity: str, origin: str, reference: str) -> bool:
    try:
        return correlation_id(origin, reference).hex() == identity
    except InvalidReferenceError:
        return False
