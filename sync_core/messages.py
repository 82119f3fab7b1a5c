"""Events into the sync core: CloudEvents 1.0 JSON, one frozen Struct per type.

Amounts are integers in minor units of ``currency`` and net of tax unless a field says otherwise; quantities are whole
units. Event identity, kept for ever, is (``source``, ``id``). ``partitionkey`` (CloudEvents partitioning extension)
names the sequence an event belongs to: events with one key are applied in the order of their arrival; without it, the
transaction is the sequence.
"""

import datetime as dt
import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sync_core.errors import InvalidEventError, UnknownEventTypeError
from sync_core.fields import Amount as Amount
from sync_core.fields import Currency as Currency
from sync_core.fields import Line as Line
from sync_core.fields import LineKind as LineKind
from sync_core.fields import Moment as Moment
from sync_core.fields import Name as Name
from sync_core.fields import Origin as Origin
from sync_core.fields import Positive as Positive
from sync_core.fields import TenderKind as TenderKind
from sync_core.fields import UnitsLine as UnitsLine
from sync_core.master_messages import MASTER_TYPES, CustomerUpdated, TaxCodeSet
from sync_core.returns.messages import RETURN_TYPES, ReturnEvent, ReturnPolicySet, ReturnReasonMapped
from sync_core.stock.buckets import Bucket

Provenance = Literal["live", "file", "generated"]
OrderStepName = Literal[
    "validated", "payment_confirmed", "fraud_cleared", "taxed", "routed", "acknowledged", "released", "picked",
    "packed", "shipment_confirmed", "ready_for_pickup", "picked_up", "delivery_promised", "delivered", "notified",
    "closed",
]  # fmt: skip
TaxPoint = Literal["capture", "shipment"]
RevenueOn = Literal["shipped", "delivered", "picked_up"]
OrderDeadline = Literal["acknowledgement", "shipment_confirmation", "payment"]
MOST_SECONDS: Final = 366 * 86_400


class StockLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A quantity of one SKU; signed in an adjustment. ``unit_cost_minor`` is the ERP's cost of one unit."""

    sku: Name
    quantity: Annotated[int, Meta(ge=-(10**9), le=10**9)]
    unit_cost_minor: Annotated[int, Meta(ge=0)] | None = None
    kind: LineKind = "goods"


class OrderCaptured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's order was accepted by a channel. ``location`` is where its goods are to be taken from.

    Without one it is the first of the locations that serve the channel. ``acknowledge_by`` is until when the channel
    wants to be told that we have it; without it its terms say so. With ``tax_by_code`` its tax is what the tax codes of
    its products come to; lines that are no goods are taxed as the goods are on average.
    """

    origin: Origin
    order_id: Name
    channel: Name
    currency: Currency
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=5000)]
    location: Annotated[str, Meta(max_length=200)] = ""
    tax_minor: Amount = 0
    tax_by_code: bool = False
    customer_ref: Annotated[str, Meta(max_length=200)] = ""
    acknowledge_by: Moment | None = None


class Payment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a payment provider says of one payment of an order. ``amount_minor`` includes tax."""

    origin: Origin
    order_id: Name
    payment_id: Name
    provider: Name
    amount_minor: Amount
    currency: Currency


