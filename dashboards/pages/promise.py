"""How is one promise doing, where does it break, and which items broke it?"""

from collections.abc import Sequence
from datetime import datetime

from dash import dcc, html
from dash.development.base_component import Component
from msgspec import structs

from dashboards import addresses, figures, wording
from dashboards.elements import (
    Child,
    Column,
    Content,
    Page,
    aria,
    facts,
    fold,
    icon,
    link,
    mark,
    moment,
    notice,
    section,
    table,
)
from dashboards.pages import frame, promises
from lineage.model import Point, Segment, SlaDetail, SlaItem, SlaItems, SlaTile, View
from lineage.open_items import NotJudgedError

READINGS = 60
"""Rows of the table beside the chart, newest first."""


WIDEST = 10
"""Locations beside each other in the grid: the worst."""
WORST_FIRST = tuple(wording.SLA_STATES)


def page(
    view: View, detail: SlaDetail, items: SlaItems | NotJudgedError | None, brands: Sequence[str], now: datetime
) -> Page:
    """``items``: those of the place that is asked for; None for a window that is over."""
    tile = detail.tile
    places = [(one.channel, one.location) for one in detail.segments if not (one.provider or one.kind)]
    body = html.Div(
        [
            _head(tile, view, now),
            promises.filters(view, lambda other: addresses.promise_of(tile.name, other), sorted(places), brands, now),
            html.Div([_figures(tile), _definition(detail)], className="sla-head"),
            _chart(tile, now),
            _grid(tile, detail.segments, view),
            _segments(tile, detail.segments, view),
            _items(tile, items, now, view),
        ]
    )
    return Page(tile.title, body)


def unknown(name: str, tiles: Sequence[SlaTile]) -> Page:
    body = notice(
        "There is no such promise",
        html.P([html.Code(name), " is not declared. These are:"]),
        html.Ul([html.Li(link(tile.title, addresses.promise(tile.name))) for tile in tiles]),
    )
    return Page("No such promise", body)


def _head(tile: SlaTile, view: View, now: datetime) -> Component:
    return html.Div(
        [
            html.P([link("Promises", addresses.promises(view)), html.Span(" / ", className="faint"), tile.title],
                   className="crumbs"),
            html.Div([html.H1(tile.title), mark(wording.SLA_STATES[tile.state])], className="title-row"),
            html.P(promises.place_of(view) + wording.sentence(tile.reason), className="lead"),
            html.P([html.Span([icon("person"), tile.owner or "nobody owns this"], className="owner"),
                    html.Span(promises.freshness(tile, now))], className="tile-meta"),
        ],
        className="page-head",
    )  # fmt: skip


def _figures(tile: SlaTile) -> Component:
    decided = tile.good + tile.bad
    return html.Div(
        [
            html.Div(
                [
                    html.Span(wording.share(tile.value), className="value"),
                    html.Span(
                        [f"of {decided:,} {tile.unit}", html.Br(), f"target {wording.target(tile.target)}"],
                        className="value-unit",
                    ),
                ],
                className="tile-value",
            ),
            promises.tile_facts(tile),
            facts(
                [
                    ("Good", f"{tile.good:,}"), ("Bad", f"{tile.bad:,}"), ("Not yet due", f"{tile.pending:,}"),
                    ("Excused", f"{tile.excused:,}"), ("Refused as data", f"{tile.refused:,}" if tile.refused else ""),
                ]
            ),
        ],
        className=f"card tone-{wording.SLA_STATES[tile.state].tone}",
    )  # fmt: skip


def _definition(detail: SlaDetail) -> Component:
    tile = detail.tile
    return html.Div(
        [
            html.H2("How it is judged"),
            html.P(detail.rule),
            html.P(tile.description) if tile.description and tile.description != detail.rule else None,
            facts(
                [
                    ("Deadline", tile.deadline),
                    ("Window", wording.count(tile.window_days, "day")),
                    ("Target", f"{wording.target(tile.target)} of {tile.unit}"),
                ]
            ),
        ],
        className="card definition",
    )


def _chart(tile: SlaTile, now: datetime) -> Component:
    if not tile.history:
        return section("History", html.P("Nothing has been measured yet.", className="empty"))
    graph = dcc.Graph(
        figure=figures.history(tile.history, tile.target, tile.unit),
        config={"displayModeBar": False, "responsive": True},
        className="chart",
    )
    return section(
        "History",
        html.Div(graph, role="img", **aria(label=figures.trend(tile.history, tile.target))),
        fold("Show as a table", _readings(tile.history, now)),
        note=f"Share of {tile.unit} kept, and {tile.unit} overdue at each measurement",
    )


def _readings(points: Sequence[Point], now: datetime) -> Component:
    columns = [Column("Measured"), Column("Value", True), Column("Good", True), Column("Bad", True),
               Column("Overdue", True), Column("State")]  # fmt: skip
    rows: list[list[Content]] = [
        [moment(point.as_of, now), wording.share(point.value), f"{point.good:,}", f"{point.bad:,}",
         f"{point.overdue_open:,}", mark(wording.SLA_STATES[point.state])]
        for point in reversed(points[-READINGS:])
    ]  # fmt: skip
    return table("Measurements, newest first", columns, rows)


