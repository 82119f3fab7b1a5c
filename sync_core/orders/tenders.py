"""What orders are paid with, one part or several, and the gift cards among them. Decisions only, no I/O."""

from collections.abc import Iterable, Iterator
from typing import Final

from collector.semconv import correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import GiftCardIssued, PaymentCaptured, Provenance, Tender, tender_id
from sync_core.model import Captured, ExceptionKind, GiftCard, Hop, Link, Order
from sync_core.returns.model import Refund, Return
from sync_core.unit import DONE, Step, Verdict, link_event

OWNER: Final = "payments"


def card_identity(origin: str, card_id: str) -> bytes:
    """The transaction that a gift card is."""
    return correlation_id(origin, f"gift card {card_id}")


def parts_of(event: PaymentCaptured) -> tuple[Tender, ...]:
    """The tenders of a payment: without any it is one, by its provider."""
    return event.tenders or (Tender(kind="card", amount_minor=event.amount_minor, provider=event.provider),)


def cards_of(event: PaymentCaptured) -> Iterator[tuple[Tender, bytes]]:
    for tender in event.tenders:
        if tender.card_id:
            yield tender, card_identity(tender.issuer or event.origin, tender.card_id)


def issue(step: Step, event: GiftCardIssued) -> Verdict:
    """A card is sold, or loaded again: what was paid for it is owed to its holder, without revenue and without tax."""
    identity = card_identity(event.origin, event.card_id)
    known = step.unit.gift_cards.get(identity)
    if known is not None and known.currency != event.currency:
        detail = f"card {event.card_id} is of {known.currency}, not of {event.currency}"
        return _refuse(step, event, identity, "gift_card_differs", detail)
    about = {"amount_minor": event.amount_minor, "currency": event.currency, "channel": event.channel,
             "location": event.location, "gift_card_id": event.card_id, "payment_id": event.payment_id}  # fmt: skip
    step.tell(
        Hop("payment.issue_card", "source", identity, event.origin, "gift_card", event.card_id,
            occurred_at=step.message.occurred_at, attributes=about)
    )  # fmt: skip
    made, rules = step.message.provenance, step.rules
    paid_in_order = JournalLine(rules.accounts.gift_cards, event.amount_minor, made)
    paid = JournalLine(rules.clearing(event.provider), event.amount_minor, made, reference=event.payment_id)
    owed = load_card(step, event.origin, event.card_id, event.currency, event.amount_minor, made)
    step.post(
        origin=event.origin, correlation_id=identity, document="gift_card",
        entity_id=f"{event.card_id}/{event.order_id or event.payment_id}", channel=event.channel,
        location=event.location, currency=event.currency, lines=[paid_in_order if event.order_id else paid, owed],
    )  # fmt: skip
    return DONE


def load_card(
    step: Step, origin: str, card_id: str, currency: str, amount_minor: int, source: Provenance
) -> JournalLine:
    """Put an amount on a card, which may be new; returns the journal line of what is owed for it."""
    open_card(step, origin, card_id, currency)
    return _change(step, step.unit.gift_cards[card_identity(origin, card_id)], amount_minor, source)


def refusal(step: Step, order: Order, event: PaymentCaptured) -> Verdict | None:
    """Why a payment cannot be taken as far as its gift cards go: one is not known yet, or has too little on it."""
    wanted: dict[bytes, int] = {}
    for tender, identity in cards_of(event):
        card = step.unit.gift_cards.get(identity)
        if card is None:
            return Verdict("parked", f"gift card {tender.card_id} has not been issued", identity)
        wanted[identity] = wanted.get(identity, 0) + tender.amount_minor
        if card.currency != order.currency:
            return Verdict("rejected", f"card {card.card_id} is of {card.currency}, the order in {order.currency}")
        if wanted[identity] > card.balance_minor:
            asked = f"{wanted[identity]} {card.currency}"
            return Verdict("rejected", f"card {card.card_id} holds {card.balance_minor}, payment {asked}")
    return None


def take(step: Step, order: Order, event: PaymentCaptured) -> list[JournalLine]:
    """Each part of a payment goes to the account of its tender, what a gift card paid off its balance."""
    made, lines = step.message.provenance, []
    cards = {tender_id(event, tender): step.unit.gift_cards[identity] for tender, identity in cards_of(event)}
    for tender in parts_of(event):
        number = tender_id(event, tender)
        taken = Captured(order.correlation_id, number, tender.provider or event.provider, tender.amount_minor,
                         kind=tender.kind, card=cards[number].identity if number in cards else b"")  # fmt: skip
        step.captured(taken)
        if number in cards:
            _tell_redeemed(step, order, cards[number], tender.amount_minor)
        lines.append(_paid(step, order, taken, taken.amount_minor, made))
    return lines


