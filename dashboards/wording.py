"""How figures, times and states read on a page."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Final, Literal

from msgspec import Struct

from lineage.model import Money, SlaState, Verdict

MINUS: Final = "\N{MINUS SIGN}"
DASH: Final = "\N{EN DASH}"
TIMES: Final = "\N{MULTIPLICATION SIGN}"

Tone = Literal["good", "warn", "bad", "quiet", "unknown"]
"""Chooses the colour of a mark; a word and an icon always stand beside it."""


class State(Struct, frozen=True):
    word: str
    icon: str  # assets/tallytrace.css draws .icon-<icon>
    tone: Tone


SLA_STATES: Final[dict[SlaState, State]] = {
    "breached": State("Breached", "cross", "bad"),
    "at_risk": State("At risk", "warning", "warn"),
    "stale": State("Stale", "clock", "unknown"),
    "no_data": State("No data", "question", "unknown"),
    "low_volume": State("Low volume", "ring", "quiet"),
    "meeting": State("Meeting target", "check", "good"),
}
"""Worst first: the order of the tiles."""

VERDICTS: Final[dict[Verdict, State]] = {
    "bad": State("Late", "cross", "bad"),
    "pending": State("Not yet due", "clock", "quiet"),
    "good": State("In time", "check", "good"),
    "excused": State("Excused", "ring", "quiet"),
    "refused": State("Refused as data", "question", "unknown"),
}

OUTCOMES: Final[dict[str, State]] = {
    "ok": State("done", "check", "good"),
    "duplicate": State("repeat, recognised", "ring", "quiet"),
    "parked": State("parked", "pause", "warn"),
    "failed": State("failed, will be retried", "warning", "warn"),
    "rejected": State("rejected", "cross", "bad"),
    "dead_letter": State("given up after retries", "cross", "bad"),
    "compensated": State("undone", "back", "quiet"),
    "replayed": State("done by replay", "check", "good"),
}

SYMBOLS: Final = {"GBP": "£", "EUR": "€", "USD": "$"}


def outcome(name: str) -> State:
    return OUTCOMES.get(name) or State(name.replace("_", " "), "question", "unknown")


def money(amount: Money) -> str:
    """``Money(-1320, "GBP")`` reads as minus, pound sign, 13.20."""
    sign = MINUS if amount.amount_minor < 0 else ""
    symbol = SYMBOLS.get(amount.currency, f"{amount.currency}\N{NO-BREAK SPACE}")
    return f"{sign}{symbol}{amount.digits}"


def monies(amounts: Iterable[Money]) -> str:
    """Several currencies side by side, never added; "none" when there is nothing."""
    return " + ".join(money(amount) for amount in amounts if amount.amount_minor) or "none"


def added(amounts: Iterable[Money]) -> tuple[Money, ...]:
    """One sum per currency, in alphabetical order of the currency."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.currency] = sums.get(amount.currency, 0) + amount.amount_minor
    return tuple(Money(sums[currency], currency) for currency in sorted(sums))


def share(value: float | None) -> str:
    """Cut to two decimals, never rounded up: 98.998 % must not look like a kept 99 %."""
    return DASH if value is None else f"{math.floor(value * 10_000 + 1e-6) / 100:.2f}%"


def part(some: int, whole: int) -> str:
    """A share of what is unwelcome: never rounded down, so that one of 100,000 is not nothing."""
    return DASH if not whole else f"{math.ceil(some * 10_000 / whole - 1e-6) / 100:.2f}%"


def target(value: float) -> str:
    return f"{value * 100:.6g}%"


def change(value: float | None) -> str:
    """Difference of two shares in percentage points."""
    if value is None:
        return "no earlier period"
    points = round(value * 100, 2)
    if not points:
        return "unchanged"
    return f"{'+' if points > 0 else MINUS}{abs(points):.2f} pt"


def budget(left: float | None) -> str:
    if left is None:
        return DASH
    return f"{math.floor(left * 100 + 1e-6)}%" if left >= 0 else f"overspent by {math.ceil(-left * 100 - 1e-6):,}%"


def sentence(words: str) -> str:
    """First letter large, the rest as it is: "ERP" stays "ERP"."""
    return words[:1].upper() + words[1:]


def plain(words: str) -> str:
    """A machine's word for people: "no_earlier_sale" reads "no earlier sale"; a sentence stays as it is."""
    return words if " " in words else words.replace("_", " ")


def quantity(number: int) -> str:
    return f"{number:,}".replace("-", MINUS)


def count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """The two largest units: "2 d 4 h", "3 h 12 min", "45 s"."""
    whole = int(abs(seconds))
    if whole < 1:
        return "0 s" if not seconds else "under 1 s"
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    if days:
        parts = [(days, "d"), (hours if days < 14 else 0, "h")]
    elif hours:
        parts = [(hours, "h"), (minutes, "min")]
    else:
        parts = [(minutes, "min"), (secs if minutes < 10 else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def latency(microseconds: int) -> str:
    if microseconds < 1_000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:.3g} ms"
    return f"{microseconds / 1_000_000:.3g} s" if microseconds < 60_000_000 else duration(microseconds / 1_000_000)


def date_of(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%a} {at.astimezone(UTC).day} {at.astimezone(UTC):%b %Y}"


def clock_time(at: datetime) -> str:
    """Seconds only when there are any: most business times are whole minutes."""
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S}" if utc.second else f"{utc:%H:%M}"


def when(at: datetime, now: datetime) -> str:
    """Today only the time, this year without the year."""
    utc, present = at.astimezone(UTC), now.astimezone(UTC)
    if utc.date() == present.date():
        return f"{utc:%H:%M}"
    year = "" if utc.year == present.year else f" {utc.year}"
    return f"{utc.day} {utc:%b}{year}, {utc:%H:%M}"


def exact(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def age(since: datetime | None, now: datetime) -> str:
    """How old something is, in its largest unit: "3 min"."""
    if since is None:
        return "unknown"
    seconds = max(0.0, (now - since).total_seconds())
    return "under 1 min" if seconds < 60 else duration(seconds).split(" ")[0] + " " + duration(seconds).split(" ")[1]


KEY_TITLES: Final = {
    "order_id": "order", "shipment_id": "shipment", "tracking_id": "tracking", "payment_id": "payment",
    "return_id": "return", "refund_id": "refund", "invoice_id": "invoice", "credit_memo_id": "credit note",
    "journal_id": "journal", "erp_document_id": "ERP document", "settlement_id": "settlement",
    "bank_line_id": "bank line", "gift_card_id": "gift card", "purchase_order_id": "purchase order",
    "correlation_id": "transaction", "trace_id": "trace", "payout_id": "payout",
}  # fmt: skip


def key_title(name: str) -> str:
    return KEY_TITLES.get(name, name.removesuffix("_id").replace("_", " "))


LINKS: Final[dict[tuple[str, str], str]] = {
    ("returns", "out"): "returns goods of",
    ("returns", "in"): "goods came back in",
    ("refunds", "out"): "refunds",
    ("refunds", "in"): "refunded by",
    ("exchanges", "out"): "exchanged for",
    ("exchanges", "in"): "exchanged from",
    ("part_of", "out"): "part of",
    ("part_of", "in"): "contains",
    ("same_as", "out"): "the same as",
    ("same_as", "in"): "the same as",
    ("settles", "out"): "settles",
    ("settles", "in"): "settled by",
}


def link(kind: str, direction: str) -> str:
    """Reads from the transaction on the page to the other: "goods came back in return C538698"."""
    return LINKS.get((kind, direction), kind.replace("_", " "))
