"""Tax over lines, units and codes: each has its own, no minor unit is lost or made, however it is shared out."""

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sync_core.ledger import taxes
from sync_core.model import OrderLine
from sync_core.money import at_rate
from sync_core.orders import line_taxes
from sync_core.returns.model import ReturnLine
from tests.factories import line, order
from tests.unit.sync_core.shop import Shop

RATES = st.sampled_from([0, 50_000, 82_500, 200_000])
GOODS = st.tuples(st.integers(1, 7), st.integers(0, 999), RATES)  # units, price of one, rate of its tax
BY_CODE = st.dictionaries(st.sampled_from(["GB20", "GB5", "GB0", ""]), st.integers(-50, 10_000))


def held(*goods: tuple[int, int, int], own: bool, discount: int = 0) -> tuple[Shop, list[OrderLine], list[int]]:
    """A shop with an order of lines at rates of their own, which it is told of or not, and the tax of each."""
    tax = [at_rate(units * price, ppm) for units, price, ppm in goods]
    basket = [
        line(f"A{place}", units, price, tax_code=f"T{ppm}" if own else "", tax_minor=minor if own else None)
        for place, ((units, price, ppm), minor) in enumerate(zip(goods, tax, strict=True))
    ]
    if discount:
        basket.append(line("PROMO", 1, -discount, kind="discount"))
    shop = Shop()
    shop.see(order("1", *basket, tax_minor=sum(tax)))
    return shop, shop.unit.lines[shop.order().correlation_id], tax


@given(goods=st.lists(GOODS, min_size=1, max_size=6), cuts=st.lists(st.integers(1, 3), min_size=7, max_size=7))
def test_units_that_come_back_one_after_the_other_have_exactly_the_tax_of_their_line(
    goods: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    shop, lines, tax = held(*goods, own=True)
    values = line_taxes.values(shop.order(), lines)
    assert [values[one.line_no] for one in lines] == [
        (one.amount_minor, minor) for one, minor in zip(lines, tax, strict=True)
    ]
    for one, minor in zip(lines, tax, strict=True):
        back = ReturnLine(one.sku, one.quantity, one.amount_minor, tax_minor=minor)
        given_back = 0
        for cut in itertools.cycle(cuts):
            if not (units := min(cut, back.undecided)):
                break
            given_back += back.worth(units).tax_minor
            back.cleared += units
        assert given_back == minor


@given(goods=st.lists(GOODS, min_size=1, max_size=6), discount=st.integers(0, 500))
def test_where_only_a_total_is_known_lines_share_it_to_the_last_minor_unit(
    goods: list[tuple[int, int, int]], discount: int
) -> None:
    gross = sum(units * price for units, price, _ in goods)
    shop, lines, tax = held(*goods, own=False, discount=min(discount, gross // 2))
    values = line_taxes.values(shop.order(), lines)
    assert sum(net for net, _ in values.values()) == shop.order().amount_minor
    assert sum(minor for _, minor in values.values()) == (sum(tax) if gross else 0)
    for one in lines:
        if one.kind == "goods":
            exact = sum(tax) * one.amount_minor / gross if gross else 0
            assert abs(values[one.line_no][1] - exact) <= 2


@given(total=st.integers(-20_000, 20_000), by_code=BY_CODE)
def test_an_amount_over_codes_is_that_amount_and_nobody_has_a_unit_more_than_its_share(
    total: int, by_code: dict[str, int]
) -> None:
    parts = taxes.split(total, by_code, "default")
    assert sum(parts.values()) == total
    there = {code: minor for code, minor in by_code.items() if minor > 0}
    for code, minor in parts.items() if there else ():
        assert abs(minor - total * there[code] / sum(there.values())) < 1
    assert taxes.split(sum(there.values()), by_code) == there


@given(goods=st.lists(GOODS, min_size=1, max_size=6), own=st.booleans(), more=st.integers(0, 300))
def test_the_tax_of_an_order_by_code_is_all_of_it(goods: list[tuple[int, int, int]], own: bool, more: int) -> None:
    tax = [at_rate(units * price, ppm) for units, price, ppm in goods]
    basket = [
        line("A1", units, price, tax_code=f"T{ppm}", tax_minor=minor if own else None)
        for (units, price, ppm), minor in zip(goods, tax, strict=True)
    ]
    basket.append(line("POST", 1, 100, kind="shipping"))
    by_code = taxes.of_lines(basket, sum(tax) + more, "default")
    assert sum(by_code.values()) == sum(tax) + more
    if own and not more:
        stated = Counter({f"T{ppm}": 0 for _, _, ppm in goods})
        for (_, _, ppm), minor in zip(goods, tax, strict=True):
            stated[f"T{ppm}"] += minor
        assert by_code == {code: minor for code, minor in stated.items() if minor}
