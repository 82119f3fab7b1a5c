"""What providers say of payments, beside the capture of money. Decisions only; nothing here does I/O."""

from typing import Any, Final

import msgspec

from collector.semconv import correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import (
    Payment,
    PaymentAuthorised,
    PaymentFailed,
    PaymentSettled,
    PaymentSettlementAnnounced,
    PaymentVoided,
)
from sync_core.model import Captured, Hop, Order
from sync_core.orders.orders import post, raise_about, source_hop
from sync_core.unit import DONE, Step, Verdict

OWNER: Final = "payments"


def authorise(step: Step, event: PaymentAuthorised) -> Verdict:
    """The provider will pay: nothing is posted, and what failed before is passed."""
    order = _order(step, event)
    if order is None:
        return _parked(event)
    step.tell(_hop(step, order, event, "payment.authorise", "authorised"))
    step.resolve_exceptions(order.correlation_id, order.origin, "payment_failed", f"authorised: {event.payment_id}")
    return DONE


def fail(step: Step, event: PaymentFailed) -> Verdict:
    """The provider declined: somebody's, until another attempt is taken or the order is given up."""
    order = _order(step, event)
    if order is None:
        return _parked(event)
    declined = _hop(step, order, event, "payment.fail", "", reason=event.reason or "declined")
    step.tell(msgspec.structs.replace(declined, outcome="rejected"))
    open_already = step.unit.open_exceptions.get((order.correlation_id, "payment_failed"))
    if not (open_already or order.provider or order.state == "cancelled"):
        detail = f"payment {event.payment_id}: {event.reason or 'declined'}"
        raise_about(step, order, "payment_failed", OWNER, detail, event.amount_minor)
    return DONE


def void(step: Step, event: PaymentVoided) -> Verdict:
    """An authorisation ends; what was captured is not ended by it."""
    order = _order(step, event)
    if order is None:
        return _parked(event)
    if order.provider:
        return _differs(step, order, event, f"payment {event.payment_id} is voided after its capture")
    step.tell(_hop(step, order, event, "payment.void", "voided", reason=event.reason))
    return DONE


def announce(step: Step, event: PaymentSettlementAnnounced) -> Verdict:
    """The money is on its way until a day: from then on it is late."""
    order = _order(step, event)
    if order is None or not order.provider:
        return _parked(event)
    about = {"due_at": event.settles_by, "owner": OWNER}
    step.tell(_hop(step, order, event, "settlement.announce", "settlement_announced", **about))
    return DONE


def settle(step: Step, event: PaymentSettled) -> Verdict:
    """Paid out: what the provider owed us is in transit to the bank, less what it kept. Each payment once, in full."""
    order = _order(step, event)
    payment = step.unit.payments[order.correlation_id].get(event.payment_id) if order else None
    if order is None or payment is None:
        return _parked(event)
    if payment.settled:
        return _differs(step, order, event, f"payment {event.payment_id} is settled a second time")
    captured = (payment.amount_minor, order.currency, payment.provider)
    if (event.amount_minor, event.currency, event.provider) != captured:
        paid = f"{event.amount_minor} {event.currency} by {event.provider}"
        wanted = f"{payment.amount_minor} {order.currency} by {payment.provider}"
        return _differs(step, order, event, f"payment {event.payment_id} is settled with {paid}, not with {wanted}")
    payment.settled = True
    step.unit.changed_payments[(order.correlation_id, event.payment_id)] = payment
    clearing = step.rules.clearing(event.provider)
    closed = {"account": clearing, "reference": event.payment_id, "id": order.correlation_id}
    step.unit.settings.append(("close_item", closed))
    step.tell(_hop(step, order, event, "settlement.match", "settled", payout_id=event.payout_id))
    accounts, made = step.rules.accounts, step.message.provenance
    banked_minor = event.amount_minor - event.fee_minor
    lines = [
        JournalLine(accounts.payouts_in_transit, banked_minor, made, reference=event.payout_id),
        JournalLine(accounts.processor_fees, event.fee_minor, made),
        JournalLine(clearing, -event.amount_minor, made, functional_minor=_booked(payment)),
    ]
    post(step, order, "settlement", event.payment_id, lines)
    return DONE


def _booked(payment: Captured) -> int | None:
    """What a payment is worth in the books, with which the account of its provider is closed."""
    return None if payment.functional_minor is None else -payment.functional_minor


def _order(step: Step, event: Payment) -> Order | None:
    return step.unit.orders.get(correlation_id(event.origin, event.order_id))


def _parked(event: Payment) -> Verdict:
    missing = f"order {event.order_id} has not arrived, or is not paid"
    return Verdict("parked", missing, correlation_id(event.origin, event.order_id))


def _hop(step: Step, order: Order, event: Payment, name: str, milestone: str, **also: Any) -> Hop:
    about = {"provider": event.provider, "amount_minor": event.amount_minor, "payment_id": event.payment_id}
    return source_hop(step, order, name, "payment", event.payment_id, milestone, about | also)


def _differs(step: Step, order: Order, event: Payment, detail: str) -> Verdict:
    raise_about(step, order, "payment_differs", OWNER, detail, event.amount_minor)
    return Verdict("rejected", detail)
