"""The double-entry journal as values, and the posting rules as data. An unbalanced journal cannot be built."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from sync_core.errors import UnbalancedJournalError
from sync_core.ledger.facts import FactRule
from sync_core.messages import Provenance, RevenueOn, TaxPoint, TenderKind
from sync_core.money import at_rate, shared

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
    cash_in_transit: str
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
    realised_fx: str
    revaluation: str
    shrinkage: str
    opening_balance: str


class Entity(Struct, frozen=True, forbid_unknown_fields=True):
    """A legal entity. Its books are in ``currency``; without one, in each currency by itself.

    ``tax_code`` is that of tax whose lines name none, where their channel has none.
    """

    currency: str = ""
    tax_code: str = ""
    channels: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()


class Summarised(Struct, frozen=True, forbid_unknown_fields=True):
    """What the ERP is given in one journal a store and day, ``after_hours`` of the next day (UTC)."""

    locations: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    below_minor: int = 0
    after_hours: int = 4


class ErpRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What an ERP takes: of which legal entities, which documents; all of them where none is named."""

    entities: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()


class SalesTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """When the tax of a sale is payable, when its revenue is earned, and the code of tax whose lines name none."""

    tax_point: TaxPoint = "capture"
    revenue_on: RevenueOn = "shipped"
    tax_code: str = ""


class PostingRules(Struct, frozen=True, forbid_unknown_fields=True):
    """Versioned posting rules: accounts per kind of line, the ERP deadline and the lane per document.

    ``tenders`` has the account of each kind of tender, with ``{provider}`` and ``{location}``; refunds go to the kinds
    in ``refund_order``. ``channels`` has the sales terms of channels that differ from ``terms``.
    ``entities`` are found by location, else by channel, else they are the first.
    ``erps`` has what ERPs beside the first take; what none of them takes is the first's, whose name is empty.
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
    entities: dict[str, Entity]
    facts: dict[str, FactRule]
    summaries: Summarised
    erps: dict[str, ErpRule]
    expected_days: dict[str, int]

    def lane(self, document: str) -> int:
        return LANES.index(self.lanes.get(document, "postings"))

    def erp(self, document: str, legal_entity: str) -> str:
        """The name of the ERP that takes a document; what is told of a sales order goes where that is."""
        kind = "sales_order" if document.startswith("sales_order") else document
        for name, rule in self.erps.items():
            if legal_entity in (rule.entities or {legal_entity}) and kind in (rule.documents or {kind}):
                return name
        return ""

    def clearing(self, provider: str) -> str:
        return self.accounts.clearing.format(provider=provider)

    def sales_terms(self, channel: str) -> SalesTerms:
        return self.channels.get(channel, self.terms)

    def tax_code(self, channel: str, location: str) -> str:
        """The code of tax whose lines name none: of its channel, else of its legal entity, else of all."""
        of_channel = self.channels[channel].tax_code if channel in self.channels else ""
        return of_channel or self.entities[self.entity(channel, location)].tax_code or self.terms.tax_code

    def of_kind(self, kind: str) -> KindAccounts:
        """The accounts of a kind of line, or of tax with its code."""
        return self.kinds[kind.partition(":")[0]]

    def entity(self, channel: str, location: str) -> str:
        """The legal entity whose books something at a location, or through a channel, goes into."""
        for name, one in self.entities.items() if len(self.entities) > 1 else ():
            if location in one.locations:
                return name
        for name, one in self.entities.items() if len(self.entities) > 1 else ():
            if channel in one.channels:
                return name
        return next(iter(self.entities))

    @property
    def foreign(self) -> bool:
        """Whether some books are in one currency whatever trade is in."""
        return any(one.currency for one in self.entities.values())

    def functional(self, entity: str, currency: str) -> str:
        """The currency of an entity's books for what is in ``currency``."""
        return self.entities[entity].currency or currency

    def minutes(self, document: str) -> int:
        """Within how long the ERP must have a document."""
        fact = self.facts.get(document)
        return fact.deadline_minutes if fact else self.deadline_minutes[document]

    def summarised(self, journal: "Journal") -> bool:
        """Whether the ERP has a journal only in the summary of its store and day."""
        rule = self.summaries
        return (
            journal.location in rule.locations
            and journal.document in rule.documents
            and journal.total_minor < rule.below_minor
        )

    @property
    def banked(self) -> tuple[str, str]:
        """Accounts of what is on its way to the bank, which a statement of the bank settles."""
        return self.accounts.payouts_in_transit, self.accounts.cash_in_transit

    def opens(self, document: str, account: str) -> bool:
        """Whether a posting of a document to an account is something that a settlement has to match."""
        if account in self.banked:
            return document == "settlement" or document in self.facts
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
    tax_code: str = ""
    functional_minor: int | None = None  # in the currency of the books; None until it is converted


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
    legal_entity: str = ""
    functional_currency: str = ""
    original_date: dt.date | None = None  # of what came too late for its period

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


def converted(lines: Sequence[JournalLine], rate_ppm: int, differences: str) -> tuple[JournalLine, ...]:
    """Lines with what they are worth at a rate: each side as one, what rounding leaves to the largest remainders.

    A line that says what it is worth keeps that; the difference it makes is realised, on the account ``differences``.
    """
    held = list(lines)
    for sign in (1, -1):
        side = [n for n, one in enumerate(held) if one.amount_minor * sign > 0]
        amounts = [abs(held[n].amount_minor) for n in side]
        for n, share in zip(side, shared(at_rate(sum(amounts), rate_ppm), amounts), strict=True):
            if held[n].functional_minor is None:
                held[n] = msgspec.structs.replace(held[n], functional_minor=sign * share)
    if realised := -sum(one.functional_minor or 0 for one in held):
        held.append(JournalLine(differences, 0, held[0].source, functional_minor=realised))
    return tuple(held)


def reversal(line: JournalLine) -> JournalLine:
    """The line that undoes another, as it was booked."""
    worth = None if line.functional_minor is None else -line.functional_minor
    return msgspec.structs.replace(line, amount_minor=-line.amount_minor, functional_minor=worth)


def balanced(lines: Iterable[JournalLine]) -> tuple[JournalLine, ...]:
    """The lines without empty ones. Raises UnbalancedJournalError unless debits equal credits."""
    kept = tuple(line for line in lines if line.amount_minor or line.kind or line.functional_minor)
    difference = sum(line.amount_minor for line in kept)
    if difference:
        raise UnbalancedJournalError(f"debits exceed credits by {difference} minor units: {kept}")
    return kept
