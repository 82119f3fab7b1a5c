"""The small pieces that every page is made of."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from dash import dcc, html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import wording
from dashboards.acts import Act
from dashboards.wording import State
from lineage.model import Money

Child = Component | str | None
Content = Child | Sequence[Child]
Rows = Sequence[Sequence[Content]]


class Page(Struct, frozen=True):
    title: str  # of the window
    body: Component


def aria(**attributes: str) -> dict[str, Any]:
    """For ``html.Span(**aria(hidden="true"))``: attributes whose names are no Python names."""
    return {f"aria-{name}": value for name, value in attributes.items()}


def data(**attributes: str) -> dict[str, Any]:
    return {f"data-{name}": value for name, value in attributes.items()}


def icon(name: str) -> Component:
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))


def mark(state: State) -> Component:
    """A state as icon and word; colour only repeats what both say."""
    return html.Span([icon(state.icon), state.word], className=f"mark tone-{state.tone}")


def moment(at: datetime | None, now: datetime) -> Component:
    if at is None:
        return html.Span(wording.DASH)
    return html.Time(wording.when(at, now), dateTime=at.astimezone(UTC).isoformat(), title=wording.exact(at))


def section(title: str, *children: Child, note: Content = None, css: str = "") -> Component:
    head = html.Div([html.H2(title), html.Div(note, className="note")], className="section-head")
    return html.Section([head, *children], className=f"section {css}".strip())


def facts(pairs: Sequence[tuple[str, Content]], *, css: str = "facts") -> Component:
    return html.Dl(
        [html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs if value not in (None, "", [])],
        className=css,
    )


class Column(Struct, frozen=True):
    title: str
    figure: bool = False  # right-aligned, one digit under the other
    prose: bool = False  # of which there are many: on a narrow screen they have a line of their own


EMPTY: Final = "Nothing here."
VACANT: Final = ("", None, wording.DASH)


def table(caption: str, columns: Sequence[Column], rows: Rows, *, empty: str = EMPTY, slim: bool = False) -> Component:
    """Columns with nothing in them are left out.

    On a narrow screen each row becomes a card whose cells carry the title of their column, unless it is slim.
    """
    if not rows:
        return html.P(empty, className="empty")
    used = [number for number in range(len(columns)) if any(row[number] not in VACANT for row in rows)]
    columns, rows = [columns[number] for number in used], [[row[number] for number in used] for row in rows]
    head = html.Thead(html.Tr([_head(column, sorted_by=len(rows) > 1 and not slim) for column in columns]))
    body = html.Tbody(
        [
            html.Tr(
                [
                    html.Td(cell, className=_cell_class(column, cell), **data(label=column.title))
                    for column, cell in zip(columns, row, strict=True)
                ]
            )
            for row in rows
        ]
    )
    drawn = html.Div(
        html.Table([html.Caption(caption, className="unseen"), head, body]),
        className="table-frame slim" if slim else "table-frame", role="region", tabIndex="0", **aria(label=caption),
    )  # fmt: skip
    if slim:
        return drawn
    save = html.Button(
        "CSV", className="save", title=f"Save as CSV: {caption}", **aria(label=f"Save as CSV: {caption}")
    )
    return html.Div([drawn, save], className="table-whole")


def _head(column: Column, *, sorted_by: bool) -> Component:
    title = html.Button(column.title, className="sort") if sorted_by and column.title else column.title
    return html.Th(title, className="figure" if column.figure else "", scope="col")


def _cell_class(column: Column, cell: Content) -> str:
    said = {"figure": column.figure, "prose": column.prose, "vacant": cell in VACANT}
    return " ".join(name for name, is_so in said.items() if is_so)


def money(amount: Money | None) -> Child:
    """As people read it; a saved table has it as ``1313.30 GBP``."""
    return html.Data(wording.money(amount), value=_plain(amount)) if amount else wording.DASH


def monies(amounts: Iterable[Money]) -> Child:
    told = [amount for amount in amounts if amount.amount_minor]
    return html.Data(wording.monies(told), value=" + ".join(map(_plain, told))) if told else wording.DASH


def _plain(amount: Money) -> str:
    return str(amount).replace(",", "")


def computed(*how: Child, sql: str = "", watermark: Child = None) -> Component:
    """The answer to "how is this computed?": the definition, the query, and how far the data reaches."""
    query = [html.P("The query", className="sub"), html.Pre(html.Code(sql), tabIndex="0")] if sql else []
    reach = [html.P(["Data until ", watermark], className="sub")] if watermark else []
    return fold("How is this computed?", *[html.P(one) for one in how], *reach, *query, css="computed")


class Choice(Struct, frozen=True):
    title: str
    href: str
    chosen: bool
    count: str = ""


def choices(label: str, offered: Sequence[Choice], *, css: str = "chips") -> Component:
    """Ways to look at the same page, each a link, so that every one of them can be sent."""
    return html.Nav(
        [
            dcc.Link(
                [one.title, html.Span(one.count, className="count") if one.count else None],
                href=one.href, className="chip-link chosen" if one.chosen else "chip-link",
            )
            for one in offered
        ],
        className=css, **aria(label=label),
    )  # fmt: skip


def picker(label: str, offered: Sequence[Choice]) -> Component:
    """The same where there are many ways; assets/tallytrace.js goes to the one that is picked."""
    chosen = next((one.href for one in offered if one.chosen), "")
    options = [html.Option(one.title, value=one.href, selected=one.chosen) for one in offered]
    return html.Label(
        [html.Span(label), html.Select(options, className="picker", key=chosen, **aria(label=label))],
        className="picking",
    )


def act_button(title: str, act: Act, *, quiet: bool = False) -> Component:
    """Opens the form that asks who and why; nothing is done before it is confirmed."""
    return html.Button(
        title, className="button act quiet" if quiet else "button act", **data(act=msgspec.json.encode(act).decode())
    )


def fold(summary: Content, *children: Child, css: str = "") -> Component:
    return html.Details([html.Summary(summary), *children], className=f"fold {css}".strip())


def link(text: Content, href: str, *, css: str = "link") -> Component:
    return dcc.Link(text, href=href, className=css)


def notice(title: str, *children: Child) -> Component:
    return html.Div([html.H1(title), *children], className="notice")


def meter(part: float, label: str, tone: str) -> Component:
    """A bar of ``part`` (0..1) of its width; the label says the same in words."""
    width = f"{100 * min(max(part, 0.0), 1.0):.1f}%"
    return html.Span(
        html.Span(className=f"fill tone-{tone}", style={"width": width}),
        className="meter", role="img", **aria(label=label),
    )  # fmt: skip
