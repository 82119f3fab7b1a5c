"""What is wrong over all transactions, and how far a failing hop or a late feed reaches: rows to answers."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from lineage.deadlines import Calendar
from lineage.expectation import expected
from lineage.findings import findings
from lineage.hops import fold
from lineage.milestones import arrivals
from lineage.model import BlastRadius, HeldUp, Money, Share, Troubled
from lineage.rows import FeedRow, HeldLinesRow, ShareRow, SpanRow, TroubleRow, moment, money
from lineage.standing import Standings


class Wanted(Struct, frozen=True, kw_only=True):
    """Which troubles to list; "" = all."""

    kind: str = ""
    owner: str = ""
    hop: str = ""
    stage: str = ""
    channel: str = ""
    location: str = ""
    days: int = 30
    most: int = 100

    def may_be(self, *kinds: str) -> bool:
        return not self.kind or self.kind in kinds

    def takes(self, one: Troubled) -> bool:
        told = one.finding
        asked = ((self.kind, told.kind), (self.owner, told.owner), (self.hop, told.hop), (self.stage, told.stage),
                 (self.channel, one.channel), (self.location, one.location))  # fmt: skip
        return all(not want or want == is_ for want, is_ in asked)


def of_transaction(
    spans: Sequence[SpanRow], standings: Standings, calendar: Calendar, now: datetime
) -> Iterator[Troubled]:
    """What the journey of the transaction would say is wrong."""
    hops = fold(spans, standings.titles)
    reached = arrivals(hops, {span.span_id: span for span in spans})
    awaited = expected(reached, standings.flows, calendar, now)
    for finding in findings(hops, reached, awaited, standings.flows, now):
        yield Troubled(
            correlation_id=spans[0].correlation_id,
            channel=next((hop.channel for hop in hops if hop.channel), ""),
            location=next((hop.location for hop in hops if hop.location), ""),
            finding=finding,
        )


def blast(
    subject: str,
    stage: str,
    now: datetime,
    shares: Sequence[ShareRow],
    lines: HeldLinesRow,
    oldest: Iterable[TroubleRow],
) -> BlastRadius:
    whole = next((row for row in shares if not row.by), None)
    return BlastRadius(
        subject=subject,
        stage=stage,
        as_of=now,
        since=moment(whole.since_us) if whole else None,
        transactions=whole.transactions if whole else 0,
        orders=lines.orders,
        customers=lines.customers,
        skus=lines.skus,
        sku_count=lines.sku_count,
        amounts=_amounts(whole.amounts) if whole else (),
        channels=_shares("channel", shares),
        locations=_shares("location", shares),
        owners=_shares("owner", shares),
        causes={row.name: row.objects for row in shares if row.by == "cause" and row.name},
        oldest=tuple(map(_held, oldest)),
    )


def _held(row: TroubleRow) -> HeldUp:
    return HeldUp(
        correlation_id=row.correlation_id,
        entity=row.entity,
        entity_id=row.entity_id,
        channel=row.channel,
        location=row.location,
        owner=row.owner,
        amount=_worth(row.amount_minor, row.currency),
        since=moment(row.since_us),
        cause=row.reason,
    )


def feed_stage(feeds: Sequence[FeedRow]) -> str:
    """Where a feed is late: at its source when we published all that the source told, else on the way through us."""
    return "queue" if any(feed.published_us < feed.source_us for feed in feeds) else "source"


def _shares(by: str, rows: Iterable[ShareRow]) -> tuple[Share, ...]:
    return tuple(
        Share(name=row.name, transactions=row.transactions, amounts=_amounts(row.amounts))
        for row in rows
        if row.by == by and row.name
    )


def _amounts(by_currency: dict[str, int]) -> tuple[Money, ...]:
    return tuple(Money(minor, currency) for currency, minor in sorted(by_currency.items()) if currency and minor)


def _worth(amount_minor: int, currency: str) -> Money | None:
    return money(amount_minor, currency) if amount_minor else None
