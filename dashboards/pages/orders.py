"""How far have orders come, and where do they stop?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.addresses import Desk
from dashboards.elements import (
    Choice,
    Column,
    Content,
    Page,
    choices,
    computed,
    link,
    mark,
    meter,
    moment,
    section,
    table,
)
from dashboards.pages import promises
from dashboards.reader import Reader
from dashboards.remote import Remote
from dashboards.wording import State
from lineage.model import SlaTile
from lineage.order_states import WINDOWS, OrderState, OrderStates
from lineage.queries import text

DAYS: Final = {f"{days}": wording.count(days, "day") for days in WINDOWS}
USUAL: Final = "7"
PROMISED: Final = ("order_latency", "order_exception_rate", "duplicate_order_rate")


class Answers(Struct, frozen=True, kw_only=True):
    tiles: tuple[SlaTile, ...]
    progress: OrderStates


def ask(desk: Desk, lineage: Reader, plane: Remote) -> Answers:
    tiles = {tile.name: tile for tile in lineage.tiles()}
    return Answers(
        tiles=tuple(tiles[name] for name in PROMISED if name in tiles),
        progress=plane.get("/v1/order-states", OrderStates, days=_days(desk)),
    )


def _days(desk: Desk) -> str:
    return desk["days"] if desk["days"] in DAYS else USUAL


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    shown = [one for one in told.progress.states if one.channel == desk["channel"]]
    body = html.Div(
        [
            html.Div([html.H1("Orders"), html.P(summary(desk, shown), className="lead")], className="page-head"),
            html.Div([promises.tile_card(tile, now) for tile in told.tiles], className="tiles"),
            _progression(desk, told.progress, shown, now),
        ]
    )
    return Page("Orders", body)


def _captured(states: Sequence[OrderState]) -> int:
    return max((one.came for one in states), default=0)


def summary(desk: Desk, states: Sequence[OrderState]) -> str:
    """ "4,995 orders of the last 7 days. 9 are in a state for longer than usual, 7 of them packed." """
    orders = _captured(states)
    span = f"the last {_days(desk)} days" if _days(desk) != "1" else "the last day"
    if not orders:
        return f"No order was captured in {span}."
    held = sum(one.held for one in states)
    stopped = max(states, key=lambda one: one.held)
    most = f": {stopped.state}" if stopped.held == held else f", {stopped.held:,} of them {stopped.state}"
    verb = "is" if held == 1 else "are"
    stays = f"{held:,} {verb} in a state for longer than usual{most}." if held else "None stays for longer than usual."
    return f"{wording.count(orders, 'order')} of {span}. {stays}"


def _progression(desk: Desk, told: OrderStates, shown: Sequence[OrderState], now: datetime) -> Component:
    columns = [Column("State"), Column("Came so far", True), Column("Of all"), Column("Here now", True),
               Column("Longer than usual", True), Column("The oldest", True), Column("Half stay", True),
               Column("95 of 100 stay", True)]  # fmt: skip
    spans = [Choice(title, desk.but(days=days), days == _days(desk)) for days, title in DAYS.items()]
    return section(
        "From state to state",
        choices("How far back", spans),
        _channels(desk, told.states),
        table("Orders by state, from first to last", columns, [_row(one, _captured(shown)) for one in shown],
              empty="No order was captured in these days. Orders come as events, over the API, or in files."),
        computed("Of each order that was captured in these days: the first time that it came to each state of its "
                 "flow (lineage/flows.toml), and the furthest that it reached, in which it is now. How long orders "
                 "stay is told by those that went on. Longer than usual is longer than 95 of 100 of these; where a "
                 "flow may end nothing is.", sql=text("order_states"), watermark=moment(told.as_of, now)),
        note="First to last",
    )  # fmt: skip


def _channels(desk: Desk, states: Sequence[OrderState]) -> Component | None:
    names = sorted({one.channel for one in states if one.channel} | ({desk["channel"]} - {""}))
    if len(names) < 2 and not desk["channel"]:
        return None
    every = Choice("Any channel", desk.but(channel=""), not desk["channel"])
    return choices("By channel", [every, *(Choice(name, desk.but(channel=name), desk["channel"] == name)
                                           for name in names)])  # fmt: skip


def _row(one: OrderState, orders: int) -> list[Content]:
    share = one.came / orders if orders else 0.0
    oldest = wording.duration(one.oldest_seconds)
    return [
        html.B(wording.sentence(one.state)),
        f"{one.came:,}",
        meter(share, f"{100 * share:.0f}% of the orders", "quiet"),
        f"{one.standing:,}" if one.standing else wording.DASH,
        mark(State(f"{one.held:,}", "clock", "warn")) if one.held else wording.DASH,
        link(oldest, addresses.transaction(one.oldest_id)) if one.standing else wording.DASH,
        _stay(one.half_seconds),
        _stay(one.most_seconds),
    ]


def _stay(seconds: int) -> str:
    return wording.DASH if seconds < 0 else wording.duration(seconds)
