"""Do the systems agree with each other, day by day, and what keeps the month from being closed?"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.acts import Act
from dashboards.addresses import Desk
from dashboards.answers import OpenSide, Period, PeriodStatus, Statement
from dashboards.elements import (
    Child,
    Choice,
    Column,
    Content,
    Page,
    act_button,
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
from dashboards.remote import RefusedError, Remote
from dashboards.wording import State
from lineage.model import Money, SlaTile
from lineage.queries import text
from lineage.reconciliation import Cell, Entry, Sum

DAYS: Final = 14
ACCOUNTS: Final = 12
LISTED: Final = 100
SIDES: Final = 1000
PROMISED: Final = ("reconciliation_variance", "settlement_to_erp", "reconciliation_backlog")

LEVELS: Final[dict[str, tuple[str, str, str]]] = {
    "L0": ("Control totals", "what channels and providers state", "what came"),
    "L1": ("Documents to journal", "documents", "our journal"),
    "L2": ("Journal to ERP", "our journal", "the ERP"),
    "L3": ("Clearing to settlements", "clearing accounts", "settlements"),
    "L4": ("In transit to bank", "payouts and cash", "the bank"),
    "L5": ("Stock and returns owed", "what is there and owed", "their accounts"),
}
"""Of each level: its name and its two sides."""

EXPLANATIONS: Final = (
    ("timing", "Timing"), ("fees", "Fees"), ("tax", "Tax"), ("rounding", "Rounding"), ("known", "Known exceptions"),
)  # fmt: skip
PERIOD_STATES: Final = {
    "open": State("Open", "ring", "quiet"),
    "closing": State("Closing: only finance posts", "clock", "warn"),
    "closed": State("Closed", "check", "good"),
}


class Answers(Struct, frozen=True, kw_only=True):
    tiles: tuple[SlaTile, ...]
    sums: list[Sum]
    cells: list[Cell]
    entries: list[Entry]
    statements: list[Statement]
    periods: list[Period]
    period: PeriodStatus | None


def ask(desk: Desk, lineage: Reader, core: Remote, plane: Remote, now: datetime) -> Answers:
    tiles = {tile.name: tile for tile in lineage.tiles()}
    until = _day(desk["until"]) or now.date()
    since = until - timedelta(days=DAYS - 1)
    asked = {"since": since.isoformat(), "until": until.isoformat()}
    chosen = {"level": desk["level"], "provider": desk["provider"], "currency": desk["currency"], "limit": LISTED}
    day = _day(desk["day"])
    one_day = day.isoformat() if day else ""
    asked_cells = {"since": one_day, "until": one_day} if day else asked | {"unexplained": "true"}
    periods = core.get("/v1/periods", list[Period], limit=24)
    return Answers(
        tiles=tuple(tiles[name] for name in PROMISED if name in tiles),
        sums=plane.get("/v1/reconciliation/sums", list[Sum], **asked),
        cells=plane.get("/v1/reconciliation", list[Cell], **asked_cells, **chosen),
        entries=plane.get(
            "/v1/reconciliation/entries", list[Entry], why="" if day else "unexplained",
            **{name: value for name, value in asked_cells.items() if name != "unexplained"}, **chosen,
        ),
        statements=_statements(core),
        periods=periods,
        period=_period(desk, core, periods),
    )  # fmt: skip


def _statements(core: Remote) -> list[Statement]:
    """Of the accounts on which something is open, those with most of it first."""
    counts: dict[str, int] = {}
    for one in core.get("/v1/settlements/open", list[OpenSide], limit=SIDES):
        counts[one.account] = counts.get(one.account, 0) + 1
    accounts = sorted(counts, key=lambda name: (-counts[name], name))[:ACCOUNTS]
    return [core.get("/v1/statement", Statement, account=name, limit=1) for name in accounts]


def _period(desk: Desk, core: Remote, periods: Sequence[Period]) -> PeriodStatus | None:
    wanted = desk["period"] or next((one.period for one in periods if one.state != "closed"), "")
    known = next((one for one in periods if one.period == wanted), None)
    if known is None:
        return None
    try:
        return core.get(f"/v1/periods/{known.period}", PeriodStatus, legal_entity=known.legal_entity)
    except RefusedError:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    currencies = sorted({one.currency for one in told.sums})
    currency = desk["currency"] if desk["currency"] in currencies else _most_used(told.sums)
    shown = [one for one in told.sums if one.currency == currency]
    body = html.Div(
        [
            html.Div(
                [html.H1("Reconciliation and close"), html.P(summary(told.sums), className="lead")],
                className="page-head",
            ),
            html.Div([promises.tile_card(tile, now) for tile in told.tiles], className="tiles"),
            _currencies(desk, currencies, currency),
            _days(desk, shown, now),
            _bridges(shown, currency),
            _details(desk, told),
            _providers(desk, shown),
            _clearing(told.statements),
            _close(desk, told.periods, told.period, now),
        ]
    )
    return Page("Reconciliation", body)


def _most_used(sums: Iterable[Sum]) -> str:
    counts: dict[str, int] = {}
    for one in sums:
        counts[one.currency] = counts.get(one.currency, 0) + one.cells
    return max(counts, key=lambda name: counts[name], default="")


def summary(sums: Sequence[Sum]) -> str:
    """ "2 of 481 comparisons of the last 14 days differ without an explanation, by £13.20." """
    cells, off = sum(one.cells for one in sums), sum(one.off for one in sums)
    span = f"of the last {DAYS} days"
    if not cells:
        return f"Nothing {span} has been reconciled yet. A day is reconciled once it is over."
    if not off:
        return f"All {cells:,} comparisons {span} agree, or their difference is explained."
    by = wording.monies(wording.added(Money(one.off_minor, one.currency) for one in sums))
    return f"{off:,} of {cells:,} comparisons {span} differ without an explanation, by {by}."


def _currencies(desk: Desk, currencies: Sequence[str], chosen: str) -> Component | None:
    if len(currencies) < 2:
        return None
    return choices("Currency", [Choice(name, desk.but(currency=name), name == chosen) for name in currencies])


def _per(sums: Iterable[Sum], key: Callable[[Sum], tuple[object, ...]]) -> dict[tuple[object, ...], list[Sum]]:
    grouped: dict[tuple[object, ...], list[Sum]] = {}
    for one in sums:
        grouped.setdefault(key(one), []).append(one)
    return grouped


def _days(desk: Desk, sums: Sequence[Sum], now: datetime) -> Component:
    days = sorted({one.business_date for one in sums})
    cells = _per(sums, lambda one: (one.level, one.business_date))
    head = html.Tr([html.Th("Level", scope="col"), *[html.Th(_short(day), scope="col") for day in days]])
    rows = [
        html.Tr([html.Th(html.Span(LEVELS[level][0], title=f"{LEVELS[level][1]} against {LEVELS[level][2]}"),
                         scope="row"),
                 *(html.Td(_standing(desk, level, day, cells.get((level, day), []))) for day in days)])
        for level in LEVELS
    ]  # fmt: skip
    latest = max((one.reconciled_at for one in sums), default=None)
    grid = html.Table([html.Caption("How each level of each day stands", className="unseen"), html.Thead(head),
                       html.Tbody(rows)], className="heat")  # fmt: skip
    drawn = html.Div(grid, className="table-frame slim", role="region", tabIndex="0", **aria(label="Days by level"))
    return section(
        "Day by day",
        drawn if days else html.P("No day has been reconciled yet. It happens when a day is over.", className="empty"),
        computed(
            "Each day is compared at six levels when it is over, and again when late facts come: the last run counts. "
            "A difference is timing, a fee, a tax, rounding or a known exception; the rest is unexplained.",
            sql=text("recon_sums"),
            watermark=moment(latest, now) if latest else "none yet",
        ),
        note=_turning(desk, days),
    )


def _turning(desk: Desk, days: Sequence[date]) -> Component | None:
    if not days:
        return None
    earlier = (days[0] - timedelta(days=1)).isoformat()
    latest: list[Child] = [" · ", link("Latest", desk.but(until="", day=""))] if desk["until"] else []
    return html.Span([link("Earlier", desk.but(until=earlier, day="")), *latest])


def _short(day: date) -> str:
    return f"{day.day} {day:%b}"


def _standing(desk: Desk, level: str, day: date, sums: Sequence[Sum]) -> Component:
    if not sums:
        return html.Span("–", className="cell tone-unknown", title="not compared")  # noqa: RUF001 [a dash is meant]
    off = sum(one.off for one in sums)
    worth = wording.monies(wording.added(Money(one.off_minor, one.currency) for one in sums))
    said = f"{worth} unexplained in {wording.count(off, 'comparison')}" if off else "agrees"
    face: list[Child] = [icon("cross"), worth] if off else [icon("check")]
    tone = "bad" if off else "good"
    where = desk.but(day=day.isoformat(), level=level)
    return html.A(
        [*face, html.Span(f"{LEVELS[level][0]}, {_short(day)}: {said}", className="unseen")],
        href=where, className=f"cell tone-{tone}", title=said,
    )  # fmt: skip


def _bridges(sums: Sequence[Sum], currency: str) -> Component | None:
    """From each level's one side to its other, step by step."""
    levels = _per(sums, lambda one: (one.level,))
    drawn = [_bridge(level, levels[level,], currency) for level in LEVELS if (level,) in levels]
    if not drawn:
        return None
    return section(
        "From operations to ledger to cash", html.Div(drawn, className="bridges"),
        note=f"The days above, {currency}",
    )  # fmt: skip