class PaymentAuthorised(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider keeps an amount free for an order: a promise, not yet money."""


class PaymentFailed(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider declined an authorisation or a capture; the customer may try again."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class PaymentVoided(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authorisation was given up before anything was captured."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class Tender(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a part of a payment was paid with. A gift card, or store credit, is known by its issuer and number.

    ``payment_id`` is under which the provider will settle this part; absent it is the payment's own.
    """

    kind: TenderKind
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    provider: Annotated[str, Meta(max_length=200)] = ""
    payment_id: Annotated[str, Meta(max_length=200)] = ""
    issuer: Annotated[str, Meta(max_length=64)] = ""  # origin of the card; absent: that of the order
    card_id: Annotated[str, Meta(max_length=200)] = ""


class PaymentCaptured(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money for an order was taken (an authorisation is not yet money), by ``tenders`` when it was split."""

    tenders: Annotated[tuple[Tender, ...], Meta(max_length=50)] = ()

    def __post_init__(self) -> None:
        if not self.tenders:
            return
        if (paid := sum(tender.amount_minor for tender in self.tenders)) != self.amount_minor:
            raise ValueError(f"`tenders` come to {paid}, `amount_minor` is {self.amount_minor}")
        for number, tender in enumerate(self.tenders):
            if (tender.kind in ("gift_card", "store_credit")) != bool(tender.card_id):
                raise ValueError(f"`tenders[{number}].card_id` is what a gift card or store credit has, and no other")
        if len({tender_id(self, tender) for tender in self.tenders}) < len(self.tenders):
            raise ValueError("`tenders` of one kind need a `payment_id` or a `card_id` each")


def tender_id(event: PaymentCaptured, tender: Tender) -> str:
    """The number of a part of a payment."""
    own = f"{event.payment_id}/{tender.card_id}" if tender.card_id else event.payment_id
    return tender.payment_id or (f"{own}/cash" if tender.kind == "cash" else own)


class GiftCardIssued(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gift card was sold or loaded, or store credit granted: its amount is owed to whoever holds it.

    Paid by ``provider`` under ``payment_id``, or as lines of kind gift in the order ``order_id``.
    """

    origin: Origin
    card_id: Name
    channel: Name
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    kind: Literal["gift_card", "store_credit"] = "gift_card"
    location: Annotated[str, Meta(max_length=200)] = ""
    provider: Annotated[str, Meta(max_length=200)] = ""
    payment_id: Annotated[str, Meta(max_length=200)] = ""
    order_id: Annotated[str, Meta(max_length=200)] = ""

    def __post_init__(self) -> None:
        if bool(self.provider) == bool(self.order_id) or bool(self.provider) != bool(self.payment_id):
            raise ValueError("a card is paid by a `provider` with its `payment_id`, or in an order with its `order_id`")


class PaymentSettlementAnnounced(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider says until when it will pay out what it captured."""

    settles_by: Moment


class PaymentSettled(Payment, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider paid out a payment, less its fee: one gross line of a payout."""

    payout_id: Name
    fee_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0


class OrderUnits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units of one SKU of an order; of the line ``line_no`` (from 1), or with 0 of whichever is open, in order."""

    sku: Name
    quantity: Positive
    line_no: Annotated[int, Meta(ge=0, le=10**6)] = 0


SettlementKind = Literal[
    "sale", "refund", "fee", "commission", "fulfilment_fee", "refund_fee", "service_fee", "chargeback",
    "chargeback_fee", "reserve", "carried", "tax", "adjustment", "payout", "unknown", "bank",
]  # fmt: skip


class SettlementTotal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the lines of one kind come to; positive is in our favour. ``fee_type`` is the provider's own word."""

    kind: SettlementKind
    fee_type: Annotated[str, Meta(max_length=200)] = ""
    amount_minor: Amount
    line_count: Positive


class SettlementReceived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's settlement, or a bank's statement, was read and adds up. A later version supersedes the earlier.

    ``origin`` is the provider, or the bank account. The core sends this itself when it has kept the lines.
    """

    origin: Origin
    settlement_id: Name
    version: Positive = 1
    kind: Literal["processor", "bank"] = "processor"
    currency: Currency
    payout_id: Annotated[str, Meta(max_length=200)] = ""
    totals: Annotated[tuple[SettlementTotal, ...], Meta(min_length=1, max_length=1000)]

    def __post_init__(self) -> None:
        if self.kind == "processor" and (rest := sum(total.amount_minor for total in self.totals)):
            raise ValueError(f"`totals` leave {rest}: what is paid out, or carried on, is one of them")
        if any((total.kind == "bank") != (self.kind == "bank") for total in self.totals):
            raise ValueError("`totals` of a bank's statement are of kind bank, and no others")

    @property
    def document(self) -> str:
        """What it is in the books."""
        return "bank_statement" if self.kind == "bank" else "settlement"

    @property
    def entity_id(self) -> str:
        """The number of this version in the books."""
        return self._number(self.version)

    @property
    def journal_before(self) -> str:
        """The journal of the version that this one supersedes."""
        return f"{self.origin}:{self.document}/{self._number(self.version - 1)}"

    def _number(self, version: int) -> str:
        return self.settlement_id if version == 1 else f"{self.settlement_id}/{version}"


class FinanceRecorded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only finance knows and no goods move for, by its ``kind`` in the posting rules.

    ``amounts`` are what the rule asks for, in minor units of ``currency`` (rates in millionths); ``names`` what its
    accounts are named for. With ``reverse_on`` it is reversed on that day. A counterparty settles it by ``reference``.
    """

    origin: Origin
    document_id: Name
    kind: Name
    currency: Currency
    amounts: dict[Annotated[str, Meta(max_length=64)], Amount]
    names: dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=200)]] = {}
    channel: Annotated[str, Meta(max_length=200)] = ""
    location: Annotated[str, Meta(max_length=200)] = ""
    order_id: Annotated[str, Meta(max_length=200)] = ""  # the order of this origin that it is about
    reference: Annotated[str, Meta(max_length=200)] = ""
    reverse_on: dt.date | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""


class ExchangeRateSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one unit of ``currency`` is worth in ``into`` from ``valid_from`` on, in millionths."""

    origin: Origin
    currency: Currency
    into: Currency
    valid_from: dt.date
    rate_ppm: Annotated[int, Meta(ge=1, le=10**15)]


class ControlDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document that a control total counts."""

    number: Name
    amount_minor: Amount
    tax_minor: Amount = 0


class ControlTotalStated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a business day came to where it happened: a channel's list of orders, a till's Z report, a provider's total.

    ``origin`` is that of the documents. Amounts of orders are net of ``tax_minor``, those of a provider are what it
    took less what it gave back. With ``documents`` a difference is named, without them only its amount is known. The
    latest statement of a day counts.
    """

    origin: Origin
    document_id: Name
    kind: Literal["order_list", "pos_z", "provider_day"]
    business_date: dt.date
    channel: Annotated[str, Meta(max_length=200)] = ""
    provider: Annotated[str, Meta(max_length=200)] = ""
    location: Annotated[str, Meta(max_length=200)] = ""
    currency: Currency
    count: Annotated[int, Meta(ge=0, le=10**9)]
    amount_minor: Amount
    tax_minor: Amount = 0
    documents: Annotated[tuple[ControlDocument, ...], Meta(max_length=20_000)] = ()

    def __post_init__(self) -> None:
        for name, wanted in (("channel", self.kind != "provider_day"), ("provider", self.kind == "provider_day"),
                             ("location", self.kind == "pos_z")):  # fmt: skip
            if wanted and not getattr(self, name):
                raise ValueError(f"a total of kind {self.kind} needs a `{name}`")
        if self.kind == "provider_day" and self.documents:
            raise ValueError("a provider's total has no `documents`: its settlements have lines")
        if self.documents:
            sums = (len(self.documents), sum(one.amount_minor for one in self.documents),
                    sum(one.tax_minor for one in self.documents))  # fmt: skip
            for name, found in zip(("count", "amount_minor", "tax_minor"), sums, strict=True):
                if getattr(self, name) != found:
                    raise ValueError(f"`{name}` is {getattr(self, name)}, its documents make {found}")
            if len({one.number for one in self.documents}) < len(self.documents):
                raise ValueError("`documents` name one number twice")


class ShipmentShipped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of an order left ``location``: ``lines``, or without any everything that is reserved for it."""

    origin: Origin
    order_id: Name
    shipment_id: Name
    location: Name
    tracking_id: Annotated[str, Meta(max_length=200)] = ""
    lines: Annotated[tuple[OrderUnits, ...], Meta(max_length=5000)] = ()


class OrderCancelled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``lines`` of an order are not wanted any more, or without any everything that has not been shipped."""

    origin: Origin
    order_id: Name
    cancellation_id: Name
    reason: Annotated[str, Meta(max_length=500)] = ""
    lines: Annotated[tuple[OrderUnits, ...], Meta(max_length=5000)] = ()


class EditedLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line as it is ordered from now on; a new ``line_no`` adds it, ``quantity`` 0 removes it.

    Cancellations that are told by events of their own are not deducted, and what has been shipped is included.
    """

    line_no: Annotated[int, Meta(ge=1, le=10**6)]
    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=10**9)]
    amount_minor: Amount
    kind: LineKind = "goods"
    unit_price_micros: int | None = None


