"""Lineage answers in the terminal: a journey as a timeline, a choice, near IDs, promises."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lineage.model import (
    Answer,
    Choice,
    Correction,
    Expected,
    Finding,
    Hop,
    JournalEntry,
    Journey,
    LinkedSum,
    Money,
    Parked,
    Problem,
    Related,
    SlaTile,
    Unknown,
)

_IDLE_SECONDS: Final = 3600.0  # a longer gap between two hops is drawn as a line of its own
_GOOD: Final = frozenset({"ok", "compensated", "replayed", "duplicate", ""})
_MARK_STYLE: Final = {"●": "", "◌": "yellow", "✗": "red"}
_STATE_STYLE: Final = {
    "meeting": "green",
    "at_risk": "yellow",
    "breached": "bold red",
    "low_volume": "cyan",
    "no_data": "dim",
    "stale": "magenta",
}


def read_answer(query: str, status: int, body: bytes) -> Answer:
    """The answer of GET /v1/transactions from its status and body. Raises msgspec.ValidationError for another body."""
    if status == 404:
        return Unknown(query=query, suggestions=msgspec.json.decode(body, type=Problem).suggestions)
    return msgspec.json.decode(body, type=Journey | Choice)


def money(amount: Money | None) -> str:
    """-13.20 GBP; an empty string for none."""
    return str(amount) if amount else ""


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


def span_of(seconds: float) -> str:
    """3 d 4 h, 12 min, 5 s, 30 ms: the two largest units that are not zero."""
    if 0 < seconds < 1:
        return f"{round(seconds * 1000)} ms"
    left, parts = int(seconds), []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def answer(found: Answer) -> RenderableType:
    if isinstance(found, Journey):
        return journey(found)
    if isinstance(found, Choice):
        return _choice(found)
    return _unknown(found)


def journey(told: Journey) -> Group:
    sections: list[RenderableType] = [_headline(told), _timeline(told.hops)]
    sections += _section("What is wrong", _findings(told.findings), told.findings)
    sections += _section("Parked, outside the books", _parked(told.parked), told.parked)
    sections += _section("Related", _related(told.related), told.related)
    sections += [Text(_more(one), style="dim") for one in told.linked if told.related_cut]
    sections += _section("Journal", _journal(told.journal), told.journal)
    sections += _section("Still expected", _expected(told.expected), told.expected)
    if not told.expected:
        sections += [Text(), Text("Nothing more is expected.", style="green")]
    sections += [Text(_corrected(one), style="yellow") for one in told.corrections]
    sections += [Text(f"Note: {note}", style="yellow") for note in told.notes]
    return Group(*sections)


def _section(title: str, body: RenderableType, rows: Sequence[object]) -> list[RenderableType]:
    return [Text(), Text(title, style="bold"), body] if rows else []


def _headline(told: Journey) -> Text:
    header = told.header
    text = Text()
    text.append(f"{header.kind} {header.reference or header.correlation_id}", style="bold")
    text.append(f"  {header.state}", style="bold green" if not told.expected else "bold yellow")
    facts = (header.origin, header.channel, header.location, money(header.amount), header.source)
    text.append("  " + " · ".join(fact for fact in facts if fact) + "\n")
    over = (header.last_at - header.started_at).total_seconds()
    text.append(f"{moment(header.started_at)} to {moment(header.last_at)} UTC ({span_of(over)})", style="dim")
    text.append(f"  correlation {header.correlation_id}\n", style="dim")
    return text


def _table(*columns: str) -> Table:
    """``columns`` ending in ">" stand to the right."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for column in columns:
        right = column.endswith(">")
        table.add_column(column.rstrip(">"), justify="right" if right else "left", no_wrap=right)
    return table


def _timeline(hops: Sequence[Hop]) -> Table:
    """A line for each day, one for each hop, and one for each long wait between two."""
    table = _table("at>", "hop", "object", "amount>", "how")
    day = None
    for hop in hops:
        if hop.gap_seconds >= _IDLE_SECONDS:
            table.add_row("", Text(f"┊ {span_of(hop.gap_seconds)}", style="dim"))
        if hop.at.date() != day:
            day = hop.at.date()
            table.add_row(Text(f"{day}", style="dim"))
        table.add_row(
            f"{hop.at:%H:%M:%S}",
            Text(f"{_mark(hop)} {hop.title}", style=_MARK_STYLE[_mark(hop)]),
            hop.entity_id,
            money(hop.amount),
            Text(", ".join(_how(hop)), style="dim"),
        )
    return table


def _mark(hop: Hop) -> str:
    if hop.outcome in _GOOD:
        return "●"
    return "◌" if hop.outcome == "parked" else "✗"


def _how(hop: Hop) -> Iterator[str]:
    if hop.outcome not in ("ok", ""):
        yield hop.outcome.replace("_", " ")
    if hop.lines:
        yield f"{hop.lines} lines"
    if hop.quantity:
        yield f"{hop.quantity} units"
    if len(hop.attempts) > 1:
        yield f"{len(hop.attempts)} attempts"
    if hop.duplicates:
        yield f"{hop.duplicates} duplicates"
    if hop.reason:
        yield hop.reason
    if hop.source == "generated":
        yield "generated"


