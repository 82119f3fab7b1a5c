"""Cells of reconciliation as values: what two sides say, what explains the difference, and which transactions it is."""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct, field

from sync_core.ledger.ledger import PostingRules
from sync_core.model import ExceptionKind

Why = Literal["timing", "fees", "tax", "rounding", "known"]
"""What explains a difference: a normal gap, what was agreed to be kept, or an exception that somebody has already."""
WHYS: Final[tuple[Why, ...]] = get_args(Why)
Level = Literal["L0", "L1", "L2", "L3", "L4", "L5"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
REPORT_HOUR: Final = 9


class Key(Struct, frozen=True, order=True):
    """What a cell is about."""

    level: Level
    business_date: dt.date
    channel: str
    provider: str
    location: str
    kind: str
    legal_entity: str
    currency: str


class Pair(Struct, frozen=True):
    """Two sides of one transaction, or with no ``correlation_id`` of a whole cell as far as one ``why`` goes."""

    key: Key
    correlation_id: bytes | None
    origin: str
    entity: str
    entity_id: str
    left_minor: int
    right_minor: int
    left_count: int
    right_count: int
    explained_minor: int
    why: str
    cause: str

    @property
    def about(self) -> str:
        return f"{self.key.level}/{self.key.business_date}/{self.key.kind}/{self.entity_id}"


class Entry(Struct, frozen=True):
    """A part of a cell's difference, with the transaction it is of; ``why`` may be ``unexplained``."""

    pair: Pair
    why: str
    amount_minor: int


class Cell(Struct):
    """One day's figures of one kind; amounts in minor units."""

    key: Key
    left_minor: int = 0
    right_minor: int = 0
    left_count: int = 0
    right_count: int = 0
    explained: dict[str, int] = field(default_factory=dict)

    @property
    def unexplained_minor(self) -> int:
        return self.left_minor - self.right_minor - sum(self.explained.values())

    @property
    def reason(self) -> str:
        return ", ".join(f"{name} {amount}" for name, amount in sorted(self.explained.items()) if amount)


class Day(Struct):
    """A level of a business day: its cells, and what their differences are made of."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    @property
    def wrong(self) -> list[Entry]:
        """What nothing explains."""
        return [one for one in self.entries if one.why == "unexplained"]

    @property
    def broken(self) -> bool:
        return bool(self.wrong) or any(cell.unexplained_minor for cell in self.cells.values())

    @property
    def unexplained_minor(self) -> int:
        """What nothing explains, without its signs."""
        return sum(abs(cell.unexplained_minor) for cell in self.cells.values())

    @property
    def digest(self) -> bytes:
        """Equal for equal outcomes."""
        cells = sorted(self.cells.values(), key=lambda cell: cell.key)
        return hashlib.sha256(msgspec.msgpack.encode([cells, self.entries])).digest()


def next_business_day(day: dt.date) -> dt.date:
    """The first Monday to Friday after ``day``."""
    following = day + dt.timedelta(days=1)
    return following + dt.timedelta(days=max(0, 7 - following.weekday()) if following.weekday() > 4 else 0)


def due_at(key: Key, rules: PostingRules) -> dt.datetime:
    """When a cell is to agree: the morning after its day, or after the day on which its money was due."""
    day = key.business_date
    if key.level == "L4":  # the bank has a business day more
        day = next_business_day(day)
    elif key.level == "L3" and key.kind in ("sale", "refund"):  # settled as late as the provider may
        day += rules.expected_within(rules.clearing(key.provider))
    return dt.datetime.combine(next_business_day(day), dt.time(REPORT_HOUR), dt.UTC)


def pair(row: Iterable[Any]) -> Pair:
    """A row of the statement ``cells``."""
    level, on, channel, provider, location, kind, legal_entity, currency, *rest = row
    return Pair(Key(level, on, channel, provider, location, kind, legal_entity, currency), *rest)


def add(days: Mapping[tuple[Level, dt.date], Day], pairs: Iterable[Pair]) -> None:
    """Put pairs into the days that they are of."""
    for one in pairs:
        day = days[one.key.level, one.key.business_date]
        if one.entity:
            day.entries += _entries(one)
            continue
        cell = day.cells.setdefault(one.key, Cell(one.key))
        cell.left_minor += one.left_minor
        cell.right_minor += one.right_minor
        cell.left_count += one.left_count
        cell.right_count += one.right_count
        if one.why:
            cell.explained[one.why] = cell.explained.get(one.why, 0) + one.explained_minor


def _entries(one: Pair) -> list[Entry]:
    rest = one.left_minor - one.right_minor - one.explained_minor
    explained = [Entry(one, one.why, one.explained_minor)] if one.explained_minor else []
    return [*explained, Entry(one, "unexplained", rest)] if rest or one.cause else explained


class Finding(Struct, frozen=True):
    """What an unexplained difference is called, whose it is, and how it reads."""

    kind: ExceptionKind
    owner: str
    detail: str


FINDINGS: Final[Mapping[str, Finding]] = {
    one.kind: one
    for one in (
        Finding(
            "order_missing", "order management", "order {id} of {left} stands in the channel's list and never came"
        ),
        Finding(
            "order_not_at_source", "order management", "order {id} of {right} came and the channel does not list it"
        ),
        Finding(
            "order_differs", "order management", "order {id} is {left} in the channel's list and came with {right}"
        ),
        Finding("tax_differs", "finance", "the tax of order {id} is {left} in the channel's list and came as {right}"),
        Finding("control_total_differs", "order management", "{id} states {left}, what came makes {right}"),
        Finding("journal_differs", "finance", "{id} says {left}, the journal holds {right}"),
        Finding("fee_doubled", "payments", "the fee of {left} for {id} was taken before"),
        Finding("stock_value_differs", "inventory", "{id} is worth {left}, its account holds {right}"),
        Finding("subledger_differs", "finance", "{left} are owed for {id}, the account holds {right}"),
    )
}
"""What reconciliation finds itself. Other causes are exceptions already."""
