"""The journal as text: a canonical CSV that two runs must write alike, and hledger's format for an outside auditor."""

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
        entry = [f"{head[2]} * ({journal_id}) {head[3]} {head[4]}  ; corr:{head[8]}, channel:{head[5]}\n"]
        for row in held:
            tags = f"  ; kind:{row[13]}, source:{row[16]}" if row[13] else f"  ; source:{row[16]}"
            entry.append(f"    {row[11]}  {text(row[12])} {row[7]}{tags}\n")
        yield "".join([*entry, "\n"])
