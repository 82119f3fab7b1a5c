"""Are we keeping our promises to customers and to the books?"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, figures, wording
from dashboards.elements import (
    Child,
    Choice,
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
    monies,
    picker,
    section,
    table,
)
from dashboards.pages import frame, obligations
from lineage.brands import Brands
from lineage.model import WHOLE, Overdue, SlaTile, View
from lineage.open_items import NotJudgedError

LISTED = 25
DERIVED = "derived"
"""The kind of a promise that is the worst of others: a share of its own would say something else than its state."""
WORST_FIRST = tuple(wording.SLA_STATES)


ABOVE = 9
"""Tiles; the other promises, and those of which nothing is known, are rows of a table."""


PERIODS = {"Yesterday": 1, "A week ago": 7, "Four weeks ago": 28}
"""Days before today with which the windows may end."""


class Found(Struct, frozen=True, kw_only=True):
    tiles: Sequence[SlaTile]
    places: Sequence[tuple[str, str]]
    brands: Brands
    overdue: Overdue | NotJudgedError


def page(view: View, found: Found, now: datetime) -> Page:
    ordered = worst_first(found.tiles)
    first = [tile for tile in ordered if tile.state != "no_data" and tile.value is not None][:ABOVE]
    rest = [tile for tile in ordered if tile not in first]
    owed = None if view.until else found.overdue
    late = obligations.of_place(owed, view, found.brands) if isinstance(owed, Overdue) else None
    body = html.Div(
        [
            _head(view, ordered, late),
            filters(view, addresses.promises, found.places, found.brands.names, now),
            html.Div([tile_card(tile, now, view) for tile in first], className="tiles") if first else None,
            _rest(rest, view, others=bool(first)) if rest else None,
            None if ordered else html.P(_nothing(view), className="empty"),
            obligations.overdue(late, now, listed=LISTED) if late else None,
            frame.not_judged(f"{owed}") if isinstance(owed, NotJudgedError) else None,
        ],
        className="board",
    )
    return Page("Promises", body)


def _head(view: View, tiles: Sequence[SlaTile], late: Overdue | None) -> Component:
    return html.Div(
        [
            html.Div(
                [html.H1("Promises"),
                 html.Button([icon("print"), html.Span("Print")], className="button print", title="As one page")],
                className="title-row",
            ),
            html.P(f"{place_of(view)}{summary(tiles, late)}", className="lead"),
        ],
        className="page-head",
    )  # fmt: skip


def place_of(view: View) -> str:
    """ "Web · DC1, until 20 Nov 2026: "; "" for everything now."""
    place = " · ".join(part for part in (view.brand, view.channel, view.location) if part)
    until = f"until {wording.date_of(view.until)}" if view.until else ""
    said = ", ".join(part for part in (place, until) if part)
    return f"{wording.sentence(said)}: " if said else ""


def filters(
    view: View, address: Callable[[View], str], places: Sequence[tuple[str, str]], brands: Sequence[str], now: datetime
) -> Component:
    """Which period and place; each choice is an address that keeps the others."""
    other = msgspec.structs.replace
    days = {title: now.date() - timedelta(days=ago) for title, ago in PERIODS.items()}
    if view.until and view.until not in days.values():
        days[wording.date_of(view.until)] = view.until
    periods = [("Until now", None), *((f"{title}, {wording.date_of(day)}", day) for title, day in days.items())]
    channels = ["", *dict.fromkeys([*(channel for channel, _ in places), *filter(None, [view.channel])])]
    locations = ["", *dict.fromkeys([*(at for channel, at in places if at and channel == view.channel),
                                     *filter(None, [view.location])])]  # fmt: skip
    return html.Div(
        [
            picker("Period", [Choice(title, address(other(view, until=day)), day == view.until)
                              for title, day in periods]),
            picker("Brand", [Choice(one or "All", address(other(view, brand=one, channel="", location="")),
                                    one == view.brand)
                             for one in ("", *dict.fromkeys([*brands, *filter(None, [view.brand])]))])
            if brands or view.brand else None,
            picker("Channel", [Choice(one or "All", address(other(view, channel=one, location="")), one == view.channel)
                               for one in channels]),
            picker("Location", [Choice(one or "All", address(other(view, location=one)), one == view.location)
                                for one in locations]) if len(locations) > 1 else None,
        ],
        className="pickers", role="group", **aria(label="What is shown"),
    )  # fmt: skip


def _nothing(view: View) -> str:
    if view == WHOLE:
        return "No promises are declared. They live in lineage/slas.toml."
    return "Nothing was measured there by then. Choose another period, brand, channel or location."


def _rest(tiles: Sequence[SlaTile], view: View, *, others: bool) -> Component:
    columns = [Column("Promise"), Column("State"), Column("Value", True), Column("Target", True),
               Column("Budget left", True), Column("At risk", True), Column("Overdue", True),
               Column("Owner")]  # fmt: skip
    rows: list[list[Content]] = [
        [[link(tile.title, addresses.promise_of(tile.name, view)),
          html.Div(wording.sentence(tile.reason), className="sub")],
         mark(wording.SLA_STATES[tile.state]), wording.share(tile.value), wording.target(tile.target),
         wording.DASH if tile.kind == DERIVED else wording.budget(tile.budget_left), monies(tile.at_risk),
         f"{tile.overdue_open:,}" if tile.overdue_open else wording.DASH, tile.owner or "nobody"]
        for tile in tiles
    ]  # fmt: skip
    return section("The other promises" if others else "Promises", table("Promises, the worst first", columns, rows),
                   note="Worst first", css="compact")  # fmt: skip


def worst_first(tiles: Sequence[SlaTile]) -> list[SlaTile]:
    return sorted(tiles, key=lambda tile: (WORST_FIRST.index(tile.state), _spent(tile), tile.title))


def _spent(tile: SlaTile) -> float:
    return 1.0 if tile.budget_left is None else tile.budget_left


def summary(tiles: Sequence[SlaTile], overdue: Overdue | None) -> str:
    """One sentence to take away: "1 breached, 2 kept. 4 items overdue, worth £1,313.30." """
    counted = [(sum(tile.state == name for tile in tiles), state) for name, state in wording.SLA_STATES.items()]
    states = ", ".join(
        f"{number} {'kept' if state.tone == 'good' else state.word.lower()}" for number, state in counted if number
    )
    if overdue is None:
        return f"{states or 'no promise was measured'}."
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


def tile_card(tile: SlaTile, now: datetime, view: View = WHOLE) -> Component:
    state = wording.SLA_STATES[tile.state]
    head = html.Div(
        [html.H2(link(tile.title, addresses.promise_of(tile.name, view), css="tile-link")), mark(state)],
        className="tile-head",
    )
    value = html.Div(
        [
            html.Span("Worst of several" if tile.kind == DERIVED else wording.share(tile.value),
                      className="words" if tile.kind == DERIVED else "value"),
            html.Span([f"of {tile.unit}", html.Br(), f"target {wording.target(tile.target)}"], className="value-unit")
            if tile.kind != DERIVED else None,
        ],
        className="tile-value",
    )  # fmt: skip
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
    left = None if tile.kind == DERIVED else tile.budget_left
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


def _reason(tile: SlaTile) -> str:
    """Of a derived promise the reason begins with the name of the one that is worst."""
    name, colon, rest = tile.reason.partition(": ")
    return f"{wording.plain(name)}: {rest}" if tile.kind == DERIVED and colon else tile.reason


def _tile_foot(tile: SlaTile, now: datetime) -> Component:
    return html.Div(
        [
            html.P(wording.sentence(_reason(tile)), className="reason"),
            html.P(
                [html.Span([icon("person"), tile.owner or "nobody owns this"], className="owner"),
                 html.Span(freshness(tile, now))],
                className="tile-meta",
            ),
        ],
        className="tile-foot",
    )  # fmt: skip
