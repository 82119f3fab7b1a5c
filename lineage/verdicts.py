"""Judged rows to the items that people read."""

from datetime import datetime, timedelta

import msgspec

from lineage.model import SlaItem, Verdict
from lineage.rows import ItemRow, StretchRow, moment, moment_or_none, money
from lineage.slas import Sla


def of_row(sla: Sla, row: ItemRow, now: datetime) -> SlaItem:
    due_at, ended_at = moment(row.due_us), moment_or_none(row.end_us)
    late = max(0.0, ((ended_at or now) - due_at).total_seconds()) if row.verdict == "bad" else 0.0
    return SlaItem(
        sla=sla.name,
        entity=row.entity,
        entity_id=row.entity_id,
        correlation_id=row.correlation_id,
        verdict=msgspec.convert(row.verdict, Verdict),
        overdue=bool(row.overdue),
        started_at=moment(row.start_us),
        due_at=due_at,
        ended_at=ended_at,
        decided_at=moment_or_none(row.decided_us),
        late_seconds=late,
        channel=row.channel,
        location=row.location,
        provider=row.provider,
        kind=row.kind,
        owner=row.owner or sla.owner,
        amount=money(row.amount_minor, row.currency) if row.amount_minor else None,
        reason=row.reason,
        weight=row.weight,
    )


def of_stretch(sla: Sla, row: StretchRow) -> SlaItem:
    """A run of minutes as one item: it is due when the first of its minutes was, and has ended."""
    begin = moment(row.begin_minute * 60_000_000)
    end = begin + timedelta(minutes=row.counted)
    stale = row.counted - row.fresh
    lag = f"published {row.lag_us // 1_000_000} s behind its source" if row.lag_us > row.limit_us else ""
    silent = f"silent since {moment(row.life_us):%Y-%m-%d %H:%M:%S} UTC"
    return SlaItem(
        sla=sla.name,
        entity="feed",
        entity_id=f"{row.channel}/{row.location}/{row.feed}",
        correlation_id="",
        verdict="bad",
        overdue=False,
        started_at=begin,
        due_at=begin,
        ended_at=end,
        decided_at=begin,
        late_seconds=stale * 60.0,
        channel=row.channel,
        location=row.location,
        provider="",
        owner=sla.owner,
        amount=None,
        reason=f"{stale} of {row.counted} minutes: {lag or silent}",
    )
