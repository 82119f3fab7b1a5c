"""What happened to this order, return or refund, and what should have?"""

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dashboards import addresses, wording
from dashboards.elements import (
    Child,
    Column,
    Content,
    Page,
    aria,
    data,
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
from dashboards.pages import books, findings, graph, story, waterfall
from dashboards.wording import State
from lineage.model import (
    Answer,
    BusinessObject,
    Choice,
    Header,
    Journey,
    Overdue,
    OverdueItem,
    Parked,
    Related,
    StageMoney,
    Trace,
    Unknown,
)

COPY_BUTTON = "copy-link"
LISTED = 8
NAMED = 4
"""Values of one key; the more an identifier has, the less each of them is looked for."""


def page(answer: Answer, trace: Trace | None = None) -> Page:
    """``trace``: the technical one that was asked for beside it."""
    if isinstance(answer, Choice):
        return choose(answer)
    if isinstance(answer, Unknown):
        return unknown(answer)
    return journey(answer, trace)


def ask(overdue: Overdue) -> Page:
    """Before anything was looked up: what may be typed, and what is worth looking at."""
    late = [
        html.Li([link(wording.sentence(item.title), addresses.transaction(item.correlation_id)), _late(item)])
        for item in overdue.items[:LISTED]
        if item.correlation_id
    ]
    body = notice(
        "Look up a transaction",
        html.P(["Type any of its numbers above: order, shipment, payment, return, refund, credit note, journal, "
                "ERP document, receipt.", html.Span(" Press / from anywhere to get there.", className="by-keys")]),
        html.Div([html.H2("Overdue now"),
                  html.P(["As of ", moment(overdue.as_of, overdue.as_of), ", oldest deadline first"], className="sub"),
                  html.Ul(late, className="late")]) if late else None,
    )  # fmt: skip
    return Page("Look up a transaction", body)


def _late(item: OverdueItem) -> Component:
    worth = wording.money(item.amount) if item.amount else ""
    said = (worth, f"{wording.duration(item.overdue_seconds)} overdue", item.owner or "nobody")
    return html.Div(" · ".join(filter(None, said)), className="sub")


def unknown(answer: Unknown) -> Page:
    near = [
        html.Li([link(wording.sentence(f"{wording.key_title(near.key_name)} {near.key_value}"),
                      addresses.transaction(near.correlation_id)),
                 html.Span(f" {near.origin} · {near.why}", className="faint")])
        for near in answer.suggestions
    ]  # fmt: skip
    body = notice(
        "Nothing is known by this number",
        html.P(["No transaction carries ", html.Code(answer.query), "."]),
        html.Div([html.H2("Numbers near it"), html.Ul(near, className="near")])
        if near
        else html.P("No number near it is known either. Was it typed in full? Has its system sent anything yet?"),
    )
    return Page(f"{answer.query} is not known", body)


def choose(answer: Choice) -> Page:
    columns = [Column("Transaction"), Column("Known as"), Column("First seen", True), Column("Last seen", True)]
    rows: list[list[Content]] = [
        [
            link(f"{match.key_value} in {match.origin}", addresses.transaction(match.correlation_id)),
            wording.key_title(match.key_name),
            wording.exact(match.first_seen),
            wording.exact(match.last_seen),
        ]
        for match in answer.matches
    ]
    body = html.Div(
        [
            html.Div([html.H1([html.Code(answer.query), " means more than one transaction"]),
                      html.P("Several transactions carry this number. They are never shown as one: choose.",
                             className="lead")],
                     className="page-head"),
            section("Transactions", table("Transactions that carry this number", columns, rows)),
        ]
    )  # fmt: skip
    return Page(f"{answer.query}: choose", body)


def name(header: Header) -> str:
    """ "Order 537681" """
    return wording.sentence(f"{header.kind.replace('_', ' ')} {header.reference or header.correlation_id[:8]}")


def standing(told: Journey) -> State:
    """The state of the transaction: its own word, marked bad when a step is overdue."""
    word = wording.sentence(told.header.state.replace("_", " "))
    late = sum(step.overdue for step in told.expected)
    if late:
        return State(f"{word}, {wording.count(late, 'step')} overdue", "cross", "bad")
    if told.parked:
        return State(f"{word}, {wording.count(len(told.parked), 'item')} parked", "pause", "warn")
    if told.expected:
        return State(f"{word}, {wording.count(len(told.expected), 'step')} to come", "clock", "quiet")
    return State(word, "check", "good")


def summary(told: Journey) -> str:
    """What to tell a colleague in one breath."""
    header = told.header
    begun = f"{wording.exact(header.started_at)} in {header.origin}"
    late = [step for step in told.expected if step.overdue]
    said = f"Began {begun}. {wording.count(len(told.hops), 'step')} recorded"
    if header.last_at > header.started_at:
        said += f" over {wording.duration((header.last_at - header.started_at).total_seconds())}"
    if late:
        worst = late[0]
        return (f"{said}. {wording.sentence(worst.title)} is {wording.duration(worst.overdue_seconds)} overdue"
                f" and belongs to {worst.owner or 'nobody'}.")  # fmt: skip
    if told.expected:
        return f"{said}. Next: {told.expected[0].title}, with {told.expected[0].owner or 'nobody'}."
    if told.parked:
        return f"{said}. {wording.count(len(told.parked), 'item')} parked outside the books."
    return f"{said}. Nothing more is expected."


def chat(told: Journey) -> str:
    """The summary with what is wrong, to be pasted into a chat."""
    header = told.header
    wrong = "".join(
        f"\n- {wording.sentence(one.title)}{f': {one.cause}' if one.cause else ''} ({one.owner or 'nobody'})"
        for one in told.findings
    )
    worth = f", {wording.money(header.amount)}" if header.amount else ""
    return f"{name(header)}{worth}: {standing(told).word}. {summary(told)}{wrong}"


def journey(told: Journey, trace: Trace | None = None) -> Page:
    told_in_time = section("What happened", story.timeline(told), note="Business time", css="story")
    main: list[Child] = [
        told_in_time, _parked(told), graph.graph(told, name), waterfall.waterfall(trace) if trace else None,
        books.lines(told.lines), books.journal(told.journal),
    ]  # fmt: skip
    side: list[Child] = [_related(told), _objects(told), _keys(told)]
    body = html.Div(
        [
            _head(told),
            *[html.P([icon("warning"), note], className="remark") for note in told.notes],
            findings.findings(told.findings, told.as_of),
            _money(told.money),
            html.Div([html.Div(main, className="main"), html.Div(side, className="side")], className="split"),
        ]
    )
    return Page(name(told.header), body)


def _head(told: Journey) -> Component:
    header = told.header
    where = " · ".join(part for part in (header.channel, header.location) if part)
    return html.Div(
        [
            html.Div(
                [html.H1(name(header)), mark(standing(told)),
                 html.Div(
                     [html.Button([icon("link"), html.Span("Copy link")], id=COPY_BUTTON, className="button",
                                  title="Copy the address of this page"),
                      html.Button([icon("flow"), html.Span("Copy summary")], className="button",
                                  title="Copy what to tell a colleague", **data(copy=chat(told))),
                      html.A("Export JSON", href=f"/v1/export/json?id={header.correlation_id}", className="button",
                             download=f"{header.reference or header.correlation_id}.json")],
                     className="buttons",
                 )],
                className="title-row",
            ),
            html.P(summary(told), className="lead"),
            facts(
                [
                    ("Worth", wording.money(header.amount) if header.amount else ""),
                    ("Where", where),
                    ("System", header.origin),
                    ("Began", moment(header.started_at, told.as_of)),
                    ("Last step", moment(header.last_at, told.as_of)),
                    ("Next step is with", header.owner),
                    ("Data", "" if header.source == "live" else header.source),
                ],
                css="facts row",
            ),
        ],
        className="page-head",
    )  # fmt: skip


def _money(steps: Sequence[StageMoney]) -> Component | None:
    if not steps:
        return None
    items = [html.Li([html.Span(_step(step), className="step"), html.B(wording.money(step.amount))]) for step in steps]
    return html.Ol(items, className="money", **aria(label="What it was worth at each step"))


def _step(step: StageMoney) -> str:
    several = f" ({step.count:,})" if step.count > 1 else ""
    return wording.sentence(step.step.replace("_", " ")) + several


def _related(told: Journey) -> Component:
    if not told.related:
        return section("Related", html.P("No other transaction is linked to it.", className="empty"))
    items = [_relative(other, told) for other in told.related]
    cut = html.P("More is linked than is shown.", className="more") if told.related_cut else None
    return section("Related", html.Ul(items, className="related"), cut)


def _relative(other: Related, told: Journey) -> Component:
    how = wording.link(other.link, other.direction)
    there = link(other.title, addresses.transaction(other.correlation_id))
    amount = html.B(wording.money(other.amount)) if other.amount else None
    state = other.state.replace("_", " ") if other.started_at else "not arrived yet"
    proof = other.evidence if other.evidence not in (other.reference, told.header.reference) else ""
    below = [part for part in (state, proof) if part]
    when = moment(other.started_at, told.as_of) if other.started_at else None
    lines = [
        html.Li([f"{wording.quantity(line.quantity)} {wording.TIMES} {line.sku}",
                 html.Span(wording.money(line.amount), className="figure")])
        for line in other.lines
    ]  # fmt: skip
    return html.Li(
        [
            html.Div([html.Span([wording.sentence(how) + " ", there]), amount], className="related-head"),
            html.Div([" · ".join(below), " · " if when else "", when], className="sub"),
            fold(wording.count(len(lines), "shared line"), html.Ul(lines, className="shared")) if lines else None,
        ],
        className=f"depth-{min(other.depth, 3)}",
    )  # fmt: skip


def _objects(told: Journey) -> Component | None:
    if not told.objects:
        return None
    return section("Objects", html.Ul([_object(thing, told) for thing in told.objects], className="objects"))


def _object(thing: BusinessObject, told: Journey) -> Component:
    reached: list[Child] = []
    for step in thing.milestones:
        reached += [" → " if reached else "", html.Span(step.milestone.replace("_", " "), title=wording.exact(step.at))]
    return html.Li(
        [
            html.Div([html.Span([f"{wording.sentence(thing.entity.replace('_', ' '))} ", html.B(thing.entity_id)]),
                      wording.money(thing.amount) if thing.amount else None], className="related-head"),
            html.Div(reached, className="sub"),
        ]
    )  # fmt: skip


def _keys(told: Journey) -> Component:
    pairs: list[tuple[str, Content]] = []
    for key, values in sorted(told.keys.items()):
        said: list[Child] = []
        for value in values[:NAMED]:
            said += [" " if said else "", html.Code(value)]
        said += [f" and {len(values) - NAMED:,} more"] if len(values) > NAMED else []
        pairs.append((wording.sentence(wording.key_title(key)), said))
    pairs.append(("Transaction", html.Code(told.header.correlation_id)))
    traces: list[Child] = [
        link(html.Code(trace), addresses.transaction(told.header.correlation_id, trace), css="trace")
        for trace in told.header.trace_ids[:LISTED]
    ]
    if len(told.header.trace_ids) > LISTED:
        traces.append(f"and {len(told.header.trace_ids) - LISTED:,} more")
    folded = fold(wording.count(len(told.header.trace_ids), "technical trace"), *traces) if traces else None
    return section("Numbers", facts(pairs, css="facts keys"), folded)


def _parked(told: Journey) -> Component | None:
    if not told.parked:
        return None
    columns = [Column("Waits"), Column("Since", True), Column("Worth", True), Column("Why"), Column("Owner")]
    worth = wording.added(item.amount for item in told.parked if item.amount)
    return section(
        "Parked outside the books",
        table("Items that wait outside the books", columns, [_parked_row(item, told) for item in told.parked]),
        note=f"{wording.count(len(told.parked), 'item')}, {wording.monies(worth)}",
    )


def _parked_row(item: Parked, told: Journey) -> list[Content]:
    what = f"{wording.quantity(item.quantity)} {wording.TIMES} {item.sku}" if item.sku else item.hop
    return [what, moment(item.at, told.as_of), wording.money(item.amount) if item.amount else wording.DASH,
            wording.plain(item.reason) or wording.DASH, item.owner or "nobody"]  # fmt: skip
