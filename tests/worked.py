"""The worked estate: transactions as readable text, with what lineage must say of each (tests/estates/worked.txt)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from lineage.model import Expected, Finding, Journey, Money, OverdueItem

NOON: Final = datetime(2026, 3, 16, 12, tzinfo=UTC)
FILE: Final = Path(__file__).parent / "estates" / "worked.txt"
ORIGIN: Final = "worked"

WORDS: Final = {
    "captured": "order.captured self", "validated": "order.validated self", "fraud-cleared": "order.fraud_cleared self",
    "taxed": "order.taxed self", "reserved": "order.reserved self", "backordered": "order.backordered self",
    "unreserved": "order. self", "lapsed": "order.lapsed self", "renewed": "order.renewed self",
    "edited": "order.edited self", "routed": "order.routed self", "released": "order.released self",
    "picked": "fulfilment.picked S", "packed": "fulfilment.packed S", "ready": "order.ready_for_pickup self",
    "cancelled": "order.cancelled self", "notified": "order.notified self",
    "awaits-ack": "order.acknowledgement_awaited self", "acked": "order.acknowledged self", "unacked": "order. self",
    "shipped": "fulfilment.shipped S", "partly": "order.partially_shipped self", "rest": "order.fulfilled self",
    "awaits-confirm": "fulfilment.confirmation_awaited S", "confirmed": "fulfilment.confirmed S",
    "promised": "fulfilment.delivery_promised S", "delivered": "fulfilment.delivered S",
    "picked-up": "fulfilment.picked_up S", "authorised": "payment.authorised P", "paid": "payment.captured P",
    "voided": "payment.voided P", "announced": "payment.settlement_announced P", "settled": "payment.settled P",
    "journaled": "posting.journaled self", "unjournaled": "posting. self", "sent": "posting. self",
    "accepted": "posting.erp_accepted self", "reversed": "posting.reversed self", "received": "return.received self",
    "refused": "return.refused self", "expired": "return.expired self", "closed": "return.closed self",
    "issued": "refund.issued F", "failed": "refund.failed F", "opened": "exception.opened X",
    "resolved": "exception.resolved X", "requested": "transfer.requested self",
    "transfer-shipped": "transfer.shipped self", "transfer-received": "transfer.received self",
    "transfer-closed": "transfer.closed self", "compared": "count.compared self", "corrected": "count.corrected self",
    "applied": "stock.applied self", "settlement-received": "settlement.received self",
    "matched": "settlement.matched self", "banked": "settlement.banked self", "reconciled": "period.reconciled self",
    "erp-awaited": "order.erp_awaited self", "erp-accepted": "order.erp_accepted self",
    "asked": "return.requested self", "allowed": "return.authorised self", "in-transit": "return.in_transit self",
    "verified": "return.verified self", "inspected": "return.inspected self",
    "dispositioned": "return.dispositioned self", "restocked": "return.restocked self",
    "approved": "return.refund_approved self", "instructed": "refund.instructed F",
    "sent-out": "canary.sent self", "seen": "canary.seen self", "canary-settled": "canary.settled self",
}  # fmt: skip
"""What the words of a story say was reached, and of which object unless another is named."""

HOPS: Final = {
    "sent": ("posting.send", "erp"), "accepted": ("posting.send", "erp"), "acked": ("order.acknowledge", "delivery"),
    "unacked": ("order.acknowledge", "delivery"), "unreserved": ("inventory.reserve", "transformation"),
    "reserved": ("inventory.reserve", "transformation"), "backordered": ("inventory.reserve", "transformation"),
    "journaled": ("posting.journal", "transformation"), "unjournaled": ("posting.journal", "transformation"),
}  # fmt: skip
_TIMED: Final = re.compile(r"(\d\d \d\d:\d\d(?::\d\d)?) (.+)")
_OUTCOMES: Final = frozenset({"parked", "failed", "rejected", "dead_letter"})
_PLACES: Final = {"JPY": 1}


class Fact(NamedTuple):
    word: str
    entity: str
    entity_id: str
    milestone: str
    at: datetime
    due_at: datetime | None
    outcome: str
    owner: str


class Told(NamedTuple):
    """What lineage says, in the words of the estate."""

    state: str
    awaited: tuple[str, ...]
    wrong: tuple[str, ...]


class Story(NamedTuple):
    reference: str
    kind: str
    worth: Money
    channel: str
    facts: tuple[Fact, ...]
    told: Told


def stories() -> tuple[Story, ...]:
    text = "\n".join(line for line in FILE.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(map(_story, re.split(r"\n(?=\d{3} )", text)))


def _story(text: str) -> Story:
    head, happened, *lines = (line.strip() for line in text.splitlines())
    number, kind, *worth = head.partition(":")[0].split()
    reference = f"W{number}"
    currency = worth[1] if len(worth) > 1 and worth[1].isupper() else "GBP"
    channel = next((word for word in worth[1:] if not word.isupper()), "web")
    facts = tuple(fact for part in happened.split("; ") for fact in _facts(part, reference))
    is_, *others = lines
    awaited = tuple(line for line in others if line.startswith(("open ", "late ")))
    wrong = tuple(line for line in others if line.startswith("wrong "))
    assert len(awaited) + len(wrong) == len(others), text
    told = Told(is_.removeprefix("is "), awaited, wrong)
    return Story(reference, kind, Money(_minor(worth[0], currency), currency), channel, facts, told)


def _minor(text: str, currency: str) -> int:
    return int(text.replace(".", "")) if currency in _PLACES or "." in text else int(text) * 100


def _facts(part: str, reference: str) -> Iterator[Fact]:
    timed = _TIMED.fullmatch(part)
    assert timed, part
    at = _moment(timed[1])
    for said in timed[2].split(", "):
        word, *rest = said.split()
        reached, own = WORDS[word].split()
        entity, _, milestone = reached.partition(".")
        due_at = _moment(" ".join(rest[rest.index("by") + 1 :][:2])) if "by" in rest else None
        owner = rest[rest.index("whose") + 1] if "whose" in rest else ""
        outcome = next((one for one in rest if one in _OUTCOMES), "ok")
        named = rest[0] if rest and rest[0] not in {"by", "whose", *_OUTCOMES} else own
        yield Fact(word, entity, _object(named, reference), milestone, at, due_at, outcome, owner)


def _object(token: str, reference: str) -> str:
    """ "S2" is the second shipment, "shipment2" the posting of it."""
    if token == "self":
        return reference
    letter = re.fullmatch(r"([SFPXR])(\d?)", token)
    if letter:
        return f"{letter[1]}-{reference}{letter[2]}"
    kind = re.fullmatch(r"([a-z]+)(\d?)", token)
    assert kind, token
    about = {"shipment": "S-", "refund": "F-"}.get(kind[1], "")
    return f"{kind[1]}/{about}{reference}{kind[2]}"


def _moment(text: str) -> datetime:
    return datetime.strptime(f"2026-03-{text}", f"%Y-%m-%d %H:%M{':%S' * (text.count(':') == 2)}").replace(tzinfo=UTC)


def in_words(journey: Journey, reference: str) -> Told:
    """A journey as the estate would tell it. An overdue finding is left out: it stands as a late step."""
    wrong = (what_is_wrong(one, reference) for one in journey.findings if one.kind != "overdue")
    return Told(journey.header.state, tuple(owed(item, reference) for item in journey.expected), tuple(wrong))


def owed(item: Expected | OverdueItem, reference: str) -> str:
    """An open or late step. An item of the overdue list names the object that began the step, so it is left out."""
    about = "" if isinstance(item, OverdueItem) else f"{_token(item.entity_id, reference)} "
    late = "late" if isinstance(item, OverdueItem) or item.overdue else "open"
    return f"{late} {item.flow}/{item.step} {about}{_day(item.due_at)} {item.owner or '-'} {_worth(item.amount)}"


def what_is_wrong(one: Finding, reference: str) -> str:
    token = _token(one.entity_id, reference)
    return f"wrong {one.kind} at {one.stage} {token} {_day(one.since)} {one.owner or '-'} {_worth(one.amount)}"


def _token(entity_id: str, reference: str) -> str:
    if not entity_id:
        return "any"
    if entity_id == reference:
        return "self"
    kind, slash, of = entity_id.rpartition("/")
    letter, _, number = of.rpartition("-")
    return f"{kind if slash else letter}{number.removeprefix(reference)}"


def _day(at: datetime | None) -> str:
    return f"{at:%d %H:%M:%S}".removesuffix(":00") if at else "-"


def _worth(amount: Money | None) -> str:
    if amount is None:
        return "-"
    return amount.digits.replace(",", "") + (f" {amount.currency}" if amount.currency != "GBP" else "")
