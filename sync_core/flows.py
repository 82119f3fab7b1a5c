"""One batch of events: claim, load, decide, and commit state, journal, postings and spans together."""

import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector.semconv import correlation_id
from sync_core import inbox, store
from sync_core.clock import Clock
from sync_core.inbox import PARTITIONS
from sync_core.ledger import compensation, finance
from sync_core.ledger.ledger import PostingRules
from sync_core.master_messages import CustomerUpdated, TaxCodeSet
from sync_core.messages import (
    BackorderOffered,
    ChannelConnected,
    ChannelServed,
    ChannelTermsSet,
    ChargeRaised,
    ControlTotalStated,
    CreditMemoIssued,
    Event,
    ExchangeRateSet,
    FeedReported,
    FinanceRecorded,
    GiftCardIssued,
    LocationRegistered,
    Message,
    OrderCancelled,
    OrderCaptured,
    OrderDeadlinePassed,
    OrderEdited,
    OrderStepped,
    Payment,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentFailed,
    PaymentSettled,
    PaymentSettlementAnnounced,
    PaymentVoided,
    PostingCompensated,
    ProductRegistered,
    ReceivableAdjusted,
    SettlementReceived,
    ShipmentShipped,
    StockAdjusted,
    StockCounted,
    StockReceived,
    StockReclassified,
    StockRepaired,
    StockRuleSet,
    TransferCancelled,
    TransferReceived,
    TransferRequested,
    TransferShipped,
    TransferWrittenOff,
    derived,
    message,
)
from sync_core.model import Catalogue, Hop, Terms
from sync_core.orders import amendments, intake, orders, payments, progress, receivables, shipments, tenders, windows
from sync_core.parties import customers
from sync_core.reconciliation import control_totals
from sync_core.returns import credit_memos, inspections, refunds, returns, rules
from sync_core.returns.messages import (
    GoodwillGranted,
    RefundApproved,
    RefundFailed,
    RefundIssued,
    ReturnDeadlinePassed,
    ReturnDispositioned,
    ReturnEvent,
    ReturnInspected,
    ReturnItemsReceived,
    ReturnMatched,
    ReturnPolicySet,
    ReturnReasonMapped,
    ReturnReceived,
    ReturnRequested,
    ReturnReviewed,
    ReturnSentBack,
    ReturnShipped,
    ReturnWithdrawn,
)
from sync_core.settlements import settlements
from sync_core.stock import (
    goods_movements,
    inventory,
    policies,
    products,
    publication,
    replenishment,
    transfers,
    watermarks,
)
from sync_core.stock.buckets import FREES
from sync_core.store import Claimed, Session, Store
from sync_core.telemetry import encode
from sync_core.unit import FeedKey, Step, StockKey, Told, Unit, Verdict

log = logging.getLogger(__name__)

OWN_SOURCE: Final = "tallytrace.stock"
OFFERS: Final = 500
"""Back-orders that one unit of work offers its stock to, at most: the longest waiting ones."""

TRANSFERS: Final = (TransferRequested, TransferShipped, TransferReceived, TransferCancelled, TransferWrittenOff)

