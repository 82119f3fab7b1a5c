"""What the API of the sync core answers with, apart from the API so that those who read it need no server."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sync_core.exceptions.playbooks import Playbook
from sync_core.inbox import Receipt
from sync_core.ledger.ledger import Lane
from sync_core.messages import LocationName, Name, StockPlace
from sync_core.reconciliation.audit import ByKind, Check
from sync_core.stock.availability import Offer


class Problem(Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details; ``field`` names what of the request is wrong."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    field: str = ""


class EventResult(Struct, frozen=True):
    """What became of one event at the door."""

    source: str
    id: str
    status: Receipt


class EventResults(Struct, frozen=True):
    """What became of the events of a request; ``accepted`` means on disk, and processed soon."""

    accepted: int
    duplicates: int
    conflicts: int
    results: list[EventResult]


class LaneStatus(Struct, frozen=True):
    """What of one lane waits for the ERP, since when, and how much of it was tried before."""

    lane: Lane
    waiting: int
    oldest_seconds: float
    retrying: int


class Status(Struct, frozen=True):
    """What waits inside the sync core. ``oldest_waiting_seconds`` is of the journals that the ERP has not taken;
    ``days_to_reconcile`` are business days that have ended and of which something changed since they were reconciled.
    """

    inbox_queued: int
    inbox_parked: int
    inbox_dead: int
    outbox_waiting: int
    oldest_waiting_seconds: float
    outbox_retrying: int
    outbox_refused: int
    spans_waiting: int
    exceptions_open: int
    days_to_reconcile: int
    erp: Literal["up", "down", "none"]
    outbox_lanes: list[LaneStatus]
    erp_problem: str = ""


class LineState(Struct, frozen=True):
    """A line of an order as it stands: units ordered, and what became of them."""

    line_no: int
    sku: str
    kind: str
    quantity: int
    amount_minor: int
    reserved: int
    shipped: int
    cancelled: int
    returned: int


class Hold(Struct, frozen=True):
    """An exception that keeps the goods of an order from leaving until its owner resolves it."""

    kind: str
    owner: str
    detail: str
    since: Any


class PostingState(Struct, frozen=True):
    """How a journal of an order stands in the back office, alone or in a summary; ``number`` is its number there."""

    journal_id: str
    document: str
    state: str
    number: str


class OrderState(Struct, frozen=True):
    """An order as it stands; amounts in minor units, ``amount_minor`` net of tax; ``due_minor`` is yet to be paid."""

    correlation_id: str
    origin: str
    order_id: str
    channel: str
    location: str
    currency: str
    captured_at: Any
    state: str
    amount_minor: int
    tax_minor: int
    paid_minor: int
    due_minor: int
    sales_order: str  # its number in the back office; empty while it has none
    holds: list[Hold]
    postings: list[PostingState]
    lines: list[LineState]


class ExceptionSum(Struct, frozen=True):
    """Open exceptions of one kind, severity, owner, type of event, channel and currency."""

    kind: str
    severity: str
    owner: str
    event_type: str
    channel: str
    currency: str
    open: int
    amount_minor: int
    oldest_at: dt.datetime


class OpenException(Struct, frozen=True):
    """Something that a person must decide, or has decided."""

    exception_id: str
    kind: str
    severity: str
    correlation_id: str
    entity: str
    entity_id: str
    owner: str
    assignee: str
    amount_minor: int
    currency: str
    detail: str
    state: str
    opened_at: dt.datetime
    resolved_at: dt.datetime | None
    resolution: str
    replays: int
    age_seconds: float  # from when it was opened until it was resolved, or now
    playbook: Playbook


class LocationTold(Struct, frozen=True):
    """A location, whose word counts there, and what systems call it."""

    location: str
    kind: str
    stock_source: str
    cost_source: str
    near: list[str]
    names: list[LocationName]


class Product(Struct, frozen=True):
    """A product, what it is a variant of (nearest first), its own variants, its other numbers, and its stock."""

    origin: str
    sku: str
    name: str
    unit: str
    tax_code: str
    parent: str
    replaces: str
    registered_at: dt.datetime
    path: list[str]
    variants: list[str]
    aliases: list[str]
    stock: Sequence[Offer]


class Accuracy(Struct, frozen=True):
    """Lines that were counted, those that were exactly as kept, and those within the tolerance, of each location."""

    channel: str
    location: str
    lines: int
    equal: int
    accurate: int
    accurate_ppm: int


class Replenishment(Struct, frozen=True):
    """Units of a SKU that a location is to be brought."""

    sku: str
    location: str
    quantity: int
    raised_at: dt.datetime
    exception_id: str


class RepairOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which counters are to be repaired, who decided it, and why."""

    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    places: Annotated[tuple[StockPlace, ...], Meta(min_length=1, max_length=500)]


class Audit(Struct, frozen=True):
    """The sync core's own part of ``verify``."""

    checks: list[Check]
    by_kind: ByKind
