"""Any delimited file of settlements or bank entries, by a mapping that is data (TOML)."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sync_core.connectors.settlement_lines import LONGEST, Balance, Connector, Row, SettlementLine, table
from sync_core.errors import UnreadableFileError
from sync_core.messages import Origin, SettlementKind
from sync_core.money import text

Column = Annotated[str, Meta(max_length=LONGEST)]


class Columns(Struct, frozen=True, forbid_unknown_fields=True):
    """The file's names of what is read; empty: it has none. Without ``currency`` or ``settlement_id`` there must be one
    for the whole file: the mapping's, and the file's own name. ``balance`` is what an account held after an entry.
    """

    amount: Column
    date: Column
    settlement_id: Column = ""
    currency: Column = ""
    fee: Column = ""
    type: Column = ""
    reference: Column = ""
    alternate: Column = ""
    order_id: Column = ""
    balance: Column = ""


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """How to read a file: ``types`` says what each of the provider's types is; what is not named is booked apart.

    ``payout``: whether a row states what is paid out (``stated``), or it is what is left (``derived``).
    ``charges``: whether fees are written as positive numbers.
    """

    origin: Origin
    columns: Columns
    kind: Literal["processor", "bank"] = "processor"
    currency: Annotated[str, Meta(pattern=r"^([A-Z]{3})?$")] = ""
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    dates: Annotated[tuple[str, ...], Meta(min_length=1, max_length=20)] = ("%Y-%m-%d",)
    payout: Literal["stated", "derived"] = "derived"
    charges: Literal["positive", "negative"] = "positive"
    types: dict[str, SettlementKind] = {}

    def __post_init__(self) -> None:
        if not (self.currency or self.columns.currency):
            raise ValueError("needs a `currency`, or a column of it")
        if self.kind == "bank" and self.types:
            raise ValueError("a bank's entries have no `types`")


def parse(body: bytes) -> Mapping:
    """Raises msgspec.DecodeError, which names the key, or UnicodeDecodeError."""
    return msgspec.toml.decode(body.decode(), type=Mapping)


def connector(mapping: Mapping) -> Connector:
    return Connector(mapping.origin, mapping.kind, partial(read, mapping), currencies=mapping.kind == "processor")


def read(mapping: Mapping, lines: Iterator[str], name: str) -> Iterator[SettlementLine]:
    """The file's rows as lines: gross, and fees apart."""
    needed = [column for column in msgspec.structs.astuple(mapping.columns) if column]
    balance = Balance(name)
    held: int | None = None
    for row in table(lines, name, needed, mapping.delimiter):
        for line in _lines(mapping, row, name):
            yield balance.add(line)
            if mapping.columns.balance:
                held = _carry(mapping, row, line, held)
    if mapping.kind == "bank":
        return
    if mapping.payout == "stated":
        balance.require_zero()
    yield from balance.payouts()


def _lines(mapping: Mapping, row: Row, name: str) -> Iterator[SettlementLine]:
    columns = mapping.columns
    currency = row.currency(columns.currency) if columns.currency else mapping.currency
    number = row.need(columns.settlement_id) if columns.settlement_id else name[:LONGEST]
    on = row.date(columns.date, *mapping.dates)
    amount = row.amount(columns.amount, currency, mapping.decimal)
    word = row.get(columns.type).strip()[:LONGEST]
    kind: SettlementKind = "bank" if mapping.kind == "bank" else mapping.types.get(word, "unknown")
    reference, alternate, order = (
        row.get(column).strip()[:size]
        for column, size in ((columns.reference, LONGEST), (columns.alternate, 2000), (columns.order_id, LONGEST))
    )
    if kind == "payout":
        reference = reference or number
    if amount:
        yield SettlementLine(number, row.line, kind, amount, currency, on, reference, alternate, order, word)
    fee = row.amount(columns.fee, currency, mapping.decimal) if columns.fee else 0
    if fee:
        minus = -fee if mapping.charges == "positive" else fee
        yield SettlementLine(number, row.line, "fee", minus, currency, on, reference, alternate, order, word)


def _carry(mapping: Mapping, row: Row, line: SettlementLine, held: int | None) -> int:
    """The balance after an entry; a gap means that entries are missing."""
    now = row.amount(mapping.columns.balance, line.currency, mapping.decimal)
    if held is not None and held + line.amount_minor != now:
        raise UnreadableFileError(
            line.settlement_id, row.line,
            f"{mapping.columns.balance} is {text(now, line.currency)}, after the entry before it would be "
            f"{text(held + line.amount_minor, line.currency)}: entries are missing, or come twice",
        )  # fmt: skip
    return now
