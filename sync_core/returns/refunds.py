"""Money that goes back: approved, instructed to each tender once, issued, failed. Decisions only; nothing does I/O."""

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Final

from collector.semconv import correlation_id
from sync_core.ledger import taxes
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import derived
from sync_core.model import Captured, ExceptionKind, Link
from sync_core.money import share_of_rest
from sync_core.orders import tenders
from sync_core.orders.orders import tax_split
from sync_core.returns.books import post, raise_about, resolve, tax_lines, tell
from sync_core.returns.messages import GoodwillGranted, RefundApproved, RefundFailed, RefundIssued
from sync_core.returns.model import Refund, Return
from sync_core.returns.units import due, restate
from sync_core.unit import DONE, Step, Verdict, link_event

OWNER: Final = "payments"
PATIENCE: Final = dt.timedelta(days=3)
"""By when a provider is to have issued what it was instructed to."""


def approve(step: Step, event: RefundApproved) -> Verdict:
    """Somebody lets money go that is cleared: to the tenders that paid, or to store credit."""
    back = due(step, event, document := f"approval/{event.approval_id}")
    if isinstance(back, Verdict):
        return back
    payable = back.cleared_minor - active_minor(step, back)
    wanted = payable if event.amount_minor is None else event.amount_minor
    if wanted > payable or wanted <= 0:
        if back.cleared_minor < back.approved_minor - back.released_minor:
            detail = f"of return {event.return_id} {payable} is validated and not paid out"
            return Verdict("parked", detail, back.correlation_id)
        wanted = max(0, wanted)
        detail = f"approval {event.approval_id} of {wanted} where {max(0, payable)} may be paid out"
        raise_about(step, back, "refund_above_approved", OWNER, detail, wanted, "critical", entity="refund",
                    entity_id=f"{back.return_id}/{event.approval_id}")  # fmt: skip
        return Verdict("rejected", detail)
    back.knows(document)
    step.change_return(back)
    _pay_out(step, back, wanted, by=event.by, card_id=event.card_id)
    restate(step, back)
    return DONE


def pay_what_is_cleared(step: Step, back: Return, document: str) -> None:
    """What may be paid out is paid out by itself where the policy says so."""
    payable = back.cleared_minor - active_minor(step, back)
    if back.approval == "automatic" and payable > 0:
        _pay_out(step, back, payable, by=f"policy, after {document}")


def issue(step: Step, event: RefundIssued) -> Verdict:
    """Money went back: once for each refund, never more than is owed, and whose goods nobody saw is somebody's."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not been received", identity)
    known = step.unit.refunds.get((identity, event.refund_id))
    if known is not None and known.state == "issued":
        return Verdict("done", f"refund {event.refund_id} is known")
    left = back.open_minor - active_minor(step, back, "instructed")
    left += known.active_minor if known is not None else 0
    if event.amount_minor > left or event.currency != back.currency:
        return _refuse(step, back, event, left)
    step.change_return(back)
    if known is None or known.state == "failed":
        known = _unasked(step, back, event, known)
    elif event.amount_minor != known.amount_minor:
        _take_as_told(step, back, known, event)
    record_issued(step, back, known)
    restate(step, back)
    return DONE


def fail(step: Step, event: RefundFailed) -> Verdict:
    """Row 24: what a provider could not give back is owed again, and whoever pays it out next time needs approval."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    known = step.unit.refunds.get((identity, event.refund_id))
    if back is None or known is None:
        return Verdict("parked", f"refund {event.refund_id} has not been instructed or issued", identity)
    if known.state == "failed":
        return Verdict("done", f"refund {event.refund_id} is known to have failed")
    step.change_return(back)
    if known.state == "issued":
        back.refunded_minor -= known.amount_minor
        known.reclaimed = True
        owed = JournalLine(step.rules.accounts.refunds_approved, -known.amount_minor, step.message.provenance)
        lines = [tenders.paid_back(step, back, known, -known.amount_minor, step.message.provenance), owed]
        post(step, back, "refund_failure", f"{known.refund_id}/{step.message.event_id}", lines)
    if back.order and known.payment_id:
        tenders.take_again(step, back.order, known.payment_id, known.amount_minor)
    known.state = "failed"
    _keep(step, known)
    about = {"provider": event.provider, "amount_minor": known.amount_minor, "owner": OWNER, "reason": event.reason,
             "refund_id": known.refund_id}  # fmt: skip
    tell(step, back, "refund.fail", "failed", about, outcome="rejected", entity="refund", entity_id=known.refund_id)
    detail = f"{event.provider} did not refund {known.refund_id}: {event.reason or 'no reason given'}"
    raise_about(step, back, "refund_failed", OWNER, detail, known.amount_minor, "critical", entity="refund",
                entity_id=f"{known.refund_id}/{step.message.event_id}")  # fmt: skip
    restate(step, back)
    return DONE


