"""The things the sync core keeps: orders, lines, stock, returns, and what a unit of work adds to them."""

import datetime as dt
import hashlib
from typing import Any, Final, Literal

from msgspec import Struct, field

from sync_core.ledger.ledger import JournalLine
from sync_core.messages import Provenance, RevenueOn, TaxPoint, TenderKind
from sync_core.money import cumulative_share

COST: Final = "cost:"
"""Begins the key of what undelivered goods cost, by currency, beside what they are sold for."""
OrderState = Literal["reserved", "backordered", "lapsed", "partially_shipped", "shipped", "cancelled"]
Severity = Literal["critical", "major", "minor"]
ExceptionKind = Literal[
    "backorder", "oversold", "payment_failed", "payment_differs", "second_payment", "payment_after_cancellation",
    "shipment_not_reserved", "shipped_while_held", "released_too_early", "cancellation_too_late", "validated_failed",
    "payment_confirmed_failed", "fraud_cleared_failed", "taxed_failed", "routed_failed", "acknowledged_failed",
    "released_failed", "picked_failed", "packed_failed", "ready_for_pickup_failed", "picked_up_failed",
    "delivery_promised_failed", "delivered_failed", "notified_failed", "closed_failed", "return_not_covered",
    "return_without_sale", "credit_above_sale", "refund_above_approved", "identity_conflict", "out_of_sequence",
    "dead_letter", "posting_rejected", "posting_dead", "posting_differs", "sales_order_rejected", "sales_order_dead",
    "sales_order_cancellation_rejected", "sales_order_cancellation_dead", "sales_order_amendment_rejected",
    "sales_order_amendment_dead",
    "goods_movement_rejected", "goods_movement_dead",
    "stock_shortfall", "wrong_source", "transfer_short",
    "transfer_variance", "transfer_after_cancellation", "channel_down", "publication_refused",
    "replenishment", "edit_not_possible", "changed_after_release", "acknowledgement_overdue",
    "shipment_not_confirmed", "shipment_confirmed_failed", "suspected_duplicate", "reservation_lapsed",
    "movements_damaged", "account_claimed",
    "settlement_refused", "settlement_unknown_fee", "settlement_line_unmatched", "settlement_missing",
    "payout_missing", "deposit_missing", "deposit_short", "bank_line_unmatched", "chargeback",
    "return_held", "return_item_parked", "return_short", "return_reason_unmapped", "refund_without_receipt",
    "refund_before_inspection", "refund_not_earned", "refund_wrong_tender", "refund_differs", "refund_failed",
    "gift_card_overdrawn", "gift_card_differs", "fact_refused",
    "order_missing", "order_not_at_source", "order_differs", "tax_differs", "control_total_differs", "journal_differs",
    "erp_unbalanced", "erp_wrong_period", "fee_doubled", "stock_value_differs",
    "subledger_differs", "settlement_currency", "refund_not_posted", "payout_short", "payout_returned",
]  # fmt: skip
"""What a person may have to decide; what to do about each is in ``playbooks.toml``."""


class KindTotal(Struct):
    """What the lines of one kind in a document add up to."""

    kind: str
    line_count: int = 0
    quantity: int = 0
    amount_minor: int = 0
    residue_micros: int = 0


class OrderLine(Struct):
    """A line of an order; what is neither cancelled nor returned is open.

    ``quantity`` and ``amount_minor`` are what is ordered, ``edited_at`` since when.
    """

    correlation_id: bytes
    line_no: int
    sku: str
    kind: str
    quantity: int
    amount_minor: int
    unit_price_micros: int | None
    position: int
    reserved: int
    cancelled: int = 0
    returned: int = 0
    shipped: int = 0
    edited_at: dt.datetime | None = None
    tax_code: str = ""
    tax_minor: int | None = None  # its own, where somebody says what that is

    @property
    def open(self) -> int:
        return self.quantity - self.cancelled - self.returned

    @property
    def unshipped(self) -> int:
        return self.quantity - self.cancelled - self.shipped

    @property
    def returnable(self) -> int:
        return self.shipped - self.returned

    def worth(self, units: int) -> int:
        """What the next ``units`` to be shipped or cancelled are worth: all of them come to the line's amount."""
        used = self.cancelled + self.shipped
        return cumulative_share(self.amount_minor, used, units, self.quantity) if self.quantity else 0

    def taxed(self, units: int) -> int:
        """The tax of its own of these units, likewise."""
        used, whole = self.cancelled + self.shipped, self.tax_minor or 0
        return cumulative_share(whole, used, units, self.quantity) if self.quantity else 0