class OrderEdited(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order was changed after its capture: ``lines`` as they are now, and where it goes when ``address`` is given.

    Of two edits of one line the one that happened later holds, in whatever order they arrive. Without ``tax_minor``,
    the tax of what is wanted now, tax changes with the amount.
    """

    origin: Origin
    order_id: Name
    edit_id: Name
    currency: Currency
    lines: Annotated[tuple[EditedLine, ...], Meta(max_length=5000)] = ()
    tax_minor: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    address: Annotated[str, Meta(max_length=1000)] = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


class OrderStepped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a system did for an order beside moving money: a check, a release, a message to somebody.

    ``picked_up`` is the one step by which goods leave: ``lines``, or without any everything that is reserved. Its
    ``reference``, or that of ``shipment_confirmed``, ``delivery_promised`` and ``delivered``, is the shipment that it
    is about, where there is one.
    ``failed`` is a check that the order did not pass, or a step that could not be done; the step may come again.
    """

    origin: Origin
    order_id: Name
    step: OrderStepName
    system: Name  # that did it: the provider, the tax engine, the marketplace, the warehouse
    reference: Annotated[str, Meta(max_length=200)] = ""  # the system's own ID of what it did
    location: Annotated[str, Meta(max_length=200)] = ""  # where it was done, or where the order was routed to
    due_at: Moment | None = None  # by when what was promised is to be done: a carrier's word on the delivery
    failed: bool = False
    reason: Annotated[str, Meta(max_length=500)] = ""
    lines: Annotated[tuple[OrderUnits, ...], Meta(max_length=5000)] = ()  # that the customer took

    def __post_init__(self) -> None:
        if self.lines and (self.step != "picked_up" or self.failed):
            raise ValueError(f"`lines` are of what was picked_up, not of {self.step}{' that failed' * self.failed}")


class BackorderOffered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stock that an order waits for may be there now; the core sends this itself when stock becomes free."""

    origin: Origin
    order_id: Name


class OrderDeadlinePassed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A time by which something was to happen to an order has come; the core sends this itself."""

    origin: Origin
    order_id: Name
    deadline: OrderDeadline
    reference: Annotated[str, Meta(max_length=200)] = ""  # the shipment that is to be confirmed


class CreditMemoIssued(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document that credits goods or services without naming the order; lines carry negative quantities."""

    origin: Origin
    credit_memo_id: Name
    channel: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=5000)]
    customer_ref: Annotated[str, Meta(max_length=200)] = ""
    provider: Name = "card"  # that pays back what is of no order


class ChargeRaised(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount is charged that orders no goods: carriage, fees, manual charges."""

    origin: Origin
    charge_id: Name
    channel: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=5000)]
    customer_ref: Annotated[str, Meta(max_length=200)] = ""


class PostingCompensated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ERP will never take a journal: the stock document behind it is undone, and both are reversed in the books."""

    origin: Origin
    journal_id: Annotated[str, Meta(min_length=1, max_length=500)]
    reason: Annotated[str, Meta(max_length=2000)] = ""


class ReceivableAdjusted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receivable is written off (negative amount) or restored (positive)."""

    origin: Origin
    adjustment_id: Name
    channel: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=5000)]


class StockReceived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods arrived from a supplier. With ``opening`` the quantity is the level that the opening stock must reach."""

    origin: Origin
    document_id: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[StockLine, ...], Meta(min_length=1, max_length=10000)]
    opening: bool = False


class StockAdjusted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The quantity on hand was found to differ; lines are signed."""

    origin: Origin
    document_id: Name
    location: Name
    channel: Name
    currency: Currency
    lines: Annotated[tuple[StockLine, ...], Meta(min_length=1, max_length=10000)]
    reason: Annotated[str, Meta(max_length=500)] = ""


class BucketLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of one SKU that change from one bucket to another, or leave as scrap."""

    sku: Name
    quantity: Positive
    taken: Bucket
    put: Bucket | Literal["scrap"]


class StockReclassified(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods were found damaged, held for quality, released, repaired or scrapped."""

    origin: Origin
    document_id: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[BucketLine, ...], Meta(min_length=1, max_length=10000)]
    reason: Annotated[str, Meta(max_length=500)] = ""


class CountLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many good units of one SKU somebody counted."""

    sku: Name
    quantity: Annotated[int, Meta(ge=0, le=10**9)]


class StockCounted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cycle count or a snapshot of what is good at a location, as it was at the event's time.

    It validates and never overwrites: what differs becomes a correction of that date, whatever moved since.
    """

    origin: Origin
    document_id: Name
    location: Name
    channel: Name
    currency: Currency
    lines: Annotated[tuple[CountLine, ...], Meta(min_length=1, max_length=10000)]
    reason: Annotated[str, Meta(max_length=500)] = ""


class StockPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SKU at one location."""

    sku: Name
    location: Name


class StockRepaired(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counters that differ from their movements are to be set to what the movements say; who decided it, and why."""

    origin: Origin
    document_id: Name
    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    places: Annotated[tuple[StockPlace, ...], Meta(min_length=1, max_length=500)]


