"""What is joined to a transaction: a bounded walk over links, and the lines that concern both ends."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from collector.semconv import EVENT_LINK, InvalidReferenceError, correlation_id
from lineage.hops import fold
from lineage.lines import back, line_items, total
from lineage.milestones import arrivals
from lineage.model import LineItem, LinkDirection, LinkedSum, LinkPart, Money, Related
from lineage.rows import LinkedSumRow, LinkRow, LinksRead, SpanRow, moment, money
from lineage.standing import Standings

DEPTH: Final = 3
NODES: Final = 100
FAN: Final = 20
"""At each depth at most so many: what hangs on the first of a large settlement is seen as well."""
_SETTLES: Final = "settles"
_GIVES_BACK: Final = frozenset({"returns", "refunds"})


class Linked(NamedTuple):
    """``other`` was reached from ``via`` over ``links``, ``depth`` steps away from where the walk began."""

    other: str
    via: str
    links: tuple[LinkRow, ...]
    depth: int

    @property
    def link(self) -> LinkRow:
        return self.links[0]

    @property
    def settles_via(self) -> bool:
        """``other`` is a settlement of ``via``, which it shares with strangers."""
        return self.link.kind == _SETTLES and self.direction == "in"

    @property
    def shares_lines(self) -> bool:
        """What joins the two stands in their spans; of a settlement it stands in the links."""
        return self.link.kind != _SETTLES

    @property
    def direction(self) -> LinkDirection:
        return "out" if self.link.from_id == self.via else "in"


LinksOf = Callable[[Collection[str], Collection[str]], LinksRead]
"""The links that have one of the first transactions at either end, or end at one of the second."""


class Level(NamedTuple):
    """What a walk found at one depth; ``cut`` tells that there was more."""

    linked: tuple[Linked, ...]
    cut: bool


def walk(start: str, links_of: LinksOf, *, depth: int = DEPTH, nodes: int = NODES, fan: int = FAN) -> Iterator[Level]:
    """Breadth first, each transaction once by its shortest way, level by level: a caller can ask on meanwhile.

    From a settlement that a transaction is part of, the way leads on to what settles it (its payout at the bank), not
    to the other transactions in it: they are strangers.
    """
    seen = {start}
    room = nodes
    frontier: dict[str, bool] = {start: False}  # True: only what settles it
    for level in range(1, depth + 2):
        both, ends_only = ({one for one, up in frontier.items() if up is only} for only in (False, True))
        read = links_of(both, ends_only)
        steps = _outward(both, read.links, seen, level, ends_only)
        shown = steps[: min(fan, room)] if level <= depth else []
        yield Level(tuple(shown), read.more or len(shown) < len(steps))
        if not shown:
            return
        room -= len(shown)
        frontier = {step.other: step.settles_via for step in shown}
        seen |= frontier.keys()


def _outward(
    both: Collection[str], links: Iterable[LinkRow], seen: Collection[str], level: int, ends_only: Collection[str]
) -> list[Linked]:
    steps: dict[str, Linked] = {}
    for link in sorted(links, key=lambda link: (link.at_us, link.from_id, link.to_id, link.kind, link.evidence)):
        for via, other in ((link.from_id, link.to_id), (link.to_id, link.from_id)):
            upward = via in ends_only and via == link.to_id and link.kind == _SETTLES
            if other in seen or not (via in both or upward):
                continue
            known = steps.get(other)
            if known is None:
                steps[other] = Linked(other, via, (link,), level)
            elif known.via == via:
                steps[other] = known._replace(links=(*known.links, link))
    return list(steps.values())


def page(of: str, links: Iterable[LinkRow]) -> tuple[Linked, ...]:
    """What is joined to one transaction, in the order of the rows."""
    by_other: dict[str, tuple[LinkRow, ...]] = {}
    for link in links:
        other = link.to_id if link.from_id == of else link.from_id
        by_other[other] = (*by_other.get(other, ()), link)
    return tuple(Linked(other, of, joined, 1) for other, joined in by_other.items())


def summed(linked: Iterable[Linked]) -> list[LinkedSumRow]:
    """What the store would sum up, when everything that is joined directly is at hand."""
    rows: dict[tuple[str, bool], LinkedSumRow] = {}
    for item in linked:
        if item.depth == 1:
            kind, outward = item.link.kind, item.direction == "out"
            known = rows.get((kind, outward), LinkedSumRow(kind, outward, 0, {}))
            amounts = dict(known.amounts)
            for link in item.links:
                amounts[link.currency] = amounts.get(link.currency, 0) + link.amount_minor
            rows[kind, outward] = known._replace(transactions=known.transactions + 1, amounts=amounts)
    return [rows[key] for key in sorted(rows)]


def sums(rows: Iterable[LinkedSumRow]) -> tuple[LinkedSum, ...]:
    return tuple(
        LinkedSum(
            link=row.kind,
            direction="out" if row.outward else "in",
            transactions=row.transactions,
            amounts=tuple(Money(minor, currency) for currency, minor in sorted(row.amounts.items()) if currency),
        )
        for row in rows
    )


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
    lines = _shared_lines(item.link, spans) if item.shares_lines else ()
    parts = tuple(map(_part, item.links))
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
        amount=_told(parts) or _worth(item.link, lines, spans) or (standing.amount if item.depth == 1 else None),
        lines=lines,
        started_at=hops[0].at if hops else None,
        parts=parts,
    )


def _part(link: LinkRow) -> LinkPart:
    return LinkPart(
        evidence=link.evidence, by=link.by, at=moment(link.at_us), amount=money(link.amount_minor, link.currency)
    )


def _told(parts: Iterable[LinkPart]) -> Money | None:
    sums = total(part.amount for part in parts if part.amount)
    return sums[0] if len(sums) == 1 else None


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
