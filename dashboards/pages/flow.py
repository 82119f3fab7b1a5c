"""Does everything flow, how fast, and what piles up? Read from across the room in a peak."""

from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, figures, wording
from dashboards.addresses import Desk
from dashboards.answers import Queues
from dashboards.elements import (
    Choice,
    Column,
    Content,
    Page,
    choices,
    computed,
    link,
    mark,
    moment,
    section,
    table,
)
from dashboards.remote import Remote
from dashboards.wording import State
from lineage.operations import HopRate, Traffic
from lineage.queries import text

BY: Final = {"hop": "By hop", "channel": "By channel", "location": "By location"}
MINUTES: Final = {"5": "5 min", "15": "15 min", "60": "1 h", "360": "6 h", "1440": "24 h"}
USUAL: Final = "15"
STALLED_SECONDS: Final = 300.0
"""Work that waits longer than this does not flow."""


class Answers(Struct, frozen=True, kw_only=True):
    traffic: Traffic
    queues: Queues


def ask(desk: Desk, core: Remote, plane: Remote) -> Answers:
    return Answers(
        traffic=plane.get("/v1/traffic", Traffic, by=_by(desk), minutes=_minutes(desk)),
        queues=core.get("/v1/status", Queues),
    )


def _by(desk: Desk) -> str:
    return desk["by"] if desk["by"] in BY else "hop"


def _minutes(desk: Desk) -> str:
    return desk["minutes"] if desk["minutes"] in MINUTES else USUAL


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    traffic, queues = told.traffic, told.queues
    state = standing(told)
    body = html.Div(
        [
            html.Div(
                [html.Div([html.H1("Flow"), mark(state)], className="title-row"),
                 html.P(summary(told), className="lead")],
                className="page-head",
            ),
            html.Div([_number(*one) for one in _numbers(told)], className="numbers"),
            _rate(desk, traffic),
            _hops(desk, traffic, now),
            _lanes(queues),
        ]
    )  # fmt: skip
    return Page("Flow", body)


def _total(traffic: Traffic, count: str) -> int:
    return sum(getattr(one, count) for one in traffic.rates)


def standing(told: Answers) -> State:
    """What waits for longest decides; that nothing runs is not known to be good."""
    queues = told.queues
    oldest = max((lane.oldest_seconds for lane in queues.outbox_lanes if lane.waiting), default=0.0)
    if queues.erp == "down" or oldest > STALLED_SECONDS:
        return State("Backed up", "cross", "bad")
    if not told.traffic.rates:
        return State("Nothing flows", "question", "unknown")
    if queues.outbox_retrying or _total(told.traffic, "failed"):
        return State("Flows, with retries", "warning", "warn")
    return State("Flows", "check", "good")


def summary(told: Answers) -> str:
    traffic = told.traffic
    minutes = round((traffic.as_of - traffic.since).total_seconds() / 60)
    runs = _total(traffic, "runs")
    if not runs:
        return (
            f"No step of any flow was recorded in the last {minutes} minutes: nothing came, or nothing is told of it."
        )
    waiting = told.queues.inbox_queued + told.queues.outbox_waiting
    failed, given_up = _total(traffic, "failed"), _total(traffic, "given_up")
    again = f"{wording.count(failed, 'attempt')} failed and will be made again" if failed else "No attempt failed"
    waits = f" {waiting:,} {'waits' if waiting == 1 else 'wait'}." if waiting else ""
    return f"{runs:,} steps in the last {minutes} minutes. {again}, {given_up or 'none'} given up.{waits}"


def _numbers(told: Answers) -> list[tuple[str, str, str, State | None]]:
    """Name, figure, unit, and a state where it is not simply a figure."""
    traffic, queues = told.traffic, told.queues
    seconds = (traffic.as_of - traffic.since).total_seconds() or 1
    runs, failed = _total(traffic, "runs"), _total(traffic, "failed")
    slowest = max((one.since_us[1] for one in traffic.rates if one.runs >= runs / 50), default=-1)
    oldest = max((lane.oldest_seconds for lane in queues.outbox_lanes if lane.waiting), default=0.0)
    bad, warn = State("", "cross", "bad"), State("", "warning", "warn")
    erp = {"up": "it answers", "down": "it does not answer", "none": "none is set"}[queues.erp]
    return [
        ("Steps", _brief(runs / seconds), "a second", None),
        ("Slowest step", _latency(slowest), "95 of 100 within, from business time", None),
        ("Retries", f"{failed:,}", "attempts to be made again", warn if failed else None),
        ("Given up", f"{_total(traffic, 'given_up'):,}", "rejected or dead letters",
         bad if _total(traffic, "given_up") else None),
        ("Replayed", f"{_total(traffic, 'replayed'):,}", f"{_total(traffic, 'duplicates'):,} repeats recognised", None),
        ("Inbox", f"{queues.inbox_queued:,}", f"events queued, {queues.inbox_parked:,} parked", None),
        ("To the ERP", f"{queues.outbox_waiting:,}",
         f"oldest {wording.duration(oldest)}; {erp}" if queues.outbox_waiting else erp,
         bad if queues.erp == "down" or oldest > STALLED_SECONDS else None),
        ("Exceptions", f"{queues.exceptions_open:,}", "wait for a decision", None),
    ]  # fmt: skip


