"""Returns, credit memos and refunds. Decisions only; nothing here does I/O."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

from collector.semconv import EVENT_LINE, correlation_id
from sync_core import orders
from sync_core.ledger import JournalLine
from sync_core.messages import CreditMemoIssued, Line, RefundIssued, ReturnReceived, derived
from sync_core.model import CreditPiece, ExceptionKind, Hop, Link, Order, OrderLine, ParkedItem, Return, Severity
from sync_core.money import cumulative_share
from sync_core.unit import DONE, Step, Verdict, link_event

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

    step: Step
    event: CreditMemoIssued
    back: Return
    shares: dict[tuple[bytes, str], _Share] = field(default_factory=dict)
    told_lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    parked_minor: int = 0
    parked_count: int = 0


def issue_credit_memo(step: Step, event: CreditMemoIssued) -> Verdict:
    """Find the sales that a credit memo gives back, post what is covered and park, with its value, what is not."""
    if correlation_id(event.origin, event.credit_memo_id) in step.unit.returns:
        return Verdict("rejected", f"credit memo {event.credit_memo_id} of {event.origin} exists already")
    memo = _Memo(step, event, _opened(step, event, event.credit_memo_id))
    for number, line in enumerate(event.lines, 1):
        if line.kind == "goods":
            _credit_goods(memo, number, line)
    for share in memo.shares.values():
        if share.outcome == "cancelled":
            _cancel_share(memo, share)
        else:
            share.tax_minor = _take_tax(share.order, share.amount_minor, everything=False)
            step.unit.changed_orders[share.order.correlation_id] = share.order
    _post_credit(memo)
    _keep(step, memo.back)
    _tell_memo(memo)
    back = memo.back
    if back.approved_minor > 0:
        _refund(step, back, event.credit_memo_id, _provider(memo), back.approved_minor, back.tax_minor)
    return DONE


def receive(step: Step, event: ReturnReceived) -> Verdict:
    """Goods of one order are back: they wait for inspection, and their value is owed to the customer."""
    waiting = correlation_id(event.order_origin, event.order_id)
    order = step.unit.orders.get(waiting)
    if order is None or order.state not in ("shipped", "partially_shipped"):
        return Verdict("parked", f"order {event.order_id} has not been shipped", waiting)
    if correlation_id(event.origin, event.return_id) in step.unit.returns:
        return Verdict("rejected", f"return {event.return_id} of {event.origin} exists already")
    back = _opened(step, event, event.return_id)
    amount_minor = sum(line.amount_minor for line in event.lines)
    refusal = _use_up(step, order, event)
    if refusal and order.state == "partially_shipped":
        return Verdict("parked", f"{refusal}; more of it is still to be shipped", waiting)
    if refusal:
        _raise(step, back, "return_not_covered", event.return_id, PARKED_OWNER, refusal, amount_minor)
        return Verdict("rejected", refusal)
    back.approved_minor, back.tax_minor = amount_minor + event.tax_minor, event.tax_minor
    _keep(step, back)
    cost_minor = _take_back(step, event, back)
    _tell_return(step, back, order, event)
    _post_return(step, back, order, event, cost_minor)
    return DONE


def refund(step: Step, event: RefundIssued) -> Verdict:
    """Money went back for a return, never more than was approved for it."""
    back = step.unit.returns.get(identity := correlation_id(event.origin, event.return_id))
    if back is None:
        return Verdict("parked", f"return {event.return_id} has not been received", identity)
    left = back.approved_minor - back.refunded_minor
    if event.amount_minor > left or event.currency != back.currency:
        return _refuse_refund(step, back, event, left)
    step.unit.changed_returns[identity] = back
    _refund(step, back, event.refund_id, event.provider, event.amount_minor, event.tax_minor)
    return DONE


def _refuse_refund(step: Step, back: Return, event: RefundIssued, left_minor: int) -> Verdict:
    asked, left = f"{event.amount_minor} {event.currency}", f"{left_minor} {back.currency}"
    detail = f"refund {event.refund_id} of {asked} where {left} is left"
    step.raise_exception(
        "refund_above_approved",
        origin=back.origin,
        correlation_id=back.correlation_id,
        entity="refund",
        entity_id=event.refund_id,
        owner="payments",
        detail=detail,
        amount_minor=event.amount_minor,
        currency=event.currency,
        severity="critical",
        channel=back.channel,
    )
    return Verdict("rejected", detail)


def _opened(step: Step, event: CreditMemoIssued | ReturnReceived, return_id: str) -> Return:
    """A return of which nothing is approved yet."""
    return Return(
        correlation_id=correlation_id(event.origin, return_id),
        origin=event.origin,
        return_id=return_id,
        channel=event.channel,
        location=event.location,
        currency=event.currency,
        received_at=step.message.occurred_at,
        approved_minor=0,
        tax_minor=0,
    )


def _keep(step: Step, back: Return) -> None:
    step.unit.returns[back.correlation_id] = back
    step.unit.new_returns.append(back)
    step.unit.arrived.add(back.correlation_id)


def _credit_goods(memo: _Memo, number: int, line: Line) -> None:
    """Use up open order lines for one credited line, and park what no order line covers."""
    credited, wanted, used = -line.amount_minor, -line.quantity, 0
    for piece_no, (order_line, outcome, there) in enumerate(_parts(_candidates(memo, line)), 1):
        if used == wanted:
            break
        quantity = min(there, wanted - used)
        amount = cumulative_share(credited, used, quantity, wanted)
        _take(
            memo, line, CreditPiece(memo.back.correlation_id, number, piece_no, order_line, quantity, amount, outcome)
        )
        used += quantity
    if used != wanted:
        _park(memo, number, line, used, cumulative_share(credited, used, wanted - used, wanted))


def _candidates(memo: _Memo, line: Line) -> list[OrderLine]:
    """Open lines of the customer's earlier orders there: the same price first, and the latest first."""
    event, unit = memo.event, memo.step.unit
    if not event.customer_ref:
        return []
    earlier = [
        one
        for one in unit.open_lines.get((event.customer_ref, line.sku), ())
        if one.open > 0
        and (one.position < line.position or not line.position)
        and _same_books(event, unit.orders[one.correlation_id])
    ]

    def lateness(one: OrderLine) -> tuple[bool, int, dt.datetime, str, int]:
        order = unit.orders[one.correlation_id]
        same_price = one.unit_price_micros == line.unit_price_micros
        return same_price, one.position, order.captured_at, order.order_id, one.line_no

    return sorted(earlier, key=lateness, reverse=True)