def grant(step: Step, event: GoodwillGranted) -> Verdict:
    """Row 23: an allowance on an order, with its share of the tax; nothing comes back for it."""
    waiting = correlation_id(event.order_origin, event.order_id)
    order = step.unit.orders.get(waiting)
    if order is None or not order.provider:
        return Verdict("parked", f"order {event.order_id} is not paid", waiting)
    identity = correlation_id(event.origin, event.return_id)
    if identity in step.unit.returns:
        return Verdict("rejected", f"return {event.return_id} of {event.origin} exists already")
    back = Return(
        identity, event.origin, event.return_id, order.channel, order.location, event.currency,
        step.message.occurred_at, state="dispositioned", order=waiting, customer_ref=order.customer_ref,
        approval="automatic", partition=step.unit.partition,
    )  # fmt: skip
    left = tenders.left_minor(step, order)
    if event.amount_minor > left or event.currency != order.currency:
        asked = f"{event.amount_minor} {event.currency}"
        detail = f"goodwill of {asked} where {left} {order.currency} is left of what was paid"
        raise_about(step, back, "refund_above_approved", OWNER, detail, event.amount_minor, currency=event.currency)
        return Verdict("rejected", detail)
    whole = order.amount_minor + order.tax_minor
    tax_minor = share_of_rest(order.tax_minor, event.amount_minor, whole) if whole else 0
    back.approved_minor = back.cleared_minor = event.amount_minor
    step.unit.returns[identity] = back
    step.unit.new_returns.append(back)
    step.unit.arrived.add(identity)
    link = link_event(Link(identity, waiting, "refunds", order.order_id))
    about = {"amount_minor": event.amount_minor, "reason": f"{event.by}: {event.reason}", "order_id": order.order_id}
    tell(step, back, "return.grant", "authorised", about, events=[link])
    accounts, made = step.rules.accounts, step.message.provenance
    lines = [
        JournalLine(accounts.allowances, event.amount_minor - tax_minor, made),
        *tax_lines(accounts.sales_tax, tax_split(step, order, tax_minor), made),
        JournalLine(accounts.refunds_approved, -event.amount_minor, made),
    ]
    post(step, back, "goodwill", back.return_id, lines)
    pay_what_is_cleared(step, back, "goodwill")
    restate(step, back)
    return DONE


def record_issued(step: Step, back: Return, one: Refund) -> None:
    """Row 9: what was owed is paid, and the tax of the sale is taken back with the credit memo."""
    one.state = "issued"
    _keep(step, one)
    back.refunded_minor += one.amount_minor
    memo_id = back.return_id if back.approval else ""
    about = {"provider": one.provider, "amount_minor": one.amount_minor, "owner": "finance",
             "refund_id": one.refund_id, "credit_memo_id": memo_id}  # fmt: skip
    tell(step, back, "refund.issue", "issued", about, entity="refund", entity_id=one.refund_id)
    accounts, made = step.rules.accounts, derived(step.message.provenance)
    default = step.rules.tax_code(back.channel, back.location)
    reclaimed = taxes.split(0 if one.reclaimed else one.tax_minor, back.pending_taxes, default)
    lines = [
        JournalLine(accounts.refunds_approved, one.amount_minor, made),
        tenders.paid_back(step, back, one, one.amount_minor, made),
        *tax_lines(accounts.sales_tax, reclaimed, made),
        *tax_lines(accounts.refund_tax_pending, reclaimed, made, -1),
    ]
    again = f"/{step.message.event_id}" if one.reclaimed else ""
    post(step, back, "refund", f"{one.refund_id}{again}", lines)
    resolve(step, back, "refund_failed", f"refunded: {one.refund_id}")


def active_minor(step: Step, back: Return, *states: str) -> int:
    """What refunds of a return come to that did not fail, or those in ``states``."""
    return sum(one.active_minor for one in _refunds(step, back) if not states or one.state in states)


def paid_already(step: Step, back: Return, owed_minor: int) -> int:
    """How much of what is not owed any more was paid out, or is cleared for that: the customer owes it now."""
    spoken_for = max(back.cleared_minor, active_minor(step, back))
    return max(0, owed_minor - (back.approved_minor - back.released_minor - spoken_for))


def watch_early(step: Step, back: Return) -> None:
    """Refunds of goods that were not validated are in order once these are."""
    if back.cleared_minor >= active_minor(step, back):
        resolve(step, back, "refund_before_inspection", "its goods are validated")


