"""Undoing a stock document whose journal the ERP refused for good. Decisions only; nothing here does I/O."""

from typing import Final

from sync_core import message_milestones
from sync_core.ledger.ledger import reversal
from sync_core.messages import PostingCompensated
from sync_core.model import Hop, Posted
from sync_core.returns import inspections
from sync_core.stock.buckets import EFFECTS, PHYSICAL
from sync_core.unit import DONE, Step, Verdict

COMPENSABLE: Final = frozenset({"reclassification", "adjustment", "count", "disposition"})
"""Documents that only move goods: what touches customers or partners is corrected by their own events."""


def compensate(step: Step, event: PostingCompensated) -> Verdict:
    """Take the goods back to where they were and reverse the journal; the ERP, which has neither, is told nothing."""
    posted = step.unit.posted.get(event.journal_id)
    if posted is None or posted.document not in COMPENSABLE or posted.state not in ("rejected", "dead"):
        return Verdict("rejected", f"journal {event.journal_id} is none that the ERP refused of a stock document")
    if short := _missing(step, posted):
        step.raise_exception(
            "stock_shortfall", origin=event.origin, correlation_id=posted.correlation_id, entity="posting",
            entity_id=f"{posted.document}/{posted.entity_id}", owner="warehouse", detail=short,
            currency=posted.currency,
        )  # fmt: skip
        return Verdict("rejected", short)
    for key, kind, location, sku, quantity in posted.movements:
        step.move(f"{key}/compensated", kind, sku, location, -quantity, posted.correlation_id)
    step.post(
        origin=event.origin, correlation_id=posted.correlation_id, document="compensation",
        entity_id=f"{posted.document}/{posted.entity_id}", channel=posted.channel, location=posted.location,
        currency=posted.currency, to_erp=False,
        lines=[reversal(line) for line in posted.lines],
    )  # fmt: skip
    if back := step.unit.returns.get(posted.correlation_id):
        inspections.undo(step, back, posted)
    step.unit.settings.append(("posting_compensated", {"journal_id": event.journal_id}))
    step.tell(_reversed(event, posted))
    kind = "posting_dead" if posted.state == "dead" else "posting_rejected"
    step.resolve_exception(f"{event.journal_id}:{kind}", posted.correlation_id, event.origin, "compensated")
    return DONE


def _missing(step: Step, posted: Posted) -> str:
    """Which bucket does not hold what would have to leave it."""
    for _, kind, location, sku, quantity in posted.movements:
        held = step.stock(sku, location)
        for bucket, factor in EFFECTS[kind]:
            there = getattr(held, bucket)
            if bucket in PHYSICAL and there < factor * quantity:
                return f"{factor * quantity} of {sku} are to leave {bucket.replace('_', ' ')} again, {there} are there"
    return ""


def _reversed(event: PostingCompensated, posted: Posted) -> Hop:
    about = {"journal_id": event.journal_id, "reason": event.reason, "channel": posted.channel,
             "location": posted.location, "currency": posted.currency}  # fmt: skip
    return Hop(
        "posting.reverse", "transformation", posted.correlation_id, event.origin, "posting",
        f"{posted.document}/{posted.entity_id}", "reversed", outcome="compensated", attributes=about,
        events=[message_milestones.told(message_milestones.to_erp(event.journal_id), "recovered", posted.document)],
    )  # fmt: skip