def _same_books(event: CreditMemoIssued, order: Order) -> bool:
    """A customer's number is of one origin: elsewhere it is another customer."""
    return (order.origin, order.currency) == (event.origin, event.currency)


def _parts(lines: Sequence[OrderLine]) -> Iterator[tuple[OrderLine, Literal["cancelled", "returned"], int]]:
    """What of each line can be credited: what has not been shipped cannot come back, a credit for it gives it up."""
    for line in lines:
        if line.unshipped > 0:
            yield line, "cancelled", line.unshipped
        if line.returnable > 0:
            yield line, "returned", line.returnable


def _take(memo: _Memo, line: Line, piece: CreditPiece) -> None:
    """Apply one piece: count it into its order's share, and give up or take back the units."""
    step, order_line = memo.step, piece.order_line
    order = step.unit.orders[order_line.correlation_id]
    share = memo.shares.setdefault((order.correlation_id, piece.outcome), _Share(order, piece.outcome))
    share.quantity += piece.quantity
    share.amount_minor += piece.amount_minor
    share.pieces += 1
    share.line_count += piece.piece_no == 1
    place = f"{memo.event.credit_memo_id}/{piece.line_no}/{order.order_id}/{order_line.line_no}"
    business_key = f"{memo.event.origin}:credit_memo/{place}"
    if piece.outcome == "cancelled":
        orders.release(step, order, order_line, piece.quantity, business_key)
    else:
        share.cost_minor += _give_back(memo, line, piece, business_key)
        told = _told_line(
            line,
            memo.event.location,
            quantity=piece.quantity,
            amount_minor=piece.amount_minor,
            order_id=order.order_id,
        )
        memo.told_lines.append(told)
    step.unit.pieces.append(piece)
    above_micros = _above_sale(line, order_line)
    if above_micros:
        detail = f"{line.sku} credited above the price of order {order.order_id}"
        amount = above_micros * piece.quantity // 10_000
        _raise(step, memo.back, "credit_above_sale", place, "finance", detail, amount, "minor")


