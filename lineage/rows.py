"""Rows as the store returns them, in the order of the columns of the queries in sql/.

Times are microseconds since the epoch (0 = none), identities are lower-case hex.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from msgspec import Struct

from lineage.model import Money

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def moment_or_none(micros: int) -> datetime | None:
    return moment(micros) if micros else None


def micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def money(amount_minor: int, currency: str) -> Money | None:
    """None when no currency was told: the amount column is then an unset 0."""
    return Money(amount_minor, currency) if currency else None


class ArrivalRow(NamedTuple):
    fact: str  # ``<entity>.<milestone>``, or the name of a table
    arrived: int
    newest_us: int


class EventRow(NamedTuple):
    at_us: int
    name: str
    attrs: dict[str, str]


class SpanRow(NamedTuple):
    correlation_id: str
    span_id: str
    trace_id: str
    name: str
    start_us: int
    end_us: int
    status_code: int
    status_message: str
    service: str
    origin: str
    domain: str
    hop: str
    stage: str
    outcome: str
    attempt: int
    reason: str
    entity: str
    entity_id: str
    milestone: str
    occurred_us: int
    due_us: int
    channel: str
    location: str
    provider: str
    system: str
    quantity: int
    amount_minor: int
    currency: str
    owner: str
    customer_ref: str
    source: str
    keys: dict[str, str]
    attrs: dict[str, str]
    events: tuple[EventRow, ...]
    dropped: int  # attributes, events and links that the sender's limits cut off


class TraceRow(NamedTuple):
    span_id: str
    parent_span_id: str
    name: str
    service: str
    start_us: int
    end_us: int
    status_code: int
    status_message: str
    outcome: str
    correlation_id: str
    attrs: dict[str, str]
    events: tuple[EventRow, ...]


class LinkRow(NamedTuple):
    from_id: str
    to_id: str
    kind: str
    evidence: str
    at_us: int
    by: str
    amount_minor: int = 0
    currency: str = ""


class LinksRead(NamedTuple):
    """``more``: a transaction has more links than are read of one."""

    links: tuple[LinkRow, ...]
    more: bool = False


class LinkedSumRow(NamedTuple):
    """Transactions joined to one by links of one kind, in one direction."""

    kind: str
    outward: bool
    transactions: int
    amounts: dict[str, int]  # by currency; "" for links without an amount


class JournalRow(NamedTuple):
    journal_id: str
    line_no: int
    account: str
    amount_minor: int
    currency: str
    functional_minor: int
    functional_currency: str
    kind: str
    quantity: int
    source: str
    business_date: date
    occurred_us: int


class KeyRow(NamedTuple):
    key_value: str
    key_name: str
    origin: str
    correlation_id: str
    first_us: int
    last_us: int


class ItemRow(NamedTuple):
    entity: str
    entity_id: str
    correlation_id: str
    verdict: str
    overdue: bool
    start_us: int
    due_us: int
    end_us: int
    decided_us: int
    channel: str
    location: str
    provider: str
    kind: str
    owner: str
    amount_minor: int
    currency: str
    reason: str
    weight: int


class StretchRow(NamedTuple):
    """A run of whole minutes of one feed, of which some were not fresh."""

    channel: str
    location: str
    feed: str
    begin_minute: int  # since the epoch
    counted: int
    fresh: int
    lag_us: int
    limit_us: int
    life_us: int


class OwnerRow(NamedTuple):
    """Overdue open items of one owner in one currency."""

    owner: str
    currency: str
    items: int
    amount_minor: int
    oldest_due_us: int


class TroubleRow(NamedTuple):
    """An object that failed and was not healed, or that a failing hop or a late feed holds up."""

    correlation_id: str
    hop: str
    entity: str
    entity_id: str
    stage: str
    outcome: str
    reason: str
    attempts: int
    since_us: int
    channel: str
    location: str
    owner: str
    amount_minor: int
    currency: str


class BlocksRow(NamedTuple):
    """The newest blocks stored, and a number for a generation of open items that begins now."""

    milestones_block: int
    corrections_block: int
    began: int


class BuildRow(Struct, frozen=True):
    """What stands ready of a promise, as of a moment, by the milestones and corrections up to two blocks.

    The midnights before ``stale_day`` are measured, by ``newest_us`` as the newest event up to the last of them, and
    of the brands that have this mark.
    """

    definition: str
    build: int
    generation: int
    milestones_block: int
    corrections_block: int
    as_of_us: int
    stale_day: int  # days since the epoch
    newest_us: int
    brands: str = ""


class GenerationRow(NamedTuple):
    """Open items as of a moment, by the milestones and corrections up to two blocks."""

    generation: int
    milestones_block: int
    corrections_block: int
    as_of_us: int
    later_us: int  # the first moment after it of which something is known; 0 = none


class MarkedRow(NamedTuple):
    """How many transactions a generation judges again, and the first moment that was foretold; 0 = none."""

    heard: int
    later_us: int


class OpenRow(NamedTuple):
    """What began and did not end, by the place of what waits for it, from 1."""

    watch: int
    correlation_id: str
    entity_id: str
    since_us: int
    hop_due_us: int
    channel: str
    location: str
    provider: str
    owner: str
    amount_minor: int
    currency: str


class OverdueRow(NamedTuple):
    watch: str
    entity: str
    entity_id: str
    correlation_id: str
    start_us: int
    due_us: int
    channel: str
    location: str
    provider: str
    owner: str
    amount_minor: int
    currency: str


class DisorderRow(NamedTuple):
    """A transaction in which something came without, or before, what it needs."""

    correlation_id: str
    since_us: int


class ShareRow(NamedTuple):
    """What is held up, in all (``by`` is "") or of one channel, location, owner or cause."""

    by: str
    name: str
    transactions: int
    objects: int
    amounts: dict[str, int]
    since_us: int


class HeldLinesRow(NamedTuple):
    orders: int
    customers: int
    sku_count: int
    skus: tuple[str, ...]


class FeedRow(NamedTuple):
    channel: str
    location: str
    feed: str
    source_us: int
    published_us: int
    heard_us: int


class CountedRow(NamedTuple):
    """What a segment had counted in its window at an instant."""

    channel: str
    location: str
    provider: str
    instant_us: int
    good: int
    bad: int


class SampleRow(NamedTuple):
    sla: str
    channel: str
    location: str
    provider: str
    kind: str
    as_of_us: int
    window_start_us: int
    window_end_us: int
    good: int
    bad: int
    pending: int
    excused: int
    overdue_open: int
    target_ppm: int
    state: str
    watermark_us: int
    definition: str
    measured_us: int
    details: str
    brand: str
