"""What returns post, tell and raise, whatever happened to them. Decisions only; nothing here does I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from collector.semconv import EVENT_LINE
from sync_core.ledger import taxes
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import Provenance
from sync_core.model import ExceptionKind, Hop, ParkedItem, Severity
from sync_core.returns.model import Return, ReturnLine, Worth
from sync_core.unit import Step

OWNER: Final = "returns"

NEXT: Final = {
    "received": "warehouse", "verified": "warehouse", "inspected": "warehouse", "dispositioned": "inventory",
    "restocked": "inventory", "refund_approved": "payments", "refunded": "finance",
}  # fmt: skip
"""Whose a requested return is once it has reached a milestone; returns' otherwise."""

Told = tuple[str, dict[str, Any]]


def owed_lines(step: Step, parts: Iterable[tuple[ReturnLine, Worth, int]], sign: int = 1) -> list[JournalLine]:
    """What units make owed to the customer, or with -1 not owed any more: their price, their tax, less the fee."""
    accounts, kinds, made = step.rules.accounts, step.rules.kinds, step.message.provenance
    lines: list[JournalLine] = []
    whole, by_code = Worth(), Counter[str]()
    for line, worth, units in parts:
        whole += worth
        by_code[line.tax_code] += worth.tax_minor
        lines.append(
            JournalLine(
                kinds[line.kind].credit, sign * worth.amount_minor, made, kind=line.kind, quantity=-sign * units,
                line_count=1, related=line.order or None,
            )
        )  # fmt: skip
    return [
        *lines,
        *tax_lines(accounts.refund_tax_pending, by_code, made, sign),
        JournalLine(accounts.restocking_fees, -sign * whole.fee_minor, made),
        JournalLine(accounts.refunds_approved, -sign * whole.owed_minor, made),
    ]


def tax_lines(account: str, by_code: Mapping[str, int], made: Provenance, sign: int = 1) -> list[JournalLine]:
    """The lines of an account of tax, one for each code."""
    return [JournalLine(account, sign * amount, made, tax_code=code) for code, amount in sorted(by_code.items())]


def moved(step: Step, amount_minor: int, to: str, taken: str) -> list[JournalLine]:
    """A value goes from one account to another."""
    made = step.message.provenance
    return [JournalLine(to, amount_minor, made), JournalLine(taken, -amount_minor, made)]


def post(step: Step, back: Return, document: str, entity_id: str, lines: list[JournalLine], location: str = "") -> None:
    """Add a journal of a return; ``location`` where goods moved elsewhere."""
    posted = step.post(
        origin=back.origin, correlation_id=back.correlation_id, document=document, entity_id=entity_id,
        channel=back.channel, location=location or back.location, currency=back.currency, lines=lines,
    )  # fmt: skip
    taxes.note(back.pending_taxes, posted, [step.rules.accounts.refund_tax_pending])
    if back.taxes is not None:
        taxes.note(back.taxes, posted, taxes.accounts_of(step.rules))


def tell(
    step: Step, back: Return, name: str, milestone: str, about: dict[str, Any] | None = None, *,
    stage: str = "source", outcome: str = "ok", events: Sequence[Told] = (), entity: str = "return",
    entity_id: str = "",
) -> None:  # fmt: skip
    """A hop of a return: of the ``source`` at the event's time, of ours at the moment of deciding."""
    owner = NEXT.get(milestone, OWNER) if back.approval else OWNER
    step.tell(
        Hop(
            name=name, stage=stage, correlation_id=back.correlation_id, origin=back.origin, entity=entity,
            entity_id=entity_id or back.return_id, milestone=milestone, outcome=outcome,
            occurred_at=step.message.occurred_at if stage == "source" else None,
            attributes=dimensions(back) | {"owner": owner, "return_id": back.return_id} | (about or {}),
            events=list(events),
        )
    )  # fmt: skip


def raise_about(
    step: Step, back: Return, kind: ExceptionKind, owner: str, detail: str, amount_minor: int,
    severity: Severity = "major", *, entity: str = "return", entity_id: str = "", currency: str = "",
) -> None:  # fmt: skip
    """Open an exception on a return, or on the part of it that ``entity_id`` names."""
    step.raise_exception(
        kind, origin=back.origin, correlation_id=back.correlation_id, entity=entity,
        entity_id=entity_id or back.return_id, owner=owner, detail=detail[:2000], amount_minor=amount_minor,
        currency=currency or back.currency, severity=severity, channel=back.channel,
    )  # fmt: skip


def resolve(step: Step, back: Return, kind: ExceptionKind, resolution: str) -> None:
    step.resolve_exceptions(back.correlation_id, back.origin, kind, resolution)


def park(
    step: Step, back: Return, document: str, line_no: int, sku: str, quantity: int, amount_minor: int, reason: str, *,
    whole_line: bool = True,
) -> None:  # fmt: skip
    """Goods that belong nowhere yet wait with their value and an owner; both are negative, as in a credit memo."""
    source: Provenance = step.message.provenance
    kind, _, number = document.partition("/")
    item = ParkedItem(
        back.correlation_id, number, line_no, sku, -quantity, -amount_minor, back.currency, reason, whole_line, OWNER,
        back.channel, step.message.business_date, source, kind,
    )  # fmt: skip
    step.unit.parked_items.append((item, step.now))


def told_units(line: ReturnLine, units: int, amount_minor: int = 0, **over: Any) -> Told:
    return EVENT_LINE, {"sku": line.sku, "quantity": units, "amount_minor": amount_minor, "kind": line.kind} | over


def dimensions(back: Return) -> dict[str, Any]:
    return {"channel": back.channel, "location": back.location, "currency": back.currency}