def _give_back(memo: _Memo, line: Line, piece: CreditPiece, business_key: str) -> int:
    """Move the units of a piece into the return-pending bucket; returns their cost in minor units."""
    step, order_line, location = memo.step, piece.order_line, memo.event.location
    order_line.returned += piece.quantity
    step.unit.changed_lines[(order_line.correlation_id, order_line.line_no)] = order_line
    step.move(business_key, "return_receipt", line.sku, location, piece.quantity, memo.back.correlation_id)
    return piece.quantity * (step.stock(line.sku, location).unit_cost_minor or 0)


def _above_sale(line: Line, order_line: OrderLine) -> int:
    """By how much a unit is credited above its sale, in millionths; 0 when it is not, or nobody knows."""
    sold, credited = order_line.unit_price_micros, line.unit_price_micros
    return max(0, credited - sold) if sold is not None and credited is not None else 0


def _park(memo: _Memo, number: int, line: Line, used: int, amount_minor: int) -> None:
    """What no order line covers waits with its value and an owner."""
    step, event, left = memo.step, memo.event, -line.quantity - used
    reason = "no_customer" if not event.customer_ref else "uncovered_rest" if used else "no_earlier_sale"
    memo.parked_minor += amount_minor
    memo.parked_count += 1
    item = ParkedItem(
        correlation_id=memo.back.correlation_id,
        entity_id=event.credit_memo_id,
        line_no=number,
        sku=line.sku,
        quantity=-left,
        amount_minor=-amount_minor,
        currency=event.currency,
        reason=reason,
        whole_line=not used,
        owner=PARKED_OWNER,
        channel=event.channel,
        business_date=step.message.business_date,
        source=step.message.provenance,
    )
    step.unit.parked_items.append((item, step.now))
    memo.told_lines.append(_told_line(line, event.location, quantity=left, amount_minor=amount_minor, parked=reason))


def _cancel_share(memo: _Memo, share: _Share) -> None:
    """Give up a part of an order, or the whole of it when nothing of its goods is left."""
    step, order = memo.step, share.order
    whole = all(line.open == 0 for line in step.unit.lines[order.correlation_id] if line.kind == orders.MOVES_STOCK)
    orders.restate(step, order)
    if whole:
        step.resolve_exceptions(order.correlation_id, order.origin, "backorder", "the order was cancelled")
    order.contract["goods"] = order.contract.get("goods", 0) - share.amount_minor
    share.tax_minor = _take_tax(order, share.amount_minor, everything=whole)
    step.unit.changed_orders[order.correlation_id] = order
    link = Link(memo.back.correlation_id, order.correlation_id, "refunds", memo.event.credit_memo_id)
    about = {
        "amount_minor": share.amount_minor,
        "quantity": share.quantity,
        "reason": f"credit memo {memo.event.credit_memo_id}",
    }
    milestone = "cancelled" if whole else "edited"
    hop = orders.source_hop(step, order, "order.cancel", "order", order.order_id, milestone, about)
    hop.events.append(link_event(link))
    step.tell(hop)


def _take_tax(order: Order, amount_minor: int, *, everything: bool) -> int:
    """The tax that goes back with an amount: its share of the order's, all that is open with the last of it."""
    share = order.tax_minor * amount_minor // order.amount_minor if order.amount_minor else 0
    taken = order.open_tax_minor if everything else min(order.open_tax_minor, share)
    order.open_tax_minor -= taken
    return taken


