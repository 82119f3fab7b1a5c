"""Returns, credit memos and refunds. Decisions only; nothing here does I/O."""

import datetime as dt
from collections import defaultdict
from typing import Any, Final

from msgspec import Struct, field

from collector.semconv import EVENT_LINE, correlation_id
from sync_core import orders
from sync_core.ledger import JournalLine
from sync_core.messages import CreditMemoIssued, Line, Provenance, RefundIssued, ReturnReceived
from sync_core.model import CreditPiece, Hop, Link, Order, OrderLine, ParkedItem, Return
from sync_core.unit import DONE, Step, Verdict, link_event

CANCELLATION_WINDOW: Final = dt.timedelta(minutes=60)
"""A credit this soon after its order is a cancellation before shipment; a later one is a return."""

PARKED_OWNER: Final = "returns"


class _Share(Struct):
    """What one credit memo takes from one order, as cancellation or as return."""

    order: Order
    outcome: str
    quantity: int = 0
    amount_minor: int = 0
    line_count: int = 0
    pieces: int = 0
    tax_minor: int = 0
    cost_minor: int = 0


class _Memo(Struct):
    """A credit memo while its lines are being applied."""

    event: CreditMemoIssued
    identity: bytes
    shares: dict[tuple[bytes, str], _Share] = field(default_factory=dict)
    told_lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    parked_minor: int = 0
    parked_count: int = 0


def issue_credit_memo(step: Step, event: CreditMemoIssued) -> Verdict:
    """Find the sales that a credit memo gives back, post what is covered and park, with its value, what is not."""
    identity = correlation_id(event.origin, event.credit_memo_id)
    if identity in step.unit.returns:
        return Verdict("rejected", f"credit memo {event.credit_memo_id} of {event.origin} exists already")
    memo = _Memo(event, identity)
    for number, line in enumerate(event.lines, 1):
        if line.kind == "goods":
            _credit_goods(step, memo, number, line)
    for share in memo.shares.values():
        if share.outcome == "cancelled":
            _cancel_share(step, memo, share)
        else:
            share.tax_minor = _take_tax(share.order, share.amount_minor, everything=False)
            step.unit.changed_orders[share.order.correlation_id] = share.order
    refund_minor, tax_minor = _post_credit(step, memo)
    made = Return(
        correlation_id=identity,
        origin=event.origin,
        return_id=event.credit_memo_id,
        channel=event.channel,
        location=event.location,
        currency=event.currency,
        received_at=step.message.occurred_at,
        approved_minor=refund_minor,
        tax_minor=tax_minor,
    )
    step.unit.returns[identity] = made
    step.unit.new_returns.append(made)
    step.unit.arrived.add(identity)
    _tell_memo(step, memo)
    if refund_minor > 0:
        _refund(step, made, event.credit_memo_id, _provider(memo), refund_minor, tax_minor)
    return DONE


def receive(step: Step, event: ReturnReceived) -> Verdict:
    """Goods of one order are back: they wait for inspection, and their value is owed to the customer."""
    order = step.unit.orders.get(correlation_id(event.order_origin, event.order_id))
    if order is None or order.state != "shipped":
        waiting = correlation_id(event.order_origin, event.order_id)
        return Verdict("parked", f"order {event.order_id} has not been shipped", waiting)
    identity = correlation_id(event.origin, event.return_id)
    if identity in step.unit.returns:
        return Verdict("rejected", f"return {event.return_id} of {event.origin} exists already")
    refusal = _use_up(step, order, event)
    if refusal:
        step.raise_exception(
            "return_not_covered", origin=event.origin, correlation_id=identity, entity="return",
            entity_id=event.return_id, owner=PARKED_OWNER, detail=refusal, currency=event.currency,
            amount_minor=sum(line.amount_minor for line in event.lines), channel=event.channel,
        )  # fmt: skip
        return Verdict("rejected", refusal)
    amount = sum(line.amount_minor for line in event.lines)
    back = Return(identity, event.origin, event.return_id, event.channel, event.location, event.currency,
                  step.message.occurred_at, amount + event.tax_minor, event.tax_minor)  # fmt: skip
    step.unit.returns[identity] = back
    step.unit.new_returns.append(back)
    step.unit.arrived.add(identity)
    cost = _take_back(step, event, identity)
    keys = step.known_as(event.origin, identity, return_id=event.return_id)
    events = [_told_line(line, event.location, order_id=order.order_id) for line in event.lines]
    step.tell(
        Hop(
            "return.receive", "source", identity, event.origin, "return", event.return_id, "received",
            occurred_at=step.message.occurred_at,
            attributes=_dimensions(event) | {"amount_minor": amount + event.tax_minor, "owner": PARKED_OWNER, **keys},
            events=[*events, link_event(step, Link(identity, order.correlation_id, "returns", order.order_id))],
        )
    )  # fmt: skip
    accounts, made = step.rules.accounts, step.message.provenance
    step.post(
        origin=event.origin, correlation_id=identity, document="return", entity_id=event.return_id,
        channel=event.channel, location=event.location, currency=event.currency,
        lines=[
            *(
                JournalLine(step.rules.kinds[t.kind].credit, t.amount_minor, made, t.kind, -t.quantity, t.line_count,
                            related=order.correlation_id)
                for t in orders.kind_totals(event.lines)
            ),
            JournalLine(accounts.refund_tax_pending, event.tax_minor, made),
            JournalLine(accounts.refunds_approved, -(amount + event.tax_minor), made),
            JournalLine(accounts.return_pending, cost, made),
            JournalLine(accounts.cost_of_goods, -cost, made),
        ],
    )  # fmt: skip
    return DONE


