"""A unit of work: what a batch of events reads and changes, in memory, before it is committed as one."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

from collector.semconv import EVENT_JOURNAL_LINE, EVENT_LINK
from collector.semconv import correlation_id as identity_of
from sync_core import message_milestones
from sync_core.ledger.ledger import Journal, JournalLine, PostingRules, balanced, converted
from sync_core.ledger.periods import FINANCE, Periods
from sync_core.ledger.rates import Rates
from sync_core.messages import Cause, Message, Provenance
from sync_core.model import (
    BookedMatches,
    Captured,
    Catalogue,
    CreditPiece,
    Customer,
    ExceptionItem,
    ExceptionKind,
    GiftCard,
    Hop,
    Link,
    Location,
    Order,
    OrderLine,
    ParkedItem,
    Posted,
    Severity,
    Signal,
    Stock,
    Terms,
    Transfer,
)
from sync_core.returns.messages import ReturnReason
from sync_core.returns.model import Refund, Return
from sync_core.returns.policy import Promises
from sync_core.stock.availability import Rules
from sync_core.stock.buckets import EFFECTS, FREES, PROMISES, SUPPLIES

StockKey = tuple[str, str]
FeedKey = tuple[str, str, str]  # feed, channel, location


class Movement(Struct):
    """An append-only change of stock at one location, tied to the business document that caused it; units by SKU."""

    business_key: str
    kind: str
    location: str
    correlation_id: bytes
    occurred_at: dt.datetime
    provenance: Provenance
    message: Message
    clock_offset: dt.timedelta
    units: dict[str, int] = field(default_factory=dict)


def apply(held: Stock, kind: str, quantity: int) -> None:
    """Change the counters by one movement."""
    for counter, factor in EFFECTS[kind]:
        setattr(held, counter, getattr(held, counter) + factor * quantity)


class ForErp(Struct, frozen=True, kw_only=True):
    """A document for the ERP that is no journal: what it is sent, in which lane, by when it must have taken it."""

    document_id: str
    kind: Literal["sales_order", "sales_order_amendment", "sales_order_cancellation", "goods_movement"]
    lane: int
    correlation_id: bytes
    origin: str
    document: str
    entity_id: str
    channel: str
    location: str
    currency: str
    worth_minor: int
    due_at: dt.datetime
    body: bytes


class Verdict(Struct, frozen=True):
    """What became of an event: ``done``; ``parked`` until ``waiting_for`` exists; ``rejected`` with its reason."""

    state: str = "done"
    reason: str = ""
    waiting_for: bytes | None = None


DONE: Final = Verdict()


class Told(Struct, frozen=True):
    """A hop together with the event that caused it and the moment it was done, on the event's clock."""

    hop: Hop
    cause: Cause
    done_at: dt.datetime
    attempt: int = 1
    parent: Hop | None = None  # an earlier hop of the same event, told before


