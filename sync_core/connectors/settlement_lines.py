"""What every file of settlements is read into: one line per amount, gross, in minor units, as the provider names it."""

import csv
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from sync_core.errors import UnreadableFileError
from sync_core.messages import SettlementKind
from sync_core.money import minor, text

LONGEST: Final = 200


class SettlementLine(Struct, frozen=True):
    """One amount of a settlement, positive in our favour. The lines of a provider's settlement add up to nothing:
    what it pays out is one of them. ``reference`` is the provider's number of what the line is about, ``alternate``
    another one, or the text of a bank's entry.
    """

    settlement_id: str
    position: int  # in the file; the header is line 1
    kind: SettlementKind
    amount_minor: int
    currency: str
    on: dt.date
    reference: str = ""
    alternate: str = ""
    order_id: str = ""
    fee_type: str = ""  # the provider's own word; of a bank's entry, the bank's number
    origin: str = ""  # where it is not the connector's


class Connector(Struct, frozen=True):
    """How a kind of file is read. ``origin`` is the provider; a bank's statement names its own account.

    Where settlements have ``currencies`` beside each other, each of them is a settlement of its own.
    """

    origin: str
    kind: Literal["processor", "bank"]
    read: Callable[[Iterator[str], str], Iterator[SettlementLine]]
    currencies: bool = False


class Row:
    """One row of a table; errors name its line and the column."""

    def __init__(self, name: str, line: int, cells: dict[str, str]) -> None:
        self._name = name
        self.line = line
        self._cells = cells

    def __getitem__(self, column: str) -> str:
        return self._cells[column]

    def get(self, column: str) -> str:
        """The cell, or nothing where the file has no such column."""
        return self._cells.get(column, "")

    def need(self, column: str) -> str:
        if not (value := self._cells[column].strip()):
            raise self.wrong(f"{column} is empty")
        return value

    def amount(self, column: str, currency: str, decimal: str = ".") -> int:
        """Minor units; an empty cell is 0."""
        value = self._cells.get(column, "").strip()
        if not value:
            return 0
        plain = value.replace(",", "") if decimal == "." else value.replace(".", "").replace(",", ".")
        try:
            return minor(plain, currency)
        except ValueError as error:
            raise self.wrong(f"{column} is {value!r}: {error}") from error

    def date(self, column: str, *formats: str) -> dt.date:
        value = self.need(column)
        if (on := _date(value, formats)) is None:
            example = dt.date(2026, 3, 31).strftime(formats[0])
            raise self.wrong(f"{column} is {value!r}; expected a date such as {example}")
        return on

    def currency(self, column: str) -> str:
        value = self.need(column).upper()
        if len(value) != 3 or not value.isalpha():
            raise self.wrong(f"{column} is {value!r}; expected a currency such as EUR")
        return value

    def wrong(self, reason: str) -> UnreadableFileError:
        return UnreadableFileError(self._name, self.line, reason)


@lru_cache(maxsize=4096)  # a file has few days, and many lines of each
def _date(value: str, formats: tuple[str, ...]) -> dt.date | None:
    for form in formats:
        with suppress(ValueError):
            return dt.datetime.strptime(value, form).date()  # noqa: DTZ007
    return None


def table(lines: Iterable[str], name: str, needed: Iterable[str], delimiter: str = ",") -> Iterator[Row]:
    """The rows of a delimited file with a header. Raises UnreadableFileError with the line it stops at."""
    reader = csv.reader(_without_bom(lines), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if missing := [column for column in needed if column not in header]:
            raise UnreadableFileError(name, 1, f"there is no column {', '.join(missing)}")
        if len(set(header)) < len(header):
            raise UnreadableFileError(name, 1, "a column comes twice")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                found = f"expected {len(header)} columns, found {len(cells)}; the file may be cut off"
                raise UnreadableFileError(name, reader.line_num, found)
            yield Row(name, reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise UnreadableFileError(name, reader.line_num, f"not a table: {error}") from error


def _without_bom(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield line if number else line.removeprefix("\ufeff")


class Balance:
    """Adds up settlements as they are read, and says which does not come out."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.sums: dict[tuple[str, str], int] = {}
        self.last: dict[tuple[str, str], SettlementLine] = {}

    def add(self, line: SettlementLine) -> SettlementLine:
        key = (line.settlement_id, line.currency)
        self.sums[key] = self.sums.get(key, 0) + line.amount_minor
        self.last[key] = line
        return line

    def require_zero(self) -> None:
        for (number, currency), rest in self.sums.items():
            if rest:
                last = self.last[number, currency]
                detail = f"settlement {number} does not add up: {text(rest, currency)} {currency} are left over"
                raise UnreadableFileError(self._name, last.position, detail)

    def payouts(self, payout_of: Callable[[str], str] = str) -> Iterator[SettlementLine]:
        """What is paid out of settlements that do not state it: all that is left."""
        for (number, currency), rest in self.sums.items():
            if rest:
                last = self.last[number, currency]
                yield SettlementLine(
                    number, last.position, "payout", -rest, last.currency, last.on, reference=payout_of(number)
                )
