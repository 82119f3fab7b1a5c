"""The tax that lines of an order state of themselves, and what is left of it for those that state none. Pure."""

from collections.abc import Sequence

from sync_core.model import Order, OrderLine
from sync_core.money import units_share


def values(order: Order, lines: Sequence[OrderLine]) -> dict[int, tuple[int, int]]:
    """By number of each line of goods: its amount less its share of the order's discounts, and the tax of that.

    The tax is the line's own; what of the order's no line states, lines without one share by what they come to.
    """
    goods, discounts = ([line for line in lines if line.kind == kind] for kind in ("goods", "discount"))
    nets = _less(goods, [line.amount_minor for line in goods], sum(line.amount_minor for line in discounts))
    own = _less(goods, [line.tax_minor or 0 for line in goods], sum(line.tax_minor or 0 for line in discounts))
    rest_tax, rest_minor = rest(order, lines)
    found: dict[int, tuple[int, int]] = {}
    upto = 0
    for line in goods:
        net = nets[line.line_no]
        if line.tax_minor is not None:
            found[line.line_no] = (net, own[line.line_no])
            continue
        found[line.line_no] = (net, units_share(rest_tax, upto, net, rest_minor) if rest_minor > 0 else 0)
        upto += net
    return found


def rest(order: Order, lines: Sequence[OrderLine]) -> tuple[int, int]:
    """The tax of an order that no line states, and the amount that it is of."""
    goods, discounts = ([line for line in lines if line.kind == kind] for kind in ("goods", "discount"))
    nets = _less(goods, [line.amount_minor for line in goods], sum(line.amount_minor for line in discounts))
    stated = [line for line in lines if line.tax_minor is not None]
    tax_minor = order.tax_minor - sum(_kept(line.tax_minor or 0, line) for line in stated)
    of = sum(_kept(nets.get(one.line_no, one.amount_minor), one) for one in stated if one.kind != "discount")
    return tax_minor, order.amount_minor - of


def beside_goods(order: Order, lines: Sequence[OrderLine]) -> tuple[int, int]:
    """The tax of an order beside that which goods state, and the amount that it is of."""
    return rest(order, [line for line in lines if line.kind in ("goods", "discount")])


def _less(goods: Sequence[OrderLine], amounts: Sequence[int], discount: int) -> dict[int, int]:
    """By number of line an amount less its share of a discount, which is shared by what the lines come to."""
    gross = sum(line.amount_minor for line in goods)
    less, before = {}, 0
    for line, amount in zip(goods, amounts, strict=True):
        less[line.line_no] = amount + (units_share(discount, before, line.amount_minor, gross) if gross else 0)
        before += line.amount_minor
    return less


def _kept(amount: int, line: OrderLine) -> int:
    """What of a line's amount was not cancelled."""
    return amount - units_share(amount, 0, line.cancelled, line.quantity) if line.cancelled else amount
