"""The journal as text: a canonical CSV that two runs must write alike, and the forms of hledger and beancount."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from sync_core.money import text
from sync_core.store import Row

COLUMNS: Final = (
    "occurred_at", "journal_id", "business_date", "document", "entity_id", "channel", "location", "currency",
    "correlation_id", "rule_version", "line_no", "account", "amount_minor", "kind", "quantity", "line_count", "source",
    "legal_entity", "functional_minor", "functional_currency", "original_date",
    "tax_code",
)  # fmt: skip


def canonical(rows: Iterable[Row]) -> Iterator[str]:
    """CSV, one row per journal line, in order of business time and key; no sequence number and no processing time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows, 1):
        writer.writerow((row[0].isoformat(), *row[1:]))
        if not number % 500:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def hledger(rows: Iterable[Row]) -> Iterator[str]:
    """Entries that ``hledger -f - check`` reads; the transaction and the kind of each line are tags."""
    for journal_id, lines in groupby(rows, key=lambda row: str(row[1])):
        held = list(lines)
        head = held[0]
        tags = f"corr:{head[8]}, channel:{head[5]}, entity:{head[17]}"
        if head[20]:
            tags += f", original:{head[20]}"
        entry = [f"{head[2]} * ({journal_id}) {head[3]} {head[4]}  ; {tags}\n"]
        for row in held:
            kind = f"kind:{row[13]}, " if row[13] else ""
            code = f", tax_code:{row[21]}" if row[21] else ""
            entry.append(f"    {row[11]}  {_amount(row)}  ; {kind}source:{row[16]}{code}\n")
        yield "".join([*entry, "\n"])


_ROOTS: Final = {"assets": "Assets", "liabilities": "Liabilities", "equity": "Equity", "revenue": "Income",
                 "expenses": "Expenses"}  # fmt: skip


def beancount(rows: Iterable[Row]) -> Iterator[str]:
    """Entries that ``bean-check`` reads; accounts are opened where they come first."""
    opened: set[str] = set()
    for journal_id, lines in groupby(rows, key=lambda row: str(row[1])):
        held = list(lines)
        head = held[0]
        accounts = [_account(row[11]) for row in held]
        new = [account for account in dict.fromkeys(accounts) if account not in opened]
        opened.update(new)
        told = _told(journal_id)
        entry = [f"1970-01-01 open {account}\n" for account in new]
        entry += [f'{head[2]} * "{told}"\n', f'  correlation: "{head[8]}"\n']
        for account, row in zip(accounts, held, strict=True):
            entry.append(f"  {account}  {_amount(row)}\n")
            entry += [f'    tax-code: "{_told(row[21])}"\n'] if row[21] else []
        yield "".join([*entry, "\n"])


def _told(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _amount(row: Row) -> str:
    """An amount, and in books of another currency what it is worth there."""
    amount, currency, worth, books = row[12], row[7], row[18], row[19]
    if books == currency:
        return f"{text(amount, currency)} {currency}"
    in_books = f"{text(abs(worth), books)} {books}"
    return f"{text(amount, currency)} {currency} @@ {in_books}" if amount else f"{text(worth, books)} {books}"


def _account(account: str) -> str:
    """An account's name as beancount has them: words in capitals without blanks, below one of five roots."""
    root, *parts = account.split(":")
    words = ["".join(one if one.isalnum() else "-" for one in part) for part in parts]
    words = [f"{word[0].upper()}{word[1:]}" if word[0].isalnum() else f"X{word}" for word in words]
    return ":".join([_ROOTS[root], *words])
