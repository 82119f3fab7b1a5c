"""What changes an order after its capture: cancellations in whole or in part, edits. Decisions only, no I/O."""

from collections import Counter, defaultdict
from typing import Any, Final

from msgspec import Struct, field

from collector.semconv import EVENT_LINE
from sync_core.ledger import taxes
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import EditedLine, OrderCancelled, OrderEdited
from sync_core.model import ExceptionKind, Hop, Order, OrderLine
from sync_core.money import share_of_rest
from sync_core.orders import line_taxes, sales_orders
from sync_core.orders.checks import STEPS, failure_of
from sync_core.orders.orders import (
    MOVES_STOCK,
    NOT_TAKEN,
    changed_lines,
    chosen,
    cover_or_back_order,
    dimensions,
    earned_or_sent,
    fit_reservation,
    note_document,
    order_of,
    post_owing,
    raise_about,
    refuse,
    release,
    restate,
    shares,
    source_hop,
    tax_split,
    weight,
)
from sync_core.unit import DONE, Step, Verdict

DUPLICATE: Final = "duplicate"
"""How the reason begins with which an order is cancelled that was there before."""

MOST_LINES = 10_000


class _Own(Struct):
    """By how much the lines that state their tax have become more: in amount, and in tax by code."""

    amount_minor: int = 0
    by_code: Counter[str] = field(default_factory=Counter)


def cancel(step: Step, event: OrderCancelled) -> Verdict:
    """Give up what has not been shipped of an order, or a part of that: free its stock, owe back what was paid."""
    order = order_of(step, event, "cancellation", event.cancellation_id)
    if isinstance(order, Verdict):
        return order
    if event.reason.lower().startswith(DUPLICATE):
        _watch_escape(step, order)
    if order.state in ("shipped", "cancelled"):
        detail = f"the order is {order.state}"
        return refuse(step, order, "cancellation_too_late", "customer service", detail, order.amount_minor)
    lines = step.unit.lines[order.correlation_id]
    taken = chosen(lines, event.lines, lambda line: line.unshipped)
    if isinstance(taken, str):
        detail = f"cancellation {event.cancellation_id} has {taken}"
        return refuse(
            step, order, "cancellation_too_late", "customer service", detail, order.amount_minor,
            document_id=event.cancellation_id,
        )  # fmt: skip
    note_document(step, order, "cancellation", event.cancellation_id)
    rest = {line.line_no: line.unshipped for line in lines if line.unshipped}
    goods = {line.line_no for line in lines if line.kind == MOVES_STOCK}
    everything = not taken or all(taken.get(number) == rest[number] for number in (goods or rest.keys()) & rest.keys())
    if everything and order.state != "partially_shipped":
        _cancel_whole(step, order, event)
    else:
        _cancel_part(step, order, event, taken or {number: rest[number] for number in rest if number in goods})
    _watch_release(step, order, f"cancellation {event.cancellation_id}")
    return DONE


def _watch_escape(step: Step, order: Order) -> None:
    """A duplicate that nobody held back was paid or released before it was found."""
    released = (order.correlation_id, "released") in step.unit.order_steps
    if order.paid_minor or released or order.state in ("shipped", "partially_shipped"):
        step.tell(
            Hop(
                "order.find_duplicate", "source", order.correlation_id, order.origin, "order", order.order_id,
                "duplicate_escaped", occurred_at=step.message.occurred_at,
                attributes=dimensions(order) | {"amount_minor": order.amount_minor, "owner": "order management"},
            )
        )  # fmt: skip


