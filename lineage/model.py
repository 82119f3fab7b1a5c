"""The answers of the lineage service: what the API sends, pages draw, rules judge and the terminal prints.

Times are UTC; amounts are integers in minor units with their currency; ratios are 0..1; identities of transactions,
traces and spans are lower-case hex. What goes back to a customer (lines and totals of returns) is negative; hops tell
their amounts as they were sent. Every Struct reads back from the JSON of the API.
"""

from datetime import date, datetime
from typing import Any, Final, Literal

from msgspec import Struct

_NO_MINOR_UNIT: Final = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
_THOUSANDTHS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


class Money(Struct, frozen=True):
    amount_minor: int
    currency: str

    @property
    def digits(self) -> str:
        """The amount without sign and currency, ``1,234.50``, with the decimal places of ISO 4217."""
        places = 0 if self.currency in _NO_MINOR_UNIT else 3 if self.currency in _THOUSANDTHS else 2
        whole, rest = divmod(abs(self.amount_minor), 10**places)
        return f"{whole:,}.{rest:0{places}d}" if places else f"{whole:,}"

    def __str__(self) -> str:
        """``-13.20 GBP``"""
        return f"{'-' if self.amount_minor < 0 else ''}{self.digits} {self.currency}"


# --- the journey of one transaction ---------------------------------------------------------------------------------

Outcome = str  # collector.semconv.OUTCOMES
LinkDirection = Literal["out", "in"]
"""``out``: the nearer transaction names the other (a return names its order); ``in``: the other names it."""


class Match(Struct, frozen=True, kw_only=True):
    """One transaction that knows the looked-up number."""

    key_value: str
    key_name: str  # order_id, credit_memo_id, ... ; correlation_id or trace_id when the ID was technical
    origin: str
    correlation_id: str
    first_seen: datetime
    last_seen: datetime


class Suggestion(Struct, frozen=True, kw_only=True):
    """A number near the one that was not found."""

    key_value: str
    key_name: str
    origin: str
    correlation_id: str
    why: str  # "differs in case", "begins with it", "1 character differs", ...
    distance: int  # edits away; 0 for case, spaces and prefixes


class Header(Struct, frozen=True, kw_only=True):
    correlation_id: str
    origin: str
    reference: str  # the document number that makes the identity; "" when no key of the transaction proves it
    kind: str  # the flow: order, return, shipment, stock, ... ; "transaction" when no flow begins like it
    channel: str
    location: str
    state: str  # the word for the furthest step reached: captured, shipped, posted, cancelled, refunded, ...
    amount: Money | None  # of the hop that began the transaction
    started_at: datetime  # business time of the first hop
    last_at: datetime  # business time of the last hop
    owner: str  # who owns the next step; "" when nothing is expected
    customer_ref: str
    source: str  # file, generated, live
    trace_ids: tuple[str, ...] = ()


class Attempt(Struct, frozen=True, kw_only=True):
    """One span folded into its hop: a retry, or a duplicate delivery."""

    span_id: str
    at: datetime  # when the attempt ran (technical time)
    outcome: Outcome
    attempt: int
    reason: str
    duration_us: int


class Hop(Struct, frozen=True, kw_only=True):
    """One business step of one object. Attempts and duplicates of the same step are folded into it."""

    name: str  # <domain>.<hop>, e.g. order.capture
    title: str  # "order captured"
    domain: str
    hop: str
    stage: str
    outcome: Outcome  # of the deciding attempt: the first that succeeded, else the last
    entity: str
    entity_id: str
    milestone: str
    at: datetime  # business time (occurred_at)
    recorded_at: datetime  # start of the deciding attempt, in the clock of the service that ran it
    duration_us: int
    gap_seconds: float  # business time since the hop before; 0 for the first
    attempts: tuple[Attempt, ...]  # every attempt that is not a duplicate, oldest first
    duplicates: int  # deliveries recognised as already done
    reason: str
    owner: str
    service: str
    system: str
    channel: str
    location: str
    provider: str
    amount: Money | None
    quantity: int
    due_at: datetime | None
    lines: int  # `line` events on the span
    source: str
    trace_id: str
    span_id: str
    keys: dict[str, str]
    attrs: dict[str, str]