class Order(Struct):
    """An order and its money, by kind and in minor units, as ordered, edits and partial cancellations included.

    ``contract`` is what is paid and not yet shipped. ``edited`` is by how much the order has changed since it was paid
    for, or captured while it is unpaid; the tax of either has the kind ``tax``, or with its code ``tax:<code>``.
    """

    correlation_id: bytes
    origin: str
    order_id: str
    channel: str
    location: str
    currency: str
    customer_ref: str
    captured_at: dt.datetime
    business_date: dt.date
    state: OrderState
    amount_minor: int
    tax_minor: int
    open_tax_minor: int
    provenance: Provenance
    totals: list[KindTotal]
    paid_minor: int = 0
    provider: str = ""
    contract: dict[str, int] = field(default_factory=dict)
    edited: dict[str, int] = field(default_factory=dict)
    partition: int = 0  # of the inbox, in which the events of this order are in sequence
    basket: bytes = b""  # equal for equal orders of one customer; empty when nobody asks
    tax_point: TaxPoint = "capture"
    revenue_on: RevenueOn = "shipped"
    undelivered: dict[str, dict[str, int]] = field(default_factory=dict)  # by shipment: amounts by kind, and cost
    taxes: dict[str, int] | None = None  # by code: booked, or to be once it is paid; None: from before there were codes

    @property
    def unshipped(self) -> dict[str, int]:
        """What of ``contract`` has not left."""
        left = dict(self.contract)
        for sent in self.undelivered.values():
            for kind, amount in sent.items():
                if not kind.startswith(COST):
                    left[kind] -= amount
        return left

    @property
    def due_minor(self) -> int:
        """What is to be paid, tax included; below zero what is owed back."""
        return sum(self.edited.values()) if self.provider else self.amount_minor + self.tax_minor


class Terms(Struct, frozen=True):
    """What is agreed with a channel, in seconds; 0: nothing is."""

    channel: str
    acknowledge_seconds: int = 0
    confirm_shipment_seconds: int = 0
    reservation_seconds: int = 0
    duplicate_seconds: int = 600
    sales_orders: bool = False


class BookedMatches(Struct, frozen=True):
    """What is booked of the matches of a settlement's lines."""

    matched_minor: int = 0
    difference_minor: int = 0
    written_off_minor: int = 0


class Captured(Struct):
    """A payment, or the part of it that one tender paid: what was taken and given back, and whether it is settled."""

    correlation_id: bytes  # of its order
    payment_id: str
    provider: str
    amount_minor: int = 0
    settled: bool = False
    kind: TenderKind = "card"
    card: bytes = b""  # identity of the gift card
    refunded_minor: int = 0
    functional_minor: int | None = None  # in the currency of the books, where that is another


class GiftCard(Struct):
    """A gift card or store credit, and what is owed to whoever holds it."""

    identity: bytes
    origin: str
    card_id: str
    currency: str
    balance_minor: int = 0

    @property
    def reference(self) -> str:
        """What its postings are known by in the gift-card account."""
        return f"{self.origin}:{self.card_id}"


class Stock(Struct):
    """Units of one SKU at one location, by bucket. A cache of the movements, which ``verify`` recomputes."""

    sku: str
    location: str
    good: int = 0
    damaged: int = 0
    return_pending: int = 0
    quarantine: int = 0
    refurbish: int = 0
    reserved: int = 0
    committed: int = 0
    in_transit: int = 0
    opening: int = 0
    unit_cost_minor: int | None = None
    currency: str = ""
    oversold: int = 0  # units of the open exception about it
    oversold_exception: str = ""

    @property
    def free(self) -> int:
        """What may be promised; below zero after a fact that came late."""
        return self.good - self.reserved - self.committed


class Rates(Struct, frozen=True):
    """The tax code of a product, and what it takes since when, in millionths; oldest first."""

    tax_code: str
    since: list[tuple[dt.datetime, int]]

    def at(self, moment: dt.datetime) -> int:
        """The rate of a moment; before the first it is the first."""
        return next((rate for since, rate in reversed(self.since) if since <= moment), self.since[0][1])