def edit(step: Step, event: OrderEdited) -> Verdict:
    """Change what is ordered: each line to what the latest edit says of it, with its stock and its money."""
    order = order_of(step, event, "edit", event.edit_id)
    if isinstance(order, Verdict):
        return order
    identity = order.correlation_id
    if order.state == "cancelled" and _later(step, identity, "cancellation"):
        return Verdict("done", f"order {event.order_id} was cancelled after edit {event.edit_id}")
    held = {line.line_no: line for line in step.unit.lines[identity]}
    wanted = [one for one in event.lines if not _overtaken(step, held.get(one.line_no))]
    if refusal := _refusal(order, event, held, wanted):
        detail = f"edit {event.edit_id}: {refusal}"
        return refuse(
            step, order, "edit_not_possible", "customer service", detail, order.amount_minor, document_id=event.edit_id
        )
    tax_minor = None if _later(step, identity, "edit") or _later(step, identity, "cancellation") else event.tax_minor
    note_document(step, order, "edit", event.edit_id)
    told: list[tuple[str, dict[str, Any]]] = []
    changes: dict[str, int] = defaultdict(int)
    own, rest = _Own(), line_taxes.beside_goods(order, step.unit.lines[identity])
    for one in wanted:
        units, amount_minor = _change(step, order, event, held.get(one.line_no), one, own)
        changes[one.kind] += amount_minor
        told.append((EVENT_LINE, {"sku": one.sku, "quantity": units, "amount_minor": amount_minor, "kind": one.kind}))
    _owe(step, order, changes, tax_minor, own, rest)
    words = [event.reason, "the address is another" if event.address else ""]
    about = {"reason": "; ".join(filter(None, words)), "amount_minor": sum(changes.values())}
    hop = source_hop(step, order, "order.edit", "order", order.order_id, "edited", about)
    hop.events.extend(told)
    step.tell(hop)
    _restate(step, order, f"{order.origin}:edit/{event.edit_id}/{order.order_id}")
    _settle(step, order, "edit", event.edit_id)
    sales_orders.amend(step, order, f"edited by {event.edit_id}")
    _watch_release(step, order, f"edit {event.edit_id}")
    return DONE


def _cancel_whole(step: Step, order: Order, event: OrderCancelled) -> None:
    identity = order.correlation_id
    for line in step.unit.lines[identity]:
        release(step, order, line, max(0, line.open), f"{order.origin}:cancellation/{event.cancellation_id}")
    order.state = "cancelled"
    sales_orders.take_back(step, order, event.cancellation_id)
    step.unit.changed_orders[identity] = order
    step.unit.arrived.add(identity)
    about = {"reason": event.reason, "amount_minor": order.amount_minor}
    step.tell(source_hop(step, order, "order.cancel", "order", order.order_id, "cancelled", about))
    given_up: list[ExceptionKind] = [
        "backorder", "payment_failed", "acknowledgement_overdue", "suspected_duplicate", "reservation_lapsed",
        *map(failure_of, STEPS),
    ]  # fmt: skip
    for kind in given_up:
        step.resolve_exceptions(identity, order.origin, kind, "the order was cancelled")
    if order.provider:
        _post_cancellation(step, order, event.cancellation_id)


def _post_cancellation(step: Step, order: Order, cancellation_id: str) -> None:
    """Give back what is still owed of an order: credit memos may have given back a part of what was paid."""
    rules, made = step.rules, step.message.provenance
    unearned = Counter({taxes.code_of(kind): left for kind, left in order.contract.items() if taxes.is_tax(kind)})
    tax_minor = order.open_tax_minor - taxes.among(order.edited) - sum(unearned.values())
    payable = taxes.split(tax_minor, Counter(order.taxes or {}) - unearned)
    owed_minor = sum(order.contract.values()) + tax_minor
    lines = [
        JournalLine(rules.of_kind(kind).contract, left, made, tax_code=taxes.code_of(kind))
        for kind, left in order.contract.items()
    ]
    lines += [JournalLine(rules.accounts.sales_tax, one, made, tax_code=code) for code, one in payable.items()]
    post_owing(step, order, "cancellation", cancellation_id, lines, owed_minor)
    order.contract, order.edited, order.open_tax_minor = {}, {}, 0


