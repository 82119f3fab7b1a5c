"""Money as integers in minor units; rounding and sharing without floats."""

from collections.abc import Sequence
from decimal import Context, DecimalException, Inexact, InvalidOperation
from typing import Final

MICROS_PER_MINOR: Final = 10_000  # currencies with two decimals: one minor unit is 10,000 millionths of the major
_EXACT: Final = Context(prec=40, traps=[Inexact, InvalidOperation])

MOST_DIGITS: Final = 20
"""An amount of more digits in millionths is a mistake, and no database would keep it."""


def micros(text: str) -> int:
    """A decimal amount in major units as millionths. Raises ValueError for more than six decimals or no number."""
    try:
        value = _EXACT.scaleb(_EXACT.create_decimal(text), 6)
    except DecimalException as error:
        raise ValueError(f"{text!r} is not an amount") from error
    if not value.is_finite() or value.adjusted() > MOST_DIGITS or value != value.to_integral_value():
        raise ValueError(f"{text!r} is not an amount of at most six decimals")
    return int(value)


DECIMALS: Final = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "BHD": 3, "KWD": 3, "JOD": 3, "OMR": 3, "TND": 3}

PLAIN: Final = 15
"""An amount of at most so many digits, written as most are, is read without decimal arithmetic."""


def minor(text: str, currency: str) -> int:
    """A decimal amount in major units as minor units. Raises ValueError for more decimals than the currency has."""
    decimals = DECIMALS.get(currency, 2)
    whole, _, part = text.partition(".")
    digits = f"{whole.removeprefix('-')}{part}"
    if len(part) == decimals and len(digits) <= PLAIN and digits.isascii() and digits.isdigit():
        return int(f"{whole}{part}")
    per_minor: int = 10 ** (6 - decimals)
    units, rest = divmod(micros(text), per_minor)
    if rest:
        raise ValueError(f"{text!r} has more decimals than {currency}")
    return units


def face_value(unit_price_micros: int, quantity: int) -> tuple[int, int]:
    """(minor units, half-even; what rounding left over, in millionths of the major unit)."""
    exact = unit_price_micros * quantity
    minor, rest = divmod(exact, MICROS_PER_MINOR)
    if rest * 2 > MICROS_PER_MINOR or (rest * 2 == MICROS_PER_MINOR and minor % 2):
        minor += 1
    return minor, exact - minor * MICROS_PER_MINOR


def at_rate(amount_minor: int, rate_ppm: int) -> int:
    """``rate_ppm`` millionths of an amount, half away from zero, as tax authorities round."""
    product = abs(amount_minor) * rate_ppm
    rounded = (product + 500_000) // 1_000_000
    return rounded if amount_minor >= 0 else -rounded


def shared(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` by weights: each part rounded down, and what is left, unit by unit, to the largest remainders."""
    whole = sum(weights)
    parts = [total * weight // whole if whole else 0 for weight in weights]
    order = sorted(range(len(weights)), key=lambda n: (-(total * weights[n] % whole), -weights[n], n)) if whole else []
    for n in order[: total - sum(parts)]:
        parts[n] += 1
    return parts


def cumulative_share(total: int, before: int, now: int, whole: int) -> int:
    """The part of ``total`` that falls to ``now`` of ``whole`` units after ``before``; all parts sum to ``total``."""
    return total * (before + now) // whole - total * before // whole


def units_share(total: int, before: int, now: int, whole: int) -> int:
    """The same, each sum of parts to the nearest minor unit."""
    upto = [(2 * total * units + whole) // (2 * whole) for units in (before, before + now)]
    return upto[1] - upto[0]


def share_of_rest(rest: int, now: int, left: int) -> int:
    """The part of ``rest`` that falls to ``now`` of what is ``left``, to the nearest unit; the last part is all of it.

    Shared out so, one after the other, parts sum to the whole, whatever changes the rest in between.
    """
    return (2 * rest * now + left) // (2 * left) if now != left else rest


def text(amount_minor: int, currency: str = "") -> str:
    """Minor units as a decimal of the major unit: -1320 is '-13.20', in JPY '-1320', in KWD '-1.320'."""
    decimals = DECIMALS.get(currency, 2)
    whole, part = divmod(abs(amount_minor), 10**decimals)
    return f"{'-' if amount_minor < 0 else ''}{whole}{f'.{part:0{decimals}d}' if decimals else ''}"
