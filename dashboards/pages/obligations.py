"""What is due and open: steps past their deadline, and what of a promise is on its way."""

from collections.abc import Iterable
from datetime import datetime

from dash import html
from dash.development.base_component import Component
from msgspec import structs

from dashboards import addresses, wording
from dashboards.elements import (
    Child,
    Column,
    Content,
    computed,
    link,
    mark,
    moment,
    monies,
    section,
    table,
)
from dashboards.elements import money as shown_money
from dashboards.wording import State
from lineage.brands import Brands
from lineage.model import Overdue, OverdueByOwner, OverdueItem, SlaItem, SlaItems, SlaTile, View


def where(item: OverdueItem | SlaItem) -> str:
    return " · ".join(part for part in (item.channel, item.location, item.provider) if part)


def of_place(found: Overdue, view: View, brands: Brands) -> Overdue:
    """What of it is of a brand, a channel and a location, summed up again; of more than is listed only that."""
    if not (view.channel or view.location or view.brand):
        return found
    mine = [one for one in found.items
            if view.channel in ("", one.channel) and view.location in ("", one.location)
            and view.brand in ("", brands.of(one.channel, one.location))]  # fmt: skip
    owners: dict[str, list[OverdueItem]] = {}
    for one in mine:
        owners.setdefault(one.owner, []).append(one)
    groups = tuple(
        OverdueByOwner(
            owner=owner, count=len(ones), at_risk=wording.added(one.amount for one in ones if one.amount),
            oldest_due_at=min(one.due_at for one in ones),
        )
        for owner, ones in owners.items()
    )  # fmt: skip
    return structs.replace(found, items=tuple(mine), by_owner=groups)


def overdue(found: Overdue, now: datetime, *, listed: int, owner: str = "") -> Component:
    groups = [
        html.Span([html.B(group.owner or "nobody"), f" {wording.count(group.count, 'item')} · ", monies(group.at_risk)])
        for group in found.by_owner
    ]
    columns = [Column("What"), Column("Overdue by", True), Column("Due", True), Column("Worth", True), Column("Owner"),
               Column("Where")]  # fmt: skip
    mine = [item for item in found.items if owner in ("", item.owner)]
    rows = [_overdue_row(item, now) for item in mine[:listed]]
    total = sum(group.count for group in found.by_owner if owner in ("", group.owner))
    rest = f"The {listed} oldest of {total:,} are listed." if total > listed else ""
    return section(
        "Overdue now",
        html.Div(groups, className="owners"),
        table("Obligations past their deadline and still open", columns, rows, empty="Nothing is overdue."),
        html.P(rest, className="more") if rest else None,
        computed(
            "Every step that a flow declares (lineage/flows.toml) is expected once the step before it was reached. It "
            "is listed from its deadline until it is reached or excused, with the amount of what it is a step of.",
            watermark=moment(found.as_of, now),
        ),
        note=["Oldest deadline first, as of ", moment(found.as_of, now)],
    )


def _overdue_row(item: OverdueItem, now: datetime) -> list[Content]:
    said = wording.sentence(item.title)
    title: Child = link(said, addresses.transaction(item.correlation_id)) if item.correlation_id else said
    reason = html.Div(item.reason, className="sub") if item.reason not in item.title else None
    return [
        [title, reason],
        wording.duration(item.overdue_seconds),
        moment(item.due_at, now),
        shown_money(item.amount),
        item.owner or "nobody",
        where(item) or wording.DASH,
    ]


def waiting(title: str, tile: SlaTile, items: SlaItems, now: datetime) -> Component:
    """What is open of a promise, first what is late."""
    columns = [Column("What"), Column("State"), Column("Due", True), Column("Worth", True), Column("Owner"),
               Column("Where")]  # fmt: skip
    rows = [_waiting_row(item, tile, now) for item in items.items]
    counts = _by_channel(items.items)
    channels = [html.Span([html.B(channel or "no channel"), f" {number:,}"]) for channel, number in counts]
    return section(
        title,
        html.Div(channels, className="owners"),
        table(title, columns, rows, empty=f"Nothing is on its way: all {tile.unit} are through."),
        html.P("There are more than are listed here.", className="more") if items.cut else None,
        computed(
            f"What has begun and not ended of the promise “{tile.title}”: {tile.description}",
            watermark=moment(tile.watermark, now) if tile.watermark else "none seen yet",
        ),
        note=link("The promise", addresses.promise(tile.name)),
    )


def _by_channel(items: Iterable[SlaItem]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item.channel] = counts.get(item.channel, 0) + 1
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _waiting_row(item: SlaItem, tile: SlaTile, now: datetime) -> list[Content]:
    name = wording.sentence(f"{item.entity.replace('_', ' ')} {item.entity_id}")
    title: Child = link(name, addresses.transaction(item.correlation_id)) if item.correlation_id else name
    late = State(f"{wording.duration(item.late_seconds)} late", "cross", "bad")
    return [
        [title, html.Div(item.reason, className="sub") if item.reason else None],
        mark(late if item.overdue else wording.VERDICTS[item.verdict]),
        moment(item.due_at, now),
        shown_money(item.amount),
        item.owner or tile.owner or "nobody",
        where(item) or wording.DASH,
    ]