class Catalogue(Struct, frozen=True):
    """What is known of the numbers and channels in a batch of events."""

    bound: frozenset[str] = frozenset()  # origins that must name products
    skus: dict[tuple[str, str], str] = field(default_factory=dict)  # by origin and number
    defaults: dict[str, str] = field(default_factory=dict)  # by channel: the first location that serves it
    places: dict[tuple[str, str], str] = field(default_factory=dict)  # locations by system and its name for them
    rates: dict[tuple[str, str], Rates] = field(default_factory=dict)  # by origin and SKU

    @property
    def empty(self) -> bool:
        return not (self.bound or self.defaults or self.places)


class Customer(Struct):
    """A customer and the system and number of each of their accounts."""

    origin: str
    customer_id: str
    segment: str
    closed: bool
    merged_into: str
    updated_at: dt.datetime
    accounts: list[tuple[str, str]]


class Signal(Struct):
    """What is asked for of a SKU at a location; ``below`` since it fell under its reorder point."""

    sku: str
    location: str
    units: int = 0  # asked for, and neither there nor on their way
    below: bool = False
    raised_at: dt.datetime | None = None
    exception_id: str = ""


class Transfer(Struct):
    """Goods on their way from one location to another."""

    correlation_id: bytes
    origin: str
    transfer_id: str
    from_location: str
    to_location: str
    currency: str
    state: Literal["requested", "shipped", "received", "cancelled"]
    requested_at: dt.datetime
    variance_due_at: dt.datetime | None = None
    lines: dict[str, "TransferLine"] = field(default_factory=dict)


class TransferLine(Struct):
    """Units of one SKU in a transfer. ``missing`` was sent, is not there, and is not yet given up."""

    requested: int = 0
    committed: int = 0
    shipped: int = 0
    received: int = 0
    missing: int = 0
    unit_cost_minor: int = 0


class Location(Struct, frozen=True):
    """Where goods are. Only its source of record may say what is there, only its cost source what they cost."""

    location: str
    kind: str
    stock_source: str
    cost_source: str
    near: tuple[str, ...]


class Posted(Struct, frozen=True):
    """A journal as it was offered to the ERP, with the movements of the document behind it."""

    correlation_id: bytes
    document: str
    entity_id: str
    channel: str
    location: str
    currency: str
    state: str
    lines: list[JournalLine]
    movements: list[tuple[str, str, str, str, int]]  # business key, kind, location, SKU, units


def location_identity(location: str) -> bytes:
    """What an event waits for that cannot be applied until a location is registered."""
    return hashlib.sha256(f"location\x1f{location}".encode()).digest()[:16]


class CreditPiece(Struct, frozen=True):
    """A part of a credited line that uses up one order line."""

    correlation_id: bytes
    line_no: int
    piece_no: int
    order_line: OrderLine
    quantity: int
    amount_minor: int
    outcome: Literal["cancelled", "returned"]


class ParkedItem(Struct, frozen=True):
    """A line that cannot be applied yet: it waits, with its value and an owner."""

    correlation_id: bytes
    entity_id: str
    line_no: int
    sku: str
    quantity: int
    amount_minor: int
    currency: str
    reason: str
    whole_line: bool
    owner: str
    channel: str
    business_date: dt.date
    source: Provenance
    document: str = "credit_memo"  # what it is a part of


class ExceptionItem(Struct, frozen=True):
    """Something a person must decide: what it is, whose it is and what it is worth."""

    exception_id: str
    kind: ExceptionKind
    severity: Severity
    correlation_id: bytes
    origin: str
    entity: str
    entity_id: str
    owner: str
    amount_minor: int
    currency: str
    detail: str
    cause_source: str  # the event that it is about, so that it can be processed again
    cause_event_id: str


class Link(Struct, frozen=True):
    """What joins two transactions."""

    from_id: bytes
    to_id: bytes
    kind: Literal["returns", "refunds", "exchanges", "part_of", "same_as", "settles"]
    evidence: str
    amount_minor: int = 0
    currency: str = ""  # "" when no amount joins them


class Hop(Struct, frozen=True):
    """One step of one transaction, as lineage will tell it. ``attributes`` are without the ``retail.`` prefix."""

    name: str  # <domain>.<hop>
    stage: str
    correlation_id: bytes
    origin: str
    entity: str
    entity_id: str
    milestone: str = ""
    outcome: str = "ok"
    occurred_at: dt.datetime | None = None  # business time; None: the moment it was done
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