class Unit(Struct):
    """Rows loaded for a batch, and everything that the batch adds or changes."""

    rules: PostingRules
    partition: int = 0  # of the inbox, that the event under way came from
    orders: dict[bytes, Order] = field(default_factory=dict)
    lines: dict[bytes, list[OrderLine]] = field(default_factory=dict)
    order_steps: dict[tuple[bytes, str], dt.datetime] = field(default_factory=dict)  # the latest of each step
    deadlines: dict[tuple[bytes, str, str], dt.datetime] = field(default_factory=dict)  # of orders, by kind, reference
    deadlines_met: set[tuple[bytes, str, str]] = field(default_factory=set)  # before ``deadlines`` came
    terms: dict[str, Terms] = field(default_factory=dict)  # by channel
    baskets: dict[bytes, list[tuple[bytes, str, dt.datetime]]] = field(default_factory=dict)  # who has the same
    payments: defaultdict[bytes, dict[str, Captured]] = field(default_factory=lambda: defaultdict(dict))  # by order
    changed_payments: dict[tuple[bytes, str], Captured] = field(default_factory=dict)
    periods: Periods = field(default_factory=Periods)
    rates: Rates = field(default_factory=Rates)
    gift_cards: dict[bytes, GiftCard] = field(default_factory=dict)
    changed_gift_cards: dict[bytes, GiftCard] = field(default_factory=dict)
    new_steps: dict[tuple[bytes, str], dt.datetime] = field(default_factory=dict)
    given_back: defaultdict[tuple[bytes, str], int] = field(default_factory=lambda: defaultdict(int))  # of payments
    returns: dict[bytes, Return] = field(default_factory=dict)
    refunds: dict[tuple[bytes, str], Refund] = field(default_factory=dict)
    changed_refunds: dict[tuple[bytes, str], Refund] = field(default_factory=dict)
    returned: defaultdict[tuple[bytes, int], int] = field(default_factory=lambda: defaultdict(int))  # of order lines
    promises: Promises = field(default_factory=Promises)
    return_reasons: dict[tuple[str, str], ReturnReason] = field(default_factory=dict)  # by origin and code
    earlier_returns: dict[str, list[dt.datetime]] = field(default_factory=dict)  # by customer
    stock: dict[StockKey, Stock] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)
    stock_rules: Rules = field(default_factory=Rules)  # those that reorder points of this stock need
    signals: dict[StockKey, Signal] = field(default_factory=dict)
    read_stock: dict[StockKey, Stock] | None = None  # as it was when nobody held it; None: this unit holds its rows
    short: bool = False  # some event wanted more than was free
    transfers: dict[bytes, Transfer] = field(default_factory=dict)
    locations: dict[str, Location] = field(default_factory=dict)
    channels: set[str] = field(default_factory=set)  # registered, of those that are told of
    only_registered: bool = False  # goods are only where locations are registered
    moved_since: dict[tuple[str, str, dt.datetime], int] = field(default_factory=dict)
    open_lines: dict[tuple[str, str], list[OrderLine]] = field(default_factory=dict)
    open_exceptions: dict[tuple[bytes, str], list[str]] = field(default_factory=dict)
    new_orders: list[Order] = field(default_factory=list)
    changed_orders: dict[bytes, Order] = field(default_factory=dict)
    new_lines: list[OrderLine] = field(default_factory=list)
    changed_lines: dict[tuple[bytes, int], OrderLine] = field(default_factory=dict)
    new_returns: list[Return] = field(default_factory=list)
    changed_returns: dict[bytes, Return] = field(default_factory=dict)
    posted: dict[str, Posted] = field(default_factory=dict)
    order_documents: dict[tuple[bytes, str, str], dt.datetime] = field(default_factory=dict)
    journal_owners: dict[str, bytes] = field(default_factory=dict)  # transactions of journals that are known
    new_order_documents: list[tuple[bytes, str, str, dt.datetime]] = field(default_factory=list)
    changed_stock: dict[StockKey, Stock] = field(default_factory=dict)
    recounted: dict[StockKey, dt.datetime] = field(default_factory=dict)  # counters set to what movements say, and when
    told_counters: dict[StockKey, dict[str, int]] = field(default_factory=dict)  # by movements, of what is repaired
    damaged: dict[str, str] = field(default_factory=dict)  # by location: a movement that is not as it was written
    changed_signals: dict[StockKey, Signal] = field(default_factory=dict)
    movements: dict[tuple[str, str, str], Movement] = field(default_factory=dict)
    pieces: list[CreditPiece] = field(default_factory=list)
    parked_items: list[tuple[ParkedItem, dt.datetime]] = field(default_factory=list)
    customers: dict[tuple[str, str], Customer] = field(default_factory=dict)  # those of updates, or of their accounts
    changed_transfers: dict[bytes, Transfer] = field(default_factory=dict)
    settings: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # statements that keep what events set
    exceptions: list[tuple[ExceptionItem, dt.datetime]] = field(default_factory=list)
    resolved: list[tuple[str, str, dt.datetime]] = field(default_factory=list)
    revalued: dict[str, tuple[int, str]] = field(default_factory=dict)  # exception: its value and detail now
    journals: list[tuple[Journal, Message, dt.timedelta]] = field(default_factory=list)
    for_erp: list[tuple[ForErp, Message, dt.timedelta]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    stock_moved: defaultdict[tuple[str, str], dict[dt.datetime, dt.datetime]] = field(
        default_factory=lambda: defaultdict(dict)
    )  # (source, location): when it moved, and when that was applied
    days: set[dt.date] = field(default_factory=set)  # business days that are to be reconciled again
    booked_settlements: dict[tuple[str, str], BookedMatches] = field(default_factory=dict)  # of versions before
    waited_long: dict[tuple[str, str], tuple[str, bytes, str]] = field(default_factory=dict)
    """By event that waited: the exception about it, and the transaction it waited for."""
    arrived: set[bytes] = field(default_factory=set)
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def commutes(self) -> bool:
        """Whether all that it did to rows that it does not hold holds good whatever others do, if enough is there."""
        read = self.read_stock
        return (
            read is not None
            and all(FREES[movement.kind] <= 0 for movement in self.movements.values())
            and not self.short
            and not any(read[key].oversold for key in self.changed_stock)
        )


class Step(Struct):
    """One event inside a unit of work: the only way in which a decision changes anything."""

    unit: Unit
    message: Message
    now: dt.datetime
    clock_offset: dt.timedelta
    attempt: int = 1  # at this event
    arrived_at: dt.datetime | None = None  # at our door, on the event's clock; None: now
    touched: dict[StockKey, Stock] = field(default_factory=dict)
    supplied: dict[StockKey, int] = field(default_factory=dict)  # units that arrived, or are on their way now

    @property
    def rules(self) -> PostingRules:
        return self.unit.rules

    @property
    def accepted_at(self) -> dt.datetime:
        return self.arrived_at or self.now

    @property
    def wall(self) -> dt.datetime:
        """The moment of deciding, on the wall's clock."""
        return self.now - self.clock_offset

    def stock(self, sku: str, location: str) -> Stock:
        key = (sku, location)
        held = self.unit.stock.get(key)
        if held is None:
            held = self.unit.stock[key] = Stock(sku, location)
        return held

    def add_lines(self, order: Order, lines: Sequence[OrderLine]) -> None:
        """Lines that an order did not have; its customer may give back what they are of."""
        unit = self.unit
        unit.lines.setdefault(order.correlation_id, []).extend(lines)
        unit.new_lines.extend(lines)
        for line in lines:
            if order.customer_ref and line.kind == "goods":
                unit.open_lines.setdefault((order.customer_ref, line.sku), []).append(line)

    def take(self, order: bytes, name: str) -> None:
        """A step of an order was taken."""
        self.unit.order_steps[(order, name)] = self.unit.new_steps[(order, name)] = self.message.occurred_at

    def captured(self, taken: Captured) -> None:
        """Money was taken by a payment of an order."""
        of_order = self.unit.payments[taken.correlation_id]
        held = of_order.setdefault(taken.payment_id, taken)
        if held is not taken:
            held.amount_minor += taken.amount_minor
        self.unit.changed_payments[taken.correlation_id, taken.payment_id] = held

    def give_back(self, paid: Captured, amount_minor: int) -> None:
        """A part of a payment goes back; below zero it does not after all."""
        paid.refunded_minor += amount_minor
        self.unit.given_back[paid.correlation_id, paid.payment_id] += amount_minor

    def returned(self, line: OrderLine, units: int) -> None:
        """Units of an order line come back; below zero they do not after all."""
        line.returned += units
        self.unit.returned[line.correlation_id, line.line_no] += units

    def change_return(self, back: Return) -> None:
        """A return moves on: what waits for it may go on too."""
        back.changes += 1
        self.unit.changed_returns[back.correlation_id] = back
        self.unit.arrived.add(back.correlation_id)

    def move(self, business_key: str, kind: str, sku: str, location: str, quantity: int, correlation_id: bytes) -> None:
        """Change the buckets that ``kind`` touches and record the movement under its business key."""
        unit, message = self.unit, self.message
        key = (sku, location)
        held = unit.changed_stock.get(key) or self.stock(sku, location)
        apply(held, kind, quantity)
        unit.changed_stock[key] = self.touched[key] = held
        document = (business_key, kind, location)
        moved = unit.movements.get(document)
        if moved is None:
            moved = unit.movements[document] = Movement(
                business_key, kind, location, correlation_id, message.occurred_at, message.provenance, message,
                self.clock_offset,
            )  # fmt: skip
        moved.units[sku] = moved.units.get(sku, 0) + quantity
        if kind in SUPPLIES:
            self.supplied[key] = self.supplied.get(key, 0) + quantity
        if kind not in PROMISES:
            unit.stock_moved[(message.source, location)][message.occurred_at] = self.now

    def recount(self, held: Stock) -> None:
        """Note that counters were set to what their movements say."""
        key = (held.sku, held.location)
        self.unit.changed_stock[key] = self.touched[key] = held
        self.unit.recounted[key] = self.message.occurred_at

    def post(
        self,
        *,
        origin: str,
        correlation_id: bytes,
        document: str,
        entity_id: str,
        channel: str,
        location: str,
        currency: str,
        lines: list[JournalLine],
        owner: str = "finance",
        to_erp: bool = True,
        business_date: dt.date | None = None,
    ) -> tuple[JournalLine, ...]:
        """Add a balanced journal and its hop; returns its lines. Nothing is posted when no line carries anything.

        What comes after its period was closed goes into the next that is open, with its own date on it.
        """
        kept = balanced(lines)
        if not kept:
            return kept
        due_at = self.message.occurred_at + dt.timedelta(minutes=self.rules.minutes(document))
        entity = self.rules.entity(channel, location)
        functional = self.rules.functional(entity, currency)
        original = business_date or self.message.business_date
        finance = document in FINANCE or document in self.rules.facts
        posted_on = self.unit.periods.takes(entity, original, finance=finance)
        if functional != currency:
            rate = self.unit.rates.at(currency, functional, original)
            kept = converted(kept, rate, self.rules.accounts.realised_fx)
        journal = Journal(
            journal_id=f"{origin}:{document}/{entity_id}",
            correlation_id=correlation_id,
            document=document,
            entity_id=entity_id,
            occurred_at=self.message.occurred_at,
            business_date=posted_on,
            channel=channel,
            location=location,
            currency=currency,
            rule_version=self.rules.version,
            due_at=due_at,
            lines=kept,
            to_erp=to_erp,
            legal_entity=entity,
            functional_currency=functional,
            original_date=original if posted_on != original else None,
        )
        self.unit.journals.append((journal, self.message, self.clock_offset))
        self.tell(
            Hop(
                "posting.journal",
                "transformation",
                correlation_id,
                origin,
                "posting",
                f"{document}/{entity_id}",
                "journaled" if journal.total_minor and to_erp and not self.rules.summarised(journal) else "",
                attributes={
                    "journal_id": journal.journal_id,
                    "channel": channel,
                    "location": location,
                    "currency": currency,
                    "amount_minor": journal.total_minor,
                    "due_at": due_at,
                    "rule_version": self.rules.version,
                    "legal_entity": entity,
                    "owner": owner,
                }
                | ({"reason": f"of {original}, whose period is closed"} if posted_on != original else {}),
                events=[(EVENT_JOURNAL_LINE, line) for line in journal_line_events(journal, self.message.provenance)],
            )
        )
        return kept

    def tell(self, hop: Hop) -> None:
        """Record a hop, to be sent as a span when the unit of work has been committed."""
        self.unit.told.append(Told(hop, self.message.cause, self.now))

    def raise_exception(
        self,
        kind: ExceptionKind,
        *,
        origin: str,
        correlation_id: bytes,
        entity: str,
        entity_id: str,
        owner: str,
        detail: str,
        amount_minor: int = 0,
        currency: str = "",
        severity: Severity = "major",
        channel: str = "",
    ) -> None:
        """Open an exception for ``owner``; the same kind on the same thing opens once."""
        item = ExceptionItem(
            f"{origin}:{kind}/{entity_id}",
            kind,
            severity,
            correlation_id,
            origin,
            entity,
            entity_id,
            owner,
            amount_minor,
            currency,
            detail,
            self.message.source,
            self.message.event_id,
        )
        self.unit.exceptions.append((item, self.now))
        self.unit.open_exceptions.setdefault((correlation_id, kind), []).append(item.exception_id)
        self.unit.told.append(Told(opened(item, channel), self.message.cause, self.now, self.attempt))

    def resolve_exceptions(self, correlation_id: bytes, origin: str, kind: ExceptionKind, resolution: str) -> None:
        """Close what is open of ``kind`` on a transaction."""
        for exception_id in self.unit.open_exceptions.pop((correlation_id, kind), []):
            self.resolve_exception(exception_id, correlation_id, origin, resolution)

    def resolve_exception(self, exception_id: str, correlation_id: bytes, origin: str, resolution: str) -> None:
        """Close one."""
        self.unit.resolved.append((exception_id, resolution, self.now))
        self.tell(closing(exception_id, correlation_id, origin, resolution))

    def watch_stock(self) -> None:
        """Open, value anew or close the exception about what this event promised beyond what is there."""
        for held in self.touched.values():
            units = max(0, -held.free)
            if units == held.oversold:
                continue
            about = f"{held.sku}@{held.location}"
            identity = identity_of("stock", about)
            value = units * (held.unit_cost_minor or 0)
            detail = f"{units} of {held.sku} at {held.location} are promised and not there"
            if not held.oversold:
                held.oversold_exception = f"stock:oversold/{about}/{self.message.event_id}"
                self.raise_exception(
                    "oversold", origin="stock", correlation_id=identity, entity="stock",
                    entity_id=f"{about}/{self.message.event_id}", owner="inventory", detail=detail, amount_minor=value,
                    currency=held.currency,
                )  # fmt: skip
            elif units:
                self.unit.revalued[held.oversold_exception] = (value, detail)
            else:
                self.resolve_exception(held.oversold_exception, identity, "stock", "enough is there again")
            held.oversold = units


def opened(item: ExceptionItem, channel: str = "") -> Hop:
    """The hop that tells of a new exception."""
    about = {"owner": item.owner, "amount_minor": item.amount_minor, "currency": item.currency, "channel": channel,
             "kind": item.kind, "severity": item.severity}  # fmt: skip
    return Hop(
        "exception.open", "transformation", item.correlation_id, item.origin, "exception", item.exception_id, "opened",
        outcome="parked", attributes={"reason": f"{item.kind}: {item.detail}"} | about,
        events=message_milestones.of_exception(item.exception_id, "failed"),
    )  # fmt: skip


def closing(exception_id: str, correlation_id: bytes, origin: str, resolution: str) -> Hop:
    """The hop of an exception that is closed."""
    return Hop(
        "exception.resolve",
        "transformation",
        correlation_id,
        origin,
        "exception",
        exception_id,
        "resolved",
        attributes={"reason": resolution},
        events=message_milestones.of_exception(exception_id, "recovered"),
    )


def link_event(link: Link) -> tuple[str, dict[str, Any]]:
    """The span event that joins two transactions."""
    amount = {"amount_minor": link.amount_minor, "currency": link.currency} if link.currency else {}
    return EVENT_LINK, {
        "from": link.from_id.hex(),
        "to": link.to_id.hex(),
        "kind": link.kind,
        "evidence": link.evidence,
        "by": "sync_core",
    } | amount


def journal_line_events(journal: Journal, provenance: Provenance) -> list[dict[str, Any]]:
    """The attributes of the ``journal.line`` span events of a journal, without what is empty or its span's own."""
    return [
        {
            "line_no": number,
            "account": line.account,
            "amount_minor": line.amount_minor,
            "currency": journal.currency,
        }
        | ({"kind": line.kind, "quantity": line.quantity, "line_count": line.line_count} if line.kind else {})
        | ({"source": line.source} if line.source != provenance else {})
        | ({} if line.functional_minor is None else {"functional_minor": line.functional_minor})
        | ({"tax_code": line.tax_code} if line.tax_code else {})
        for number, line in enumerate(journal.lines, 1)
    ]