def refund(step: Step, event: RefundIssued) -> Verdict:
    """Money went back for a return, never more than was approved for it."""
    identity = correlation_id(event.origin, event.return_id)
    back = step.unit.returns.get(identity)
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not been received", identity)
    left = back.approved_minor - back.refunded_minor
    if event.amount_minor > left or event.currency != back.currency:
        detail = f"refund {event.refund_id} of {event.amount_minor} {event.currency} where {left} {back.currency} is left"
        step.raise_exception(
            "refund_above_approved", origin=event.origin, correlation_id=identity, entity="refund",
            entity_id=event.refund_id, owner="payments", detail=detail, amount_minor=event.amount_minor,
            currency=event.currency, severity="critical", channel=back.channel,
        )  # fmt: skip
        return Verdict("rejected", detail)
    step.unit.changed_returns[identity] = back
    _refund(step, back, event.refund_id, event.provider, event.amount_minor, event.tax_minor)
    return DONE


def _credit_goods(step: Step, memo: _Memo, number: int, line: Line) -> None:
    event, wanted = memo.event, -line.quantity
    used = 0
    for piece_no, order_line in enumerate(_candidates(step, memo, line), 1):
        if used == wanted:
            break
        quantity = min(order_line.open, wanted - used)
        amount = -line.amount_minor * (used + quantity) // wanted - -line.amount_minor * used // wanted
        _take_piece(step, memo, (number, piece_no), line, order_line, quantity, amount)
        used += quantity
    if used == wanted:
        return
    reason = "no_customer" if not event.customer_ref else "uncovered_rest" if used else "no_earlier_sale"
    amount = -line.amount_minor - -line.amount_minor * used // wanted
    memo.parked_minor += amount
    memo.parked_count += 1
    item = ParkedItem(memo.identity, event.credit_memo_id, number, line.sku, -(wanted - used), -amount, event.currency,
                      reason, not used, PARKED_OWNER, event.channel, step.message.business_date,
                      step.message.provenance)  # fmt: skip
    step.unit.parked_items.append((item, step.now))
    memo.told_lines.append(
        _told_line(line, event.location, quantity=wanted - used, amount_minor=amount, parked=reason)
    )


def _candidates(step: Step, memo: _Memo, line: Line) -> list[OrderLine]:
    """Open lines of the customer's earlier orders: the same price first, and the latest first."""
    if not memo.event.customer_ref:
        return []
    held = step.unit.open_lines.get((memo.event.customer_ref, line.sku), [])
    earlier = [one for one in held if one.open > 0 and (one.position < line.position or not line.position)]
    return sorted(earlier, key=lambda one: (one.unit_price_micros != line.unit_price_micros, -one.position))


