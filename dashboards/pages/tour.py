"""Three stories, each from its first question to the page that answers it, with what is true at this moment."""

from collections.abc import Sequence
from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dashboards import addresses, wording
from dashboards.elements import Child, Page, link, mark, moment, section
from dashboards.pages.promises import worst_first
from lineage.model import Overdue, OverdueItem, SlaTile


def page(tiles: Sequence[SlaTile], overdue: Overdue, now: datetime) -> Page:
    late = next((item for item in overdue.items if item.correlation_id), None)
    body = html.Div(
        [
            html.Div(
                [html.H1("A tour"), html.P("Three people, three questions, and what the answers are now.",
                                           className="lead")],
                className="page-head",
            ),
            _executive(worst_first(tiles), now),
            _owner(overdue, late, now),
            _on_call(late),
        ]
    )  # fmt: skip
    return Page("A tour", body)


def _executive(tiles: Sequence[SlaTile], now: datetime) -> Component:
    steps: list[list[Child]] = [["Open the ", link("promises", addresses.promises()), ": the worst stand first."]]
    told = [tile for tile in tiles if tile.value is not None]
    if told:
        worst = told[0]
        steps.append([
            link(worst.title, addresses.promise(worst.name)), " is ", mark(wording.SLA_STATES[worst.state]), " at ",
            wording.share(worst.value), " of ", worst.unit, ", as of ", moment(worst.as_of, now), ". Its page says ",
            "where it is worst, and which items broke it.",
        ])  # fmt: skip
        segments = [one for one in worst.worst if one.channel]
        if segments:
            channel = segments[0].channel
            steps.append(["Only ", link(channel, addresses.promise(worst.name, channel)), ", where it is worst."])
    return _story("An executive sees a promise break", steps)


def _owner(overdue: Overdue, late: OverdueItem | None, now: datetime) -> Component:
    if not overdue.by_owner:
        return _story("An owner is paged", [["Nothing is overdue, so nobody is paged. In the demo: ",
                                             html.Code("tallytrace demo fault erp-outage --for 1m"), "."]])  # fmt: skip
    group = overdue.by_owner[0]
    steps: list[list[Child]] = [
        [f"{wording.count(group.count, 'item')} overdue at {group.owner or 'nobody'}, worth ",
         wording.monies(group.at_risk), ", the oldest due ", moment(group.oldest_due_at, now), "."],
    ]  # fmt: skip
    if late and late.sla:
        steps.append(["The page that is sent has this link: ",
                      link("the items", addresses.promise(late.sla, late.channel)), "."])  # fmt: skip
    steps.append(["When the last of them is done the owner is told that it is over."])
    return _story("An owner is paged", steps)


def _on_call(late: OverdueItem | None) -> Component:
    steps: list[list[Child]] = [["Press ", html.Kbd("/"), " on any page and type any number: an order, a refund, a "
                                 "journal, a settlement, a trace."]]  # fmt: skip
    if late is not None:
        steps.append([link(late.entity_id, addresses.transaction(late.correlation_id)), f": {late.title}. ",
                      wording.sentence(late.reason)])  # fmt: skip
    steps.append(["The timeline says what happened, what never did, whose that is, and what hangs on it."])
    return _story("An on-call engineer finds the cause by ID", steps)


def _story(title: str, steps: Sequence[Sequence[Child]]) -> Component:
    return section(title, html.Ol([html.Li(list(step)) for step in steps]))