def _grid(tile: SlaTile, segments: Sequence[Segment], view: View) -> Component | None:
    """Each channel at its worst locations."""
    cells = {(one.channel, one.location): one for one in segments if one.channel and not (one.provider or one.kind)}
    placed = [one for (_, location), one in cells.items() if location]
    if not placed:
        return None
    placed.sort(key=lambda one: (WORST_FIRST.index(one.state), 1.0 if one.value is None else one.value, -one.bad))
    places = list(dict.fromkeys(one.location for one in placed))
    channels = sorted({one.channel for one in placed})
    shown = ["", *places[:WIDEST]]
    head = html.Tr([html.Th("Channel", scope="col"), *[html.Th(at or "All", scope="col") for at in shown]])
    rows = [
        html.Tr([html.Th(link(channel, _at(tile, view, channel)), scope="row"),
                 *[html.Td(_grid_cell(tile, cells.get((channel, at)), view)) for at in shown]])
        for channel in channels
    ]  # fmt: skip
    title = "The promise by channel and location"
    rest = f"The {WIDEST} worst of {len(places):,} locations." if len(places) > WIDEST else ""
    return section(
        "Channel by location",
        html.Div(html.Table([html.Caption(title, className="unseen"), html.Thead(head), html.Tbody(rows)],
                            className="heat"),
                 className="table-frame slim", role="region", tabIndex="0", **aria(label=title)),
        html.P(rest, className="more") if rest else None,
        note="The worst location first",
    )  # fmt: skip


def _grid_cell(tile: SlaTile, segment: Segment | None, view: View) -> Component:
    if segment is None:
        return html.Span(wording.DASH, className="cell tone-unknown", title="nothing there")
    state = wording.SLA_STATES[segment.state]
    said = html.Span(f" {state.word}, {place(segment)}", className="unseen")
    return dcc.Link(
        [icon(state.icon), wording.share(segment.value), said],
        href=_at(tile, view, segment.channel, segment.location),
        className=f"cell tone-{state.tone}", title=f"{state.word}: {segment.reason}",
    )  # fmt: skip


def _segments(tile: SlaTile, segments: Sequence[Segment], view: View) -> Component:
    """All but those of the grid."""
    columns = [Column("Where"), Column("Value", True), Column("Target", True), Column("State"), Column("Good", True),
               Column("Bad", True), Column("Overdue", True), Column("At risk", True)]  # fmt: skip
    rows: list[list[Content]] = [
        [_where(tile, segment, view), wording.share(segment.value), wording.target(segment.target),
         html.Span(mark(wording.SLA_STATES[segment.state]), title=segment.reason), f"{segment.good:,}",
         f"{segment.bad:,}", f"{segment.overdue_open:,}", wording.monies(segment.at_risk)]
        for segment in segments
        if not (segment.channel and segment.location)
    ]  # fmt: skip
    return section(
        "By channel, location or provider",
        table("The promise by channel, location and provider, worst first", columns, rows,
              empty="Not measured by channel or location."),
        note="Worst first",
    )  # fmt: skip


def _where(tile: SlaTile, segment: Segment, view: View) -> Child:
    """A place, with the way to its channel's items."""
    where = place(segment)
    return link(where, _at(tile, view, segment.channel)) if segment.channel else where


def _at(tile: SlaTile, view: View, channel: str, location: str = "") -> str:
    """The promise at a place of what is shown; a channel at a location is of one brand, which need not be said."""
    brand = "" if location else view.brand
    return addresses.promise_of(tile.name, View(channel=channel, location=location, brand=brand, until=view.until))


def place(segment: Segment | SlaItem) -> str:
    """ "web · WH1"; an empty part means all of them."""
    return " · ".join(part for part in (segment.channel, segment.location, segment.provider) if part) or "Everywhere"


def _items(tile: SlaTile, found: SlaItems | NotJudgedError | None, now: datetime, view: View) -> Component:
    if isinstance(found, NotJudgedError):
        return frame.not_judged(f"{found}")
    return _items_now(tile, found, now, view) if found else _items_then(tile, view)


def _items_then(tile: SlaTile, view: View) -> Component:
    now = addresses.promise_of(tile.name, structs.replace(view, until=None))
    said = html.P(["Items are listed of the window that is open. ", link("To that", now)], className="empty")
    return section("Items", said)


def _items_now(tile: SlaTile, items: SlaItems, now: datetime, view: View) -> Component:
    only = " · ".join(part for part in (view.brand, view.channel, view.location) if part)
    columns = [Column("Item"), Column("State"), Column("Late by", True), Column("Due", True), Column("Ended", True),
               Column("Worth", True), Column("Owner"), Column("Where")]  # fmt: skip
    rows = [_item_row(item, now) for item in items.items if item.verdict != "good"]
    more = html.P("There are more than are listed here.", className="more") if items.cut else None
    everything = (
        html.P(
            [f"Only those of {only}. ", link("Show all", addresses.promise(tile.name))],
            className="more",
        )
        if only
        else None
    )
    return section(
        "Items",
        everything,
        table("Items of this promise: overdue, late, not yet due", columns, rows, empty="No item is late or open."),
        more,
        note="Overdue first, then late, then not yet due",
    )


def _item_row(item: SlaItem, now: datetime) -> list[Content]:
    name = wording.sentence(f"{item.entity.replace('_', ' ')} {item.entity_id}")
    title: Child = link(name, addresses.transaction(item.correlation_id)) if item.correlation_id else name
    late = wording.duration(item.late_seconds) if item.late_seconds else wording.DASH
    state = wording.State("Overdue", "cross", "bad") if item.overdue else wording.VERDICTS[item.verdict]
    return [
        [title, html.Div(item.reason, className="sub") if item.reason else None],
        mark(state),
        late,
        moment(item.due_at, now),
        moment(item.ended_at, now),
        wording.money(item.amount) if item.amount else wording.DASH,
        item.owner or wording.DASH,
        place(item),
    ]