def _brief(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _number(title: str, figure: str, unit: str, state: State | None) -> Component:
    word = mark(State("look", state.icon, state.tone)) if state else None
    return html.Article(
        [html.H2(title), html.Div([html.Span(figure, className="value"), word], className="number-value"),
         html.P(unit, className="sub")],
        className=f"card number{f' tone-{state.tone}' if state else ''}",
    )  # fmt: skip


def _rate(desk: Desk, traffic: Traffic) -> Component:
    chosen = _minutes(desk)
    spans = choices(
        "How far back", [Choice(title, desk.but(minutes=key), key == chosen) for key, title in MINUTES.items()]
    )
    most = max((one.runs / traffic.slice_seconds for one in traffic.slices), default=0.0)
    drawn = (
        html.Img(src=figures.picture(figures.bars(traffic)), alt=f"Steps a second, at most {_brief(most)}",
                 className="rate")
        if traffic.slices
        else html.P("Nothing ran.", className="empty")
    )  # fmt: skip
    axis = html.P(
        [moment(traffic.since, traffic.as_of), html.Span(f"at most {_brief(most)} a second"),
         moment(traffic.as_of, traffic.as_of)],
        className="axis",
    )  # fmt: skip
    return section("Steps a second", spans, drawn, axis if traffic.slices else None, note="Failed ones on top")


def _hops(desk: Desk, traffic: Traffic, now: datetime) -> Component:
    by = _by(desk)
    columns = [Column(BY[by].removeprefix("By ").capitalize()), Column("Runs", True), Column("Half within", True),
               Column("95 of 100", True), Column("99 of 100", True), Column("Takes itself, 95", True),
               Column("Failed", True), Column("Given up", True), Column("Parked", True),
               Column("Last", True)]  # fmt: skip
    rows = [_hop_row(one, by, now) for one in traffic.rates]
    return section(
        "Latency, retries and dead letters",
        choices("By what", [Choice(title, desk.but(by=key), key == by) for key, title in BY.items()]),
        table(f"Runs {BY[by].lower()}, the busiest first", columns, rows,
              empty="Nothing ran. Is anything sent? Events come in at POST /v1/events, spans at port 4318."),
        computed("Each run of a business hop counts when it ends, by the wall clock. Its latency runs from business "
                 "time of what it is about to its end; what it takes itself, from its start. Half, 95 and 99 of a "
                 "hundred were at most so long.", sql=text("hop_rates"), watermark=moment(traffic.as_of, now)),
        note="Busiest first",
    )  # fmt: skip


def _hop_row(one: HopRate, by: str, now: datetime) -> list[Content]:
    name = one.name or f"no {by}"
    return [
        html.B(wording.sentence(name.replace(".", " ").replace("_", " ")) if by == "hop" else name),
        f"{one.runs:,}",
        *map(_latency, one.since_us),
        _latency(one.took_us[1]),
        mark(State(f"{one.failed:,}", "warning", "warn")) if one.failed else wording.DASH,
        mark(State(f"{one.given_up:,}", "cross", "bad")) if one.given_up else wording.DASH,
        f"{one.parked:,}" if one.parked else wording.DASH,
        moment(one.last_at, now),
    ]


def _latency(microseconds: int) -> str:
    return wording.DASH if microseconds < 0 else wording.latency(microseconds)


def _lanes(queues: Queues) -> Component:
    columns = [Column("Lane"), Column("Waiting", True), Column("Oldest", True), Column("Tried before", True)]
    rows: list[list[Content]] = [
        [wording.sentence(lane.lane.replace("_", " ")), f"{lane.waiting:,}",
         wording.duration(lane.oldest_seconds) if lane.waiting else wording.DASH,
         f"{lane.retrying:,}" if lane.retrying else wording.DASH]
        for lane in queues.outbox_lanes
    ]  # fmt: skip
    refused = f"{queues.outbox_refused:,} were refused. " if queues.outbox_refused else ""
    return section(
        "What waits for the ERP",
        table("Lanes to the ERP, the first served first", columns, rows, empty="No ERP is set: erp_url."),
        html.P([refused, link("Exceptions about postings", addresses.desk("exceptions", kind="posting_dead"))],
               className="more") if refused else None,
        note="First served first",
    )  # fmt: skip