DECISIONS: Final[dict[type[Struct], Callable[[Step, Any], Verdict]]] = {
    OrderCaptured: intake.take,
    PaymentAuthorised: payments.authorise,
    PaymentFailed: payments.fail,
    PaymentVoided: payments.void,
    PaymentCaptured: intake.pay,
    PaymentSettlementAnnounced: payments.announce,
    PaymentSettled: payments.settle,
    GiftCardIssued: tenders.issue,
    SettlementReceived: settlements.receive,
    ControlTotalStated: control_totals.state,
    FinanceRecorded: finance.record,
    ExchangeRateSet: finance.set_rate,
    ShipmentShipped: shipments.ship,
    OrderCancelled: amendments.cancel,
    OrderEdited: amendments.edit,
    OrderStepped: progress.advance,
    OrderDeadlinePassed: windows.pass_deadline,
    BackorderOffered: orders.supply,
    ReturnRequested: returns.request,
    ReturnReviewed: returns.review,
    ReturnWithdrawn: returns.withdraw,
    ReturnShipped: returns.ship,
    ReturnReceived: returns.receive,
    ReturnItemsReceived: returns.receive_items,
    ReturnInspected: inspections.inspect,
    ReturnDispositioned: inspections.dispose,
    ReturnSentBack: inspections.send_back,
    ReturnMatched: returns.match,
    ReturnDeadlinePassed: returns.expire,
    RefundApproved: refunds.approve,
    RefundIssued: refunds.issue,
    RefundFailed: refunds.fail,
    GoodwillGranted: refunds.grant,
    ReturnPolicySet: rules.set_policy,
    ReturnReasonMapped: rules.map_reason,
    CreditMemoIssued: credit_memos.issue,
    ChargeRaised: receivables.charge,
    ReceivableAdjusted: receivables.adjust,
    ProductRegistered: products.register,
    PostingCompensated: compensation.compensate,
    StockReceived: inventory.receive,
    StockAdjusted: inventory.adjust,
    StockReclassified: inventory.reclassify,
    StockRepaired: inventory.repair,
    StockCounted: inventory.count,
    TransferRequested: transfers.request,
    TransferShipped: transfers.ship,
    TransferReceived: transfers.receive,
    TransferCancelled: transfers.cancel,
    TransferWrittenOff: transfers.write_off,
    LocationRegistered: policies.register_location,
    ChannelServed: policies.serve_channel,
    ChannelConnected: policies.connect_channel,
    ChannelTermsSet: policies.set_terms,
    StockRuleSet: policies.set_rule,
    FeedReported: inventory.report_feed,
    CustomerUpdated: customers.update,
    TaxCodeSet: products.set_tax_code,
}


COMMUTING: Final = frozenset({
    OrderCaptured, PaymentCaptured, GiftCardIssued, FinanceRecorded, ExchangeRateSet, ShipmentShipped, OrderStepped,
    FeedReported,
})  # fmt: skip
"""Events that read nothing of stock but whether enough is free, and what it costs: others may change it meanwhile."""
HELD_BATCHES: Final = 16
"""After a batch that others came in the way of, so many hold their stock rows from the start."""

PARTITIONS_IN_A_BATCH: Final = 4
"""Over so many partitions a full batch is spread; others are asked where these have too little."""


class Retry(Struct, frozen=True):
    """How often a failing event is tried again, and how long the pauses are."""

    attempts: int = 6
    base_seconds: float = 1.0
    cap_seconds: float = 60.0

    def pause(self, attempts: int) -> dt.timedelta:
        return dt.timedelta(seconds=min(self.cap_seconds, self.base_seconds * 2**attempts))