class TransferRequested(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods are to go from one location to another; they are no longer free at the first."""

    origin: Origin
    transfer_id: Name
    from_location: Name
    to_location: Name
    currency: Currency
    lines: Annotated[tuple[UnitsLine, ...], Meta(min_length=1, max_length=5000)]


class TransferShipped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of a transfer left. With ``final`` nothing more of it will."""

    origin: Origin
    transfer_id: Name
    shipment_id: Name
    lines: Annotated[tuple[UnitsLine, ...], Meta(min_length=1, max_length=5000)]
    final: bool = True


class TransferReceived(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of a transfer arrived. With ``final`` what was shipped and is not here is missing."""

    origin: Origin
    transfer_id: Name
    receipt_id: Name
    lines: Annotated[tuple[UnitsLine, ...], Meta(max_length=5000)]
    final: bool = True


class TransferCancelled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has not left of a transfer stays."""

    origin: Origin
    transfer_id: Name
    reason: Annotated[str, Meta(max_length=500)] = ""


class TransferWrittenOff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nobody found by its deadline what is missing of a transfer."""

    origin: Origin
    transfer_id: Name


class LocationName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a system calls a location in its documents."""

    system: Origin
    name: Name


class LocationRegistered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A location, and whose word counts there. An empty ``stock_source`` or ``cost_source`` takes anybody's.

    ``names`` are what systems call it: documents of theirs are understood so. The latest registration of a name holds.
    With ``goods_to_erp`` the ERP is sent what comes and goes there.
    """

    origin: Origin
    location: Name
    kind: Literal["warehouse", "store", "partner"]
    stock_source: Annotated[str, Meta(max_length=200)] = ""
    cost_source: Annotated[str, Meta(max_length=200)] = ""
    near: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    names: Annotated[tuple[LocationName, ...], Meta(max_length=100)] = ()
    goods_to_erp: bool = False


class ProductRegistered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product as it is now. From the first one on, documents of this origin must name products in their lines.

    ``aliases`` are other numbers for it, as barcodes; ``parent`` is what it is a variant of, ``replaces`` what it
    follows.
    """

    origin: Origin
    sku: Name
    name: Annotated[str, Meta(max_length=500)]
    unit: Annotated[str, Meta(max_length=20)] = "each"
    tax_code: Annotated[str, Meta(max_length=50)] = ""
    aliases: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    parent: Annotated[str, Meta(max_length=200)] = ""
    replaces: Annotated[str, Meta(max_length=200)] = ""


class ChannelServed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The locations whose stock a channel may sell."""

    origin: Origin
    channel: Name
    locations: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=5000)]


class ChannelConnected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a channel takes what it may sell, and how fast; with an empty ``url`` it is told nothing any more.

    It is sent what it may promise of each SKU, with ``by_location`` also what is for sale at each of its locations;
    ``batch`` figures in a request at most. Channels of a lower ``priority`` number are served first.
    """

    origin: Origin
    channel: Name
    url: Annotated[str, Meta(max_length=2000, pattern=r"^(https?://\S+)?$")]
    by_location: bool = False
    batch: Annotated[int, Meta(ge=1, le=5000)] = 500
    requests_per_second: Annotated[float, Meta(gt=0, le=100)] = 2.0
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100


class ChannelTermsSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is agreed with a channel, in seconds; 0: nothing is.

    Within ``acknowledge_seconds`` of its capture an order is acknowledged, within ``confirm_shipment_seconds`` of its
    leaving a shipment is confirmed to the channel. A reservation lapses ``reservation_seconds`` after the capture when
    nobody has paid.
    The same basket of the same customer within ``duplicate_seconds`` is a suspected duplicate.
    With ``sales_orders`` the ERP is sent each order as a sales order when it is taken.
    """

    origin: Origin
    channel: Name
    acknowledge_seconds: Annotated[int, Meta(ge=0, le=MOST_SECONDS)] = 0
    confirm_shipment_seconds: Annotated[int, Meta(ge=0, le=MOST_SECONDS)] = 0
    reservation_seconds: Annotated[int, Meta(ge=0, le=MOST_SECONDS)] = 0
    duplicate_seconds: Annotated[int, Meta(ge=0, le=MOST_SECONDS)] = 600
    sales_orders: bool = False


class StockRuleSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule of availability; set again under its ID it replaces itself, with ``quantity`` and ``percent`` 0 it ends.

    safety: units of a SKU at a location that are not for sale. buffer: the same while a feed of the location is silent.
    quota: units kept for a channel. cap: the most a channel may see. reorder: the point of sellable units under which
    replenishment up to ``target`` is signalled. An empty ``sku`` or ``location`` means each.
    ``percent`` is of what is free, rounded down, and is added to ``quantity``.
    """

    origin: Origin
    rule_id: Name
    kind: Literal["safety", "buffer", "quota", "cap", "reorder"]
    sku: Annotated[str, Meta(max_length=200)] = ""
    location: Annotated[str, Meta(max_length=200)] = ""
    channel: Annotated[str, Meta(max_length=200)] = ""
    quantity: Annotated[int, Meta(ge=0, le=10**9)] = 0
    percent: Annotated[int, Meta(ge=0, le=100)] = 0
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    target: Annotated[int, Meta(ge=0, le=10**9)] = 0

    def __post_init__(self) -> None:
        if (self.kind in ("quota", "cap")) != bool(self.channel):
            raise ValueError(f"a {self.kind} {'has no' if self.channel else 'needs a'} `channel`")
        if self.kind == "reorder" and self.quantity and self.target <= self.quantity:
            raise ValueError("a reorder point needs a `target` above its `quantity`")
        if self.kind == "reorder" and self.percent:
            raise ValueError("a reorder point has no `percent`")


class FeedReported(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stock feed says that it is alive and has told of every change up to ``source_at`` (absent: up to now).

    ``feed`` is the ``source`` of the events that move the stock of this location.
    """

    feed: Name
    channel: Name
    location: Name
    source_at: dt.datetime | None = None


TYPES: Final[dict[str, type[Struct]]] = {
    "tallytrace.order.captured.v1": OrderCaptured,
    "tallytrace.payment.authorised.v1": PaymentAuthorised,
    "tallytrace.payment.failed.v1": PaymentFailed,
    "tallytrace.payment.voided.v1": PaymentVoided,
    "tallytrace.payment.captured.v1": PaymentCaptured,
    "tallytrace.gift_card.issued.v1": GiftCardIssued,
    "tallytrace.payment.settlement_announced.v1": PaymentSettlementAnnounced,
    "tallytrace.payment.settled.v1": PaymentSettled,
    "tallytrace.settlement.received.v1": SettlementReceived,
    "tallytrace.control_total.stated.v1": ControlTotalStated,
    "tallytrace.finance.recorded.v1": FinanceRecorded,
    "tallytrace.exchange_rate.set.v1": ExchangeRateSet,
    "tallytrace.shipment.shipped.v1": ShipmentShipped,
    "tallytrace.order.cancelled.v1": OrderCancelled,
    "tallytrace.order.edited.v1": OrderEdited,
    "tallytrace.order.stepped.v1": OrderStepped,
    "tallytrace.order.deadline_passed.v1": OrderDeadlinePassed,
    "tallytrace.backorder.offered.v1": BackorderOffered,
    **RETURN_TYPES,
    "tallytrace.credit_memo.issued.v1": CreditMemoIssued,
    "tallytrace.charge.raised.v1": ChargeRaised,
    "tallytrace.posting.compensated.v1": PostingCompensated,
    "tallytrace.receivable.adjusted.v1": ReceivableAdjusted,
    "tallytrace.stock.received.v1": StockReceived,
    "tallytrace.stock.adjusted.v1": StockAdjusted,
    "tallytrace.stock.reclassified.v1": StockReclassified,
    "tallytrace.stock.counted.v1": StockCounted,
    "tallytrace.stock.repaired.v1": StockRepaired,
    "tallytrace.transfer.requested.v1": TransferRequested,
    "tallytrace.transfer.shipped.v1": TransferShipped,
    "tallytrace.transfer.received.v1": TransferReceived,
    "tallytrace.transfer.cancelled.v1": TransferCancelled,
    "tallytrace.transfer.written_off.v1": TransferWrittenOff,
    "tallytrace.product.registered.v1": ProductRegistered,
    "tallytrace.location.registered.v1": LocationRegistered,
    "tallytrace.channel.served.v1": ChannelServed,
    "tallytrace.channel.connected.v1": ChannelConnected,
    "tallytrace.channel_terms.set.v1": ChannelTermsSet,
    "tallytrace.stock_rule.set.v1": StockRuleSet,
    "tallytrace.feed.reported.v1": FeedReported,
    **MASTER_TYPES,
}

Event = (
    OrderCaptured
    | PaymentAuthorised
    | PaymentFailed
    | PaymentVoided
    | PaymentCaptured
    | GiftCardIssued
    | PaymentSettlementAnnounced
    | PaymentSettled
    | SettlementReceived
    | ControlTotalStated
    | FinanceRecorded
    | ExchangeRateSet
    | ShipmentShipped
    | OrderCancelled
    | OrderEdited
    | OrderStepped
    | OrderDeadlinePassed
    | BackorderOffered
    | ReturnEvent
    | ReturnPolicySet
    | ReturnReasonMapped
    | CreditMemoIssued
    | ChargeRaised
    | PostingCompensated
    | ReceivableAdjusted
    | StockReceived
    | StockAdjusted
    | StockReclassified
    | StockCounted
    | StockRepaired
    | TransferRequested
    | TransferShipped
    | TransferReceived
    | TransferCancelled
    | TransferWrittenOff
    | ProductRegistered
    | LocationRegistered
    | ChannelServed
    | ChannelConnected
    | ChannelTermsSet
    | StockRuleSet
    | FeedReported
    | CustomerUpdated
    | TaxCodeSet
)

SCHEMAS: Final = "/v1/schemas"
TYPE_OF: Final = {struct: name for name, struct in TYPES.items()}
_DECODERS: Final = {name: msgspec.json.Decoder(struct) for name, struct in TYPES.items()}


class Envelope(Struct, frozen=True, kw_only=True):
    """The CloudEvents attributes of one event and its data as the bytes that were sent."""

    id: Name
    source: Name
    type: Name
    time: dt.datetime
    data: msgspec.Raw
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: str = "application/json"
    dataschema: str = ""
    partitionkey: str = ""
    provenance: Provenance = "live"


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_ENVELOPES: Final = msgspec.json.Decoder(list[Envelope])


class Cause(Struct, frozen=True):
    """What a hop says of the event behind it."""

    source: str
    event_id: str
    business_date: dt.date
    provenance: Provenance


class Message(Struct, frozen=True, kw_only=True):
    """A checked event: its identity, its type's Struct, and the bytes it came in."""

    source: str
    event_id: str
    type: str
    occurred_at: dt.datetime
    body: bytes
    event: Event
    partition_key: str
    business_date: dt.date  # the local date at the source
    payload_hash: bytes  # tells a redelivery from another event under the same identity
    provenance: Provenance = "live"

    @property
    def cause(self) -> Cause:
        return Cause(self.source, self.event_id, self.business_date, self.provenance)


def derived(stated: Provenance) -> Provenance:
    """The source of what an event causes and does not state (tax, payment, cost): generated beside a file."""
    return "generated" if stated == "file" else stated


def payload_hash(type_name: str, occurred_at: dt.datetime, body: bytes) -> bytes:
    """SHA-256 of type, time in UTC and body."""
    head = f"{type_name}\x1f{occurred_at.astimezone(dt.UTC).isoformat()}\x1f".encode()
    return hashlib.sha256(head + body).digest()


def decode_event(type_name: str, body: bytes | msgspec.Raw) -> Event:
    """The Struct of ``type_name``. Raises InvalidEventError, naming the field, or UnknownEventTypeError."""
    decoder = _DECODERS.get(type_name)
    if decoder is None:
        raise UnknownEventTypeError(_unknown(type_name), "type")
    try:
        return decoder.decode(body)  # type: ignore[return-value]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(*_reason(error, "data")) from error


def schema(type_name: str) -> dict[str, Any]:
    """The JSON Schema of a type's data. Raises UnknownEventTypeError."""
    if type_name not in TYPES:
        raise UnknownEventTypeError(_unknown(type_name), "type")
    (reference,), definitions = msgspec.json.schema_components([TYPES[type_name]], ref_template="#/$defs/{name}")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": f"{SCHEMAS}/{type_name}", **reference, "$defs": definitions}


def _unknown(type_name: str) -> str:
    """Which versions of a type are known when the one that was asked for is not."""
    name, _, version = type_name.rpartition(".")
    known = sorted(one for one in TYPES if one.rpartition(".")[0] == name)
    if not known:
        return f"unknown event type {type_name!r}; see GET {SCHEMAS}"
    return f"version {version!r} of {name} is not known; known: {', '.join(known)}"


def from_cloudevents(body: bytes, *, batch: bool) -> list[Message]:
    """Checked messages of a CloudEvents body (one event, or a JSON array of them)."""
    try:
        envelopes = _ENVELOPES.decode(body) if batch else [_ENVELOPE.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidEventError(*_reason(error, "")) from error
    return [_message(envelope, f"[{index}]" if batch else "") for index, envelope in enumerate(envelopes)]


def message(
    event: Event,
    *,
    source: str,
    event_id: str,
    occurred_at: dt.datetime,
    provenance: Provenance = "live",
    partition_key: str = "",
) -> Message:
    """A message made by a connector from an event that it built itself; ``occurred_at`` carries the local zone."""
    type_name = TYPE_OF[type(event)]
    body = msgspec.json.encode(event)
    return Message(
        source=source,
        event_id=event_id,
        type=type_name,
        occurred_at=occurred_at.astimezone(dt.UTC),
        business_date=occurred_at.date(),
        body=body,
        event=event,
        payload_hash=payload_hash(type_name, occurred_at, body),
        partition_key=partition_key or sequence_of(event),
        provenance=provenance,
    )


def sequence_of(event: Event) -> str:
    """The key under which an event is ordered when its sender names none: the transaction that it changes."""
    match event:
        case (
            OrderCaptured()
            | Payment()
            | ShipmentShipped()
            | OrderCancelled()
            | OrderEdited()
            | OrderStepped()
            | OrderDeadlinePassed()
            | BackorderOffered()
        ):
            return f"{event.origin}\x1f{event.order_id}"
        case ReturnEvent():
            return f"{event.origin}\x1f{event.return_id}"
        case CreditMemoIssued() | ChargeRaised() | ReceivableAdjusted():
            return event.origin
        case GiftCardIssued():
            return f"gift card\x1f{event.origin}\x1f{event.card_id}"
        case SettlementReceived():
            return f"{event.origin}\x1f{event.settlement_id}"
        case FinanceRecorded():
            return f"{event.origin}\x1f{event.order_id or event.document_id}"
        case PostingCompensated():
            return event.journal_id
        case (
            ControlTotalStated()
            | StockReceived()
            | StockAdjusted()
            | StockReclassified()
            | StockCounted()
            | StockRepaired()
        ):
            return f"{event.origin}\x1f{event.document_id}"
        case TransferRequested() | TransferShipped() | TransferReceived() | TransferCancelled() | TransferWrittenOff():
            return f"{event.origin}\x1f{event.transfer_id}"
        case (
            LocationRegistered()
            | ChannelServed()
            | ChannelConnected()
            | ChannelTermsSet()
            | StockRuleSet()
            | ReturnPolicySet()
            | ReturnReasonMapped()
            | ExchangeRateSet()
        ):
            return f"rules\x1f{event.origin}"
        case ProductRegistered():
            return f"product\x1f{event.origin}\x1f{event.sku}"
        case TaxCodeSet():
            return f"tax\x1f{event.origin}"
        case CustomerUpdated():
            return f"customer\x1f{event.origin}"
        case FeedReported():
            return f"feed\x1f{event.feed}"


def _message(envelope: Envelope, place: str) -> Message:
    if envelope.time.tzinfo is None:
        raise InvalidEventError("time has no zone: send RFC 3339 with an offset", f"{place}.time".lstrip("."))
    try:
        event = decode_event(envelope.type, envelope.data)
    except InvalidEventError as error:
        raise type(error)(error.detail, f"{place}.{error.field}".lstrip(".")) from error
    if envelope.dataschema and not envelope.dataschema.endswith(f"{SCHEMAS}/{envelope.type}"):
        detail = f"{envelope.dataschema!r} is not the schema of its type, which is {SCHEMAS}/{envelope.type}"
        raise InvalidEventError(detail, f"{place}.dataschema".lstrip("."))
    try:
        occurred_at = envelope.time.astimezone(dt.UTC)
    except OverflowError as error:
        raise InvalidEventError("time is beyond any calendar", f"{place}.time".lstrip(".")) from error
    return Message(
        source=envelope.source,
        event_id=envelope.id,
        type=envelope.type,
        occurred_at=occurred_at,
        business_date=envelope.time.date(),
        body=bytes(envelope.data),
        payload_hash=payload_hash(envelope.type, envelope.time, bytes(envelope.data)),
        event=event,
        partition_key=envelope.partitionkey or sequence_of(event),
        provenance=envelope.provenance,
    )


def _reason(error: msgspec.DecodeError | UnicodeDecodeError, root: str) -> tuple[str, str]:
    """msgspec says "Expected `int`, got `str` - at `$.lines[0].quantity`": the sentence and the path."""
    detail, _, path = str(error).partition(" - at `$")
    return detail, f"{root}{path.rstrip('`')}".lstrip(".")
