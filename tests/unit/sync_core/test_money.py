"""Amounts are whole minor units; what rounding leaves over is known, and shares add up to the whole."""

import pytest

from sync_core.money import at_rate, cumulative_share, face_value, micros, minor, text


@pytest.mark.parametrize(
    ("written", "millionths"),
    [("2.55", 2_550_000), ("-11062.06", -11_062_060_000), ("0.001", 1_000), ("0", 0), ("1e3", 1_000_000_000)],
)
def test_a_decimal_amount_is_exact(written: str, millionths: int) -> None:
    assert micros(written) == millionths


@pytest.mark.parametrize("written", ["", "ten", "NaN", "Infinity", "0.0000001", "1." + "0" * 50 + "1", "1,50"])
def test_what_is_no_amount_of_six_decimals_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        micros(written)


@pytest.mark.parametrize(
    ("price_micros", "quantity", "minor", "residue"),
    [
        (2_550_000, 6, 1530, 0),
        (5_000, 1, 0, 5_000),  # half a penny goes to the even neighbour: 0
        (15_000, 1, 2, -5_000),  # and 1.5 to 2
        (25_000, 1, 2, 5_000),  # and 2.5 to 2
        (-5_000, 1, 0, -5_000),
        (-15_000, 1, -2, 5_000),
        (1_000, 1, 0, 1_000),
        (6_000, 1, 1, -4_000),
        (1_000, -6, -1, 4_000),
        (0, 7, 0, 0),
    ],
)
def test_a_face_value_rounds_half_to_even_and_keeps_the_rest(
    price_micros: int, quantity: int, minor: int, residue: int
) -> None:
    assert face_value(price_micros, quantity) == (minor, residue)
    assert minor * 10_000 + residue == price_micros * quantity


@pytest.mark.parametrize(
    ("amount", "rate_ppm", "part"),
    [
        (11600, 82_500, 957),
        (1702, 175_000, 298),
        (1667, 200_000, 333),
        (-1667, 200_000, -333),
        (10, 50_000, 1),
        (0, 1, 0),
    ],
)
def test_a_rate_rounds_half_away_from_zero(amount: int, rate_ppm: int, part: int) -> None:
    assert at_rate(amount, rate_ppm) == part


def test_shares_in_sequence_add_up_to_the_whole() -> None:
    assert [cumulative_share(100, before, 1, 3) for before in range(3)] == [33, 33, 34]
    assert [cumulative_share(891, before, 1, 2) for before in range(2)] == [445, 446]
    assert [cumulative_share(-100, before, 1, 3) for before in range(3)] == [-34, -33, -33]
    assert cumulative_share(2027, 0, 6, 6) == 2027


@pytest.mark.parametrize(("amount_minor", "currency", "written"), [
    (-1320, "GBP", "-13.20"), (5, "GBP", "0.05"), (-5, "EUR", "-0.05"), (100000, "USD", "1000.00"),
    (-1320, "JPY", "-1320"), (1320, "KWD", "1.320"),
])  # fmt: skip
def test_minor_units_are_written_as_a_decimal_and_read_again(amount_minor: int, currency: str, written: str) -> None:
    assert text(amount_minor, currency) == written
    assert minor(written, currency) == amount_minor


@pytest.mark.parametrize("written", ["--1.00", "1_0.00", "1.234", "-", "1.2.3", " ", "1e9999"])
def test_what_is_no_amount_of_a_currency_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not an amount|more decimals"):
        minor(written, "GBP")