class LineItem(Struct, frozen=True, kw_only=True):
    """A line of an order or of a return, as the hop that brought it said."""

    hop: str  # name of the hop that carried it
    line_no: int  # ordinal within that hop, from 1
    sku: str
    kind: str
    quantity: int
    amount: Money
    location: str
    order_id: str  # a return line: the order whose goods come back; else ""
    parked: str  # why it waits outside the books; "" when it does not
    attrs: dict[str, str]  # what else the event said


class Reached(Struct, frozen=True, kw_only=True):
    milestone: str
    at: datetime


class BusinessObject(Struct, frozen=True, kw_only=True):
    """An order, shipment, refund, posting, ... that the transaction touched."""

    entity: str
    entity_id: str
    milestones: tuple[Reached, ...]  # oldest first
    amount: Money | None


class StageMoney(Struct, frozen=True, kw_only=True):
    """What the transaction was worth at one step: captured, shipped, refunded, posted, ... in one currency."""

    step: str
    amount: Money
    count: int  # objects added up


class JournalLine(Struct, frozen=True, kw_only=True):
    line_no: int
    account: str
    amount: Money  # debit +, credit -
    functional: Money | None  # None when the same as amount or not told
    kind: str
    quantity: int


class JournalEntry(Struct, frozen=True, kw_only=True):
    journal_id: str
    posting: str  # entity_id of the posting: "refund/C538698"
    business_date: date | None
    at: datetime
    source: str
    erp_document_id: str  # "" until the ERP gave its number
    lines: tuple[JournalLine, ...]
    complete: bool  # its line numbers run from 1 without a gap
    balanced: bool  # zero in every currency


class Correction(Struct, frozen=True, kw_only=True):
    """A declaration that something told before did not happen, or not so."""

    entity: str
    entity_id: str
    milestone: str
    at: datetime  # the business time that was told for it
    reason: str  # did_not_occur, incorrect_data
    by: str
    declared_at: datetime


class LinkPart(Struct, frozen=True, kw_only=True):
    """One reason why two transactions are joined: a line of a settlement, an order that a credit note names."""

    evidence: str
    by: str
    at: datetime
    amount: Money | None  # as the linking document says it: a fee is negative


class LinkedSum(Struct, frozen=True, kw_only=True):
    """All that is joined directly by links of one kind, also what ``related`` has no room for."""

    link: str
    direction: LinkDirection
    transactions: int
    amounts: tuple[Money, ...]  # one per currency; () when the links tell none


class Related(Struct, frozen=True, kw_only=True):
    """A transaction joined to this one, directly (depth 1) or through others (2 and 3)."""

    correlation_id: str
    origin: str
    reference: str
    kind: str  # order, return, ...
    state: str
    title: str  # "return C538698"
    link: str  # returns, refunds, exchanges, part_of, same_as, settles
    direction: LinkDirection
    via: str  # correlation_id of the nearer end
    depth: int
    evidence: str
    by: str
    at: datetime
    amount: Money | None  # of the parts or lines below; at depth 1 the transaction's own amount when none tells
    lines: tuple[LineItem, ...]  # the lines that concern both ends
    started_at: datetime | None  # None when the other transaction has not arrived yet
    parts: tuple[LinkPart, ...] = ()  # every link between the two, oldest first


class Expected(Struct, frozen=True, kw_only=True):
    """A step that has not happened: the flow says it will, by when, whose it is, and what hangs on it."""

    flow: str
    step: str
    title: str  # "accepted by the ERP"
    entity: str
    entity_id: str
    milestone: str
    since: datetime  # when the step before it was reached
    due_at: datetime | None
    overdue: bool
    overdue_seconds: float  # 0 when not overdue
    owner: str
    amount: Money | None


class HeldTo(Struct, frozen=True, kw_only=True):
    """The deadline by which a step that happened had to happen, and whose deadline that is: the flow's without both."""

    span_id: str  # of the hop that brought it
    at: datetime
    due_at: datetime
    promise: str  # name of the promise that gives it; "" for none
    set_by: str  # title of the hop before that carries it; "" for none