def _post_credit(memo: _Memo) -> None:
    """Post the credit memo, and note on the return what is owed to the customer and the tax still to be corrected."""
    step, rules, shares = memo.step, memo.step.rules, memo.shares.values()
    other = orders.kind_totals([line for line in memo.event.lines if line.kind != "goods"])
    returned = [share for share in shares if share.outcome == "returned"]
    cancelled_tax = sum(share.tax_minor for share in shares if share.outcome == "cancelled")
    pending_tax = sum(share.tax_minor for share in returned)
    owed = sum(share.amount_minor + share.tax_minor for share in shares) - sum(total.amount_minor for total in other)
    cost = sum(share.cost_minor for share in returned)
    source = step.message.provenance
    accounts, made = rules.accounts, derived(source)
    lines = [
        *(_share_line(memo, share) for share in shares),
        *(orders.document_line(rules.kinds[total.kind].credit, total, source) for total in other),
        JournalLine(accounts.sales_tax, cancelled_tax, made),
        JournalLine(accounts.refund_tax_pending, pending_tax, made),
        JournalLine(accounts.refunds_approved, -owed, made),
        JournalLine(accounts.return_pending, cost, made),
        JournalLine(accounts.cost_of_goods, -cost, made),
    ]
    memo.back.approved_minor, memo.back.tax_minor = owed, pending_tax
    _post(step, memo.back, "credit_memo", memo.event.credit_memo_id, lines)


def _share_line(memo: _Memo, share: _Share) -> JournalLine:
    """The journal line of what a credit memo takes from one order."""
    goods = memo.step.rules.kinds["goods"]
    return JournalLine(
        goods.contract if share.outcome == "cancelled" else goods.credit,
        share.amount_minor,
        memo.step.message.provenance,
        kind=f"goods_{share.outcome}",
        quantity=-share.quantity,
        line_count=share.line_count,
        pieces=share.pieces,
        related=share.order.correlation_id,
    )


def _tell_memo(memo: _Memo) -> None:
    step, event, back, parked = memo.step, memo.event, memo.back, memo.parked_count
    keys = {"credit_memo_id": event.credit_memo_id, "return_id": event.credit_memo_id}
    links = [
        link_event(Link(back.correlation_id, share.order.correlation_id, "returns", share.order.order_id))
        for share in memo.shares.values()
        if share.outcome == "returned"
    ]
    amount = sum(share.amount_minor for share in memo.shares.values()) + memo.parked_minor
    amount -= sum(line.amount_minor for line in event.lines if line.kind != "goods")
    about: dict[str, Any] = {"amount_minor": amount, **keys}
    if parked:
        about |= {"reason": f"{parked} of {len(event.lines)} lines have no open sale", "owner": PARKED_OWNER}
    step.tell(_received(step, back, "parked" if parked else "ok", about, memo.told_lines + links))
    if parked:
        detail = f"{parked} lines have no open sale"
        _raise(step, back, "return_without_sale", back.return_id, PARKED_OWNER, detail, memo.parked_minor, "minor")


def _use_up(step: Step, order: Order, event: ReturnReceived) -> str:
    """Mark the returned units on the order's lines; returns why not, and then changes nothing."""
    if event.currency != order.currency:
        return f"the return is in {event.currency}, order {order.order_id} in {order.currency}"
    wanted = _units(event.lines)
    held = step.unit.lines[order.correlation_id]
    for sku, quantity in wanted.items():
        left = sum(line.returnable for line in held if line.sku == sku)
        if quantity < 1 or quantity > left:
            return f"{quantity} of {sku} come back where {left} are open on order {order.order_id}"
    for line in held:
        taken = min(wanted.get(line.sku, 0), line.returnable)
        if taken > 0:
            line.returned += taken
            wanted[line.sku] -= taken
            step.unit.changed_lines[(line.correlation_id, line.line_no)] = line
    return ""


def _take_back(step: Step, event: ReturnReceived, back: Return) -> int:
    """Move the goods into the return-pending bucket; returns their cost in minor units."""
    key = f"{event.origin}:return/{event.return_id}"
    cost_minor = 0
    goods = [line for line in event.lines if line.kind == orders.MOVES_STOCK]
    for sku, quantity in sorted(_units(goods).items()):
        step.move(key, "return_receipt", sku, event.location, quantity, back.correlation_id)
        cost_minor += quantity * (step.stock(sku, event.location).unit_cost_minor or 0)
    return cost_minor


def _units(lines: Sequence[Line]) -> dict[str, int]:
    units: dict[str, int] = defaultdict(int)
    for line in lines:
        units[line.sku] += line.quantity
    return units