class Processor:
    """Processes partitions of the inbox, which it leases; one instance per worker."""

    def __init__(
        self, db: Store, rules: PostingRules, clock: Clock, *, batch: int = 400, retry: Retry | None = None
    ) -> None:
        self._db = db
        self._rules = rules
        self._clock = clock
        self._batch = batch
        self._last = -1  # of the partitions that were leased before: others come first now
        self._retry = retry or Retry()
        self._encoder = ThreadPoolExecutor(1, "span-encoder")
        self._hold = 0  # so many batches more

    def run_once(self) -> int:
        """Process one batch of partitions that no other worker holds; returns how many events."""
        leased: list[int] = []
        with self._db.transaction() as session:
            try:
                return self._batch_of(session, self._claim(session, leased))
            finally:
                session.connection.rollback()
                if leased:
                    session.run("unlock_partitions", partitions=leased)
                    session.connection.commit()

    def _claim(self, session: Session, leased: list[int]) -> list[Claimed]:
        """Events for a batch, from more partitions the less there is in each; what it leases is added to ``leased``."""
        now = self._clock()
        ready = sorted(one for (one,) in session.rows("ready_partitions", partitions=PARTITIONS, now=now))
        ready.sort(key=lambda one: one <= self._last)
        claimed: list[Claimed] = []
        wanted = PARTITIONS_IN_A_BATCH
        while ready and (room := self._batch - len(claimed)) > 0:
            some, ready, wanted = ready[:wanted], ready[wanted:], len(ready)
            free = [one for (one,) in session.rows("try_lock_partitions", partitions=some)]
            leased += free
            if free:
                claimed += store.claim(session, free, max(1, room // len(free)), now)
        self._last = leased[-1] if leased else -1
        return sorted(claimed, key=lambda one: one.seq)

    def _batch_of(self, session: Session, claimed: Sequence[Claimed]) -> int:
        if not claimed:
            return 0
        try:
            self._process_freely(session, claimed)
            session.connection.commit()
        except Exception:
            session.connection.rollback()
            log.exception("%d events failed together; trying them one by one", len(claimed))
            for one in claimed:
                self._alone(session, one)
        return len(claimed)

    def _alone(self, session: Session, one: Claimed) -> None:
        """Process a single event, so that the one that fails is the one that waits or is given up."""
        try:
            self._process(session, [one], hold=True)
        except Exception as error:
            session.connection.rollback()
            now, reason = self._clock(), f"{type(error).__name__}: {error}"[:500]
            about = one.message
            log.exception("event %s of %s failed, attempt %d", about.event_id, about.source, one.attempts + 1)
            if (one.attempts + 1) % self._retry.attempts == 0:
                self._give_up(session, one, reason, now)
            else:
                pause = self._retry.pause(one.attempts % self._retry.attempts)
                session.run("postpone", seq=one.seq, not_before=now + pause, reason=reason)
        session.connection.commit()

    def _give_up(self, session: Session, one: Claimed, reason: str, now: dt.datetime) -> None:
        unit = Unit(self._rules)
        step = Step(unit, one.message, now + one.clock_offset, one.clock_offset, attempt=one.attempts + 1)
        step.raise_exception(
            "dead_letter", origin=one.message.source, entity="message", entity_id=one.message.event_id,
            correlation_id=correlation_id(one.message.source, one.message.event_id), owner="integration",
            detail=reason, severity="critical",
        )  # fmt: skip
        store.save(session, unit, now)
        store.save_spans(session, encode(unit.told), now)
        session.run("dead_letter", seq=one.seq, reason=reason)

    def _process_freely(self, session: Session, claimed: Sequence[Claimed]) -> None:
        """Process without holding stock rows where that can be done, so that workers do not wait for each other."""
        hold = self._hold > 0 or any(type(one.message.event) not in COMMUTING for one in claimed)
        self._hold = max(0, self._hold - 1)
        if not self._process(session, claimed, hold=hold):
            session.connection.rollback()
            self._hold = HELD_BATCHES
            self._process(session, claimed, hold=True)

    def _process(self, session: Session, claimed: Sequence[Claimed], *, hold: bool) -> bool:
        """Decide and write; false when stock rows that were not held are no longer as the decisions need them."""
        catalogue = store.load_catalogue(session, [one.message.event for one in claimed])
        claimed, added = _completed(claimed, catalogue)
        unit = load(session, claimed, self._rules, hold=hold)
        if unit is None:
            return False
        verdicts: dict[int, Verdict] = {}
        for one in claimed:
            unit.partition = one.partition
            step = Step(unit, one.message, self._clock() + one.clock_offset, one.clock_offset, one.attempts + 1,
                        one.accepted_at + one.clock_offset)  # fmt: skip
            event = one.message.event
            waits = products.wait(event, catalogue) or finance.wait(step, event)
            verdict = verdicts[one.seq] = waits or DECISIONS[type(event)](step, event)
            if verdict.state == "done":
                products.tell(step, event, added.get(one.seq, ()))
            elif isinstance(event, StockCounted) and verdict.state == "parked":
                inventory.await_count(step, event)
            step.watch_stock()
            waited = unit.waited_long.get((one.message.source, one.message.event_id))
            if waited is not None and verdict.state != "parked":
                step.resolve_exception(*waited, "what it waited for has come")
            replenishment.watch(step)
        _publish(session, unit, claimed, self._clock())
        unit.days.update(one.message.business_date for one in claimed)
        unit.days.update(order.business_date for order in unit.changed_orders.values())
        now = self._clock()
        _hand_over_goods(session, unit, now)
        spans = self._encoder.submit(encode, unit.told)  # while PostgreSQL works
        store.save(session, unit, now)
        store.save_spans(session, spans.result(), now)
        if not store.save_stock(session, unit):
            return False
        store.settle(session, unit, verdicts)
        _withdraw(session, unit, now)
        publication.queue(session, unit, now)
        _offer(session, unit, claimed[-1].message, now)
        return True


def _completed(claimed: Sequence[Claimed], known: Catalogue) -> tuple[Sequence[Claimed], dict[int, list[str]]]:
    """Events with what they left out, and by number what was added and from where."""
    if known.empty:
        return claimed, {}
    found = [(one, *products.completed(one.message.event, known, one.message.occurred_at)) for one in claimed]
    replace = msgspec.structs.replace
    return (
        [replace(one, message=replace(one.message, event=event)) for one, event, _ in found],
        {one.seq: notes for one, _, notes in found if notes},
    )


def load(session: Session, claimed: Sequence[Claimed], rules: PostingRules, *, hold: bool) -> Unit | None:
    """Everything that the decisions over these events may read; None when stock rows that are not held are missing."""
    unit = Unit(rules)
    events = [one.message.event for one in claimed]
    return_ids: set[bytes] = set()
    pairs: set[tuple[str, str]] = set()
    stock: set[StockKey] = set()
    locations: set[str] = set()
    transfer_ids: set[bytes] = set()
    reordering = False
    for event in events:
        match event:
            case OrderCaptured():
                stock.update((line.sku, event.location) for line in event.lines if line.kind == "goods")
            case ReturnReceived() | ReturnInspected() | ReturnDispositioned() | ReturnSentBack():
                stock.update((line.sku, event.location) for line in event.lines)
            case ReturnItemsReceived():
                stock.update((line.sku, event.location) for line in event.lines if line.sku)
                locations.add(event.location)
            case CreditMemoIssued():
                return_ids.add(correlation_id(event.origin, event.credit_memo_id))
                goods = [line for line in event.lines if line.kind == "goods"]
                stock.update((line.sku, event.location) for line in goods)
                if event.customer_ref:
                    pairs.update((event.customer_ref, line.sku) for line in goods)
            case StockRepaired():
                stock.update((place.sku, place.location) for place in event.places)
            case StockRuleSet(kind="reorder") if event.sku and event.location:
                stock.add((event.sku, event.location))
                reordering = True
            case StockReceived() | StockAdjusted() | StockReclassified() | StockCounted():
                stock.update((line.sku, event.location) for line in event.lines)
                locations.add(event.location)
            case TransferRequested():
                transfer_ids.add(correlation_id(event.origin, event.transfer_id))
                stock.update((line.sku, event.from_location) for line in event.lines)
            case TransferShipped() | TransferReceived() | TransferCancelled() | TransferWrittenOff():
                transfer_ids.add(correlation_id(event.origin, event.transfer_id))
            case _:
                pass
    store.load_posted(session, unit, [e.journal_id for e in events if isinstance(e, PostingCompensated)])
    _load_returns(session, unit, events, return_ids)
    only_paid = _load_orders(session, unit, [one.message for one in claimed])
    store.load_open_lines(session, unit, sorted(pairs))
    store.load_waited_long(session, unit, [one.message for one in claimed if one.attempts])
    store.load_journal_owners(session, unit, sorted(_order_journals(events)))
    updates = [event for event in events if isinstance(event, CustomerUpdated)]
    store.load_customers(session, unit, updates)
    store.load_settlements_before(session, unit, [e for e in events if isinstance(e, SettlementReceived)])
    stock.update((sku, location) for one in unit.posted.values() for _, _, location, sku, _ in one.movements)
    locations.update(event.location for event in events if isinstance(event, OrderCaptured))
    store.load_locations(session, unit, locations)
    store.load_transfers(session, unit, sorted(transfer_ids))
    store.load_channels(session, unit, [event.channel for event in events if isinstance(event, ChannelServed)])
    reasons = {returns.reason_identity(e.origin, e.code) for e in events if isinstance(e, ReturnReasonMapped)}
    updated = {customers.transaction_of(one.origin, one.customer_id) for one in updates}
    about = {*unit.orders, *transfer_ids, *unit.returns, *reasons, *updated}
    store.load_open_exceptions(session, unit, sorted(about))
    stock.update(
        (line.sku, place) for back in unit.returns.values() for line in back.goods for place in line.at if line.order
    )
    for identity, order in unit.orders.items():
        if pairs or identity not in only_paid or order.state == "lapsed":
            stock.update((line.sku, order.location) for line in unit.lines[identity] if line.kind == "goods")
    stock.update(_edited_stock(unit, events))
    stock.update(_transferred_stock(unit, events))
    if not _load_stock(session, unit, stock, new_point=reordering, hold=hold):
        return None
    _load_movements(session, unit, claimed)
    store.load_books(session, unit, {one.message.business_date for one in claimed})
    return unit


def load_request(session: Session, message: Message, rules: PostingRules) -> Unit:
    """What a request for a return is judged by, without anything that it would change."""
    unit = Unit(rules)
    _load_returns(session, unit, [message.event], set())
    _load_orders(session, unit, [message])
    return unit


def _load_returns(session: Session, unit: Unit, events: Sequence[Event], more: set[bytes]) -> None:
    """The returns that events are about, and what requests are judged by."""
    ids = more | {correlation_id(one.origin, one.return_id) for one in events if isinstance(one, ReturnEvent)}
    ids |= {posted.correlation_id for posted in unit.posted.values()}
    store.load_returns(session, unit, sorted(ids))
    if requests := [event for event in events if isinstance(event, ReturnRequested)]:
        store.load_promises(session, unit, requests)


def _order_journals(events: Sequence[Event]) -> Iterator[str]:
    """The numbers of journals of documents that more than one order may have."""
    for event in events:
        match event:
            case ShipmentShipped():
                yield f"{event.origin}:shipment/{event.shipment_id}"
            case OrderStepped(step="picked_up" | "shipment_confirmed" | "delivery_promised" | "delivered") if (
                event.reference
            ):
                yield f"{event.origin}:shipment/{event.reference}"
            case OrderCancelled():
                yield f"{event.origin}:cancellation/{event.cancellation_id}"
                yield f"{event.origin}:cancellation_refund/{event.cancellation_id}"
            case OrderEdited():
                yield f"{event.origin}:edit/{event.edit_id}"
                yield f"{event.origin}:edit_refund/{event.edit_id}"
            case PaymentCaptured():
                yield f"{event.origin}:capture/{event.payment_id}"
            case PaymentSettled():
                yield f"{event.origin}:settlement/{event.payment_id}"
            case _:
                pass


def _load_orders(session: Session, unit: Unit, messages: Sequence[Message]) -> set[bytes]:
    """The orders that events are about, and what their decisions read of each; returns those that are only paid."""
    paid: set[bytes] = set()
    read: set[bytes] = set()
    changed: set[bytes] = set()
    stepped: set[bytes] = set()
    requested: set[bytes] = set()
    captured = [(one, one.event) for one in messages if isinstance(one.event, OrderCaptured)]
    for one in messages:
        match event := one.event:
            case ShipmentShipped():
                changed.add(correlation_id(event.origin, event.order_id))
            case OrderCancelled() | OrderEdited() | OrderStepped(step="picked_up"):
                changed.add(correlation_id(event.origin, event.order_id))
                stepped.add(correlation_id(event.origin, event.order_id))
            case OrderStepped() | OrderDeadlinePassed():
                stepped.add(correlation_id(event.origin, event.order_id))
            case Payment():
                paid.add(correlation_id(event.origin, event.order_id))
            case OrderCaptured() | BackorderOffered():
                read.add(correlation_id(event.origin, event.order_id))
            case ReturnReceived(order_id=""):
                pass
            case ReturnRequested():
                requested.add(correlation_id(event.order_origin, event.order_id))
            case ReturnReceived() | ReturnMatched() | GoodwillGranted():
                read.add(correlation_id(event.order_origin, event.order_id))
            case _:
                pass
    read |= {line.order for back in unit.returns.values() for line in back.lines if line.order}
    read |= {back.order for back in unit.returns.values() if back.order}
    moved = read | changed | stepped | requested
    store.load_orders(session, unit, sorted(moved | paid))
    channels = {event.channel for _, event in captured}
    channels |= {unit.orders[identity].channel for identity in changed if identity in unit.orders}
    store.load_terms(session, unit, channels)
    confirmed = changed if any(one.confirm_shipment_seconds for one in unit.terms.values()) else set()
    store.load_order_documents(session, unit, sorted(changed | requested))
    awaited = {one for one in changed if one in unit.orders and unit.orders[one].revenue_on != "shipped"}
    store.load_order_steps(session, unit, sorted(stepped | confirmed | awaited | requested))
    _load_tenders(session, unit, [one.event for one in messages])
    live = [(one.occurred_at, event) for one, event in captured if one.provenance == "live" and event.customer_ref]
    if live:
        longest = max((one.duplicate_seconds for one in (*unit.terms.values(), Terms(""))), default=0)
        within = dt.timedelta(seconds=longest)
        since, until = min(at for at, _ in live) - within, max(at for at, _ in live) + within
        store.load_baskets(session, unit, [intake.basket_of(event) for _, event in live], since, until)
    return paid - moved


def _load_tenders(session: Session, unit: Unit, events: Sequence[Event]) -> None:
    """What was paid on orders whose money moves, with the gift cards that paid, or pay now."""
    paid = {
        correlation_id(event.origin, event.order_id)
        for event in events
        if isinstance(event, PaymentCaptured | PaymentSettled | OrderCancelled | OrderEdited)
    }
    paid |= {back.order for back in unit.returns.values() if back.order}
    paid |= {
        correlation_id(event.order_origin, event.order_id)
        for event in events
        if isinstance(event, ReturnRequested | ReturnReceived | ReturnMatched | GoodwillGranted) and event.order_id
    }
    store.load_payments(session, unit, sorted(paid))
    cards = {one.card for of_order in unit.payments.values() for one in of_order.values() if one.card}
    cards |= {one.card for one in unit.refunds.values() if one.card}
    for event in events:
        match event:
            case PaymentCaptured():
                cards.update(identity for _, identity in tenders.cards_of(event))
            case GiftCardIssued() | RefundApproved() if event.card_id:
                cards.add(tenders.card_identity(event.origin, event.card_id))
            case _:
                pass
    store.load_gift_cards(session, unit, cards)


def _transferred_stock(unit: Unit, events: Sequence[Event]) -> Iterator[StockKey]:
    """What transfers move, at both their ends."""
    requested = {correlation_id(e.origin, e.transfer_id): e for e in events if isinstance(e, TransferRequested)}
    for event in events:
        if not isinstance(event, TRANSFERS):
            continue
        identity = correlation_id(event.origin, event.transfer_id)
        about = unit.transfers.get(identity) or requested.get(identity)
        if about is not None:
            skus = {line if isinstance(line, str) else line.sku for line in about.lines}
            skus |= (
                {line.sku for line in event.lines} if isinstance(event, TransferShipped | TransferReceived) else set()
            )
            yield from ((sku, where) for sku in skus for where in (about.from_location, about.to_location))


def _edited_stock(unit: Unit, events: Sequence[Event]) -> Iterator[StockKey]:
    """What edits may add, where their orders take goods from."""
    places = {correlation_id(e.origin, e.order_id): e.location for e in events if isinstance(e, OrderCaptured)}
    places |= {identity: order.location for identity, order in unit.orders.items()}
    for event in events:
        if isinstance(event, OrderEdited) and (place := places.get(correlation_id(event.origin, event.order_id))):
            yield from ((line.sku, place) for line in event.lines if line.kind == "goods")


def _hand_over_goods(session: Session, unit: Unit, now: dt.datetime) -> None:
    """Tell the ERP of goods, where it wants to know."""
    moved = {one.location for one in unit.movements.values() if one.kind in goods_movements.WAYS}
    if moved and (told := [row[0] for row in session.rows("locations_of_erp", locations=sorted(moved))]):
        goods_movements.hand_over(unit, told, now)


def _withdraw(session: Session, unit: Unit, now: dt.datetime) -> None:
    """Keep from the ERP what it has not been offered yet and a cancellation has reversed; the journal keeps both."""
    reversals = {one.journal_id: (one, cause, offset) for one, cause, offset in unit.journals
                 if one.document == "cancellation"}  # fmt: skip
    if not reversals or not session.one("lock_every_slot")[0]:  # the relay may be offering them just now
        return
    orders_of = [unit.orders[one.correlation_id] for one, _, _ in reversals.values()]
    rows = session.rows("withdraw_postings", reversal_id=list(reversals),
                        refund_id=[f"{order.origin}:cancellation_refund/{journal.entity_id}"
                                   for order, (journal, _, _) in zip(orders_of, reversals.values(), strict=True)],
                        journal_id=[f"{order.origin}:order/{order.order_id}" for order in orders_of])  # fmt: skip
    told = []
    for reversal_id, journal_id in rows:
        reversal, cause, offset = reversals[reversal_id]
        order = unit.orders[reversal.correlation_id]
        journaled = Hop("posting.journal", "transformation", order.correlation_id, order.origin, "posting",
                        f"{reversal.document}/{reversal.entity_id}", "journaled")  # fmt: skip
        entity_id = journal_id.removeprefix(f"{order.origin}:")
        about = {"journal_id": journal_id, "reason": f"reversed by {reversal_id} before the ERP was offered it"}
        hop = Hop("posting.reverse", "transformation", order.correlation_id, order.origin, "posting", entity_id,
                  "reversed", outcome="compensated", attributes=orders.dimensions(order) | about)  # fmt: skip
        told.append(Told(hop, cause.cause, now + offset, parent=journaled))
    store.save_spans(session, encode(told), now)


def _load_stock(session: Session, unit: Unit, stock: set[StockKey], *, new_point: bool, hold: bool) -> bool:
    """Stock rows and what is reordered of them; false when they are not held and must be."""
    if hold:
        store.load_stock(session, unit, stock)
    elif not store.read_stock(session, unit, stock):
        return False
    store.load_signals(session, unit, new_point=new_point)
    return hold or not any(unit.stock_rules.reorder(*key) for key in stock)


def _load_movements(session: Session, unit: Unit, claimed: Sequence[Claimed]) -> None:
    """What counts and repairs must know of committed movements, now that the stock rows are locked."""
    for one in claimed:
        match event := one.message.event:
            case StockCounted():
                skus = sorted({line.sku for line in event.lines})
                store.load_moved_since(session, unit, event.location, one.message.occurred_at, skus)
            case StockRepaired():
                store.load_told_counters(session, unit, [(place.sku, place.location) for place in event.places])
            case _:
                pass


def _offer(session: Session, unit: Unit, last: Message, now: dt.datetime) -> None:
    """Send the orders that wait for what became free an event of their own, in their own sequence."""
    freed: Counter[StockKey] = Counter()
    for movement in unit.movements.values():
        for sku, quantity in movement.units.items():
            freed[(sku, movement.location)] += FREES[movement.kind] * quantity
    more = sorted(key for key, units in freed.items() if units > 0)
    if not more:
        return
    rows = session.rows("backorders_of", sku=[sku for sku, _ in more], location=[place for _, place in more],
                        limit=OFFERS)  # fmt: skip
    offers = [
        message(
            BackorderOffered(origin=origin, order_id=order_id), source=OWN_SOURCE,
            event_id=f"{origin}:{order_id} after {last.source}/{last.event_id}", occurred_at=last.occurred_at,
            provenance=derived(last.provenance),
        )
        for origin, order_id, _ in rows
    ]  # fmt: skip
    inbox.accept(session, offers, now, [row[2] for row in rows])


def _publish(session: Session, unit: Unit, claimed: Sequence[Claimed], wall: dt.datetime) -> None:
    """Tell how far each channel's view of stock has come: what moved, and which feeds gave a sign of life.

    A change counts as published when its unit of work commits, since availability is read from the same rows; to a
    channel with an address, when it has acknowledged it.
    """
    reports = [one for one in claimed if isinstance(one.message.event, FeedReported)]
    if not reports and not unit.stock_moved:
        return
    heard = {(e.feed, e.channel, e.location) for one in reports if isinstance(e := one.message.event, FeedReported)}
    if heard:
        ordered = sorted(heard)
        feeds, channels, locations = (list(one) for one in zip(*ordered, strict=True))
        session.run("subscribe", feed=feeds, channel=channels, location=locations, now=wall)
    marks: dict[FeedKey, list[watermarks.Mark]] = defaultdict(list)
    furthest: dict[FeedKey, tuple[dt.datetime, dt.timedelta]] = {}
    addressed: dict[FeedKey, bool] = {row[:3]: row[3] for row in session.rows("load_subscriptions")}

    def told(feed: FeedKey, source_at: dt.datetime, done_at: dt.datetime, *, heartbeat: bool = False) -> None:
        marks[feed].append(watermarks.happened(feed, source_at, heartbeat=heartbeat))
        if addressed[feed]:
            stands = (source_at, done_at - wall)
            furthest[feed] = max(stands, furthest.get(feed, stands))
        else:
            marks[feed].append(watermarks.published(feed, source_at, done_at, heartbeat=heartbeat))

    for one in reports:
        event = one.message.event
        assert isinstance(event, FeedReported)
        source_at = event.source_at or one.message.occurred_at
        told((event.feed, event.channel, event.location), source_at, wall + one.clock_offset, heartbeat=True)
    for feed in addressed:
        for source_at, done_at in unit.stock_moved.get((feed[0], feed[2]), {}).items():
            told(feed, source_at, done_at)
    last = claimed[-1]
    step = Step(unit, last.message, wall + last.clock_offset, last.clock_offset)
    for feed, all_of in sorted(marks.items()):
        step.tell(watermarks.hop(feed, all_of, queued=addressed[feed]))
    publication.note_sources(session, furthest)