def _take_piece(
    step: Step, memo: _Memo, place: tuple[int, int], line: Line, order_line: OrderLine, quantity: int, amount: int
) -> None:
    """Use up ``quantity`` of an order line; ``place`` is the number of the credited line and of the piece in it."""
    number, piece_no = place
    event, order = memo.event, step.unit.orders[order_line.correlation_id]
    soon = step.message.occurred_at - order.captured_at <= CANCELLATION_WINDOW
    share = memo.shares.setdefault(
        (order.correlation_id, "cancelled" if soon else "returned"), _Share(order, "cancelled" if soon else "returned")
    )
    share.quantity += quantity
    share.amount_minor += amount
    share.pieces += 1
    share.line_count += piece_no == 1
    business_key = f"{event.origin}:credit_memo/{event.credit_memo_id}/{number}/{order.order_id}/{order_line.line_no}"
    if soon:
        orders.release(step, order, order_line, quantity, business_key)
    else:
        order_line.returned += quantity
        step.unit.changed_lines[(order_line.correlation_id, order_line.line_no)] = order_line
        step.move(business_key, "return_receipt", line.sku, event.location, quantity, memo.identity)
        share.cost_minor += quantity * (step.stock(line.sku, event.location).unit_cost_minor or 0)
        memo.told_lines.append(
            _told_line(line, event.location, quantity=quantity, amount_minor=amount, order_id=order.order_id)
        )
    step.unit.pieces.append(
        CreditPiece(memo.identity, number, piece_no, order_line, quantity, amount, "cancelled" if soon else "returned")
    )
    sold, credited = order_line.unit_price_micros, line.unit_price_micros
    if sold is not None and credited is not None and credited > sold:
        step.raise_exception(
            "credit_above_sale", origin=event.origin, correlation_id=memo.identity, entity="return",
            entity_id=f"{event.credit_memo_id}/{number}/{order.order_id}/{order_line.line_no}", owner="finance",
            detail=f"{line.sku} credited above the price of order {order.order_id}", severity="minor",
            amount_minor=(credited - sold) * quantity // 10_000, currency=event.currency, channel=event.channel,
        )  # fmt: skip


def _cancel_share(step: Step, memo: _Memo, share: _Share) -> None:
    order = share.order
    whole = all(line.open == 0 for line in step.unit.lines[order.correlation_id] if line.kind == orders.MOVES_STOCK)
    if whole:
        order.state = "cancelled"
        step.resolve_exceptions(order.correlation_id, order.origin, "backorder", "the order was cancelled")
    order.contract["goods"] = order.contract.get("goods", 0) - share.amount_minor
    share.tax_minor = _take_tax(order, share.amount_minor, everything=whole)
    step.unit.changed_orders[order.correlation_id] = order
    link = Link(memo.identity, order.correlation_id, "refunds", memo.event.credit_memo_id)
    step.tell(
        Hop(
            "order.cancel", "source", order.correlation_id, order.origin, "order", order.order_id,
            "cancelled" if whole else "edited", occurred_at=step.message.occurred_at,
            attributes={
                "channel": order.channel, "location": order.location, "currency": order.currency,
                "amount_minor": share.amount_minor, "quantity": share.quantity,
                "reason": f"credit memo {memo.event.credit_memo_id}",
            },
            events=[link_event(step, link)],
        )
    )  # fmt: skip


def _take_tax(order: Order, amount_minor: int, *, everything: bool) -> int:
    """The tax that goes back with an amount: its share of the order's, all that is open with the last of it."""
    share = order.tax_minor * amount_minor // order.amount_minor if order.amount_minor else 0
    taken = order.open_tax_minor if everything else min(order.open_tax_minor, share)
    order.open_tax_minor -= taken
    return taken


def _post_credit(step: Step, memo: _Memo) -> tuple[int, int]:
    """Post the credit memo; returns what is owed to the customer, and the tax in it that is still to be corrected."""
    event, rules = memo.event, step.rules
    source = step.message.provenance
    made: Provenance = "generated" if source == "file" else source
    lines: list[JournalLine] = []
    owed = pending_tax = cost = cancelled_tax = 0
    for share in memo.shares.values():
        goods = rules.kinds["goods"]
        lines.append(
            JournalLine(goods.contract if share.outcome == "cancelled" else goods.credit, share.amount_minor, source,
                        f"goods_{share.outcome}", -share.quantity, share.line_count, share.pieces,
                        related=share.order.correlation_id)
        )  # fmt: skip
        owed += share.amount_minor + share.tax_minor
        cost += share.cost_minor
        if share.outcome == "cancelled":
            cancelled_tax += share.tax_minor
        else:
            pending_tax += share.tax_minor
    for total in orders.kind_totals(tuple(line for line in event.lines if line.kind != "goods")):
        lines.append(orders.document_line(rules.kinds[total.kind].credit, total, source))
        owed -= total.amount_minor
    accounts = rules.accounts
    lines += [
        JournalLine(accounts.sales_tax, cancelled_tax, made),
        JournalLine(accounts.refund_tax_pending, pending_tax, made),
        JournalLine(accounts.refunds_approved, -owed, made),
        JournalLine(accounts.return_pending, cost, made),
        JournalLine(accounts.cost_of_goods, -cost, made),
    ]
    step.post(
        origin=event.origin, correlation_id=memo.identity, document="credit_memo", entity_id=event.credit_memo_id,
        channel=event.channel, location=event.location, currency=event.currency, lines=lines,
    )  # fmt: skip
    return owed, pending_tax


