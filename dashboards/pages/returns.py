"""How fast do goods and money come back, and what is stuck on the way?"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from dash import html
from dash.development.base_component import Component
from msgspec import Struct

from dashboards import addresses, wording
from dashboards.addresses import Desk
from dashboards.answers import Refund, Return
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
from dashboards.elements import money as shown_money
from dashboards.pages import promises
from dashboards.pages.promise import place
from dashboards.reader import Reader
from dashboards.remote import Remote
from dashboards.wording import State
from lineage.model import Money, Segment, SlaDetail, SlaItem, SlaItems, SlaTile
from lineage.operations import ReturnStep
from lineage.queries import Filter, text

READ: Final = 1000
DAYS: Final = ("28", "90", "365")
LISTED: Final = 50
EXCEPTIONS: Final = "refund_exception_rate"
PROMISED: Final = ("return_cycle", "return_closure", "refund_to_ledger", EXCEPTIONS)
STAGES: Final = ("initiation", "physical receipt", "inspection and disposition", "refund and settlement", "ended")
OPEN: Final = STAGES[:-1]
AGES: Final = (
    (timedelta(days=1), "under 1 day"), (timedelta(days=3), "1 to 3 days"), (timedelta(days=7), "3 to 7 days"),
    (timedelta(days=14), "7 to 14 days"), (timedelta.max, "over 14 days"),
)  # fmt: skip
STEPS: Final = {
    "authorised": "Requested to authorised", "received": "Authorised to received", "inspected": "Received to inspected",
    "refunded": "Received to refunded", "closed": "Beginning to end",
}  # fmt: skip


class Answers(Struct, frozen=True, kw_only=True):
    tiles: tuple[SlaTile, ...]
    returns: list[Return]
    refunds: list[Refund]
    steps: list[ReturnStep]
    rate: tuple[SlaDetail, SlaItems] | None  # of refunds without exception, and those that had one


def ask(desk: Desk, lineage: Reader, core: Remote, plane: Remote) -> Answers:
    tiles = {tile.name: tile for tile in lineage.tiles()}
    return Answers(
        tiles=tuple(tiles[name] for name in PROMISED if name in tiles),
        returns=core.get("/v1/returns", list[Return], limit=READ),
        refunds=core.get("/v1/refunds", list[Refund], limit=READ),
        steps=plane.get("/v1/return-steps", list[ReturnStep], days=_days(desk)),
        rate=_rate(desk, lineage),
    )


def _rate(desk: Desk, lineage: Reader) -> tuple[SlaDetail, SlaItems] | None:
    wanted = Filter(verdicts=("bad",), channel=desk["channel"], most=LISTED)
    detail, items = lineage.sla(EXCEPTIONS), lineage.items(EXCEPTIONS, wanted)
    return (detail, items) if detail and items else None


def _days(desk: Desk) -> str:
    return desk["days"] if desk["days"] in DAYS else DAYS[0]


def page(desk: Desk, told: Answers, now: datetime) -> Page:
    shown = [one for one in told.returns if desk["channel"] in ("", one.channel)]
    body = html.Div(
        [
            html.Div(
                [html.H1("Returns and refunds"), html.P(summary(told, now), className="lead")], className="page-head"
            ),
            _channels(desk, told.returns),
            html.Div([promises.tile_card(tile, now) for tile in told.tiles], className="tiles four"),
            _steps(desk, told.steps),
            _ageing(desk, shown, now),
            _open(desk, shown, now),
            _dispositions(shown),
            _exceptions(told.rate, now) if told.rate else None,
            _refunds(told.refunds, now),
        ]
    )
    return Page("Returns", body)


def summary(told: Answers, now: datetime) -> str:
    opened = [one for one in told.returns if one.stage in OPEN]
    owed = wording.added(Money(max(0, one.approved_minor - one.refunded_minor), one.currency) for one in opened)
    if not told.returns and not told.steps:
        return "No return has been seen yet."
    if not opened:
        return "No return is under way; what came back has been dealt with."
    oldest = wording.age(min(one.opened_at for one in opened), now)
    return (
        f"{wording.count(len(opened), 'return')} under way, the oldest for {oldest}; "
        f"{wording.monies(owed)} approved and not yet refunded."
    )


def _channels(desk: Desk, returns: Iterable[Return]) -> Component | None:
    counts: dict[str, int] = {}
    for one in returns:
        counts[one.channel] = counts.get(one.channel, 0) + 1
    if len(counts) < 2:
        return None
    every = Choice("Any channel", desk.but(channel=""), not desk["channel"])
    named = [Choice(name or "no channel", desk.but(channel=name), desk["channel"] == name, f"{number:,}")
             for name, number in sorted(counts.items())]  # fmt: skip
    return html.Div(choices("By channel", [every, *named]), className="filters")


def _steps(desk: Desk, steps: Sequence[ReturnStep]) -> Component:
    shown = [one for one in steps if desk["channel"] in ("", one.channel)]
    longest = max((one.most_seconds for one in shown), default=0) or 1
    columns = [Column("Step"), Column("Channel"), Column("Returns", True), Column("Half within", True),
               Column("95 of 100 within", True), Column("Beside the slowest")]  # fmt: skip
    rows: list[list[Content]] = [
        [STEPS[one.step], one.channel or wording.DASH, f"{one.returns:,}", wording.duration(one.half_seconds),
         wording.duration(one.most_seconds),
         meter(one.most_seconds / longest, f"{wording.duration(one.most_seconds)}", "quiet")]
        for one in sorted(shown, key=lambda one: (tuple(STEPS).index(one.step), one.channel))
    ]  # fmt: skip
    spans = [Choice(f"{days} days", desk.but(days=days), days == _days(desk)) for days in DAYS]
    return section(
        "Cycle time by stage",
        choices("How far back", spans),
        table("How long returns take from step to step", columns, rows,
              empty="No return that began in these days has come from one step to the next."),
        computed("Of each return that began in these days the time between the first times that it reached two "
                 "steps. Half of them took at most the first figure, 95 of 100 at most the second.",
                 sql=text("return_stages")),
        note=f"The last {_days(desk)} days",
    )  # fmt: skip


def _ageing(desk: Desk, returns: Sequence[Return], now: datetime) -> Component:
    columns = [Column("Stage"), *[Column(wording.sentence(title), True) for _, title in AGES], Column("Approved", True)]
    rows: list[list[Content]] = []
    for stage in OPEN:
        mine = [one for one in returns if one.stage == stage]
        worth = wording.added(Money(one.approved_minor, one.currency) for one in mine)
        counts = [sum(low <= now - one.opened_at < high for one in mine) for low, high in _bounds()]
        rows.append([link(wording.sentence(stage), desk.but(stage=stage)),
                     *[f"{number:,}" if number else wording.DASH for number in counts],
                     wording.monies(worth) if worth else wording.DASH])  # fmt: skip
    return section(
        "Returns under way by age",
        table("Returns by stage and age", columns, rows if any(one.stage in OPEN for one in returns) else [],
              empty="No return is under way."),
        computed(f"The last {READ:,} returns as the sync core has them now (GET /v1/returns), by the time since they "
                 "were opened."),
        note="Since they were opened",
    )  # fmt: skip


def _bounds() -> list[tuple[timedelta, timedelta]]:
    limits = [high for high, _ in AGES]
    return list(zip([timedelta.min, *limits[:-1]], limits, strict=True))


def _open(desk: Desk, returns: Sequence[Return], now: datetime) -> Component:
    stages = [desk["stage"]] if desk["stage"] in OPEN else list(OPEN)
    mine = sorted((one for one in returns if one.stage in stages), key=lambda one: one.opened_at)
    columns = [Column("Return"), Column("Stage"), Column("Age", True), Column("Approved", True),
               Column("Refunded", True), Column("Channel")]  # fmt: skip
    rows: list[list[Content]] = [
        [[link(f"Return {one.return_id}", addresses.transaction(one.correlation_id)),
          html.Div(one.reason, className="sub") if one.reason else None],
         wording.sentence(one.stage), wording.age(one.opened_at, now),
         shown_money(Money(one.approved_minor, one.currency)) if one.approved_minor else wording.DASH,
         shown_money(Money(one.refunded_minor, one.currency)) if one.refunded_minor else wording.DASH,
         one.channel or wording.DASH]
        for one in mine[:LISTED]
    ]  # fmt: skip
    every = [Choice(f"Only {desk['stage']}", desk.but(stage=""), True)] if desk["stage"] in OPEN else []
    return section(
        "The oldest under way",
        choices("Stage", every) if every else None,
        table("Returns under way, the oldest first", columns, rows, empty="No return is under way."),
        html.P(f"The {LISTED} oldest of {len(mine):,} are listed.", className="more") if len(mine) > LISTED else None,
        note="Oldest first",
    )


def _dispositions(returns: Sequence[Return]) -> Component:
    units: dict[str, int] = {}
    for one in returns:
        for line in one.lines:
            for name, number in line.disposed.items():
                units[name] = units.get(name, 0) + number
            for name, number in (("not inspected yet", line.uninspected), ("rejected", line.rejected)):
                units[name] = units.get(name, 0) + number
    total = sum(units.values()) or 1
    rows: list[list[Content]] = [
        [wording.sentence(name), wording.quantity(number), f"{100 * number / total:.0f}%",
         meter(number / total, f"{100 * number / total:.0f}%", "quiet")]
        for name, number in sorted(units.items(), key=lambda item: -item[1]) if number
    ]  # fmt: skip
    columns = [Column("What became of them"), Column("Units", True), Column("Share", True), Column("Of all")]
    return section("Dispositions", table("Units that came back, by what became of them", columns, rows,
                                         empty="No unit that came back has been dealt with yet."),
                   note=f"Of the last {READ:,} returns")  # fmt: skip


def _exceptions(rate: tuple[SlaDetail, SlaItems], now: datetime) -> Component:
    detail, items = rate
    columns = [Column("Where"), Column("Refunds", True), Column("With an exception", True), Column("Rate", True),
               Column("Too new to say", True)]  # fmt: skip
    whole = ("Everywhere", detail.tile.good, detail.tile.bad, detail.tile.pending)
    parts = [
        (f"{place(one)} (provider)" if one.provider else place(one), one.good, one.bad, one.pending)
        for one in sorted(detail.segments, key=_by_bad)
    ]
    had = [Column("Refund"), Column("Since", True), Column("Worth", True), Column("Why"), Column("Where")]
    return section(
        "Refunds with an exception",
        table("Refund exception rate by channel and provider", columns, [_rate_row(*one) for one in (whole, *parts)]),
        html.H3("Which they are") if items.items else None,
        table("Refunds with an exception, the latest first", had, [_had(one, now) for one in items.items])
        if items.items
        else None,
        computed(f"{detail.tile.description} {detail.rule}",
                 watermark=moment(detail.tile.watermark, now) if detail.tile.watermark else "none seen yet"),
        note=link("The promise", addresses.promise(EXCEPTIONS)),
    )  # fmt: skip


def _by_bad(one: Segment) -> tuple[int, str]:
    return -one.bad, place(one)


def _rate_row(where: str, good: int, bad: int, pending: int) -> list[Content]:
    decided = good + bad
    return [
        where,
        f"{decided:,}",
        mark(State(f"{bad:,}", "cross", "bad")) if bad else wording.DASH,
        wording.part(bad, decided),
        f"{pending:,}" if pending else wording.DASH,
    ]


def _had(one: SlaItem, now: datetime) -> list[Content]:
    return [
        link(f"Refund {one.entity_id}", addresses.transaction(one.correlation_id)),
        moment(one.decided_at, now),
        shown_money(one.amount),
        wording.sentence(one.reason) or wording.DASH,
        place(one) or wording.DASH,
    ]


REFUND_STATES: Final = {
    "instructed": State("To be paid", "clock", "warn"),
    "failed": State("Failed", "cross", "bad"),
    "issued": State("Paid", "check", "good"),
}


def _refunds(refunds: Sequence[Refund], now: datetime) -> Component:
    due = [one for one in refunds if one.state != "issued"]
    columns = [Column("Refund"), Column("State"), Column("Amount", True), Column("Provider"), Column("Since", True)]
    rows: list[list[Content]] = [
        [link(f"Refund {one.refund_id}", addresses.transaction(one.return_id)),
         mark(REFUND_STATES.get(one.state, State(one.state, "ring", "quiet"))),
         shown_money(Money(one.amount_minor + one.tax_minor, one.currency)), one.provider or wording.DASH,
         moment(one.instructed_at, now)]
        for one in due[:LISTED]
    ]  # fmt: skip
    waiting = addresses.desk("exceptions", view="refunds")
    return section(
        "Refunds that are not paid",
        table("Refunds that are not paid", columns, rows, empty="Every refund that was instructed is paid."),
        note=link("Refunds that are not in the books", waiting),
    )
