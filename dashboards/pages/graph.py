"""How a transaction hangs together with others: what it names, what it is made of, what names it."""

from collections.abc import Callable, Sequence
from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards import addresses, wording
from dashboards.elements import aria, link, section
from dashboards.elements import money as shown_money
from lineage.model import BusinessObject, Header, Journey, Related

DRAWN: Final = 6
"""Boxes on top of each other, at most; the lists beside it have the rest."""

Naming = Callable[[Header], str]


def graph(told: Journey, name: Naming) -> Component | None:
    if not told.related:
        return None
    near = [one for one in told.related if one.depth == 1]
    named = [one for one in near if one.direction == "out"]
    naming = [one for one in near if one.direction == "in"]
    columns = [
        _column("It names", [_box(one, told.related) for one in named[:DRAWN]], len(named)),
        _itself(told, name),
        _column("It is named by", [_box(one, told.related) for one in naming[:DRAWN]], len(naming)),
    ]
    drawn = html.Div([one for one in columns if one], className="graph")
    return section("How it hangs together", drawn)


def _column(title: str, boxes: Sequence[Component], total: int) -> Component | None:
    if not boxes:
        return None
    more = html.Li(f"and {total - len(boxes):,} more", className="sub") if total > len(boxes) else None
    return html.Ul([*boxes, more], className="graph-side", **aria(label=title))


def _itself(told: Journey, name: Naming) -> Component:
    return html.Div(
        [html.B(name(told.header)), html.Ul([_part(one) for one in told.objects[:DRAWN]], className="graph-parts")],
        className="graph-box itself",
    )


def _part(thing: BusinessObject) -> Component:
    last = thing.milestones[-1].milestone.replace("_", " ") if thing.milestones else ""
    return html.Li([f"{wording.sentence(thing.entity.replace('_', ' '))} ", html.Span(thing.entity_id, className="sub"),
                    html.Span(f" {last}", className="faint")])  # fmt: skip


def _box(one: Related, everything: Sequence[Related]) -> Component:
    """With what is beyond it: its own links, one line each."""
    beyond = [other for other in everything if other.via == one.correlation_id and other.depth > 1]
    lines = [
        html.Li([wording.link(other.link, other.direction) + " ",
                 link(other.title, addresses.transaction(other.correlation_id))])
        for other in beyond[:DRAWN]
    ]  # fmt: skip
    return html.Li(
        [
            html.Span(wording.link(one.link, one.direction), className="graph-edge"),
            html.Div(
                [
                    link(wording.sentence(one.title), addresses.transaction(one.correlation_id)),
                    html.Div([one.state.replace("_", " "), " ", shown_money(one.amount) if one.amount else None],
                             className="sub"),
                    html.Ul(lines, className="graph-parts") if lines else None,
                ],
                className="graph-box",
            ),
        ]
    )  # fmt: skip