def _tell_memo(step: Step, memo: _Memo) -> None:
    event = memo.event
    keys = step.known_as(event.origin, memo.identity, credit_memo_id=event.credit_memo_id)
    returned = [share for share in memo.shares.values() if share.outcome == "returned"]
    links = [
        link_event(step, Link(memo.identity, share.order.correlation_id, "returns", share.order.order_id))
        for share in returned
    ]
    amount = sum(share.amount_minor for share in memo.shares.values()) + memo.parked_minor
    amount -= sum(line.amount_minor for line in event.lines if line.kind != "goods")
    parked = memo.parked_count
    step.tell(
        Hop(
            "return.receive", "source", memo.identity, event.origin, "return", event.credit_memo_id, "received",
            "parked" if parked else "ok", step.message.occurred_at,
            _dimensions(event)
            | {"amount_minor": amount, **keys, "return_id": event.credit_memo_id}
            | ({"reason": f"{parked} of {len(event.lines)} lines have no open sale", "owner": PARKED_OWNER} if parked else {}),
            memo.told_lines + links,
        )
    )  # fmt: skip
    step.known_as(event.origin, memo.identity, return_id=event.credit_memo_id)
    if parked:
        step.raise_exception(
            "return_without_sale", origin=event.origin, correlation_id=memo.identity, entity="return",
            entity_id=event.credit_memo_id, owner=PARKED_OWNER, detail=f"{parked} lines have no open sale",
            amount_minor=memo.parked_minor, currency=event.currency, severity="minor", channel=event.channel,
        )  # fmt: skip


def _refund(step: Step, back: Return, refund_id: str, provider: str, amount_minor: int, tax_minor: int) -> None:
    back.refunded_minor += amount_minor
    accounts = step.rules.accounts
    source = step.message.provenance
    made: Provenance = "generated" if source == "file" else source
    keys = step.known_as(back.origin, back.correlation_id, refund_id=refund_id)
    step.tell(
        Hop(
            "refund.issue", "source", back.correlation_id, back.origin, "refund", refund_id, "issued",
            occurred_at=step.message.occurred_at,
            attributes={
                "channel": back.channel, "location": back.location, "currency": back.currency, "provider": provider,
                "amount_minor": amount_minor, "owner": "finance", **keys,
            },
        )
    )  # fmt: skip
    step.post(
        origin=back.origin, correlation_id=back.correlation_id, document="refund", entity_id=refund_id,
        channel=back.channel, location=back.location, currency=back.currency,
        lines=[
            JournalLine(accounts.refunds_approved, amount_minor, made),
            JournalLine(step.rules.clearing(provider), -amount_minor, made),
            JournalLine(accounts.sales_tax, tax_minor, made),
            JournalLine(accounts.refund_tax_pending, -tax_minor, made),
        ],
    )  # fmt: skip


def _use_up(step: Step, order: Order, event: ReturnReceived) -> str:
    """Mark the returned units on the order's lines; returns why not, and then changes nothing."""
    wanted: dict[str, int] = defaultdict(int)
    for asked in event.lines:
        wanted[asked.sku] += asked.quantity
    held = step.unit.lines[order.correlation_id]
    for sku, quantity in wanted.items():
        left = sum(line.open for line in held if line.sku == sku)
        if quantity < 1 or quantity > left:
            return f"{quantity} of {sku} come back where {left} are open on order {order.order_id}"
    for line in held:
        taken = min(wanted.get(line.sku, 0), line.open)
        if taken > 0:
            line.returned += taken
            wanted[line.sku] -= taken
            step.unit.changed_lines[(line.correlation_id, line.line_no)] = line
    return ""


def _take_back(step: Step, event: ReturnReceived, identity: bytes) -> int:
    """Move the goods into the return-pending bucket; returns their cost in minor units."""
    wanted: dict[str, int] = defaultdict(int)
    for line in event.lines:
        wanted[line.sku] += line.quantity
    cost = 0
    for sku, quantity in sorted(wanted.items()):
        step.move(f"{event.origin}:return/{event.return_id}", "return_receipt", sku, event.location, quantity, identity)
        cost += quantity * (step.stock(sku, event.location).unit_cost_minor or 0)
    return cost


def _provider(memo: _Memo) -> str:
    return next((share.order.provider for share in memo.shares.values() if share.order.provider), "card")


def _dimensions(event: CreditMemoIssued | ReturnReceived) -> dict[str, Any]:
    return {"channel": event.channel, "location": event.location, "currency": event.currency}


def _told_line(line: Line, location: str, **over: Any) -> tuple[str, dict[str, Any]]:
    return EVENT_LINE, {
        "sku": line.sku,
        "location": location,
        "quantity": line.quantity,
        "amount_minor": line.amount_minor,
        "kind": line.kind,
    } | over
