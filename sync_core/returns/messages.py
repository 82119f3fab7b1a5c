"""Events about returns and refunds, from the request of a customer to the money that goes back."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from sync_core.fields import Amount, Currency, Line, Name, Origin, Positive, UnitsLine

ReturnReason = Literal[
    "changed_mind", "does_not_fit", "defective", "damaged_in_transit", "not_as_described", "wrong_item", "late",
    "refused_at_delivery", "other",
]  # fmt: skip
Validation = Literal["authorised", "received", "inspected"]
Disposition = Literal["resell", "refurbish", "quarantine", "scrap"]


class ReturnEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What moves one return on; ``origin`` and ``return_id`` are the return's."""

    origin: Origin
    return_id: Name


class RequestedUnits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units of an order that are to come back; ``reason`` is the sender's own code, ``serials`` what they are known by.

    Of the order's line ``line_no``, or with 0 of whichever has been shipped, in order.
    """

    sku: Name
    quantity: Positive
    line_no: Annotated[int, Meta(ge=0, le=10**6)] = 0
    reason: Annotated[str, Meta(max_length=200)] = ""
    serials: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()


class ReturnRequested(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer wants to give units of an order back: it is authorised, refused, or held for review by its policies.

    ``return_id`` is the return reference, ``channel`` where it began. ``exchange_order_id`` is the order, of the
    same origin as the first, that the customer wants instead.
    """

    order_origin: Origin
    order_id: Name
    channel: Name
    currency: Currency
    lines: Annotated[tuple[RequestedUnits, ...], Meta(min_length=1, max_length=1000)]
    exchange_order_id: Annotated[str, Meta(max_length=200)] = ""


