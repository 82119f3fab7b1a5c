"""Does every channel show the stock that is there, and where does it not?"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.addresses import Desk
from dashboards.answers import Accuracy, ChannelStatus, CoreException, Replenishment
from dashboards.elements import (
    Child,
    Choice,
    Column,
    Content,
    Page,
    aria,
    choices,
    computed,
    icon,
    link,
    mark,
    moment,
    section,
    table,
)
from dashboards.elements import money as shown_money
from dashboards.pages import promises
from dashboards.reader import Reader
from dashboards.remote import Remote
from dashboards.wording import State
from lineage.model import SlaTile
from lineage.operations import Feed
from lineage.queries import text

LISTED: Final = 100
PROMISED: Final = ("stock_freshness", "stock_propagation", "inventory_accuracy")
SHORTFALLS: Final = ("oversold", "backorder")
FEEDS: Final = {
    "silent": State("No heartbeat", "question", "unknown"),
    "late": State("Late", "cross", "bad"),
    "fresh": State("Fresh", "check", "good"),
}
"""Worst first; what is not heard of is not known to be right."""
WIDEST: Final = 12
"""Locations beside each other in the grid; beyond that only those that are not fresh are drawn."""


class Answers(Struct, frozen=True, kw_only=True):
    tiles: tuple[SlaTile, ...]
    feeds: list[Feed]
    channels: list[ChannelStatus]
    accuracy: list[Accuracy]
    shortfalls: list[CoreException]
    replenishments: list[Replenishment]


def ask(desk: Desk, lineage: Reader, core: Remote, plane: Remote) -> Answers:
    tiles = {tile.name: tile for tile in lineage.tiles()}
    shortfalls = [
        one for kind in SHORTFALLS for one in core.get("/v1/exceptions", list[CoreException], kind=kind, limit=LISTED)
    ]
    return Answers(
        tiles=tuple(tiles[name] for name in PROMISED if name in tiles),
        feeds=plane.get("/v1/feeds", list[Feed]),
        channels=core.get("/v1/channels", list[ChannelStatus]),
        accuracy=core.get("/v1/accuracy", list[Accuracy]),
        shortfalls=shortfalls,
        replenishments=core.get("/v1/replenishments", list[Replenishment], location=desk["location"], limit=LISTED),
    )


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    feeds = [one for one in told.feeds if desk["channel"] in ("", one.channel)]
    body = html.Div(
        [
            html.Div(
                [html.H1("Inventory"), html.P(summary(told), className="lead")],
                className="page-head",
            ),
            html.Div([promises.tile_card(tile, now) for tile in told.tiles], className="tiles"),
            _grid(desk, told.feeds, now),
            _behind(desk, feeds, now),
            _channels(told.channels, now),
            _accuracy(told.accuracy),
            _shortfalls(told.shortfalls, now),
            _replenishments(told.replenishments, now),
        ]
    )
    return Page("Inventory", body)


def summary(told: Answers) -> str:
    """ "2 of 41 feeds are not fresh: 1 late, 1 without heartbeat. 3 orders wait for stock that is not there." """
    if not told.feeds:
        known = "No feed of stock has been heard of yet"
    else:
        counts = {state: sum(one.state == state for one in told.feeds) for state in FEEDS}
        off = counts["late"] + counts["silent"]
        words = [f"{counts['late']:,} late" if counts["late"] else "",
                 f"{counts['silent']:,} without heartbeat" if counts["silent"] else ""]  # fmt: skip
        known = (
            f"{off:,} of {wording.count(len(told.feeds), 'feed')} not fresh: {', '.join(filter(None, words))}"
            if off
            else f"All {wording.count(len(told.feeds), 'feed')} are fresh"
        )
    short = len(told.shortfalls)
    wants = f"{wording.count(short, 'order')} {'waits' if short == 1 else 'wait'} for stock that is not there."
    return f"{known}. {wants if short else 'No order waits for stock.'}"


def _worst(feeds: Iterable[Feed]) -> Feed:
    order = tuple(FEEDS)
    return min(feeds, key=lambda one: (order.index(one.state), -one.lag_seconds))


def _grid(desk: Desk, feeds: Sequence[Feed], now: datetime) -> Component:
    cells: dict[tuple[str, str], list[Feed]] = {}
    for one in feeds:
        cells.setdefault((one.channel, one.location), []).append(one)
    channels = sorted({channel for channel, _ in cells})
    locations = sorted({location for _, location in cells})
    hidden = 0
    if len(locations) > WIDEST:
        bad = [where for where in locations
               if any(_worst(ones).state != "fresh" for (_, at), ones in cells.items() if at == where)]  # fmt: skip
        hidden, locations = len(locations) - len(bad[:WIDEST]), bad[:WIDEST]
    head = html.Tr([html.Th("Channel", scope="col"), html.Th("Fresh", scope="col"), html.Th("Worst", scope="col"),
                    *[html.Th(at or "all", scope="col") for at in locations]])  # fmt: skip
    rows = [
        html.Tr([html.Th(link(channel or "all", desk.but(channel=channel)), scope="row"),
                 *_whole([one for one in feeds if one.channel == channel], now),
                 *[html.Td(_cell(cells.get((channel, at)), now)) for at in locations]])
        for channel in channels
    ]  # fmt: skip
    drawn = html.Div(
        html.Table([html.Caption("Freshness by channel and location", className="unseen"), html.Thead(head),
                    html.Tbody(rows)], className="heat"),
        className="table-frame slim", role="region", tabIndex="0", **aria(label="Freshness by channel and location"),
    )  # fmt: skip
    rest = f"{wording.count(hidden, 'other location')} not drawn: the first {WIDEST} that are not fresh are."
    return section(
        "Freshness by channel and location",
        drawn if rows else html.P(NO_FEED, className="empty"),
        html.P(rest, className="more") if hidden and locations else None,
        computed(
            "A feed is what keeps one channel's view of one location up to date. Its lag is from the newest change at "
            "the source back to the newest that the channel was told. It is late beyond its promised age, and "
            "without heartbeat when nothing was heard of it for as many intervals as the promise allows "
            "(stock_freshness in lineage/slas.toml).",
            sql=text("feeds"),
            watermark=moment(max((one.heard_at for one in feeds), default=None), now),
        ),
        note="The worst feed of each",
    )  # fmt: skip


NO_FEED: Final = (
    "No feed of stock has been heard of. Channels and warehouses tell of them with tallytrace.stock events."
)


def _whole(feeds: Sequence[Feed], now: datetime) -> list[Component]:
    """How many feeds of a channel are fresh, and the worst of them."""
    fresh = sum(one.state == "fresh" for one in feeds)
    return [html.Td(f"{fresh:,} of {len(feeds):,}", className="figure"), html.Td(_cell(feeds, now))]


def _cell(feeds: Sequence[Feed] | None, now: datetime) -> Component:
    if not feeds:
        return html.Span("–", className="cell tone-unknown", title="no such feed")  # noqa: RUF001 [a dash is meant]
    worst = _worst(feeds)
    state = FEEDS[worst.state]
    lag = wording.duration(worst.lag_seconds) if worst.lag_seconds else "0 s"
    face = wording.age(worst.heard_at, now) if worst.state == "silent" else lag
    said = f"{state.word}: {lag} behind its source, last heard {wording.exact(worst.heard_at)}"
    return html.Span([icon(state.icon), face, html.Span(f" {state.word}", className="unseen")],
                     className=f"cell tone-{state.tone}", title=said)  # fmt: skip


def _behind(desk: Desk, feeds: Sequence[Feed], now: datetime) -> Component:
    order = tuple(FEEDS)
    wrong = sorted((one for one in feeds if one.state != "fresh"),
                   key=lambda one: (order.index(one.state), -one.silent_seconds))  # fmt: skip
    columns = [Column("Feed"), Column("State"), Column("Behind", True), Column("Allowed", True),
               Column("Last heard", True)]  # fmt: skip
    rows: list[list[Content]] = [
        [
            " · ".join(part for part in (one.feed, one.channel, one.location) if part),
            mark(FEEDS[one.state]),
            wording.duration(one.lag_seconds) if one.lag_seconds else wording.DASH,
            wording.duration(one.allowed_seconds) if one.allowed_seconds else wording.DASH,
            moment(one.heard_at, now),
        ]
        for one in wrong[:LISTED]
    ]
    every = [Choice(f"Only {desk['channel']}", desk.but(channel=""), True)] if desk["channel"] else []
    return section(
        "Feeds that are not fresh",
        choices("Channel", every) if every else None,
        table("Feeds that are late or without heartbeat", columns, rows, empty="Every feed is fresh." if feeds else
              "There is no feed."),
        note="Without heartbeat first",
    )  # fmt: skip


def _channels(channels: Sequence[ChannelStatus], now: datetime) -> Component:
    columns = [Column("Channel"), Column("State"), Column("Waiting", True), Column("Oldest", True),
               Column("Refused", True), Column("Answered last", True)]  # fmt: skip
    states = {"up": State("Takes figures", "check", "good"), "down": State("Does not take figures", "cross", "bad")}
    rows: list[list[Content]] = [
        [
            [html.B(one.channel), html.Div(one.reason, className="sub") if one.reason else None],
            mark(states[one.state]),
            f"{one.waiting:,}",
            wording.duration(one.oldest_waiting_seconds) if one.waiting else wording.DASH,
            f"{one.refused:,}" if one.refused else wording.DASH,
            moment(one.acknowledged_at, now),
        ]
        for one in channels
    ]
    return section(
        "Changes of stock that channels do not have yet",
        table("Channels that are told what they may sell", columns, rows,
              empty="No channel is told what it may sell: none is registered with an address."),
        computed("Each change of what a channel may sell waits until the channel has taken it, or a later one. Asked "
                 "of the sync core (GET /v1/channels) each time the page is shown."),
        note="By channel",
    )  # fmt: skip


def _accuracy(found: Sequence[Accuracy]) -> Component:
    columns = [Column("Where"), Column("Counted lines", True), Column("Exactly as kept", True),
               Column("Within tolerance", True), Column("Accuracy", True)]  # fmt: skip
    rows: list[list[Content]] = [
        [
            " · ".join(part for part in (one.channel, one.location) if part),
            f"{one.lines:,}", f"{one.equal:,}", f"{one.accurate:,}",
            wording.share(one.accurate / one.lines if one.lines else None),
        ]
        for one in sorted(found, key=lambda one: one.accurate_ppm)
    ]  # fmt: skip
    return section(
        "Accuracy and drift",
        table("Accuracy of stock by channel and location, the worst first", columns, rows,
              empty="Nothing was counted in the last 28 days, so nobody can say how right stock is. Counts and "
                    "snapshots are compared when they come."),
        computed("Of each counted line what was found is compared with what was kept at that moment; it is accurate "
                 "within one unit or 1 %. Query accuracy in sync_core/sql, over the counts of the last 28 days."),
        note="Worst first",
    )  # fmt: skip


def _shortfalls(found: Sequence[CoreException], now: datetime) -> Component:
    columns = [Column("What"), Column("Since", True), Column("Worth", True), Column("Owner"), Column("Transaction")]
    rows = [_shortfall(one, now) for one in sorted(found, key=lambda one: one.opened_at)[:LISTED]]
    return section(
        "Oversells and shortfalls",
        table(
            "Oversells and shortfalls, the oldest first", columns, rows, empty="Nothing is promised that is not there."
        ),
        note=link("All exceptions", addresses.desk("exceptions")),
    )


def _shortfall(one: CoreException, now: datetime) -> list[Content]:
    title = wording.sentence(one.kind.replace("_", " "))
    about: Child = f"{one.entity} {one.entity_id}"
    return [
        [link(title, addresses.desk("exceptions", kind=one.kind, id=one.exception_id)),
         html.Div(one.detail, className="sub")],
        moment(one.opened_at, now),
        shown_money(one.worth) if one.amount_minor else wording.DASH,
        one.assignee or one.owner or "nobody",
        link(about, addresses.transaction(one.correlation_id)) if one.correlation_id.strip("0") else wording.DASH,
    ]  # fmt: skip


def _replenishments(found: Sequence[Replenishment], now: datetime) -> Component | None:
    if not found:
        return None
    columns = [Column("SKU"), Column("Location"), Column("Units", True), Column("Since", True)]
    rows: list[list[Content]] = [
        [html.B(one.sku), one.location, wording.quantity(one.quantity), moment(one.raised_at, now)] for one in found
    ]
    return section("To be replenished", table("What fell under its reorder point", columns, rows), note="Oldest first")