def _cancel_part(step: Step, order: Order, event: OrderCancelled, taken: dict[int, int]) -> None:
    """Give up units: their share of everything that is not yet earned goes back with them."""
    lines = step.unit.lines[order.correlation_id]
    now, left = weight(lines, taken)
    goods = [line for line in lines if line.kind == MOVES_STOCK and taken.get(line.line_no, 0)]
    rest, own = line_taxes.beside_goods(order, lines), _Own()
    for line in goods:
        own.by_code[line.tax_code] -= line.taxed(taken[line.line_no])
    changes: dict[str, int] = defaultdict(int)
    told = []
    for line in lines:
        if units := taken.get(line.line_no, 0):
            amount_minor = line.worth(units)
            if line.kind != MOVES_STOCK:
                changes[line.kind] -= amount_minor
            told.append((EVENT_LINE, {"sku": line.sku, "quantity": -units, "amount_minor": -amount_minor}))
            release(step, order, line, units, f"{order.origin}:cancellation/{event.cancellation_id}")
    unearned = {kind: amount + changes[kind] for kind, amount in _unearned(order).items()}
    if now:
        for kind, amount in shares(unearned, now, left).items():
            if step.rules.of_kind(kind).revenue:
                changes[kind] -= amount
    if any(line.tax_minor is None for line in goods):
        own, rest = _Own(), (order.tax_minor, order.amount_minor)
    else:
        own.amount_minor = sum(changes[kind] for kind in ("goods", "goods_free", "discount"))
    _owe(step, order, changes, None, own, rest)
    about = {"reason": event.reason, "amount_minor": -sum(changes.values()), "quantity": sum(taken.values())}
    hop = source_hop(step, order, "order.cancel", "order", order.order_id, "edited", about)
    hop.events.extend(told)
    step.tell(hop)
    _restate(step, order, f"{order.origin}:cancellation/{event.cancellation_id}/{order.order_id}")
    _settle(step, order, "cancellation", event.cancellation_id)
    sales_orders.amend(step, order, f"cancelled in part by {event.cancellation_id}")


def _unearned(order: Order) -> dict[str, int]:
    """What has been ordered and not yet been shipped, by kind."""
    unshipped = {kind: amount for kind, amount in order.unshipped.items() if not taxes.is_tax(kind)}
    amounts: dict[str, int] = defaultdict(int, unshipped)
    if not order.provider:
        for total in order.totals:
            amounts[total.kind] += total.amount_minor
    for kind, amount in order.edited.items():
        if not taxes.is_tax(kind):
            amounts[kind] += amount
    return amounts


def _owe(
    step: Step, order: Order, changes: dict[str, int], tax_minor: int | None, own: _Own, rest: tuple[int, int]
) -> None:
    """Note on the order by how much it has become more or less.

    Unless its tax is stated, lines have their own, and of the ``rest`` it goes with the amount.
    """
    amount_minor, (rest_tax, rest_minor) = sum(changes.values()), rest
    if tax_minor is None:
        more = share_of_rest(rest_tax, amount_minor - own.amount_minor, rest_minor) if rest_minor else 0
    else:
        more = tax_minor - order.tax_minor - own.by_code.total()
    by_code = Counter(own.by_code)
    by_code.update(tax_split(step, order, more))
    more = by_code.total()
    order.amount_minor += amount_minor
    order.tax_minor += more
    order.open_tax_minor += more
    of_tax = {taxes.kind_of(code): amount for code, amount in by_code.items()}
    for kind, amount in (*changes.items(), *of_tax.items()):
        if amount:
            order.edited[kind] = order.edited.get(kind, 0) + amount


def _settle(step: Step, order: Order, document: str, entity_id: str) -> None:
    """Give back what a change of a paid order made it less; what made it more waits for its payment."""
    step.unit.settings.append(("take_again", {"id": order.correlation_id, "kinds": list(NOT_TAKEN)}))
    complete = order.state == "shipped"
    if not order.provider or order.due_minor > 0:
        return
    owed_minor, lines = -order.due_minor, changed_lines(step, order)
    if complete:
        lines += earned_or_sent(step, order, entity_id, order.unshipped)
    order.contract = {kind: amount for kind, amount in order.contract.items() if amount}
    post_owing(step, order, document, entity_id, lines, owed_minor)


