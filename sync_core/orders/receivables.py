"""Charges that order no goods, and adjustments of receivables. Decisions only; nothing here does I/O."""

from collector.semconv import correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import ChargeRaised, ReceivableAdjusted, derived
from sync_core.model import Hop
from sync_core.orders.orders import document_line, kind_totals
from sync_core.unit import DONE, Step, Verdict


def charge(step: Step, event: ChargeRaised) -> Verdict:
    """An amount is charged without goods: a receivable against the revenue of its kind."""
    return _post(step, event, event.charge_id, "charge")


def adjust(step: Step, event: ReceivableAdjusted) -> Verdict:
    """A receivable is written off or restored."""
    return _post(step, event, event.adjustment_id, "receivable")


def _post(step: Step, event: ChargeRaised | ReceivableAdjusted, entity_id: str, document: str) -> Verdict:
    identity = correlation_id(event.origin, entity_id)
    source = step.message.provenance
    totals = kind_totals(event.lines)
    amount = sum(total.amount_minor for total in totals)
    about = {
        "channel": event.channel,
        "location": event.location,
        "currency": event.currency,
        "amount_minor": amount,
        "invoice_id": entity_id,
    }
    step.tell(
        Hop(
            name="order.charge" if document == "charge" else "payment.adjust",
            stage="source",
            correlation_id=identity,
            origin=event.origin,
            entity=document,
            entity_id=entity_id,
            milestone="captured",
            occurred_at=step.message.occurred_at,
            attributes=about,
        )
    )
    step.post(
        origin=event.origin,
        correlation_id=identity,
        document=document,
        entity_id=entity_id,
        channel=event.channel,
        location=event.location,
        currency=event.currency,
        lines=[
            *(document_line(step.rules.kinds[total.kind].charge, total, source) for total in totals),
            JournalLine(step.rules.accounts.receivable, amount, derived(source)),
        ],
    )
    return DONE