class ReturnReviewed(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody decided on a return that was held for review."""

    granted: bool
    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class ReturnWithdrawn(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of a return that have not come will not: the customer keeps them, or they are refused at the door."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class ReturnShipped(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The customer gave a return to a carrier or dropped it somewhere: it is on its way."""

    carrier: Annotated[str, Meta(max_length=200)] = ""
    tracking_id: Annotated[str, Meta(max_length=200)] = ""


class ReturnReceived(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods came back to ``location`` without a request, at the amounts stated, which are owed at once.

    The return is a transaction of its own, linked to the order; without an ``order_id`` it waits with its value.
    """

    order_origin: Annotated[str, Meta(max_length=64, pattern=r"^([a-z0-9][a-z0-9_.:-]*)?$")] = ""
    order_id: Annotated[str, Meta(max_length=200)] = ""
    channel: Name
    location: Name
    currency: Currency
    lines: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=5000)]
    tax_minor: Amount = 0

    def __post_init__(self) -> None:
        if bool(self.order_id) != bool(self.order_origin):
            raise ValueError("`order_id` and `order_origin` go together")


class ReceivedUnits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units in a parcel; an empty ``sku`` is what nobody could identify, described in ``note``."""

    sku: Annotated[str, Meta(max_length=200)] = ""
    quantity: Positive
    serials: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    note: Annotated[str, Meta(max_length=500)] = ""


class ReturnItemsReceived(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Goods of a requested return arrived at any location. With ``final`` nothing more of it is to come."""

    receipt_id: Name
    location: Name
    lines: Annotated[tuple[ReceivedUnits, ...], Meta(min_length=1, max_length=1000)]
    final: bool = False


class InspectedUnits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Units that were looked at."""

    sku: Name
    quantity: Positive
    outcome: Literal["accepted", "rejected"]
    reason: Annotated[str, Meta(max_length=500)] = ""


class ReturnInspected(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Received units were looked at, at ``location``: what is accepted is refunded, what is rejected is not."""

    inspection_id: Name
    location: Name
    by: Annotated[str, Meta(max_length=200)] = ""
    lines: Annotated[tuple[InspectedUnits, ...], Meta(min_length=1, max_length=1000)]


class DisposedUnits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What becomes of accepted units, or later of those in quarantine. A refurbished unit is worth ``worth_minor``."""

    sku: Name
    quantity: Positive
    disposition: Disposition
    taken: Literal["return_pending", "quarantine"] = "return_pending"
    worth_minor: Annotated[int, Meta(ge=0, le=10**15)] | None = None

    def __post_init__(self) -> None:
        if (self.disposition == "refurbish") != (self.worth_minor is not None):
            raise ValueError("`worth_minor` is what a refurbished unit is worth, and no other has it")
        if self.disposition == self.taken:
            raise ValueError("`disposition` quarantine is where these units are")


class ReturnDispositioned(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """It was decided what becomes of accepted units, which are at ``location``."""

    disposition_id: Name
    location: Name
    lines: Annotated[tuple[DisposedUnits, ...], Meta(min_length=1, max_length=1000)]


class ReturnSentBack(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rejected units left ``location`` for the customer, whose they are."""

    shipment_id: Name
    location: Name
    tracking_id: Annotated[str, Meta(max_length=200)] = ""
    lines: Annotated[tuple[UnitsLine, ...], Meta(min_length=1, max_length=1000)]


class ReturnMatched(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order of a return that came without one was found: by whom, and by what evidence."""

    order_origin: Origin
    order_id: Name
    by: Name
    evidence: Annotated[str, Meta(min_length=1, max_length=500)]


class ReturnDeadlinePassed(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time has come by which a return was to be here; the core sends this itself."""


class RefundApproved(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refund of validated goods is to be paid out: all that may be, or ``amount_minor`` of it, by whom.

    To what paid, each up to what it paid, or as store credit on the card ``card_id``.
    """

    approval_id: Name
    by: Name
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    card_id: Annotated[str, Meta(max_length=200)] = ""


class RefundIssued(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider accepted to give money back for a return. ``amount_minor`` includes ``tax_minor``.

    Under a ``refund_id`` that the core instructed, it is that refund, whose tax is known.
    """

    refund_id: Name
    provider: Name
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    currency: Currency
    tax_minor: Annotated[int, Meta(ge=0)] = 0


class RefundFailed(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider could not give the money back, or it came back from the customer's bank: it is owed again."""

    refund_id: Name
    provider: Name
    reason: Annotated[str, Meta(max_length=500)] = ""


class GoodwillGranted(ReturnEvent, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money is given back for an order although no goods are: ``amount_minor`` includes its share of the tax."""

    order_origin: Origin
    order_id: Name
    currency: Currency
    amount_minor: Annotated[int, Meta(ge=1, le=10**15)]
    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class ReturnPolicySet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a channel promises about returns, of all products or of one class: a SKU, or the parent of variants.

    The policy that names most goes before the others. ``window_days`` after delivery a return may be requested (0:
    never), ``return_days`` after that the goods must be here. ``fee_ppm`` of the amount is kept for restocking unless
    the reason is ours. ``refund_after`` says when goods count as validated; ``approval`` manual waits for somebody.
    Beyond ``most_returns`` of a customer within ``within_days``, or above ``review_above_minor``, it is held (0: not).
    """

    origin: Origin
    policy_id: Name
    channel: Annotated[str, Meta(max_length=200)] = ""
    product: Annotated[str, Meta(max_length=200)] = ""
    window_days: Annotated[int, Meta(ge=0, le=3660)] = 30
    return_days: Annotated[int, Meta(ge=1, le=366)] = 21
    fee_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    refund_after: Validation = "inspected"
    approval: Literal["automatic", "manual"] = "automatic"
    most_returns: Annotated[int, Meta(ge=0, le=10**6)] = 0
    within_days: Annotated[int, Meta(ge=1, le=3660)] = 90
    review_above_minor: Annotated[int, Meta(ge=0, le=10**15)] = 0


class ReturnReasonMapped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender's code for the reason of a return means."""

    origin: Origin
    code: Name
    reason: ReturnReason


RETURN_TYPES: Final[dict[str, type[Struct]]] = {
    "tallytrace.return.requested.v1": ReturnRequested,
    "tallytrace.return.reviewed.v1": ReturnReviewed,
    "tallytrace.return.withdrawn.v1": ReturnWithdrawn,
    "tallytrace.return.shipped.v1": ReturnShipped,
    "tallytrace.return.received.v1": ReturnReceived,
    "tallytrace.return_items.received.v1": ReturnItemsReceived,
    "tallytrace.return.inspected.v1": ReturnInspected,
    "tallytrace.return.dispositioned.v1": ReturnDispositioned,
    "tallytrace.return.sent_back.v1": ReturnSentBack,
    "tallytrace.return.matched.v1": ReturnMatched,
    "tallytrace.return.deadline_passed.v1": ReturnDeadlinePassed,
    "tallytrace.refund.approved.v1": RefundApproved,
    "tallytrace.refund.issued.v1": RefundIssued,
    "tallytrace.refund.failed.v1": RefundFailed,
    "tallytrace.goodwill.granted.v1": GoodwillGranted,
    "tallytrace.return_policy.set.v1": ReturnPolicySet,
    "tallytrace.return_reason.mapped.v1": ReturnReasonMapped,
}
