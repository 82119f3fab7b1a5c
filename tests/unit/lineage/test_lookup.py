from collector.semconv import correlation_id
from lineage.lookup import candidates, clean, spellings, suggestions
from lineage.rows import KeyRow


def key(value: str, name: str, origin: str, reference: str, last: int = 1) -> KeyRow:
    """The number ``value``, known to the transaction that began with the document ``reference``."""
    return KeyRow(value, name, origin, correlation_id(origin, reference).hex(), 0, last)


def test_the_order_goes_before_the_return_that_mentions_it() -> None:
    rows = [key("537681", "order_id", "uci", "C538698", last=9), key("537681", "order_id", "uci", "537681")]
    (only,) = candidates("537681", rows)
    assert only.correlation_id == correlation_id("uci", "537681").hex()


def test_a_number_of_two_origins_is_a_choice() -> None:
    rows = [key("1001", "order_id", "web", "1001"), key("1001", "order_id", "market", "1001", last=5)]
    assert [one.origin for one in candidates("1001", rows)] == ["market", "web"]


def test_a_number_that_only_mentions_many_is_a_choice_of_all() -> None:
    rows = [key("GIFT-7", "gift_card_id", "web", "1001"), key("GIFT-7", "gift_card_id", "web", "1002")]
    assert len(candidates("GIFT-7", rows)) == 2


def test_two_keys_of_one_transaction_are_one_match() -> None:
    rows = [key("C538698", "refund_id", "uci", "C538698"), key("C538698", "return_id", "uci", "C538698")]
    assert len(candidates("C538698", rows)) == 1


def test_clean() -> None:
    assert clean("  #1001 ") == "1001"
    assert clean("2011-03-01/till 4/17") == "2011-03-01/till 4/17"
    assert len(clean("9" * 5000)) == 200


def test_spellings_hold_one_slip_each() -> None:
    near = spellings("c538698")
    assert near["C538698"] == (0, "differs in case, blanks or punctuation")
    assert near["538698"] == (1, "1 character differs")
    assert near["c538689"] == (1, "1 character differs")
    assert near["c53869"] == (0, "begins what was typed")
    assert "c538698" not in near
    assert spellings("538698")["C538698"] == (1, "1 character differs")
    assert spellings("53 86 98")["538698"][0] == 0
    assert len(spellings("9" * 100)) < 20


def test_suggestions_are_ranked_and_bounded() -> None:
    rows = [
        key("5376815", "order_id", "uci", "5376815"),
        key("537618", "order_id", "uci", "537618"),
        key("537681A", "order_id", "uci", "537681A"),
        key("537699", "order_id", "uci", "537699"),
    ]
    found = suggestions("537681", [*rows, *rows])
    assert [(one.key_value, one.distance) for one in found] == [
        ("537618", 1), ("5376815", 1), ("537681A", 1), ("537699", 3),
    ]  # fmt: skip
    assert len(suggestions("537681", rows, limit=2)) == 2
