"""What is mine, what is it worth, and what do I do about it?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.acts import Act, Deed
from dashboards.addresses import Desk
from dashboards.answers import CoreException, ExceptionSum, Record
from dashboards.elements import (
    Child,
    Choice,
    Column,
    Content,
    Page,
    act_button,
    choices,
    computed,
    facts,
    link,
    mark,
    moment,
    notice,
    section,
    table,
)
from dashboards.elements import money as shown_money
from dashboards.pages import frame, obligations
from dashboards.reader import Reader, unless_judging
from dashboards.remote import Remote
from dashboards.wording import State
from lineage.model import Money, Overdue, SlaItems, SlaTile
from lineage.open_items import NotJudgedError
from lineage.queries import Filter

LISTED: Final = 100
NAMED: Final = 1000

SEVERITIES: Final = {
    "critical": State("Critical", "cross", "bad"),
    "major": State("Major", "warning", "warn"),
    "minor": State("Minor", "ring", "quiet"),
}
WAITING: Final = {
    "posting": ("Awaiting the ERP", "order_to_posting"),
    "refunds": ("Refunds not in the books", "refund_to_ledger"),
    "stock": ("Stock changes under way", "stock_propagation"),
}
"""Ready-made views: what is open of a promise, due or not."""

DEEDS: Final[tuple[tuple[str, Deed], ...]] = (
    ("Assign", "exceptions.assign"), ("Resolve", "exceptions.resolve"), ("Replay", "exceptions.replay"),
)  # fmt: skip
STOCK_KINDS: Final = ("posting_rejected", "posting_dead")


class Answers(Struct, frozen=True, kw_only=True):
    sums: list[ExceptionSum]
    listed: list[CoreException]
    one: CoreException | None
    history: list[Record]
    overdue: Overdue | NotJudgedError
    waiting: tuple[SlaTile, SlaItems] | None


def ask(desk: Desk, lineage: Reader, core: Remote) -> Answers:
    view, wanted = desk["view"], desk["id"]
    asked = {name: desk[name] for name in ("owner", "kind", "severity")}
    stand = "resolved" if view == "resolved" else "open"
    listed = [] if view == "overdue" or view in WAITING else _listed(core, stand, asked, NAMED if wanted else LISTED)
    one = next((each for each in listed if each.exception_id == wanted), None) if wanted else None
    if wanted and one is None:  # an address that was sent before it was resolved
        one = next((each for each in _listed(core, "resolved", {}, NAMED) if each.exception_id == wanted), None)
    waiting = None
    if view in WAITING and (detail := lineage.sla(WAITING[view][1])):
        items = lineage.items(WAITING[view][1], Filter(verdicts=("overdue", "pending"), most=LISTED))
        waiting = (detail.tile, items) if items else None
    return Answers(
        sums=core.get("/v1/exceptions/summary", list[ExceptionSum]),
        listed=listed,
        one=one,
        history=core.get("/v1/exceptions/history", list[Record], id=one.exception_id) if one else [],
        overdue=unless_judging(lineage.overdue),
        waiting=waiting,
    )


def _listed(core: Remote, stand: str, asked: dict[str, str], most: int) -> list[CoreException]:
    return core.get("/v1/exceptions", list[CoreException], state=stand, limit=most, **asked)


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    if desk["id"]:
        return _one(desk, told, now)
    view = desk["view"]
    if view == "overdue":
        shown: list[Child] = [_overdue(desk, told.overdue, now)]
    elif view in WAITING:
        shown = [_waiting(view, told, now)]
    else:
        shown = [_filters(desk, told.sums), _list(desk, told.listed, now)]
    body = html.Div([_head(told, now), choices("Views", _views(desk, told), css="tabs"), *shown])
    return Page("Exceptions", body)


def _overdue(desk: Desk, found: Overdue | NotJudgedError, now: datetime) -> Component:
    if isinstance(found, NotJudgedError):
        return frame.not_judged(f"{found}")
    return obligations.overdue(found, now, owner=desk["owner"], listed=LISTED)


def _worth(sums: Sequence[ExceptionSum]) -> tuple[Money, ...]:
    return wording.added(Money(one.amount_minor, one.currency) for one in sums)


def summary(told: Answers, now: datetime) -> str:
    late = _late(told.overdue)
    if not told.sums:
        return f"No exception waits for a decision. {late}."
    number = sum(one.open for one in told.sums)
    verb = "waits" if number == 1 else "wait"
    oldest = wording.age(min(one.oldest_at for one in told.sums), now)
    return (
        f"{wording.count(number, 'exception')} {verb} for a decision, worth {wording.monies(_worth(told.sums))}, "
        f"the oldest for {oldest}. {late}."
    )


def _late(found: Overdue | NotJudgedError) -> str:
    if isinstance(found, NotJudgedError):
        return "What is overdue is still being judged"
    late = _steps(found)
    worth = wording.added(amount for group in found.by_owner for amount in group.at_risk)
    return f"{wording.count(late, 'step')} overdue, worth {wording.monies(worth)}" if late else "No step is overdue"


def _steps(found: Overdue) -> int:
    return sum(group.count for group in found.by_owner)


def _head(told: Answers, now: datetime) -> Component:
    return html.Div(
        [html.H1("Exceptions and overdue"), html.P(summary(told, now), className="lead")], className="page-head"
    )


def _views(desk: Desk, told: Answers) -> list[Choice]:
    view, opened = desk["view"], sum(one.open for one in told.sums)
    late = "" if isinstance(told.overdue, NotJudgedError) else f"{_steps(told.overdue):,}"
    offered = [
        Choice("To decide", addresses.desk(desk.name), not view, f"{opened:,}"),
        Choice("Overdue", addresses.desk(desk.name, view="overdue"), view == "overdue", late),
    ]
    offered += [Choice(title, addresses.desk(desk.name, view=key), view == key) for key, (title, _) in WAITING.items()]
    return [*offered, Choice("Decided", addresses.desk(desk.name, view="resolved"), view == "resolved")]


def _filters(desk: Desk, sums: Sequence[ExceptionSum]) -> Component | None:
    if desk["view"]:
        return None
    rows: list[Component] = []
    for parameter in ("owner", "kind", "severity"):
        counts: dict[str, int] = {}
        for one in sums:
            name = getattr(one, parameter)
            counts[name] = counts.get(name, 0) + one.open
        if len(counts) < 2 and not desk[parameter]:
            continue
        every = Choice(f"Any {parameter}", desk.but(**{parameter: ""}), not desk[parameter])
        named = [
            Choice(said(name), desk.but(**{parameter: name}), desk[parameter] == name, f"{number:,}")
            for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ]
        rows.append(choices(f"By {parameter}", [every, *named]))
    return html.Div(rows, className="filters") if rows else None


def said(kind: str) -> str:
    return wording.sentence(kind.replace("_", " ")) or "Nobody"


def about(one: CoreException) -> str:
    return f"{wording.plain(one.entity)} {one.entity_id}"


def _list(desk: Desk, listed: Sequence[CoreException], now: datetime) -> Component:
    decided = desk["view"] == "resolved"
    columns = [Column("What"), Column("Severity"), Column("Decided" if decided else "Age", True), Column("Worth", True),
               Column("Owner"), Column("Transaction")]  # fmt: skip
    rows = [_row(desk, one, now) for one in listed]
    empty = "Nothing was decided yet." if decided else "Nothing waits for a decision here."
    cut = f"The {LISTED} {'latest' if decided else 'oldest'} are listed; choose an owner or a kind to see others."
    return section(
        "Decided" if decided else "To decide",
        None if decided else _on_all(desk, listed),
        table("Exceptions", columns, rows, empty=empty),
        html.P(cut, className="more") if len(listed) == LISTED else None,
        computed(
            "An exception is opened when something cannot go on without a person, with its owner and what it is worth. "
            "It is counted until it is resolved, by a person or by what was missing. The sync core is asked each time "
            "the page is shown: GET /v1/exceptions, queries exceptions and exceptions_summed in "
            "sync_core/sql/queries.sql.",
            watermark=moment(now, now),
        ),
        note="Latest first" if decided else "Oldest first",
    )


def _on_all(desk: Desk, listed: Sequence[CoreException]) -> Component | None:
    """Acts on everything that the address names: only once it names something, and there is more than one."""
    where = {name: desk[name] for name in ("owner", "kind", "severity") if desk[name]}
    if not where or len(listed) < 2:
        return None
    about = "All open exceptions with " + ", ".join(f"{name} {value}" for name, value in where.items()) + "."
    buttons = [act_button(f"{title} all", Act(deed=deed, about=about, where=where)) for title, deed in DEEDS]
    return html.Div(buttons, className="acts")


def _row(desk: Desk, one: CoreException, now: datetime) -> list[Content]:
    when: Content = moment(one.resolved_at, now) if one.resolved_at else wording.age(one.opened_at, now)
    detail = one.resolution if one.resolved_at else one.detail
    whose = f"{one.owner or 'nobody'}{f', with {one.assignee}' if one.assignee else ''}"
    return [
        [link(said(one.kind), desk.but(id=one.exception_id)), html.Div(detail, className="sub")],
        mark(SEVERITIES.get(one.severity, State(one.severity, "question", "unknown"))),
        when,
        shown_money(one.worth) if one.amount_minor else wording.DASH,
        whose,
        link(about(one), addresses.transaction(one.correlation_id)) if one.correlation_id.strip("0") else wording.DASH,
    ]


def _waiting(view: str, told: Answers, now: datetime) -> Component:
    title, promise = WAITING[view]
    if told.waiting is None:
        return section(title, html.P(["The promise ", html.Code(promise), " is not declared; it says what waits here."],
                                     className="empty"))  # fmt: skip
    tile, items = told.waiting
    return obligations.waiting(title, tile, items, now)


# --- one of them ----------------------------------------------------------------------------------------------------


def _one(desk: Desk, told: Answers, now: datetime) -> Page:
    one = told.one
    if one is None:
        lost = notice(
            "No such exception",
            html.P([html.Code(desk["id"]), " is neither open nor among the last that were decided. ",
                    link("To what is open", addresses.desk(desk.name))]),
        )  # fmt: skip
        return Page("No such exception", lost)
    body = html.Div(
        [
            html.Div(
                [
                    html.P([link("Exceptions", addresses.desk(desk.name)), html.Span(" / ", className="faint"),
                            said(one.kind)], className="crumbs"),
                    html.Div([html.H1(said(one.kind)), mark(SEVERITIES[one.severity])], className="title-row"),
                    html.P(one.detail, className="lead"),
                    _facts(one, now),
                ],
                className="page-head",
            ),
            _do(one) if one.state == "open" else None,
            _playbook(one),
            _history(told.history, now),
        ]
    )  # fmt: skip
    return Page(said(one.kind), body)


def _facts(one: CoreException, now: datetime) -> Component:
    transaction = link(about(one), addresses.transaction(one.correlation_id))
    return facts(
        [
            ("Worth", shown_money(one.worth) if one.amount_minor else ""),
            ("Owner", one.owner or "nobody"),
            ("With", one.assignee),
            ("Opened", moment(one.opened_at, now)),
            ("Age", wording.duration(one.age_seconds)),
            ("About", transaction if one.correlation_id.strip("0") else about(one)),
            ("Replayed", wording.count(one.replays, "time") if one.replays else ""),
            ("Resolved", [moment(one.resolved_at, now), f": {one.resolution}"] if one.resolved_at else ""),
        ],
        css="facts row",
    )


def _do(one: CoreException) -> Component:
    about = f"{said(one.kind)}: {one.detail}"
    offered = [*DEEDS, *([("Undo the document", "exceptions.compensate")] if one.kind in STOCK_KINDS else [])]
    buttons = [act_button(title, Act(deed=deed, about=about, ids=(one.exception_id,))) for title, deed in offered]  # type: ignore[arg-type]
    return html.Div(buttons, className="acts")


def _playbook(one: CoreException) -> Component:
    steps = [
        ("What it means", one.playbook.means),
        ("Do first", one.playbook.first),
        ("Is over by itself when", one.playbook.by_itself or "never: somebody has to resolve it"),
    ]
    return section("Playbook", facts(steps, css="facts playbook"))


def _history(records: Sequence[Record], now: datetime) -> Component:
    columns = [Column("When"), Column("Who"), Column("What"), Column("Why"), Column("For whom")]
    rows: list[list[Content]] = [
        [moment(one.at, now), one.by, one.action, one.reason, one.to or wording.DASH] for one in records
    ]
    return section("What was done", table("What was done about it, oldest first", columns, rows,
                                          empty="Nobody has done anything about it yet."))  # fmt: skip
