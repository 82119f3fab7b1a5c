"""Credit memos that name no order: they find the sales that they give back. Decisions only; nothing does I/O."""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import CreditMemoIssued, Line, derived
from sync_core.model import CreditPiece, Link, Order, OrderLine
from sync_core.money import cumulative_share, units_share
from sync_core.orders import orders
from sync_core.returns import refunds
from sync_core.returns.books import OWNER, park, post, raise_about, tax_lines, tell
from sync_core.returns.model import Refund, Return, ReturnLine
from sync_core.returns.returns import keep_new, opened
from sync_core.returns.units import move_in
from sync_core.unit import DONE, Step, Verdict, link_event


class _Share(Struct):
    """What one credit memo takes from one order, as cancellation or as return."""

    order: Order
    outcome: str
    quantity: int = 0
    amount_minor: int = 0
    line_count: int = 0
    pieces: int = 0
    cost_minor: int = 0
    own_minor: int = 0  # of lines that state their tax
    own_taxes: Counter[str] = field(default_factory=Counter)
    taxes: Counter[str] = field(default_factory=Counter)  # all that goes back, by code

    @property
    def tax_minor(self) -> int:
        return self.taxes.total()


class _Memo(Struct):
    """A credit memo while its lines are being applied."""

    step: Step
    event: CreditMemoIssued
    back: Return
    shares: dict[tuple[bytes, str], _Share] = field(default_factory=dict)
    told_lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    parked_minor: int = 0
    parked_count: int = 0


def issue(step: Step, event: CreditMemoIssued) -> Verdict:
    """Find the sales that a credit memo gives back, post what is covered and park, with its value, what is not."""
    if correlation_id(event.origin, event.credit_memo_id) in step.unit.returns:
        return Verdict("rejected", f"credit memo {event.credit_memo_id} of {event.origin} exists already")
    memo = _Memo(step, event, opened(step, event, event.credit_memo_id, event.location, "received"))
    memo.back.customer_ref = event.customer_ref
    for number, line in enumerate(event.lines, 1):
        if line.kind == "goods":
            _credit_goods(memo, number, line)
    for share in memo.shares.values():
        if share.outcome == "cancelled":
            _cancel_share(memo, share)
        else:
            _take_tax(step, share, everything=False)
            step.unit.changed_orders[share.order.correlation_id] = share.order
    _post_credit(memo)
    back = memo.back
    keep_new(step, back)
    _tell_memo(memo)
    back.cleared_minor, back.cleared_tax_minor = back.approved_minor, back.tax_minor
    if back.approved_minor > 0:
        refund = Refund(
            back.correlation_id, event.credit_memo_id, _provider(memo), back.approved_minor, back.tax_minor, "issued"
        )
        refunds.record_issued(step, back, refund)
    return DONE


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
    if order_line.tax_minor is not None:
        used = order_line.cancelled + order_line.returned
        tax = units_share(order_line.tax_minor, used, piece.quantity, order_line.quantity)
        share.own_minor += piece.amount_minor
        share.own_taxes[order_line.tax_code] += tax
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
        raise_about(step, memo.back, "credit_above_sale", "finance", detail, amount, "minor", entity_id=place)


def _give_back(memo: _Memo, line: Line, piece: CreditPiece, business_key: str) -> int:
    """Move the units of a piece into the return-pending bucket; returns their cost in minor units."""
    step, order_line, location = memo.step, piece.order_line, memo.event.location
    step.returned(order_line, piece.quantity)
    kept = ReturnLine(
        line.sku, piece.quantity, piece.amount_minor, order=order_line.correlation_id,
        order_line_no=order_line.line_no, unit_cost_minor=step.stock(line.sku, location).unit_cost_minor or 0,
        received=piece.quantity, cleared=piece.quantity,
    )  # fmt: skip
    memo.back.lines.append(kept)
    move_in(step, memo.back, kept, location, piece.quantity, business_key)
    return piece.quantity * kept.unit_cost_minor


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
    document = f"credit_memo/{event.credit_memo_id}"
    park(step, memo.back, document, number, line.sku, left, amount_minor, reason, whole_line=not used)
    memo.told_lines.append(_told_line(line, event.location, quantity=left, amount_minor=amount_minor, parked=reason))


