"""Are we keeping our promises to customers and to the books?"""

from collections.abc import Sequence
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dashboards import addresses, figures, wording
from dashboards.elements import (
    Child,
    Column,
    Content,
    Page,
    aria,
    facts,
    icon,
    link,
    mark,
    meter,
    moment,
    section,
    table,
)
from lineage.model import Overdue, OverdueItem, SlaTile

LISTED = 25
WORST_FIRST = tuple(wording.SLA_STATES)


def page(tiles: Sequence[SlaTile], overdue: Overdue, now: datetime) -> Page:
    ordered = sorted(tiles, key=lambda tile: (WORST_FIRST.index(tile.state), _spent(tile), tile.title))
    body = html.Div(
        [
            html.Div([html.H1("Promises"), html.P(summary(ordered, overdue), className="lead")], className="page-head"),
            html.Div([tile_card(tile, now) for tile in ordered], className="tiles") if ordered else _no_tiles(),
            _overdue(overdue, now),
        ]
    )
    return Page("Promises", body)


def _spent(tile: SlaTile) -> float:
    return 1.0 if tile.budget_left is None else tile.budget_left


def summary(tiles: Sequence[SlaTile], overdue: Overdue) -> str:
    """One sentence to take away: "1 breached, 2 kept. 4 items overdue, worth £1,313.30." """
    counted = [(sum(tile.state == name for tile in tiles), state) for name, state in wording.SLA_STATES.items()]
    states = ", ".join(
        f"{number} {'kept' if state.tone == 'good' else state.word.lower()}" for number, state in counted if number
    )
    late = sum(group.count for group in overdue.by_owner)
    worth = wording.added(amount for group in overdue.by_owner for amount in group.at_risk)
    owed = f"{wording.count(late, 'item')} overdue, worth {wording.monies(worth)}" if late else "Nothing is overdue"
    return f"{states or 'No promises are declared'}. {owed}."


def described(tile: SlaTile) -> str:
    """The tile for those who cannot see it."""
    word = wording.SLA_STATES[tile.state].word.lower()
    return (
        f"{tile.title}: {word}. {wording.share(tile.value)} of {tile.unit}, target {wording.target(tile.target)}. "
        f"{wording.monies(tile.at_risk)} at risk, {tile.overdue_open:,} overdue. Owner {tile.owner or 'nobody'}."
    )


def tile_card(tile: SlaTile, now: datetime) -> Component:
    state = wording.SLA_STATES[tile.state]
    head = html.Div(
        [html.H2(link(tile.title, addresses.promise(tile.name), css="tile-link")), mark(state)],
        className="tile-head",
    )
    value = html.Div(
        [
            html.Span(wording.share(tile.value), className="value"),
            html.Span([f"of {tile.unit}", html.Br(), f"target {wording.target(tile.target)}"], className="value-unit"),
        ],
        className="tile-value",
    )
    return html.Article(
        [head, value, sparkline(tile), tile_facts(tile), _tile_foot(tile, now)],
        className=f"tile tone-{state.tone}",
        **aria(label=described(tile)),
    )


def sparkline(tile: SlaTile) -> Component:
    measured = [point for point in tile.history if point.value is not None]
    if not measured:
        return html.Div("No measurements yet", className="spark-empty")
    return html.Img(
        src=figures.picture(figures.sparkline(tile.history, tile.target)),
        alt=figures.trend(tile.history, tile.target),
        className="spark",
    )


def tile_facts(tile: SlaTile) -> Component:
    left = tile.budget_left
    short = "good" if left is not None and left > 0.25 else "warn" if left is not None and left > 0 else "bad"
    spent = left is not None and left < 0
    label = f"error budget {wording.budget(left)}" if spent else f"{wording.budget(left)} of the error budget left"
    bar = [] if left is None else [meter(1.0 if spent else left, label, short)]
    return facts(
        [
            ("Budget left", html.Span([wording.budget(left), *bar], className="budget")),
            ("Change", wording.change(tile.change)),
            ("At risk", wording.monies(tile.at_risk)),
            ("Overdue", f"{tile.overdue_open:,}" if tile.overdue_open else "none"),
        ]
    )


def freshness(tile: SlaTile, now: datetime) -> list[Child]:
    if tile.as_of is None:
        return ["not measured yet"]
    old = wording.age(tile.watermark, now) + " old" if tile.watermark else "no data seen"
    return ["as of ", moment(tile.as_of, now), f" ({old if not tile.watermark else 'data ' + old})"]


def _tile_foot(tile: SlaTile, now: datetime) -> Component:
    return html.Div(
        [
            html.P(wording.sentence(tile.reason), className="reason"),
            html.P(
                [html.Span([icon("person"), tile.owner or "nobody owns this"], className="owner"),
                 html.Span(freshness(tile, now))],
                className="tile-meta",
            ),
        ],
        className="tile-foot",
    )  # fmt: skip


def _no_tiles() -> Component:
    return html.P("No promises are declared. They live in lineage/slas.toml.", className="empty")


def _overdue(overdue: Overdue, now: datetime) -> Component:
    owners = [
        html.Span([html.B(group.owner or "nobody"),
                   f" {wording.count(group.count, 'item')} · {wording.monies(group.at_risk)}"])
        for group in overdue.by_owner
    ]  # fmt: skip
    columns = [Column("What"), Column("Overdue by", True), Column("Due", True), Column("Worth", True), Column("Owner"),
               Column("Where")]  # fmt: skip
    rows = [_overdue_row(item, now) for item in overdue.items[:LISTED]]
    total = sum(group.count for group in overdue.by_owner)
    rest = f"The {LISTED} oldest of {total:,} are listed." if total > LISTED else ""
    return section(
        "Overdue now",
        html.Div(owners, className="owners"),
        table("Obligations past their deadline and still open", columns, rows, empty="Nothing is overdue."),
        html.P(rest, className="more") if rest else None,
        note="Oldest deadline first",
    )


def _overdue_row(item: OverdueItem, now: datetime) -> list[Content]:
    said = wording.sentence(item.title)
    title: Child = link(said, addresses.transaction(item.correlation_id)) if item.correlation_id else said
    where = " · ".join(part for part in (item.channel, item.location, item.provider) if part)
    reason = html.Div(item.reason, className="sub") if item.reason not in item.title else None
    return [
        [title, reason],
        wording.duration(item.overdue_seconds),
        moment(item.due_at, now),
        wording.money(item.amount) if item.amount else wording.DASH,
        item.owner or "nobody",
        where or wording.DASH,
    ]
