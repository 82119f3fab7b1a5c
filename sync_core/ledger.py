"""The double-entry journal as values, and the posting rules as data. An unbalanced journal cannot be built."""

import datetime as dt
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from sync_core.errors import UnbalancedJournalError
from sync_core.messages import Provenance, RevenueOn, TaxPoint, TenderKind

SETTLES: Final = frozenset({"settlement", "settlement_reversal", "settlement_difference", "settlement_write_off"})
"""Documents of the settlement side: their postings to a clearing account close what others opened."""
RULES_FILE: Final = Path(__file__).with_name("posting_rules.toml")


Lane = Literal["orders", "fulfilment", "postings"]
LANES: Final[tuple[Lane, ...]] = get_args(Lane)
"""Of what waits for the ERP, first to last."""


class KindAccounts(Struct, frozen=True, forbid_unknown_fields=True):
    """The accounts of one kind of line; no ``revenue`` means the amount stays where the payment put it."""

    contract: str
    credit: str
    charge: str
    revenue: str = ""


class Accounts(Struct, frozen=True, forbid_unknown_fields=True):
    """Accounts that do not depend on the kind of a line; ``clearing`` holds ``{provider}``."""

    clearing: str
    receivable: str
    payouts_in_transit: str
    inventory: str
    with_carriers: str
    return_pending: str
    damaged: str
    quarantine: str
    refurbish: str
    in_transit: str
    transfer_variance: str
    received_not_invoiced: str
    refunds_approved: str
    sales_tax: str
    gift_cards: str
    refund_tax_pending: str
    restocking_fees: str
    allowances: str
    right_to_recover: str
    write_down: str
    scrap_loss: str
    cost_of_goods: str
    processor_fees: str
    bank: str
    bank_unidentified: str
    settlement_differences: str
    written_off: str
    shrinkage: str
    opening_balance: str


class SalesTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """When the tax of a sale is payable, and when its revenue is earned."""

    tax_point: TaxPoint = "capture"
    revenue_on: RevenueOn = "shipped"


class PostingRules(Struct, frozen=True, forbid_unknown_fields=True):
    """Versioned posting rules: accounts per kind of line, the ERP deadline and the lane per document.

    ``tenders`` has the account of each kind of tender, with ``{provider}`` and ``{location}``; refunds go to the kinds
    in ``refund_order``. ``channels`` has the sales terms of channels that differ from ``terms``.
    ``settlement`` has the account of each kind of settlement line; none for a line that an open item waits for.
    ``expected_days`` says how long an open item of an account may wait for its settlement; the longest prefix counts.
    """

    version: str
    deadline_minutes: dict[str, int]
    accounts: Accounts
    tenders: dict[TenderKind, str]
    refund_order: tuple[TenderKind, ...]
    terms: SalesTerms
    channels: dict[str, SalesTerms]
    kinds: dict[str, KindAccounts]
    lanes: dict[str, Lane]
    settlement: dict[str, str]
    expected_days: dict[str, int]

    def lane(self, document: str) -> int:
        return LANES.index(self.lanes.get(document, "postings"))

    def clearing(self, provider: str) -> str:
        return self.accounts.clearing.format(provider=provider)

    def sales_terms(self, channel: str) -> SalesTerms:
        return self.channels.get(channel, self.terms)

    def opens(self, document: str, account: str) -> bool:
        """Whether a posting of a document to an account is something that a settlement has to match."""
        if account == self.accounts.payouts_in_transit:
            return document == "settlement"
        return account.startswith(self.clearing("")) and document not in SETTLES

    def expected_within(self, account: str) -> dt.timedelta:
        found = max((prefix for prefix in self.expected_days if account.startswith(prefix)), key=len, default="")
        return dt.timedelta(days=self.expected_days.get(found, 7))


class JournalLine(Struct, frozen=True):
    """One side of an entry: debit positive, credit negative, in minor units of the journal's currency.

    A line with a ``kind`` carries an amount that the business document states; ``quantity`` (signed as in the
    document), ``line_count``, ``pieces`` and ``residue_micros`` are its statistics. Lines without a kind are the
    other side.
    """

    account: str
    amount_minor: int
    source: Provenance
    kind: str = ""
    quantity: int = 0
    line_count: int = 0
    pieces: int = 0
    residue_micros: int = 0
    related: bytes | None = None
    reference: str = ""  # under which the counterparty will settle it


class Journal(Struct, frozen=True, kw_only=True):
    """A balanced entry. ``journal_id`` is ``<origin>:<document>/<entity_id>``, so one document posts once."""

    journal_id: str
    correlation_id: bytes
    document: str
    entity_id: str
    occurred_at: dt.datetime
    business_date: dt.date
    channel: str
    location: str
    currency: str
    rule_version: str
    due_at: dt.datetime
    lines: tuple[JournalLine, ...]
    to_erp: bool = True

    @property
    def total_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines if line.amount_minor > 0)


def load_rules(path: Path = RULES_FILE, override: str = "") -> PostingRules:
    """The rules, with those of the file ``override`` laid over them, key by key.

    Raises msgspec.ValidationError, naming the key, for rules that do not have the form above.
    """
    stated = tomllib.loads(path.read_text())
    if override:
        stated = _laid_over(stated, tomllib.loads(Path(override).read_text()))
    return msgspec.convert(stated, PostingRules)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    tables = {key: _laid_over(below[key], one) for key, one in above.items()
              if isinstance(one, dict) and isinstance(below.get(key), dict)}  # fmt: skip
    return below | above | tables


def balanced(lines: Iterable[JournalLine]) -> tuple[JournalLine, ...]:
    """The lines without empty ones. Raises UnbalancedJournalError unless debits equal credits."""
    kept = tuple(line for line in lines if line.amount_minor or line.kind)
    difference = sum(line.amount_minor for line in kept)
    if difference:
        raise UnbalancedJournalError(f"debits exceed credits by {difference} minor units: {kept}")
    return kept
