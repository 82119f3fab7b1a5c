"""Names of the attributes and span events that carry retail meaning, and the identity of a transaction."""

import hashlib
import unicodedata
from typing import Final

PREFIX: Final = "retail."

CORRELATION_ID: Final = "retail.correlation_id"
ORIGIN: Final = "retail.origin"
DOMAIN: Final = "retail.domain"
HOP: Final = "retail.hop"
STAGE: Final = "retail.stage"
OUTCOME: Final = "retail.outcome"
ATTEMPT: Final = "retail.attempt"
REASON: Final = "retail.reason"
ENTITY: Final = "retail.entity"
ENTITY_ID: Final = "retail.entity_id"
MILESTONE: Final = "retail.milestone"
OCCURRED_AT: Final = "retail.occurred_at"
BUSINESS_DATE: Final = "retail.business_date"
DUE_AT: Final = "retail.due_at"
CHANNEL: Final = "retail.channel"
LOCATION: Final = "retail.location"
REGION: Final = "retail.region"
BRAND: Final = "retail.brand"
LEGAL_ENTITY: Final = "retail.legal_entity"
PROVIDER: Final = "retail.provider"
SYSTEM: Final = "retail.system"
SKU: Final = "retail.sku"
QUANTITY: Final = "retail.quantity"
AMOUNT_MINOR: Final = "retail.amount_minor"
CURRENCY: Final = "retail.currency"
OWNER: Final = "retail.owner"
RULE_VERSION: Final = "retail.rule_version"
CUSTOMER_REF: Final = "retail.customer_ref"
SOURCE: Final = "retail.source"

KEY_NAMES: Final = (
    "order_id", "shipment_id", "tracking_id", "payment_id", "dispute_id", "return_id", "refund_id", "invoice_id",
    "credit_memo_id", "journal_id", "erp_document_id", "settlement_id", "payout_id", "bank_line_id", "gift_card_id",
    "purchase_order_id", "transfer_id", "count_id", "event_id", "customer_id", "account_id",
)  # fmt: skip
"""Business keys, each sent as ``retail.<name>`` and found by any of them."""

DOMAINS: Final = frozenset(
    {
        "inventory",
        "order",
        "payment",
        "return",
        "refund",
        "posting",
        "settlement",
        "master_data",
        "exception",
        "publication",
    }
)
STAGES: Final = frozenset({"source", "transformation", "queue", "delivery", "erp"})
OUTCOMES: Final = frozenset(
    {"ok", "duplicate", "parked", "failed", "rejected", "dead_letter", "compensated", "replayed"}
)
SOURCES: Final = frozenset({"file", "generated", "live"})

# Span events and their attributes. Times inside events are integers: nanoseconds since the epoch.
EVENT_LINE: Final = "line"  # sku, quantity, amount_minor; location and kind where not the hop's and not goods
EVENT_JOURNAL_LINE: Final = "journal.line"
"""line_no, account, amount_minor, currency, functional_minor, functional_currency, kind, quantity, line_count,
source"""
EVENT_LINK: Final = "link"  # from, to (32 hex digits), kind, evidence, by; amount_minor and currency where money joins
EVENT_MILESTONE: Final = "milestone"  # entity, entity_id, milestone, occurred_at (ns)
EVENT_CORRECTION: Final = "correction"
"""entity, entity_id, milestone, occurred_at (ns) told wrongly; reason (did_not_occur, incorrect_data), by"""
EVENT_RECON_ITEM: Final = "recon.item"
EVENT_RECON_ENTRY: Final = "recon.entry"
"""level, business_date (YYYY-MM-DD), channel, provider, kind, currency, left_minor, right_minor, unexplained_minor,
reason, due_at (ns)"""
EVENT_WATERMARK: Final = "watermark"  # feed, channel, location, source_at, published_at, heartbeat_at (ns; 0 = none)

LINK_KINDS: Final = frozenset({"returns", "refunds", "exchanges", "part_of", "same_as", "settles"})


class InvalidReferenceError(ValueError):
    """The origin or the reference of a transaction cannot form an identity."""


def correlation_id(origin: str, reference: str) -> bytes:
    """The 16 bytes that identify a transaction: SHA-256(origin, 0x1F, reference), cut to 16.

    ``origin`` is the registered lower-case name of the system in which the transaction began; ``reference`` is the
    number of the document that began it, trimmed and NFC-normalised, without a leading ``#``. Spans carry it as 32
    hex digits. Raises InvalidReferenceError for an empty part, an upper-case origin or a separator inside.
    """
    clean = unicodedata.normalize("NFC", reference).strip().removeprefix("#")
    if not clean or not origin or origin != origin.strip().lower():
        raise InvalidReferenceError(f"cannot identify origin {origin!r}, reference {reference!r}")
    if "\x1f" in clean or "\x1f" in origin:
        raise InvalidReferenceError("an origin or reference may not contain the separator 0x1F")
    return hashlib.sha256(f"{origin}\x1f{clean}".encode()).digest()[:16]
