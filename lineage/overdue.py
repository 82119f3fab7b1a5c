"""What is past its deadline and still open: rows to obligations with an owner, a value and words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from lineage.flows import Step
from lineage.lines import total
from lineage.model import Money, Overdue, OverdueByOwner, OverdueItem
from lineage.rows import ItemRow, OverdueRow, OwnerRow, moment, money
from lineage.slas import Sla


def of_steps(
    steps: Mapping[str, Step], rows: Iterable[OverdueRow], slas: Sequence[Sla], now: datetime
) -> list[OverdueItem]:
    """``steps`` by the names that the rows have for what is waited for."""
    return [
        _item(
            row,
            now,
            flow=step.flow,
            step=step.name,
            title=f"{row.entity} {row.entity_id}: not yet {step.title.removeprefix(f'{row.entity} ')}",
            sla=counted_by(step, row, slas),
            owner=row.owner,
            reason="",
        )
        for row in rows
        for step in [steps[row.watch]]
    ]


def counted_by(step: Step, row: OverdueRow, slas: Sequence[Sla]) -> str:
    """The service level that waits for the same milestone of the same object; "" when none does."""
    for sla in slas:
        by_id = sla.end_id.replace("{id}", row.entity_id)
        same_object = sla.start == step.after and by_id == step.object_id(row.entity_id)
        if step.reached in sla.ends and same_object:
            return sla.name
    return ""


def of_sla(sla: Sla, rows: Iterable[ItemRow], now: datetime) -> list[OverdueItem]:
    words = f"not yet {sla.title.lower()}" if sla.kind == "interval" else ""
    return [
        _item(
            row,
            now,
            flow="",
            step=sla.kind,
            title=f"{row.entity} {row.entity_id}: {row.reason or words}",
            sla=sla.name,
            owner=row.owner or sla.owner,
            reason=row.reason,
        )
        for row in rows
    ]


def _item(
    row: ItemRow | OverdueRow, now: datetime, *, flow: str, step: str, title: str, sla: str, owner: str, reason: str
) -> OverdueItem:
    due_at = moment(row.due_us)
    return OverdueItem(
        flow=flow,
        step=step,
        title=title,
        entity=row.entity,
        entity_id=row.entity_id,
        correlation_id=row.correlation_id,
        sla=sla,
        since=moment(row.start_us),
        due_at=due_at,
        overdue_seconds=(now - due_at).total_seconds(),
        owner=owner,
        channel=row.channel,
        location=row.location,
        provider=row.provider,
        amount=money(row.amount_minor, row.currency) if row.amount_minor else None,
        reason=reason,
    )


def by_owner(rows: Iterable[ItemRow]) -> list[OwnerRow]:
    """What the store would sum up, when every item is at hand."""
    return [OwnerRow(row.owner, row.currency, 1, row.amount_minor, row.due_us) for row in rows]


def summed(items: Iterable[OverdueItem], owners: Iterable[tuple[str, OwnerRow]], now: datetime, most: int) -> Overdue:
    """``owners`` counts every item, also those beyond ``most``; the name beside a row is used when it has no owner."""
    by_owner: dict[str, list[OwnerRow]] = {}
    for fallback, row in owners:
        by_owner.setdefault(row.owner or fallback, []).append(row)
    summaries = [
        OverdueByOwner(
            owner=owner,
            count=sum(row.items for row in rows),
            at_risk=total(Money(row.amount_minor, row.currency) for row in rows if row.currency and row.amount_minor),
            oldest_due_at=moment(min(row.oldest_due_us for row in rows)),
        )
        for owner, rows in by_owner.items()
    ]
    ordered = sorted(items, key=lambda item: (item.due_at, item.entity, item.entity_id))
    everything = sum(summary.count for summary in summaries)
    return Overdue(
        as_of=now,
        items=tuple(ordered[:most]),
        by_owner=tuple(sorted(summaries, key=lambda summary: (-summary.count, summary.owner))),
        cut=everything > min(len(ordered), most),
    )
