"""A bank's statement as camt.053 XML: one line per booked entry, between an opening and a closing balance."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from sync_core.connectors.settlement_lines import Connector, SettlementLine
from sync_core.errors import UnreadableFileError
from sync_core.money import minor, text

OPENING: Final = frozenset({"OPBD", "PRCD"})
NONE: Final = frozenset({"", "NOTPROVIDED"})


def read(lines: Iterator[str], name: str) -> Iterator[SettlementLine]:
    """The entries of every statement in the file. Raises UnreadableFileError unless each adds up to its balance."""
    parser: XMLPullParser[Element] = XMLPullParser(["end"])
    number = found = 0
    try:
        for number, line in enumerate(lines, 1):
            if "<!DOCTYPE" in line or "<!ENTITY" in line:
                raise UnreadableFileError(name, number, "a statement has no document type of its own")
            parser.feed(line)
            for element in _ended(parser):
                if _name(element) == "Ntry":
                    element.set("line", str(number))
                elif _name(element) == "Stmt":
                    found += 1
                    yield from _statement(element, name, number)
                    element.clear()
        parser.close()
    except ParseError as error:
        raise UnreadableFileError(name, number, f"not XML, or cut off: {error}") from error
    if not found:
        raise UnreadableFileError(name, number, "there is no statement (Stmt) in it")


def _ended(parser: "XMLPullParser[Element]") -> Iterator[Element]:
    for event in parser.read_events():
        ended: Any = event[-1]
        yield ended


def _statement(statement: Element, name: str, line: int) -> Iterator[SettlementLine]:
    account = _text(statement, "Acct/Id/IBAN") or _text(statement, "Acct/Id/Othr/Id")
    identity = _text(statement, "Id")
    if not account or not identity:
        raise UnreadableFileError(name, line, f"the statement has no {'Id' if account else 'Acct/Id'}")
    opening, closing = None, None
    for balance in _children(statement, "Bal"):
        code = _text(balance, "Tp/CdOrPrtry/Cd")
        amount, currency = _amount(balance, name, line)
        opening = amount if code in OPENING else opening
        closing = amount if code == "CLBD" else closing
    if opening is None or closing is None:
        raise UnreadableFileError(name, line, f"statement {identity} lacks its opening or closing balance")
    come, seen, origin = opening, set[str](), "".join(one for one in account.lower() if one.isalnum())
    for entry in _children(statement, "Ntry"):
        at = int(entry.get("line", line))
        if (_text(entry, "Sts/Cd") or _text(entry, "Sts")) not in ("BOOK", ""):
            continue
        amount, currency = _amount(entry, name, at)
        come += amount
        reference = _text(entry, "AcctSvcrRef")
        if reference and reference in seen:
            raise UnreadableFileError(name, at, f"entry {reference} comes twice")
        seen.add(reference)
        yield SettlementLine(
            identity, at, "bank", amount, currency, _booked(entry, name, at), _named(entry),
            " ".join(_texts(entry, "Ustrd"))[:2000], "", reference, origin,
        )  # fmt: skip
    if come != closing:
        raise UnreadableFileError(
            name, line,
            f"statement {identity}: entries lead to {text(come, currency)}, its closing balance is"
            f" {text(closing, currency)}",
        )  # fmt: skip


def _amount(element: Element, name: str, line: int) -> tuple[int, str]:
    found = next(iter(_children(element, "Amt")), None)
    side = _text(element, "CdtDbtInd")
    if found is None or side not in ("CRDT", "DBIT"):
        raise UnreadableFileError(name, line, "an amount lacks Amt or CdtDbtInd")
    currency = found.get("Ccy", "")
    try:
        value = minor((found.text or "").strip(), currency)
    except ValueError as error:
        raise UnreadableFileError(name, line, f"Amt: {error}") from error
    return (value if side == "CRDT" else -value), currency


def _booked(entry: Element, name: str, line: int) -> dt.date:
    value = _text(entry, "BookgDt/Dt") or _text(entry, "BookgDt/DtTm")
    try:
        return dt.date.fromisoformat(value[:10])
    except ValueError as error:
        raise UnreadableFileError(name, line, f"BookgDt is {value!r}; expected a date") from error


def _named(entry: Element) -> str:
    """What the payer calls the payment."""
    told = (one for one in _texts(entry, "EndToEndId") if one not in NONE)
    return next(told, "")[:200]


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: Element, name: str) -> list[Element]:
    return [child for child in element if _name(child) == name]


def _text(element: Element, path: str) -> str:
    for step in path.split("/"):
        found = _children(element, step)
        if not found:
            return ""
        element = found[0]
    return (element.text or "").strip()


def _texts(element: Element, name: str) -> list[str]:
    return [(one.text or "").strip() for one in element.iter() if _name(one) == name]


CAMT053: Final = Connector("", "bank", read)