def _cancel_share(memo: _Memo, share: _Share) -> None:
    """Give up a part of an order, or the whole of it when nothing of its goods is left."""
    step, order = memo.step, share.order
    whole = all(line.open == 0 for line in step.unit.lines[order.correlation_id] if line.kind == orders.MOVES_STOCK)
    orders.restate(step, order)
    if whole:
        step.resolve_exceptions(order.correlation_id, order.origin, "backorder", "the order was cancelled")
    order.contract["goods"] = order.contract.get("goods", 0) - share.amount_minor
    _take_tax(step, share, everything=whole)
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


def _take_tax(step: Step, share: _Share, *, everything: bool) -> None:
    """The tax that goes back: that of lines which state it, else the amount's share; all with the last of an order."""
    order, rest_minor = share.order, share.amount_minor - share.own_minor
    rest = order.tax_minor * rest_minor // order.amount_minor if order.amount_minor else 0
    wanted = share.own_taxes.total() + rest
    if wanted > order.open_tax_minor or (everything and wanted != order.open_tax_minor):
        share.taxes.update(orders.tax_split(step, order, order.open_tax_minor))
    else:
        share.taxes.update(share.own_taxes)
        share.taxes.update(orders.tax_split(step, order, rest))
    order.open_tax_minor -= share.tax_minor


def _post_credit(memo: _Memo) -> None:
    """Post the credit memo, and note on the return what is owed to the customer and the tax still to be corrected."""
    step, rules, shares = memo.step, memo.step.rules, memo.shares.values()
    other = orders.kind_totals([line for line in memo.event.lines if line.kind != "goods"])
    returned = [share for share in shares if share.outcome == "returned"]
    cancelled_tax, pending_tax = Counter[str](), Counter[str]()
    for share in shares:
        (cancelled_tax if share.outcome == "cancelled" else pending_tax).update(share.taxes)
    owed = sum(share.amount_minor + share.tax_minor for share in shares) - sum(total.amount_minor for total in other)
    cost = sum(share.cost_minor for share in returned)
    source = step.message.provenance
    accounts, made = rules.accounts, derived(source)
    lines = [
        *(_share_line(memo, share) for share in shares),
        *(orders.document_line(rules.kinds[total.kind].credit, total, source) for total in other),
        *tax_lines(accounts.sales_tax, cancelled_tax, made),
        *tax_lines(accounts.refund_tax_pending, pending_tax, made),
        JournalLine(accounts.refunds_approved, -owed, made),
        JournalLine(accounts.return_pending, cost, made),
        JournalLine(accounts.cost_of_goods, -cost, made),
    ]
    memo.back.approved_minor, memo.back.tax_minor = owed, pending_tax.total()
    post(step, memo.back, "credit_memo", memo.event.credit_memo_id, lines)


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
        about["reason"] = f"{parked} of {len(event.lines)} lines have no open sale"
    outcome = "parked" if parked else "ok"
    tell(step, back, "return.receive", "received", about, outcome=outcome, events=memo.told_lines + links)
    if parked:
        detail = f"{parked} lines have no open sale"
        raise_about(step, back, "return_without_sale", OWNER, detail, memo.parked_minor, "minor")


def _provider(memo: _Memo) -> str:
    return next((share.order.provider for share in memo.shares.values() if share.order.provider), memo.event.provider)


def _told_line(line: Line, location: str, **over: Any) -> tuple[str, dict[str, Any]]:
    return EVENT_LINE, {
        "sku": line.sku,
        "location": location,
        "quantity": line.quantity,
        "amount_minor": line.amount_minor,
        "kind": line.kind,
    } | over
