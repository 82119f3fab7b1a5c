"""Journal lines to journal entries."""

from collections.abc import Iterable, Sequence

from lineage.lines import total
from lineage.model import Hop, JournalEntry, JournalLine
from lineage.rows import JournalRow, moment, money


def entries(rows: Iterable[JournalRow], hops: Sequence[Hop]) -> tuple[JournalEntry, ...]:
    """Oldest first. The posting and the ERP's number come from the hops that name the journal."""
    by_journal: dict[str, list[JournalRow]] = {}
    for row in rows:
        by_journal.setdefault(row.journal_id, []).append(row)
    found = (_entry(journal_id, of, hops) for journal_id, of in by_journal.items())
    return tuple(sorted(found, key=lambda entry: (entry.at, entry.journal_id)))


def _entry(journal_id: str, rows: list[JournalRow], hops: Sequence[Hop]) -> JournalEntry:
    about = [hop for hop in hops if hop.keys.get("journal_id") == journal_id]
    lines = tuple(_line(row) for row in sorted(rows, key=lambda row: row.line_no))
    return JournalEntry(
        journal_id=journal_id,
        posting=next((hop.entity_id for hop in about if hop.entity == "posting"), ""),
        business_date=rows[0].business_date,
        at=moment(rows[0].occurred_us),
        source=rows[0].source,
        erp_document_id=next((hop.keys["erp_document_id"] for hop in about if hop.keys.get("erp_document_id")), ""),
        lines=lines,
        complete=[line.line_no for line in lines] == list(range(1, len(lines) + 1)),
        balanced=not any(sum_.amount_minor for sum_ in total(line.amount for line in lines)),
    )


def _line(row: JournalRow) -> JournalLine:
    functional = money(row.functional_minor, row.functional_currency)
    amount = money(row.amount_minor, row.currency)
    assert amount is not None, "a journal line always has its currency"
    return JournalLine(
        line_no=row.line_no,
        account=row.account,
        amount=amount,
        functional=None if functional == amount else functional,
        kind=row.kind,
        quantity=row.quantity,
    )
