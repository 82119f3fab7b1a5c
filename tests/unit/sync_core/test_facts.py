"""Posting rules as a table: what is refused when they are loaded, and how amounts are worked out."""

import msgspec
import pytest

from sync_core.ledger.facts import Expression, FactRule, lacking
from sync_core.ledger.ledger import JournalLine, converted, load_rules
from sync_core.money import shared


def rule(lines: dict[str, str], **over: object) -> FactRule:
    return msgspec.convert({"lines": lines, **over}, FactRule)


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ({"assets:a": "amount", "assets:b": "-other"}, "do not balance"),
        ({"assets:a": "amount", "assets:b": "-amount - fee"}, "do not balance"),
        ({"assets:a": "2 * amount", "assets:b": "-2 * amount"}, "no sum of amounts"),
        ({"assets:a": "__import__('os')", "assets:b": "0"}, "something other than names"),
        ({"assets:a": "amount +", "assets:b": "0"}, "no expression"),
    ],
)
def test_a_rule_that_cannot_balance_is_refused_when_it_is_loaded(lines: dict[str, str], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        rule(lines)


def test_an_amount_is_worked_out_exactly_and_rounded_once() -> None:
    assert Expression("price * points / (price + points)").value({"price": 10000, "points": 500}) == 476
    assert [Expression("a / 2").value({"a": amount}) for amount in (1, -1, 3, 0)] == [1, -1, 2, 0]


def test_a_fact_that_lacks_what_its_rule_asks_for_is_told_the_field() -> None:
    fee = load_rules().facts["processor_fee"]
    assert lacking(fee, {}, {"provider": "x"}) == ("amounts.amount", "it is missing")
    assert lacking(fee, {"amount": 1, "fee": 1}, {"provider": "x"}) == (
        "amounts.fee", "nobody asks for it; asked for: amount",
    )  # fmt: skip
    assert lacking(fee, {"amount": 1}, {"provider": ""}) == ("names.provider", "it is missing")
    assert lacking(fee, {"amount": 1}, {"provider": "x"}) is None
    breakage = load_rules().facts["breakage"]
    none = dict.fromkeys(("expected_breakage", "redeemed", "expected_redemptions"), 0)
    assert lacking(breakage, none, {}) == ("amounts", "they divide by zero")


def test_what_rounding_leaves_goes_to_the_largest_remainders() -> None:
    assert shared(10850, [3334, 3333, 3333]) == [3618, 3616, 3616]
    assert shared(2, [1, 1, 1]) == [1, 1, 0]
    lines = [JournalLine("a", 10000, "live"), *(JournalLine("b", -one, "live") for one in (3334, 3333, 3333))]
    assert [one.functional_minor for one in converted(lines, 1_085_000, "fx")] == [10850, -3618, -3616, -3616]


def test_a_line_that_says_what_it_is_worth_makes_a_realised_difference() -> None:
    lines = [JournalLine("bank", 9685, "live"), JournalLine("fees", 315, "live"),
             JournalLine("clearing", -10000, "live", functional_minor=-10850)]  # fmt: skip
    found = {one.account: one.functional_minor for one in converted(lines, 1_079_000, "fx")}
    assert found == {"bank": 10450, "fees": 340, "clearing": -10850, "fx": 60}
