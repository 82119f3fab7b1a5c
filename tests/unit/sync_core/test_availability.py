"""Worked figures of what may be promised, and that no rule ever promises what is not there."""

from hypothesis import given
from hypothesis import strategies as st

from sync_core.stock.availability import Answer, Held, Rule, RuleKind, Rules, answer, offer, sellable, to_channel


def held(good: int, reserved: int = 0, committed: int = 0, quarantine: int = 0, location: str = "L") -> Held:
    return Held("A", location, good, 0, 0, quarantine, 0, reserved, committed, 0)


def rule(kind: RuleKind, quantity: int = 0, percent: int = 0, **over: str | int) -> Rule:
    given = {"sku": "", "location": "", "channel": "", "priority": 100} | over
    return Rule(kind=kind, quantity=quantity, percent=percent, **given)  # type: ignore[arg-type]


TEN_IN_THE_BUILDING = held(9, reserved=2, committed=1, quarantine=1)
SAFETY = rule("safety", 2)


def test_ten_in_the_building_are_six_to_promise() -> None:
    told = offer(TEN_IN_THE_BUILDING, Rules([]), degraded=False)
    assert (told.on_hand, told.free, told.sellable, told.oversold) == (10, 6, 6, 0)


def test_four_with_a_safety_stock_of_two() -> None:
    assert sellable(TEN_IN_THE_BUILDING, Rules([SAFETY]), degraded=False) == 4


def test_three_to_a_marketplace_with_a_cap_of_three() -> None:
    rules = Rules([SAFETY, rule("cap", 3, channel="market")])
    assert to_channel("A", "market", 4, rules) == 3
    assert to_channel("A", "web", 4, rules) == 4


def test_a_late_sale_of_seven_leaves_nothing_and_one_oversold() -> None:
    told = offer(held(2, reserved=2, committed=1, quarantine=1), Rules([SAFETY]), degraded=False)
    assert (told.free, told.sellable, told.oversold) == (-1, 0, 1)


def test_a_buffer_counts_while_a_feed_is_silent_and_percentages_round_down() -> None:
    rules = Rules([rule("safety", percent=15), rule("buffer", percent=25)])
    assert sellable(held(9), rules, degraded=False) == 8
    assert sellable(held(9), rules, degraded=True) == 6


def test_quotas_are_kept_for_their_channel_and_served_by_priority() -> None:
    rules = Rules([rule("quota", 6, channel="web", priority=1), rule("quota", 5, channel="market", priority=2)])
    assert [to_channel("A", channel, 20, rules) for channel in ("web", "market", "store")] == [15, 14, 9]
    assert [to_channel("A", channel, 8, rules) for channel in ("web", "market", "store")] == [6, 2, 0]


def test_the_most_particular_rule_counts() -> None:
    rules = Rules([rule("safety", 1), rule("safety", 2, location="L"), rule("safety", 3, sku="A"),
                   rule("safety", 0, 50, sku="B", location="L"), rule("cap", 9, channel="web"),
                   rule("cap", 0, channel="web", sku="A")])  # fmt: skip
    assert rules.held_back("safety", "A", "L", 10) == 3
    assert rules.held_back("safety", "B", "L", 10) == 5
    assert rules.held_back("safety", "C", "L", 10) == 2
    assert rules.held_back("safety", "C", "M", 10) == 1
    assert (to_channel("A", "web", 20, rules), to_channel("B", "web", 20, rules)) == (0, 9)


def test_an_answer_is_over_the_locations_asked_about() -> None:
    found = {"L": held(5), "M": held(7, location="M"), "N": held(9, location="N")}
    told = answer("A", found, Rules([rule("buffer", 2)]), ["M", "L", "X"], "", frozenset({"M"}))
    assert isinstance(told, Answer)
    assert (told.sellable, told.available) == (10, None)
    assert [(one.location, one.sellable, one.degraded) for one in told.locations] == [("M", 5, True), ("L", 5, False)]


UNITS = st.integers(0, 40)
RULES = st.lists(
    st.builds(
        rule, kind=st.sampled_from(["safety", "buffer", "quota", "cap"]), quantity=UNITS, percent=st.integers(0, 100),
        channel=st.sampled_from(["web", "market", "store"]), priority=st.integers(0, 9),
        sku=st.sampled_from(["", "A"]),
    ),
    max_size=8,
)  # fmt: skip


@given(RULES, UNITS, UNITS, UNITS, st.booleans())
def test_never_is_more_promised_than_is_free(
    rules: list[Rule], good: int, reserved: int, committed: int, degraded: bool
) -> None:
    by = Rules(rules)
    stock = held(good, reserved, committed)
    units = sellable(stock, by, degraded=degraded)
    assert 0 <= units <= max(0, stock.free)
    for channel in ("web", "market", "store", "other"):
        assert 0 <= to_channel("A", channel, units, by) <= units