def _tell_return(step: Step, back: Return, order: Order, event: ReturnReceived) -> None:
    about = {"amount_minor": back.approved_minor, "owner": PARKED_OWNER, "return_id": back.return_id}
    told_lines = [_told_line(line, event.location, order_id=order.order_id) for line in event.lines]
    link = link_event(Link(back.correlation_id, order.correlation_id, "returns", order.order_id))
    step.tell(_received(step, back, "ok", about, [*told_lines, link]))


def _post_return(step: Step, back: Return, order: Order, event: ReturnReceived, cost_minor: int) -> None:
    rules, accounts, made = step.rules, step.rules.accounts, step.message.provenance
    credits = [
        JournalLine(
            rules.kinds[total.kind].credit,
            total.amount_minor,
            made,
            kind=total.kind,
            quantity=-total.quantity,
            line_count=total.line_count,
            related=order.correlation_id,
        )
        for total in orders.kind_totals(event.lines)
    ]
    lines = [
        *credits,
        JournalLine(accounts.refund_tax_pending, event.tax_minor, made),
        JournalLine(accounts.refunds_approved, -back.approved_minor, made),
        JournalLine(accounts.return_pending, cost_minor, made),
        JournalLine(accounts.cost_of_goods, -cost_minor, made),
    ]
    _post(step, back, "return", back.return_id, lines)


def _refund(step: Step, back: Return, refund_id: str, provider: str, amount_minor: int, tax_minor: int) -> None:
    back.refunded_minor += amount_minor
    about = {"provider": provider, "amount_minor": amount_minor, "owner": "finance", "refund_id": refund_id}
    step.tell(
        Hop(
            name="refund.issue",
            stage="source",
            correlation_id=back.correlation_id,
            origin=back.origin,
            entity="refund",
            entity_id=refund_id,
            milestone="issued",
            occurred_at=step.message.occurred_at,
            attributes=_dimensions(back) | about,
        )
    )
    accounts, made = step.rules.accounts, derived(step.message.provenance)
    lines = [
        JournalLine(accounts.refunds_approved, amount_minor, made),
        JournalLine(step.rules.clearing(provider), -amount_minor, made),
        JournalLine(accounts.sales_tax, tax_minor, made),
        JournalLine(accounts.refund_tax_pending, -tax_minor, made),
    ]
    _post(step, back, "refund", refund_id, lines)


def _provider(memo: _Memo) -> str:
    return next((share.order.provider for share in memo.shares.values() if share.order.provider), "card")


def _post(step: Step, back: Return, document: str, entity_id: str, lines: list[JournalLine]) -> None:
    step.post(
        origin=back.origin,
        correlation_id=back.correlation_id,
        document=document,
        entity_id=entity_id,
        channel=back.channel,
        location=back.location,
        currency=back.currency,
        lines=lines,
    )


def _received(
    step: Step, back: Return, outcome: str, about: dict[str, Any], events: list[tuple[str, dict[str, Any]]]
) -> Hop:
    return Hop(
        name="return.receive",
        stage="source",
        correlation_id=back.correlation_id,
        origin=back.origin,
        entity="return",
        entity_id=back.return_id,
        milestone="received",
        outcome=outcome,
        occurred_at=step.message.occurred_at,
        attributes=_dimensions(back) | about,
        events=events,
    )


def _raise(
    step: Step,
    back: Return,
    kind: ExceptionKind,
    entity_id: str,
    owner: str,
    detail: str,
    amount_minor: int,
    severity: Severity = "major",
) -> None:
    """Open an exception on a return, or on the part of it that ``entity_id`` names."""
    step.raise_exception(
        kind,
        origin=back.origin,
        correlation_id=back.correlation_id,
        entity="return",
        entity_id=entity_id,
        owner=owner,
        detail=detail,
        amount_minor=amount_minor,
        currency=back.currency,
        severity=severity,
        channel=back.channel,
    )


def _dimensions(back: Return) -> dict[str, Any]:
    return {"channel": back.channel, "location": back.location, "currency": back.currency}


def _told_line(line: Line, location: str, **over: Any) -> tuple[str, dict[str, Any]]:
    return EVENT_LINE, {
        "sku": line.sku,
        "location": location,
        "quantity": line.quantity,
        "amount_minor": line.amount_minor,
        "kind": line.kind,
    } | over
