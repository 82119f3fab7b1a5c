"""Order and return lines, and what waits outside the books, as the hops told them in their span events."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from collector.semconv import EVENT_LINE
from lineage.model import Hop, LineItem, Money, Parked
from lineage.rows import SpanRow

_TOLD: Final = frozenset(["sku", "kind", "quantity", "amount_minor", "currency", "location", "order_id", "parked"])


def line_items(span: SpanRow) -> tuple[LineItem, ...]:
    """Currency and location are the hop's where the line names none; a line without a kind is of goods."""
    events = [event.attrs for event in span.events if event.name == EVENT_LINE]
    return tuple(
        LineItem(
            hop=span.name,
            line_no=number,
            sku=attrs.get("sku", ""),
            kind=attrs.get("kind", "goods"),
            quantity=int(attrs.get("quantity", "0")),
            amount=_amount(span, attrs),
            location=attrs.get("location") or span.location,
            order_id=attrs.get("order_id", ""),
            parked=attrs.get("parked", ""),
            attrs={name: value for name, value in attrs.items() if name not in _TOLD},
        )
        for number, attrs in enumerate(events, start=1)
    )


def _amount(span: SpanRow, attrs: Mapping[str, str]) -> Money:
    told = Money(int(attrs.get("amount_minor", "0")), attrs.get("currency") or span.currency)
    return back(told) if span.domain == "return" else told


def back(amount: Money) -> Money:
    """The amount as money that goes back to the customer, whichever sign it was told with."""
    return Money(-abs(amount.amount_minor), amount.currency)


def parked(hops: Sequence[Hop], spans: Mapping[str, SpanRow]) -> tuple[Parked, ...]:
    """The parked lines; of a hop that is parked as a whole and tells no such line, the hop.

    A later hop of the same object ends the waiting of the hop. An exception waits for a person, not outside the books.
    """
    found: list[Parked] = []
    for index, hop in enumerate(hops):
        waiting = [line for line in line_items(spans[hop.span_id]) if line.parked]
        found += [_parked_line(hop, line) for line in waiting]
        went_on = any((later.entity, later.entity_id) == (hop.entity, hop.entity_id) for later in hops[index + 1 :])
        if hop.outcome == "parked" and hop.entity != "exception" and not waiting and not went_on:
            found.append(
                Parked(
                    hop=hop.name,
                    sku="",
                    quantity=hop.quantity,
                    amount=hop.amount,
                    reason=hop.reason,
                    owner=hop.owner,
                    at=hop.at,
                )
            )
    return tuple(found)


def _parked_line(hop: Hop, line: LineItem) -> Parked:
    return Parked(
        hop=hop.name,
        sku=line.sku,
        quantity=line.quantity,
        amount=line.amount,
        reason=line.parked,
        owner=hop.owner,
        at=hop.at,
    )


def total(amounts: Iterable[Money]) -> tuple[Money, ...]:
    """One sum per currency, by currency."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.amount_minor
    return tuple(Money(amount_minor, currency) for currency, amount_minor in sorted(sums.items()))
