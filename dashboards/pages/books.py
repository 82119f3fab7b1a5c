"""The lines of a transaction, and what they did to the books."""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dashboards import addresses, wording
from dashboards.elements import Column, Content, fold, icon, link, section, table
from lineage.model import JournalEntry, LineItem, Money

OPEN_LINES = 12
"""More lines than this are folded."""


def lines(items: Sequence[LineItem]) -> Component | None:
    if not items:
        return None
    columns = [Column("Item"), Column("Line", True), Column("Kind"), Column("Quantity", True), Column("Amount", True),
               Column("Where"), Column("Note")]  # fmt: skip
    rows: list[list[Content]] = [
        [
            html.B(item.sku) if item.sku else wording.DASH,
            str(item.line_no),
            item.kind.replace("_", " ") or wording.DASH,
            wording.quantity(item.quantity),
            wording.money(item.amount),
            item.location or wording.DASH,
            _note(item),
        ]
        for item in items
    ]
    sums = wording.monies(wording.added(item.amount for item in items))
    drawn = table("Lines", columns, rows)
    many = len(items) > OPEN_LINES
    return section(
        "Lines",
        fold(f"Show {wording.count(len(items), 'line')}", drawn) if many else drawn,
        note=f"{wording.count(len(items), 'line')}, {sums}",
    )


def _note(item: LineItem) -> Content:
    if item.parked:
        return html.Span([icon("pause"), f"parked: {wording.plain(item.parked)}"], className="tl-word tone-warn")
    return ["of ", link(f"order {item.order_id}", addresses.transaction(item.order_id))] if item.order_id else ""


def journal(entries: Sequence[JournalEntry]) -> Component:
    if not entries:
        return section("Journal", html.P("Nothing is in the books for it yet.", className="empty"))
    wrong = sum(not entry.balanced for entry in entries)
    note = f"{wording.count(wrong, 'entry', 'entries')} out of balance" if wrong else "Every entry balances"
    return section(
        "Journal",
        html.Div([_entry(entry) for entry in entries], className="entries"),
        note=html.Span([icon("cross" if wrong else "check"), note],
                       className=f"tl-word tone-{'bad' if wrong else 'good'}"),
    )  # fmt: skip


def _entry(entry: JournalEntry) -> Component:
    columns = [Column("Account"), Column("Kind"), Column("Debit", True), Column("Credit", True)]
    rows: list[list[Content]] = [
        [
            html.Code(line.account),
            line.kind.replace("_", " ") or wording.DASH,
            wording.money(line.amount) if line.amount.amount_minor > 0 else "",
            wording.money(Money(-line.amount.amount_minor, line.amount.currency))
            if line.amount.amount_minor < 0
            else "",
        ]
        for line in entry.lines
    ]
    erp = f"ERP document {entry.erp_document_id}" if entry.erp_document_id else "not in the ERP yet"
    date = f"{entry.business_date:%Y-%m-%d}" if entry.business_date else ""
    return html.Article(
        [
            html.Div(
                [html.Span([html.B(entry.posting), f" · {date}" if date else ""]), balance(entry)],
                className="related-head",
            ),
            html.Div(" · ".join((f"journal {entry.journal_id}", erp)), className="sub"),
            table(f"Journal entry {entry.posting}", columns, rows, slim=True),
        ],
        className="entry",
    )


def balance(entry: JournalEntry) -> Component:
    if not entry.complete:
        return html.Span([icon("clock"), "lines still arriving"], className="tl-word tone-warn")
    if not entry.balanced:
        return html.Span([icon("cross"), "out of balance"], className="tl-word tone-bad")
    return html.Span([icon("check"), "balances"], className="tl-word tone-good")