def _restate(step: Step, order: Order, business_key: str) -> None:
    before = order.state
    if before == "lapsed":
        return
    cover_or_back_order(step, order, business_key)
    restate(step, order)
    if order.state == "shipped" != before:
        hop = source_hop(step, order, "order.progress", "order", order.order_id, "fulfilled", {})
        step.tell(hop)


def _overtaken(step: Step, line: OrderLine | None) -> bool:
    """Whether a later edit of the line is known."""
    return line is not None and line.edited_at is not None and line.edited_at >= step.message.occurred_at


def _later(step: Step, identity: bytes, kind: str) -> bool:
    """Whether a later document of the kind is known."""
    known = step.unit.order_documents.items()
    return any((one, what) == (identity, kind) and at >= step.message.occurred_at for (one, what, _), at in known)


def _refusal(order: Order, event: OrderEdited, held: dict[int, OrderLine], wanted: list[EditedLine]) -> str:
    """Why an edit cannot be applied; nothing of it is then."""
    if event.currency != order.currency:
        return f"it is in {event.currency}, the order in {order.currency}"
    if order.state in ("shipped", "cancelled"):
        return f"the order is {order.state}"
    if len(held.keys() | {one.line_no for one in wanted}) > MOST_LINES:
        return f"the order would have more than {MOST_LINES} lines"
    for one in wanted:
        line = held.get(one.line_no)
        if line is None:
            continue
        if (line.sku, line.kind) != (one.sku, one.kind):
            return f"line {one.line_no} is of {line.sku}, not of {one.sku}"
        if one.quantity < line.shipped + line.cancelled:
            return f"of line {one.line_no} {line.shipped} are shipped and {line.cancelled} cancelled"
        priced_anew = one.quantity == line.quantity and one.amount_minor != line.amount_minor
        if priced_anew and line.shipped and not line.unshipped:
            return f"line {one.line_no} is shipped"
    after = {number: line.quantity - line.cancelled for number, line in held.items() if line.kind == MOVES_STOCK}
    after |= {
        one.line_no: one.quantity - (held[one.line_no].cancelled if one.line_no in held else 0)
        for one in wanted
        if one.kind == MOVES_STOCK
    }
    return "" if not after or any(after.values()) else "it leaves nothing: cancel the order"


def _change(
    step: Step, order: Order, event: OrderEdited, line: OrderLine | None, one: EditedLine, own: _Own
) -> tuple[int, int]:
    """Make a line what an edit says of it; returns by how many units and how much money it has become more.

    A line with a tax of its own keeps its rate; by how much that tax has become more is added to ``own``.
    """
    identity = order.correlation_id
    if line is None:
        line = OrderLine(identity, one.line_no, one.sku, one.kind, 0, 0, one.unit_price_micros, 0, 0)
        line.tax_code = step.rules.tax_code(order.channel, order.location)
        step.add_lines(order, [line])
    units, amount_minor = one.quantity - line.quantity, line.worth(line.unshipped)
    tax_minor, before = line.taxed(line.unshipped), line.amount_minor
    line.quantity, line.amount_minor, line.unit_price_micros = one.quantity, one.amount_minor, one.unit_price_micros
    line.edited_at = step.message.occurred_at
    fit_reservation(step, order, line, f"{order.origin}:edit/{event.edit_id}")
    more = line.worth(line.unshipped) - amount_minor
    if line.tax_minor is not None:
        line.tax_minor = share_of_rest(line.tax_minor, line.amount_minor, before) if before else 0
        own.by_code[line.tax_code] += line.taxed(line.unshipped) - tax_minor
        own.amount_minor += more
    return units, more


def _watch_release(step: Step, order: Order, what: str) -> None:
    """The warehouse works by what it was given: it must hear of a change."""
    released = (order.correlation_id, "released") in step.unit.order_steps
    if released and order.state != "shipped":
        detail = f"{what} comes after the order was released to the warehouse"
        raise_about(step, order, "changed_after_release", "warehouse", detail, order.amount_minor)
