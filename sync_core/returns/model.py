"""A return as it is kept: its units, its money, its refunds, and what channels promise about returns."""

import datetime as dt
from typing import Final, Literal

from msgspec import Struct, field

from sync_core.fields import LineKind, TenderKind
from sync_core.money import units_share
from sync_core.returns.messages import ReturnReason, Validation

ReturnState = Literal[
    "requested", "refused", "authorised", "expired", "in_transit", "received", "inspected", "dispositioned", "closed"
]
Stage = Literal["initiation", "physical receipt", "inspection and disposition", "refund and settlement", "ended"]

STAGES: Final[dict[ReturnState, Stage]] = {
    "requested": "initiation",
    "authorised": "initiation",
    "in_transit": "physical receipt",
    "received": "inspection and disposition",
    "inspected": "inspection and disposition",
    "dispositioned": "refund and settlement",
    "refused": "ended",
    "expired": "ended",
    "closed": "ended",
}


class Worth(Struct, frozen=True):
    """What units of a return come to: net of tax, their tax, and what is kept of it for restocking."""

    amount_minor: int = 0
    tax_minor: int = 0
    fee_minor: int = 0

    @property
    def owed_minor(self) -> int:
        return self.amount_minor + self.tax_minor - self.fee_minor

    def __add__(self, other: "Worth") -> "Worth":
        return Worth(
            self.amount_minor + other.amount_minor, self.tax_minor + other.tax_minor, self.fee_minor + other.fee_minor
        )


class ReturnLine(Struct):
    """Units of one order line in a return.

    Each is expected, given up or received; a received one is to be inspected, accepted or rejected; an accepted one
    waits for its disposition or has it; a rejected one is here or was sent back. The money of each is cleared for its
    refund or released, once.
    """

    sku: str
    quantity: int
    amount_minor: int
    tax_minor: int = 0
    fee_minor: int = 0
    kind: LineKind = "goods"
    order: bytes = b""
    order_line_no: int = 0
    unit_cost_minor: int = 0
    refund_after: Validation = "received"
    code: str = ""
    reason: ReturnReason = "other"
    serials: list[str] = field(default_factory=list)  # of units that are expected
    given_up: int = 0
    received: int = 0
    accepted: int = 0
    rejected: int = 0
    sent_back: int = 0
    disposed: dict[str, int] = field(default_factory=dict)  # by disposition
    at: dict[str, int] = field(default_factory=dict)  # by location: units that wait there
    cleared: int = 0
    released: int = 0
    tax_code: str = ""

    @property
    def whole(self) -> Worth:
        """What all of its units come to."""
        return Worth(self.amount_minor, self.tax_minor, self.fee_minor)

    @property
    def expected(self) -> int:
        return self.quantity - self.received - self.given_up

    @property
    def uninspected(self) -> int:
        return self.received - self.accepted - self.rejected

    @property
    def undisposed(self) -> int:
        return self.accepted - sum(self.disposed.values())

    @property
    def undecided(self) -> int:
        """Units whose money is neither cleared nor released."""
        return self.quantity - self.cleared - self.released

    def worth(self, units: int) -> Worth:
        """What the next ``units`` whose money is decided come to: all of them to the line's amounts."""
        decided = self.cleared + self.released
        shares = (units_share(total, decided, units, self.quantity)
                  for total in (self.amount_minor, self.tax_minor, self.fee_minor))  # fmt: skip
        return Worth(*shares)


class Return(Struct):
    """Goods that come back, or money that is given back without any; amounts include tax.

    ``approved_minor`` became owed to the customer with the return; of it ``cleared_minor`` may be paid out, and
    ``released_minor`` is not owed any more. ``approval`` is empty where nobody requested it: refunds are told then.
    """

    correlation_id: bytes
    origin: str
    return_id: str
    channel: str
    location: str
    currency: str
    opened_at: dt.datetime
    approved_minor: int = 0
    tax_minor: int = 0
    refunded_minor: int = 0
    state: ReturnState = "received"
    order: bytes = b""
    customer_ref: str = ""
    approval: Literal["", "automatic", "manual"] = ""
    released_minor: int = 0
    cleared_minor: int = 0
    cleared_tax_minor: int = 0
    expires_at: dt.datetime | None = None
    lines: list[ReturnLine] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)  # what was applied to it
    partition: int = 0  # of the inbox, in which its events are in sequence
    changes: int = 0
    reason: str = ""  # why it is held, or was refused
    taxes: dict[str, int] | None = field(
        default_factory=dict
    )  # by code, taken back; None: from before there were codes
    pending_taxes: dict[str, int] = field(default_factory=dict)  # of these, not yet reclaimed

    @property
    def open_minor(self) -> int:
        """What is owed and not yet given back."""
        return self.approved_minor - self.released_minor - self.refunded_minor

    @property
    def goods(self) -> list[ReturnLine]:
        return [line for line in self.lines if line.kind == "goods"]

    def knows(self, document: str) -> bool:
        """Whether a document was applied to it; notes it as applied when it was not."""
        if document in self.documents:
            return True
        self.documents.append(document)
        return False


class Refund(Struct):
    """Money that goes back for a return, to one of the tenders that paid; ``amount_minor`` includes ``tax_minor``."""

    correlation_id: bytes  # of the return
    refund_id: str
    provider: str
    amount_minor: int
    tax_minor: int
    state: Literal["instructed", "issued", "failed"]
    payment_id: str = ""  # of the order; empty: nobody knows which
    kind: TenderKind = "card"
    card: bytes = b""  # identity of the gift card or store credit
    instructed_at: dt.datetime | None = None
    reclaimed: bool = False  # it failed after its tax was taken back

    @property
    def active_minor(self) -> int:
        return 0 if self.state == "failed" else self.amount_minor


class Policy(Struct, frozen=True):
    """What a channel promises about returns of a product; see ``ReturnPolicySet``."""

    policy_id: str
    channel: str
    product: str
    window_days: int
    return_days: int
    fee_ppm: int
    refund_after: Validation
    approval: Literal["automatic", "manual"]
    most_returns: int
    within_days: int
    review_above_minor: int


DEFAULT: Final = Policy("default", "", "", 30, 21, 0, "inspected", "automatic", 0, 90, 0)
"""Where nobody has set another."""