def _bridge(level: str, sums: Sequence[Sum], currency: str) -> Component:
    name, left, right = LEVELS[level]
    steps = [(wording.sentence(left), sum(one.left_minor for one in sums), "whole")]
    for column, title in EXPLANATIONS:
        amount = sum(getattr(one, f"{column}_minor") for one in sums)
        steps += [(title, -amount, "explained")] if amount else []
    unexplained = sum(one.unexplained_minor for one in sums)
    steps.append(("Unexplained", -unexplained, "bad" if any(one.off for one in sums) else "none"))
    steps.append((wording.sentence(right), sum(one.right_minor for one in sums), "whole"))
    return html.Article([html.H3(name), html.Ul(list(_bars(steps, currency)), className="bridge")])


def _bars(steps: Sequence[tuple[str, int, str]], currency: str) -> Iterable[Component]:
    """A whole begins at zero; a step begins where the one before it ended."""
    ends, at = [0], 0
    for _, amount, tone in steps:
        at = amount if tone == "whole" else at + amount
        ends.append(at)
    low, high = min(ends), max(ends)
    spread = (high - low) or 1
    before = 0
    for title, amount, tone in steps:
        begins = 0 if tone == "whole" else before
        after = amount if tone == "whole" else before + amount
        start, width = (min(begins, after) - low) / spread, abs(after - begins) / spread
        before = after
        yield html.Li(
            [
                html.Span(title, className="bridge-name"),
                html.Span(
                    html.Span(className=f"bridge-bar {tone}",
                              style={"left": f"{100 * start:.2f}%", "width": f"{max(100 * width, 0.4):.2f}%"}),
                    className="bridge-track", **aria(hidden="true"),
                ),
                html.Span(_signed(Money(amount, currency), tone), className="figure"),
            ],
            className=tone,
        )  # fmt: skip