def give_back(step: Step, order: Order, amount_minor: int) -> list[JournalLine]:
    """The journal lines of what goes back for an order: each tender gets up to what it paid, cards of providers first.

    What no tender is known to have paid goes back by the order's provider.
    """
    made = step.message.provenance
    return [_paid(step, order, one, -part, made) for one, part in split_back(step, order, amount_minor)]


def split_back(step: Step, order: Order, amount_minor: int) -> list[tuple[Captured, int]]:
    """The tenders that an amount goes back to, with their parts of it; noted as given back."""
    if not amount_minor:
        return []
    left, parts = amount_minor, []
    kinds = step.rules.refund_order
    for one in sorted(_of(step, order.correlation_id), key=lambda one: (kinds.index(one.kind), one.payment_id)):
        if (part := min(left, one.amount_minor - one.refunded_minor)) > 0:
            step.give_back(one, part)
            parts.append((one, part))
            left -= part
    return [*parts, (Captured(order.correlation_id, "", order.provider), left)] if left else parts


def taken_from(step: Step, order: bytes, provider: str, amount_minor: int) -> tuple[Captured, int] | None:
    """The payment of an order that a provider gave an amount of back, and how much of it there was to give."""
    paid = [one for one in _of(step, order) if one.provider == provider and not one.card]
    if not paid:
        return None
    one = max(paid, key=lambda one: one.amount_minor - one.refunded_minor)
    part = min(amount_minor, one.amount_minor - one.refunded_minor)
    step.give_back(one, part)
    return one, part


def take_again(step: Step, order: bytes, payment_id: str, amount_minor: int) -> None:
    """What was noted as given back of a payment was not, or below zero more of it was."""
    if one := step.unit.payments[order].get(payment_id):
        step.give_back(one, -min(amount_minor, one.refunded_minor))


def left_minor(step: Step, order: Order) -> int:
    """What was paid for an order and not given back."""
    return sum(one.amount_minor - one.refunded_minor for one in _of(step, order.correlation_id))


def paid_back(step: Step, back: Return, one: Refund, amount_minor: int, made: Provenance) -> JournalLine:
    """The line of a refund; below zero it came back again."""
    if one.card:
        return _change(step, step.unit.gift_cards[one.card], amount_minor, made)
    account = step.rules.tenders[one.kind].format(provider=one.provider, location=back.location)
    return JournalLine(account, -amount_minor, made)


def open_card(step: Step, origin: str, card_id: str, currency: str) -> None:
    """A card that may be new, with nothing on it yet."""
    identity = card_identity(origin, card_id)
    step.unit.gift_cards.setdefault(identity, GiftCard(identity, origin, card_id, currency))
    step.unit.arrived.add(identity)


def _of(step: Step, order: bytes) -> list[Captured]:
    return list(step.unit.payments[order].values())


def note_booked(step: Step, order: Order, lines: Iterable[JournalLine]) -> None:
    """Keep what payments in another currency than that of the books were booked at: they are closed with that."""
    paid_by = step.unit.payments[order.correlation_id]
    for line in lines:
        paid = paid_by.get(line.reference)
        if paid is not None and line.amount_minor > 0 and line.functional_minor is not None:
            paid.functional_minor = (paid.functional_minor or 0) + line.functional_minor


def _paid(step: Step, order: Order, part: Captured, amount_minor: int, made: Provenance) -> JournalLine:
    """The line of an amount that a tender paid, or below zero gets back."""
    if part.card:
        return _change(step, step.unit.gift_cards[part.card], -amount_minor, made)
    account = step.rules.tenders[part.kind].format(provider=part.provider, location=order.location)
    return JournalLine(account, amount_minor, made, reference=part.payment_id if amount_minor > 0 else "")


def _change(step: Step, card: GiftCard, amount_minor: int, source: Provenance) -> JournalLine:
    card.balance_minor += amount_minor
    step.unit.changed_gift_cards[card.identity] = card
    return JournalLine(step.rules.accounts.gift_cards, -amount_minor, source, reference=card.reference)


def _tell_redeemed(step: Step, order: Order, card: GiftCard, amount_minor: int) -> None:
    about = {"amount_minor": amount_minor, "currency": card.currency, "channel": order.channel,
             "location": order.location, "gift_card_id": card.card_id, "order_id": order.order_id}  # fmt: skip
    hop = Hop("payment.redeem_card", "source", card.identity, card.origin, "gift_card", card.card_id,
              occurred_at=step.message.occurred_at, attributes=about)  # fmt: skip
    hop.events.append(link_event(Link(card.identity, order.correlation_id, "settles", order.order_id)))
    step.tell(hop)


def _refuse(step: Step, event: GiftCardIssued, identity: bytes, kind: ExceptionKind, detail: str) -> Verdict:
    step.raise_exception(
        kind, origin=event.origin, correlation_id=identity, entity="gift_card", entity_id=event.card_id, owner=OWNER,
        detail=detail, amount_minor=event.amount_minor, currency=event.currency, channel=event.channel,
    )  # fmt: skip
    return Verdict("rejected", detail)
