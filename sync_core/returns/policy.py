"""Whether units of an order may come back, what they are worth then, and by which policy. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from sync_core.model import Order, OrderLine
from sync_core.money import at_rate, units_share
from sync_core.orders import line_taxes
from sync_core.returns.messages import RequestedUnits, ReturnReason, ReturnRequested
from sync_core.returns.model import DEFAULT, Policy, ReturnLine

OURS: Final = frozenset({"defective", "damaged_in_transit", "not_as_described", "wrong_item", "late"})
"""Reasons for which nothing is kept for restocking."""

Outcome = Literal["eligible", "review", "refused"]


class Promises(Struct, frozen=True):
    """What is known beside the order when a return is judged."""

    policies: Sequence[Policy] = ()
    parents: Mapping[str, str] = field(default_factory=dict)  # SKU: what it is a variant of
    reasons: Mapping[str, ReturnReason] = field(default_factory=dict)  # the sender's code: what it means
    earlier: Sequence[dt.datetime] = ()  # when the customer's other returns began


class Judged(Struct, frozen=True):
    """What a request for a return comes to, and why: ``reasons`` are empty when it is simply eligible."""

    outcome: Outcome
    reasons: tuple[str, ...]
    lines: tuple[ReturnLine, ...] = ()
    manual: bool = False
    expires_at: dt.datetime | None = None
    unmapped: tuple[str, ...] = ()


def judge(
    event: ReturnRequested,
    order: Order,
    held: Sequence[OrderLine],
    delivered_at: dt.datetime,
    now: dt.datetime,
    known: Promises,
) -> Judged:
    """Refused with every reason, held for review, or eligible; ``held`` are the order's lines as they stand."""
    pieces, lacking = _pieces(held, event.lines)
    if event.currency != order.currency:
        lacking.append(f"currency: the return is in {event.currency}, the order in {order.currency}")
    if lacking:
        return Judged("refused", tuple(lacking))
    values = line_taxes.values(order, held)
    chosen = [(*piece, policy_for(event.channel, piece[0].sku, known)) for piece in pieces]
    closed = [
        f"window: {line.sku} could be returned until {delivered_at + dt.timedelta(days=policy.window_days):%Y-%m-%d}"
        if policy.window_days
        else f"final sale: {line.sku} is not taken back"
        for line, *_, policy in chosen
        if now > delivered_at + dt.timedelta(days=policy.window_days) or not policy.window_days
    ]
    if closed:
        return Judged("refused", tuple(dict.fromkeys(closed)))
    lines = [_line(order, *one, values, known) for one in chosen]
    policies = [policy for *_, policy in chosen]
    doubts = tuple(_doubts(policies, lines, now, known))
    return Judged(
        "review" if doubts else "eligible", doubts, tuple(lines), any(one.approval == "manual" for one in policies),
        now + dt.timedelta(days=min(one.return_days for one in policies)),
        tuple(sorted({line.code for line in lines if line.code and line.code not in known.reasons})),
    )  # fmt: skip


def policy_for(channel: str, sku: str, known: Promises) -> Policy:
    """The policy that names most of what a return is of: the SKU before its class, and these before the channel."""
    products = list(dict.fromkeys(("", known.parents.get(sku, ""), sku)))
    fitting = [one for one in known.policies if one.channel in ("", channel) and one.product in products]
    return max(fitting, key=lambda one: (products.index(one.product), one.channel), default=DEFAULT)


def _pieces(
    held: Sequence[OrderLine], wanted: Sequence[RequestedUnits]
) -> tuple[list[tuple[OrderLine, int, int, RequestedUnits]], list[str]]:
    """The order lines that give what is wanted, after how many units and how many; and what is lacking, in words."""
    left = {line.line_no: line.returnable for line in held if line.kind == "goods"}
    pieces, lacking = [], []
    for one in wanted:
        open_units = one.quantity
        for line in held:
            if line.line_no in left and line.sku == one.sku and one.line_no in (0, line.line_no):
                units = min(open_units, max(0, left[line.line_no]))
                if units:
                    pieces.append((line, line.shipped - left[line.line_no], units, one))
                left[line.line_no] -= units
                open_units -= units
        if open_units:
            lacking.append(f"quantity: {one.quantity} of {one.sku} where {one.quantity - open_units} can come back")
        if one.serials and len(set(one.serials)) != one.quantity:
            lacking.append(f"serials: {len(set(one.serials))} for {one.quantity} of {one.sku}")
    return pieces, lacking


def _line(
    order: Order, line: OrderLine, before: int, units: int, wanted: RequestedUnits, policy: Policy,
    values: Mapping[int, tuple[int, int]], known: Promises,
) -> ReturnLine:  # fmt: skip
    net, tax = (units_share(total, before, units, line.quantity) for total in values[line.line_no])
    reason = known.reasons.get(wanted.reason, "other")
    return ReturnLine(
        sku=line.sku, quantity=units, amount_minor=net, tax_minor=tax,
        fee_minor=0 if reason in OURS else at_rate(net, policy.fee_ppm), order=order.correlation_id,
        order_line_no=line.line_no, refund_after=policy.refund_after, code=wanted.reason, reason=reason,
        serials=list(wanted.serials), tax_code=line.tax_code,
    )  # fmt: skip


def _doubts(policies: Sequence[Policy], lines: Sequence[ReturnLine], now: dt.datetime, known: Promises) -> list[str]:
    """What somebody should look at before goods are taken back: signals of fraud."""
    found = []
    worth = sum(line.worth(line.quantity).owed_minor for line in lines)
    for policy in policies:
        since = now - dt.timedelta(days=policy.within_days)
        recent = sum(1 for at in known.earlier if since < at <= now)
        if policy.most_returns and recent >= policy.most_returns:
            found.append(f"many returns: {recent} by this customer within {policy.within_days} days")
        if policy.review_above_minor and worth > policy.review_above_minor:
            found.append(f"value: {worth} is above {policy.review_above_minor}")
    return list(dict.fromkeys(found))