def _signed(amount: Money, tone: str) -> str:
    said = wording.money(amount) if amount.amount_minor else "none"
    return f"+{said}" if tone != "whole" and amount.amount_minor > 0 else said


def _details(desk: Desk, told: Answers) -> Component:
    day = _day(desk["day"])
    named = [LEVELS[desk["level"]][0]] if desk["level"] in LEVELS else []
    named += [_short(day)] if day else []
    named += [desk["provider"]] if desk["provider"] else []
    title = ", ".join(named) if named else "What nothing explains"
    columns = [Column("What"), Column("Day"), Column("One side", True), Column("Other side", True),
               Column("Explained", True), Column("Unexplained", True)]  # fmt: skip
    rows = [_cell_row(one) for one in told.cells]
    entries = [_entry_row(one) for one in told.entries]
    entry_columns = [Column("Transaction"), Column("Level"), Column("Day"), Column("Amount", True), Column("Why"),
                     Column("Where")]  # fmt: skip
    return section(
        title,
        table(f"{title}: comparisons", columns, rows,
              empty="Nothing was compared there." if day else "Every difference has its explanation."),
        html.H3("Transactions") if entries else None,
        table(f"{title}: transactions", entry_columns, entries) if entries else None,
        html.P(f"The first {LISTED} are listed.", className="more") if max(len(rows), len(entries)) == LISTED else None,
        note=link("All days", desk.but(day="", level="", provider="")) if named else None,
    )  # fmt: skip


def _cell_row(one: Cell) -> list[Content]:
    what = " · ".join(part for part in (one.kind, one.channel, one.provider, one.location, one.legal_entity) if part)
    explained = one.timing_minor + one.fees_minor + one.tax_minor + one.rounding_minor + one.known_minor
    state = State("none", "check", "good")
    return [
        [wording.sentence(what), html.Div(LEVELS.get(one.level, (one.level,))[0], className="sub")],
        _short(one.business_date),
        shown_money(Money(one.left_minor, one.currency)),
        shown_money(Money(one.right_minor, one.currency)),
        shown_money(Money(explained, one.currency)) if explained else wording.DASH,
        shown_money(Money(one.unexplained_minor, one.currency)) if one.unexplained_minor else mark(state),
    ]


def _entry_row(one: Entry) -> list[Content]:
    name = f"{one.entity.replace('_', ' ')} {one.entity_id}"
    title = link(name, addresses.transaction(one.correlation_id)) if one.correlation_id.strip("0") else name
    where = " · ".join(part for part in (one.channel, one.provider, one.location) if part)
    return [
        title,
        LEVELS.get(one.level, (one.level,))[0],
        _short(one.business_date),
        shown_money(Money(one.amount_minor, one.currency)),
        wording.plain(one.cause or one.why),
        where or wording.DASH,
    ]


