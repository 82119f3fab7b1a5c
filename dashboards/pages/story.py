"""The timeline of a transaction, drawn from its rows."""

from datetime import datetime
from functools import singledispatch

from dash import html
from dash.development.base_component import Component

from dashboards import timeline as tl
from dashboards import wording
from dashboards.elements import Child, aria, fold, icon
from lineage.model import Attempt, Expected, Header, Hop, Journey


def timeline(told: Journey) -> Component:
    drawn: list[Component] = []
    day = ""
    for row in tl.rows(told):
        at = None if isinstance(row, tl.Gap | tl.LeftOut) else row.at
        if at and wording.day(at) != day:
            day = wording.day(at)
            drawn.append(html.Li(html.Time(day, dateTime=at.isoformat()), className="tl-day"))
        drawn.append(draw(row, told.header))
    return html.Ol(drawn, className="timeline", **aria(label="Steps in the order in which they happened"))


@singledispatch
def draw(row: tl.Row, header: Header) -> Component:
    raise TypeError(row, header)


def _row(kind: str, at: datetime | None, name: str, *body: Child) -> Component:
    clock = html.Time(wording.clock_time(at), dateTime=at.isoformat(), title=wording.exact(at)) if at else None
    return html.Li(
        [
            html.Span(clock, className="tl-time"),
            html.Span(icon(name) if name else None, className="tl-dot"),
            html.Div(list(body), className="tl-body"),
        ],
        className=f"tl-row {kind}",
    )


@draw.register
def _(row: tl.Step, header: Header) -> Component:
    hop, state = row.hop, wording.outcome(row.hop.outcome)
    plain = hop.outcome == "ok"
    return _row(
        f"step tone-{state.tone}",
        row.at,
        state.icon,
        html.Div(
            [
                html.Span(
                    [
                        html.B(wording.sentence(hop.title)),
                        None if plain else html.Span(state.word, className=f"tl-word tone-{state.tone}"),
                        html.Span("done", className="unseen") if plain else None,
                    ]
                ),
                html.Span(wording.money(hop.amount) if hop.amount else None, className="figure"),
            ],
            className="tl-title",
        ),
        html.Div(detail(hop, header), className="sub"),
        html.Div(wording.plain(hop.reason), className="tl-reason") if hop.reason else None,
        _due_chip(row),
        _attempts(hop),
    )


def detail(hop: Hop, header: Header) -> str:
    """ "refund C538698 · cardco · 3 lines": what places the step, without what the head of the page says already."""
    thing = f"{hop.entity.replace('_', ' ')} {hop.entity_id}".strip()
    lines = wording.count(hop.lines, "line") if hop.lines else ""
    units = wording.count(hop.quantity, "unit") if hop.quantity > 0 and not hop.lines else ""
    owner = f"with {hop.owner}" if hop.owner else ""
    made = hop.source if hop.source not in ("live", "file", header.source) else ""
    channel = hop.channel if hop.channel != header.channel else ""
    location = hop.location if hop.location != header.location else ""
    system = hop.system if hop.system != header.origin else ""
    parts = (thing, channel, location, hop.provider, system, lines, units, owner, made)
    return " · ".join(part for part in parts if part)


def _due_chip(row: tl.Step) -> Component | None:
    if row.due:
        tone = "bad" if row.due.late else "good"
        return html.Span([icon("cross" if row.due.late else "flag"), row.due.label], className=f"chip tone-{tone}",
                         title=f"Deadline {wording.exact(row.due.at)}")  # fmt: skip
    return None


def _attempts(hop: Hop) -> Component | None:
    """Retries are folded: they matter only to who looks for them."""
    repeats = f"{wording.count(hop.duplicates, 'repeat')} recognised" if hop.duplicates else ""
    if len(hop.attempts) < 2:
        return html.Div(repeats, className="sub") if repeats else None
    said = ", ".join(part for part in (wording.count(len(hop.attempts), "attempt"), repeats) if part)
    return fold(said, html.Ol([_attempt(attempt) for attempt in hop.attempts], className="attempts"))


def _attempt(attempt: Attempt) -> Component:
    state = wording.outcome(attempt.outcome)
    return html.Li(
        [html.Time(f"{attempt.at:%H:%M:%S}", title=wording.exact(attempt.at), dateTime=attempt.at.isoformat()),
         html.Span([icon(state.icon), state.word], className=f"tl-word tone-{state.tone}"),
         html.Span(" · ".join(part for part in (attempt.reason, wording.latency(attempt.duration_us)) if part),
                   className="faint")]
    )  # fmt: skip


@draw.register
def _(row: tl.Gap, _header: Header) -> Component:
    return html.Li(
        [html.Span(className="tl-time"), html.Span(className="tl-dot"), html.Span(row.label, className="tl-gap-label")],
        className=f"tl-row tl-gap {row.size}",
    )


@draw.register
def _(row: tl.Deadline, _header: Header) -> Component:
    return _row("deadline tone-bad", row.at, "flag", html.Span(wording.sentence(row.label), className="tl-deadline"))


@draw.register
def _(row: tl.Missing, _header: Header) -> Component:
    step = row.expected
    late = f"missing: due then, {wording.duration(step.overdue_seconds)} overdue"
    return _row("hollow tone-bad", row.at, "cross", *_expected(step, late, "bad"))


@draw.register
def _(row: tl.Now, _header: Header) -> Component:
    # To the minute: a page that differs only in seconds would be drawn again at every refresh.
    minute = row.at.replace(second=0, microsecond=0)
    return _row("now", minute, "", html.Span("now", className="tl-now"))


@draw.register
def _(row: tl.Awaited, _header: Header) -> Component:
    due = f"due in {wording.duration(row.wait_seconds)}" if row.wait_seconds else "expected, no deadline"
    return _row("hollow tone-quiet", row.at, "", *_expected(row.expected, due, "quiet"))


def _expected(step: Expected, word: str, tone: str) -> list[Child]:
    amount = wording.money(step.amount) if step.amount else None
    owner = f"with {step.owner}" if step.owner else "nobody owns it"
    thing = f"{step.entity.replace('_', ' ')} {step.entity_id}".strip()
    return [
        html.Div([html.Span([html.B(wording.sentence(step.title)), html.Span(word, className=f"tl-word tone-{tone}")]),
                  html.Span(amount, className="figure")], className="tl-title"),
        html.Div(" · ".join(part for part in (thing, owner) if part), className="sub"),
    ]  # fmt: skip


@draw.register
def _(row: tl.LeftOut, _header: Header) -> Component:
    said = f"{wording.count(row.count, 'step')} left out here"
    return _row("cut", None, "", html.Span(said, className="tl-gap-label"))