def _findings(items: Iterable[Finding]) -> Table:
    table = _table("what", "where", "cause", "amount>", "since", "owner")
    for item in items:
        what = f"{item.kind.replace('_', ' ')}: {item.title}, {item.entity} {item.entity_id}".rstrip()
        tries = f" ({item.attempts} attempts)" if item.attempts > 1 else ""
        table.add_row(Text(what, style="red"), f"at {item.stage}", item.cause + tries, money(item.amount),
                      moment(item.since), item.owner)  # fmt: skip
    return table


def _parked(items: Iterable[Parked]) -> Table:
    table = _table("sku", "quantity>", "amount>", "reason", "owner")
    for item in items:
        table.add_row(item.sku or item.hop, str(item.quantity or ""), money(item.amount), item.reason, item.owner)
    return table


def _related(items: Iterable[Related]) -> Table:
    table = _table("title", "amount>", "link", "state", "lines")
    for item in items:
        lines = ", ".join(f"{line.quantity} x {line.sku} {money(line.amount)}" for line in item.lines[:6])
        more = f" and {len(item.lines) - 6} more" if len(item.lines) > 6 else ""
        lines = lines or ", ".join(f"{part.evidence} {money(part.amount)}" for part in item.parts if part.amount)
        way = item.link if item.direction == "out" else f"{item.link} ←"
        table.add_row("  " * (item.depth - 1) + item.title, money(item.amount), way, item.state, lines + more)
    return table


def _corrected(one: Correction) -> str:
    what = f"{one.entity} {one.entity_id} {one.milestone} at {moment(one.at)}"
    return f"Taken back by {one.by} at {moment(one.declared_at)}: {what} ({one.reason.replace('_', ' ')})"


def _more(one: LinkedSum) -> str:
    amounts = "".join(f", {money(amount)}" for amount in one.amounts)
    return f"{one.transactions:,} in all: {one.link}{'' if one.direction == 'out' else ' ←'}{amounts}"


def _journal(entries: Iterable[JournalEntry]) -> Table:
    table = _table("what", "amount>", "note")
    for entry in entries:
        notes = [f"ERP {entry.erp_document_id}" if entry.erp_document_id else "not accepted by the ERP yet"]
        notes += [] if entry.balanced else ["does not balance"]
        notes += [] if entry.complete else ["lines are missing"]
        wrong = not (entry.balanced and entry.complete)
        table.add_row(
            Text(f"{entry.posting or entry.journal_id}  {moment(entry.at)}", style="red" if wrong else ""),
            "",
            Text(", ".join(notes), style="red" if wrong else "dim"),
        )
        for line in entry.lines:
            table.add_row(f"  {line.account}", money(line.amount), Text(line.kind, style="dim"))
    return table


def _expected(items: Iterable[Expected]) -> Table:
    table = _table("what", "object", "amount>", "due", "owner")
    for item in items:
        due = f"due {moment(item.due_at)}" if item.due_at else "no deadline"
        if item.overdue:
            due += f", overdue by {span_of(item.overdue_seconds)}"
        table.add_row(
            item.title,
            f"{item.entity} {item.entity_id}".strip(),
            money(item.amount),
            Text(due, style="bold red" if item.overdue else ""),
            item.owner,
        )
    return table


def _choice(found: Choice) -> Group:
    table = _table("number", "origin", "first", "correlation")
    for match in found.matches:
        number = f"{match.key_name} {match.key_value}"
        table.add_row(number, match.origin, moment(match.first_seen), match.correlation_id)
    return Group(Text(f"{found.query} means several transactions; look one up by its correlation ID:"), table)


def _unknown(found: Unknown) -> RenderableType:
    text = Text(f"No transaction is known by {found.query}.")
    if not found.suggestions:
        return text
    table = _table("number", "origin", "why")
    for near in found.suggestions:
        table.add_row(f"{near.key_name} {near.key_value}", near.origin, Text(near.why, style="dim"))
    return Group(text, Text("Perhaps one of these:"), table)


def tiles(found: Iterable[SlaTile]) -> Group:
    told = list(found)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("promise", "state", "value", "target", "decided", "overdue", "at risk"):
        table.add_column(column, justify="left" if column in ("promise", "state") else "right", no_wrap=True)
    for tile in told:
        table.add_row(
            tile.title,
            Text(tile.state.replace("_", " "), style=_STATE_STYLE[tile.state]),
            "" if tile.value is None else f"{tile.value:.2%}",
            f"{tile.target:.2%}",
            str(tile.good + tile.bad),
            str(tile.overdue_open),
            ", ".join(map(money, tile.at_risk)),
        )
    return Group(table, Text(), *(Text(_why(tile), style="dim") for tile in told))


def _why(tile: SlaTile) -> str:
    measured = f" (as of {moment(tile.as_of)} UTC)" if tile.as_of else ""
    return f"{tile.title}: {tile.reason}{measured}"