def _providers(desk: Desk, sums: Sequence[Sum]) -> Component:
    grouped = _per([one for one in sums if one.provider], lambda one: (one.provider, one.level))
    columns = [Column("Provider"), Column("Level"), Column("Comparisons", True), Column("Differ", True),
               Column("Fees and timing", True), Column("Unexplained", True)]  # fmt: skip
    rows: list[list[Content]] = []
    for (provider, level), ones in sorted(grouped.items(), key=lambda item: -sum(one.off_minor for one in item[1])):
        currency, off = ones[0].currency, sum(one.off for one in ones)
        explained = sum(one.timing_minor + one.fees_minor + one.known_minor for one in ones)
        rows.append(
            [
                link(str(provider), desk.but(provider=str(provider), level=str(level), day="")),
                LEVELS[str(level)][0],
                f"{sum(one.cells for one in ones):,}",
                mark(State(f"{off:,}", "cross", "bad")) if off else mark(State("none", "check", "good")),
                shown_money(Money(explained, currency)) if explained else wording.DASH,
                shown_money(Money(sum(one.off_minor for one in ones), currency)) if off else wording.DASH,
            ]
        )
    return section(
        "By payment provider",
        table("Mismatches by payment provider, the largest first", columns, rows,
              empty="No settlement of a provider has come for these days. Send one: PUT /v1/files/<connector>/<name>."),
        note="Largest mismatch first",
    )  # fmt: skip


def _clearing(statements: Sequence[Statement]) -> Component:
    columns = [Column("Account"), Column("Open", True), Column("Lines", True), Column("To 7 days", True),
               Column("To 30 days", True), Column("To 90 days", True), Column("Older", True)]  # fmt: skip
    rows: list[list[Content]] = [
        [
            html.Code(statement.account), shown_money(Money(one.open_minor, one.currency)), f"{one.lines:,}",
            *[shown_money(Money(minor, one.currency)) if minor else wording.DASH
              for minor in (one.to_7_days_minor, one.to_30_days_minor, one.to_90_days_minor, one.older_minor)],
        ]
        for statement in statements
        for one in statement.totals
        if one.lines
    ]  # fmt: skip
    return section(
        "Clearing accounts by age",
        table("What is open on clearing accounts, by age", columns, rows, empty="Nothing is open on them."),
        computed(
            "What customers paid stands on the clearing account of its provider until a settlement says that it is "
            "paid out. Its age counts from its business day. Query statement_ages in sync_core/sql/books.sql, asked of "
            "the sync core (GET /v1/statement) each time the page is shown."
        ),
        note="What is not settled yet",
    )


def _close(desk: Desk, periods: Sequence[Period], told: PeriodStatus | None, now: datetime) -> Component:
    if told is None:
        return section("Close", html.P("No month has entries yet.", className="empty"))
    months = [Choice(one.period, desk.but(period=one.period), one.period == told.period) for one in periods]
    left = [point for point in told.points if point.count]
    rows: list[list[Content]] = [
        [wording.sentence(point.name), mark(State("done", "check", "good") if not point.count
                                           else State(f"{point.count:,} left", "warning", "warn")),
         ", ".join(f"{what} {wording.money(Money(minor, code))}" if code else what
                   for what, minor, code in point.largest[:3])]
        for point in told.points
    ]  # fmt: skip
    record: list[list[Content]] = [[moment(one.at, now), one.by, one.action, one.reason] for one in told.record]
    closed = f"Closed {told.days_to_close} days after its end." if told.days_to_close is not None else ""
    open_points = (
        f"{wording.count(len(left), 'thing')} to do before it is closed." if left else "Nothing is in the way."
    )
    return section(
        f"Close {told.period}",
        choices("Months", months) if len(months) > 1 else None,
        html.P([mark(PERIOD_STATES[told.state]), " ", closed or open_points], className="standing"),
        table("Close checklist", [Column("To do"), Column("State"), Column("The largest")], rows, slim=True)
        if rows else None,
        html.Div(_period_acts(told), className="acts"),
        table("Who did what to it", [Column("When"), Column("Who"), Column("What"), Column("Why")], record)
        if record else None,
        note=told.legal_entity,
    )  # fmt: skip


def _period_acts(told: PeriodStatus) -> list[Component]:
    where = {"period": told.period, "legal_entity": told.legal_entity}
    about = f"{told.period} of {told.legal_entity}"
    offered = {
        "open": [("Begin to close", "periods.begin"), ("Close", "periods.close")],
        "closing": [("Close", "periods.close"), ("Reopen", "periods.reopen")],
        "closed": [("Reopen", "periods.reopen")],
    }[told.state]
    return [act_button(title, Act(deed=deed, about=about, where=where)) for title, deed in offered]  # type: ignore[arg-type]