def _pay_out(step: Step, back: Return, amount_minor: int, *, by: str, card_id: str = "") -> None:
    """Instruct a refund to each tender; what goes to a card of our own is issued at once."""
    tell(step, back, "return.approve", "refund_approved", {"amount_minor": amount_minor, "reason": by},
         stage="transformation")  # fmt: skip
    order = step.unit.orders[back.order]
    if card_id:
        identity = tenders.card_identity(back.origin, card_id)
        tenders.open_card(step, back.origin, card_id, back.currency)
        parts = [(Captured(back.order, "", card_id, kind="store_credit", card=identity), amount_minor)]
    else:
        parts = tenders.split_back(step, order, amount_minor)
    for paid, part_minor in parts:
        one = Refund(
            back.correlation_id, _new_id(step, back), paid.provider, part_minor,
            _tax_of(step, back, part_minor), "instructed", paid.payment_id, paid.kind, paid.card, step.now,
        )  # fmt: skip
        _keep(step, one)
        about = {"provider": one.provider, "amount_minor": part_minor, "owner": OWNER, "refund_id": one.refund_id,
                 "payment_id": one.payment_id, "due_at": step.message.occurred_at + PATIENCE}  # fmt: skip
        tell(step, back, "refund.instruct", "instructed", about, stage="transformation", entity="refund",
             entity_id=one.refund_id)  # fmt: skip
        if one.card:
            record_issued(step, back, one)


def _new_id(step: Step, back: Return) -> str:
    known = {one.refund_id for one in _refunds(step, back)}
    return next(name for number in itertools.count(1) if (name := f"{back.return_id}-{number}") not in known)


def _tax_of(step: Step, back: Return, amount_minor: int) -> int:
    """The tax that goes back with an amount: with the last of what is cleared all that is left of it."""
    known = _refunds(step, back)
    left = back.cleared_minor - sum(one.active_minor for one in known)
    reclaimed = sum(one.tax_minor for one in known if one.state != "failed" or one.reclaimed)
    return share_of_rest(back.cleared_tax_minor - reclaimed, amount_minor, left) if left > 0 else 0


def _unasked(step: Step, back: Return, event: RefundIssued, failed: Refund | None) -> Refund:
    """A refund that the core did not instruct, or that failed before: what is wrong with it is somebody's."""
    paid = tenders.taken_from(step, back.order, event.provider, event.amount_minor)
    if paid is not None and paid[1] < event.amount_minor:
        above = event.amount_minor - paid[1]
        detail = f"refund {event.refund_id} gives {event.provider} {above} more than it took for the order and kept"
        raise_about(step, back, "refund_wrong_tender", OWNER, detail, above, entity="refund", entity_id=event.refund_id)
    if back.cleared_minor - active_minor(step, back) < event.amount_minor:
        _raise_early(step, back, event)
    payment = paid[0] if paid is not None else Captured(back.order, "", event.provider)
    reclaimed = failed is not None and failed.reclaimed
    return Refund(
        back.correlation_id, event.refund_id, event.provider, event.amount_minor,
        failed.tax_minor if failed is not None and reclaimed else event.tax_minor, "instructed", payment.payment_id,
        payment.kind, instructed_at=step.now, reclaimed=reclaimed,
    )  # fmt: skip


def _raise_early(step: Step, back: Return, event: RefundIssued) -> None:
    seen = any(line.received for line in back.goods)
    kind: ExceptionKind = "refund_before_inspection" if seen else "refund_without_receipt"
    what = "its goods were inspected" if seen else "anything of it was received"
    detail = f"{event.provider} refunded return {back.return_id} before {what}"
    raise_about(step, back, kind, OWNER, detail, event.amount_minor, "critical", entity="refund",
                entity_id=event.refund_id)  # fmt: skip


def _take_as_told(step: Step, back: Return, known: Refund, event: RefundIssued) -> None:
    """The provider gave back another amount than it was instructed to."""
    more = event.amount_minor - known.amount_minor
    detail = f"refund {event.refund_id} was to be {known.amount_minor}, {event.provider} gave {event.amount_minor} back"
    raise_about(step, back, "refund_differs", OWNER, detail, abs(more), entity="refund", entity_id=event.refund_id)
    if known.payment_id:
        tenders.take_again(step, back.order, known.payment_id, -more)
    known.tax_minor = share_of_rest(known.tax_minor, event.amount_minor, known.amount_minor)
    known.amount_minor = event.amount_minor


def _refuse(step: Step, back: Return, event: RefundIssued, left_minor: int) -> Verdict:
    asked, left = f"{event.amount_minor} {event.currency}", f"{left_minor} {back.currency}"
    detail = f"refund {event.refund_id} of {asked} where {left} is left"
    raise_about(step, back, "refund_above_approved", OWNER, detail, event.amount_minor, "critical", entity="refund",
                entity_id=event.refund_id, currency=event.currency)  # fmt: skip
    return Verdict("rejected", detail)


def _keep(step: Step, one: Refund) -> None:
    step.unit.refunds[one.correlation_id, one.refund_id] = one
    step.unit.changed_refunds[one.correlation_id, one.refund_id] = one


def _refunds(step: Step, back: Return) -> Sequence[Refund]:
    return [one for (identity, _), one in step.unit.refunds.items() if identity == back.correlation_id]