FindingKind = Literal["failed", "stuck", "overdue", "out_of_order", "missing"]


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong: where it broke, the first cause, since when, whose it is, and for how much."""

    kind: FindingKind
    title: str  # "posting send: rejected", "not yet: goods shipped", "refund issued without return received"
    flow: str  # "" for a failure of which no flow expects anything
    step: str
    entity: str
    entity_id: str
    stage: str  # source, transformation, queue, delivery, erp
    cause: str  # the reason of the first attempt that failed; else what was not heard
    hop: str  # name of the hop that failed; "" when nothing was sent
    attempts: int
    since: datetime
    due_at: datetime | None
    owner: str
    amount: Money | None


class Troubled(Struct, frozen=True, kw_only=True):
    """A finding, and the transaction that has it."""

    correlation_id: str
    channel: str
    location: str
    finding: Finding


class Troubles(Struct, frozen=True, kw_only=True):
    as_of: datetime
    since: datetime
    items: tuple[Troubled, ...]  # oldest first
    counts: dict[str, int]  # by kind, of all that were judged
    cut: bool


class Share(Struct, frozen=True, kw_only=True):
    """What one channel, location or owner has of it."""

    name: str
    transactions: int
    amounts: tuple[Money, ...]


class HeldUp(Struct, frozen=True, kw_only=True):
    """One object that a failing hop or a late feed holds up."""

    correlation_id: str
    entity: str
    entity_id: str
    channel: str
    location: str
    owner: str
    amount: Money | None
    since: datetime
    cause: str


class BlastRadius(Struct, frozen=True, kw_only=True):
    """What a failing hop or a late feed holds up."""

    subject: str  # "hop posting.send", "feed availability of web at WH1"
    stage: str
    as_of: datetime
    since: datetime | None  # of the oldest; None when it holds up nothing
    transactions: int
    orders: int
    customers: int
    skus: tuple[str, ...]  # the first 100
    sku_count: int
    amounts: tuple[Money, ...]
    channels: tuple[Share, ...]
    locations: tuple[Share, ...]
    owners: tuple[Share, ...]
    causes: dict[str, int]  # objects by the reason given last
    oldest: tuple[HeldUp, ...]  # the first twenty


class FoundTransaction(Struct, frozen=True, kw_only=True):
    """One line of a list of transactions."""

    correlation_id: str
    origin: str
    reference: str
    kind: str
    state: str
    channel: str
    location: str
    amount: Money | None
    started_at: datetime
    last_at: datetime
    owner: str
    overdue: int  # steps past their deadline
    wrong: tuple[FindingKind, ...]


class SearchResult(Struct, frozen=True, kw_only=True):
    as_of: datetime
    items: tuple[FoundTransaction, ...]  # the latest first
    after: str  # give it back as ``after`` for older ones; "" when there are none
    looked_at: int  # transactions that were judged


StepStanding = Literal["reached", "open", "overdue", "not due", "optional", "undeclared", "not reached"]


class ComparedStep(Struct, frozen=True, kw_only=True):
    title: str
    milestone: str
    standing: StepStanding
    after_seconds: float | None = None  # since the transaction began
    other_seconds: float | None = None  # in the other journey
    due_at: datetime | None = None
    owner: str = ""


class Comparison(Struct, frozen=True, kw_only=True):
    journey: Header
    other: Header | None  # None: compared with its flow
    steps: tuple[ComparedStep, ...]


class Parked(Struct, frozen=True, kw_only=True):
    """Something that waits outside the books: a line without its sale, a hop without its parent."""

    hop: str
    sku: str
    quantity: int
    amount: Money | None
    reason: str
    owner: str
    at: datetime


class Journey(Struct, frozen=True, kw_only=True, tag_field="answer", tag="journey"):
    query: str
    as_of: datetime
    matched: Match
    header: Header
    hops: tuple[Hop, ...]
    lines: tuple[LineItem, ...]
    objects: tuple[BusinessObject, ...]
    money: tuple[StageMoney, ...]
    journal: tuple[JournalEntry, ...]
    related: tuple[Related, ...]
    related_cut: bool  # more is linked than is shown (lineage.links)
    expected: tuple[Expected, ...]  # still to come: overdue first, then by due time
    parked: tuple[Parked, ...]
    keys: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]  # what a reader must know: dropped links, unbalanced entries, a cut list
    linked: tuple[LinkedSum, ...] = ()
    findings: tuple[Finding, ...] = ()  # what is wrong, the first cause first
    corrections: tuple[Correction, ...] = ()  # what was told and taken back; its hops stand, and count for nothing
    held_to: tuple[HeldTo, ...] = ()  # by when it came


class LinkedPage(Struct, frozen=True, kw_only=True):
    """What one transaction is joined to directly, page by page, by correlation ID."""

    correlation_id: str
    as_of: datetime
    linked: tuple[LinkedSum, ...]  # of everything
    items: tuple[Related, ...]
    after: str  # give it back as ``after`` for the next page; "" on the last


class Choice(Struct, frozen=True, kw_only=True, tag_field="answer", tag="choice"):
    """The number is known to several transactions: the reader chooses, they are never shown as one."""

    query: str
    matches: tuple[Match, ...]


class Unknown(Struct, frozen=True, kw_only=True, tag_field="answer", tag="unknown"):
    query: str
    suggestions: tuple[Suggestion, ...]


Answer = Journey | Choice | Unknown


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457 problem details; how the API says Unknown, among other things."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    suggestions: tuple[Suggestion, ...] = ()
    errors: Any = None  # which parameters were refused, and why


# --- one technical trace --------------------------------------------------------------------------------------------


class TraceEvent(Struct, frozen=True, kw_only=True):
    at: datetime
    name: str
    attrs: dict[str, str]


class TraceSpan(Struct, frozen=True, kw_only=True):
    span_id: str
    parent_span_id: str
    depth: int
    name: str
    service: str
    started_at: datetime
    offset_us: int  # since the first span of the trace
    duration_us: int
    failed: bool
    message: str
    outcome: Outcome
    correlation_id: str
    orphan: bool  # names a parent that is not here
    attrs: dict[str, str]
    events: tuple[TraceEvent, ...]


class Trace(Struct, frozen=True, kw_only=True):
    trace_id: str
    started_at: datetime
    duration_us: int
    services: tuple[str, ...]
    failed: int
    orphans: int  # > 0: the trace is incomplete
    spans: tuple[TraceSpan, ...]  # a parent before its children, siblings by start


# --- service levels -------------------------------------------------------------------------------------------------

SlaState = Literal["meeting", "at_risk", "breached", "low_volume", "no_data", "stale"]
Verdict = Literal["good", "bad", "pending", "excused", "refused"]
"""``refused``: ended more than 2 minutes before it began; counted as data quality, never as good or bad."""


class Point(Struct, frozen=True, kw_only=True):
    """One stored measurement in the history of an SLA."""

    as_of: datetime
    value: float | None
    good: int
    bad: int
    overdue_open: int
    state: SlaState


class Sample(Struct, frozen=True, kw_only=True):
    """A row of sli_samples: one SLA, one segment ("" = all), one window, one version."""

    sla: str
    channel: str
    location: str
    provider: str
    kind: str = ""
    as_of: datetime
    window_start: datetime
    window_end: datetime
    good: int
    bad: int
    pending: int
    excused: int
    refused: int
    overdue_open: int
    at_risk: tuple[Money, ...]  # value of the overdue open items, one per currency
    oldest_due_at: datetime | None  # of the overdue open items
    target: float
    value: float | None  # good / (good + bad); None when nothing was decided
    state: SlaState
    reason: str  # why that state, in words
    watermark: datetime | None  # newest event time that the measurement saw
    definition: str  # hash of the definition it was measured by
    recent_good: int = 0  # of the last day of the window
    recent_bad: int = 0
    all_good: int = 0  # decided since the first data
    all_bad: int = 0
    measured_at: datetime | None = None  # its version: of two of the same window the later one knows more
    brand: str = ""


class View(Struct, frozen=True, kw_only=True):
    """Of which place promises are shown, and as of the end of which day; empty: of everything, as of now.

    Within a brand there are its channels, and the channels at its locations, each of which is of one brand.
    """

    channel: str = ""
    location: str = ""
    brand: str = ""
    until: date | None = None


WHOLE: Final = View()


class Segment(Struct, frozen=True, kw_only=True):
    """The newest measurement of one channel, location, provider or kind; a "" field means all."""

    channel: str
    location: str
    provider: str
    kind: str = ""
    value: float | None
    target: float
    state: SlaState
    reason: str
    good: int
    bad: int
    pending: int
    excused: int
    overdue_open: int
    at_risk: tuple[Money, ...]
    budget_left: float | None
    burn: float | None = None
    as_of: datetime


class SlaTile(Struct, frozen=True, kw_only=True):
    name: str
    number: int = 0
    title: str
    description: str
    unit: str  # what is counted: "refunds", "minutes", "cells"
    value: float | None
    target: float
    state: SlaState
    reason: str
    good: int
    bad: int
    pending: int
    excused: int
    refused: int
    overdue_open: int
    at_risk: tuple[Money, ...]
    budget_left: float | None  # share of the window's allowed bad items still unspent; negative when overspent
    as_of: datetime | None  # None before the first measurement
    watermark: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    window_days: int
    deadline: str  # "4 h", "next business day 09:00", ...
    owner: str
    history: tuple[Point, ...]  # oldest first
    change: float | None  # value minus the value one window earlier
    oldest_due_at: datetime | None = None
    severity: str = "major"
    kind: str = "interval"
    period: str = ""  # of a window that is the calendar's; "" = rolling
    burn: float | None = None  # of the last day: 1 spends the budget in just one window
    exhausted_in_seconds: float | None = None  # at that rate; 0 when it is spent, None when it never will be
    worst: tuple[Segment, ...] = ()  # segments that fall short, the worst first


class SlaDetail(Struct, frozen=True, kw_only=True):
    tile: SlaTile
    segments: tuple[Segment, ...]  # worst first
    rule: str  # the definition in one sentence: start, end, deadline, what is excused


class SlaItem(Struct, frozen=True, kw_only=True):
    """One judged item of an SLA."""

    sla: str
    entity: str
    entity_id: str
    correlation_id: str  # "" for minutes and cells, which belong to no transaction
    verdict: Verdict
    overdue: bool  # still open after its deadline
    started_at: datetime
    due_at: datetime
    ended_at: datetime | None
    decided_at: datetime | None
    late_seconds: float  # past the deadline, to the end or to now; 0 when in time
    channel: str
    location: str
    provider: str
    kind: str = ""
    owner: str
    amount: Money | None
    reason: str
    weight: int = 1  # it counts as so many


class SlaItems(Struct, frozen=True, kw_only=True):
    sla: str
    as_of: datetime
    items: tuple[SlaItem, ...]  # overdue first (oldest deadline first), then bad, then pending
    cut: bool  # there are more than the limit


class OverdueItem(Struct, frozen=True, kw_only=True):
    """An obligation past its deadline and still open, with its owner, its value and its next step."""

    flow: str
    step: str
    title: str  # "refund C538698 is not accepted by the ERP"
    entity: str
    entity_id: str
    correlation_id: str
    sla: str  # the SLA it counts against; "" when none
    since: datetime
    due_at: datetime
    overdue_seconds: float
    owner: str
    channel: str
    location: str
    provider: str
    amount: Money | None
    reason: str


class OverdueByOwner(Struct, frozen=True, kw_only=True):
    owner: str
    count: int
    at_risk: tuple[Money, ...]
    oldest_due_at: datetime


class Overdue(Struct, frozen=True, kw_only=True):
    as_of: datetime
    items: tuple[OverdueItem, ...]  # oldest deadline first
    by_owner: tuple[OverdueByOwner, ...]  # most items first, over all items, also those that were cut
    cut: bool


class StoredBucket(Struct, frozen=True):
    """Stored spans whose ID begins with one byte; ``xor`` is over their IDs as little-endian integers.

    A span stored twice under one key counts once, as every reader sees it; under two keys it counts twice.
    """

    bucket: int
    count: int
    distinct: int
    xor: int
