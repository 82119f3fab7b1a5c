"""What a transaction is and how far it has come: its kind, its document number, the word for its state."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collector.semconv import InvalidReferenceError, correlation_id
from lineage.flows import Flow, Flows, Step
from lineage.lines import back
from lineage.milestones import Arrival
from lineage.model import Expected, Hop, Money
from lineage.rows import SpanRow

UNKNOWN_KIND = "transaction"


class Standing(Struct, frozen=True, kw_only=True):
    kind: str
    origin: str
    reference: str
    state: str
    amount: Money | None
    begun: bool  # the hop that begins such a transaction is there


class Standings:
    """Judges standings by the declared flows."""

    def __init__(self, flows: Flows) -> None:
        self.flows = flows
        self.titles: Mapping[str, str] = flows.titles()

    def of(
        self, hops: Sequence[Hop], reached: Sequence[Arrival], expected: Sequence[Expected], spans: Sequence[SpanRow]
    ) -> Standing:
        origin = next((span.origin for span in spans if span.origin), "")
        first, flow = self._beginning(hops)
        return Standing(
            kind=flow.name if flow else (hops[0].domain if hops else UNKNOWN_KIND) or UNKNOWN_KIND,
            origin=origin,
            reference=reference(spans),
            state=self._state(flow, reached, expected) or (hops[-1].title if hops else "not arrived"),
            amount=_amount(first, hops),
            begun=flow is not None,
        )

    def _beginning(self, hops: Sequence[Hop]) -> tuple[Hop | None, Flow | None]:
        """The first hop that begins a flow; a shipment that came before its order belongs to the order all the same."""
        begun: list[tuple[Hop, Flow]] = []
        for hop in hops:
            flow = self.flows.beginning_with(f"{hop.entity}.{hop.milestone}")
            if flow and (not begun or begun[-1][1].name in flow.includes):
                begun.append((hop, flow))
        return begun[-1] if begun else (None, None)

    def _state(self, flow: Flow | None, reached: Sequence[Arrival], expected: Sequence[Expected]) -> str:
        if flow is None:
            return ""
        last = _furthest(flow.steps, reached, ())
        if last is None:
            return ""
        step, arrival = last
        if arrival.parked and step.reached in flow.begins:
            return "parked"
        further = _furthest(self.flows.included_in(flow), reached, expected) if step.ends else None
        return further[0].state if further else step.state


def _amount(first: Hop | None, hops: Sequence[Hop]) -> Money | None:
    if first is None:
        return next((hop.amount for hop in hops if hop.amount), None)
    return back(first.amount) if first.amount and first.domain == "return" else first.amount


def _furthest(
    steps: Iterable[Step], reached: Sequence[Arrival], expected: Sequence[Expected]
) -> tuple[Step, Arrival] | None:
    """The last declared step that was reached and is not still expected of another object."""
    awaited = {(item.entity, item.milestone) for item in expected}
    first = {arrival.reached: arrival for arrival in reversed(reached)}
    found = None
    for step in steps:
        arrival = first.get(step.reached)
        if arrival and step.state and (step.entity, step.milestone) not in awaited:
            found = (step, arrival)
    return found


def reference(spans: Iterable[SpanRow]) -> str:
    """The document number that the identity was computed from, found among the keys by computing it again."""
    for span in spans:
        for value in (span.entity_id, *span.keys.values()):
            try:
                if correlation_id(span.origin, value).hex() == span.correlation_id:
                    return value
            except InvalidReferenceError:
                continue
    return ""
