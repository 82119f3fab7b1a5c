"""The inbox: every event once, by its permanent identity; the same identity with other content is an exception."""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from collector.semconv import correlation_id
from sync_core.messages import (
    ChargeRaised,
    CreditMemoIssued,
    Event,
    Message,
    OrderCaptured,
    ReceivableAdjusted,
)
from sync_core.model import ExceptionItem, Hop
from sync_core.returns.messages import ReturnReceived
from sync_core.store import Session, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

PARTITIONS: Final = 16
Receipt = Literal["accepted", "duplicate", "conflict"]


class Control(Struct, frozen=True):
    """What a document says it is worth, counted at the door: the left side of reconciliation level L1."""

    document: str = ""
    channel: str = ""
    currency: str = ""
    gross_minor: int = 0
    tax_minor: int = 0
    location: str = ""
    document_id: str = ""
    about: bytes | None = None


def control(event: Event) -> Control:
    """The control total of an event, net of tax; empty for events that state no amount to be posted."""
    sign, tax_minor = 1, 0
    match event:
        case OrderCaptured():
            document, number, tax_minor = "order", event.order_id, event.tax_minor
        case ChargeRaised():
            document, number = "charge", event.charge_id
        case CreditMemoIssued():
            document, number = "credit_memo", event.credit_memo_id
        case ReceivableAdjusted():
            document, number = "receivable", event.adjustment_id
        case ReturnReceived():
            document, number, sign = "return", event.return_id, -1
        case _:
            return Control()
    gross_minor = sign * sum(line.amount_minor for line in event.lines)
    about = correlation_id(event.origin, number)
    return Control(document, event.channel, event.currency, gross_minor, tax_minor, event.location, number, about)


def partition_of(key: str) -> int:
    """The partition of a sequence: its events are processed in order, by one worker at a time."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=2).digest(), "big") % PARTITIONS


def accept(
    session: Session, messages: Sequence[Message], now: dt.datetime, partitions: Sequence[int] | None = None
) -> list[Receipt]:
    """Put events into the inbox in the order given, and say of each whether it was new.

    Events that are not live run on their own clock: their offset from the wall is fixed here, once. ``partitions`` goes
    before what the events' keys say.
    """
    if not messages:
        return []
    controls = [control(message.event) for message in messages]
    new = Counter(
        session.rows(
            "accept",
            now=now,
            source=[m.source for m in messages],
            event_id=[m.event_id for m in messages],
            type=[m.type for m in messages],
            payload_hash=[m.payload_hash for m in messages],
            partition=partitions or [partition_of(m.partition_key) for m in messages],
            provenance=[m.provenance for m in messages],
            occurred_at=[m.occurred_at for m in messages],
            business_date=[m.business_date for m in messages],
            clock_offset=[dt.timedelta() if m.provenance == "live" else m.occurred_at - now for m in messages],
            document=[c.document for c in controls],
            channel=[c.channel for c in controls],
            currency=[c.currency for c in controls],
            gross_minor=[c.gross_minor for c in controls],
            tax_minor=[c.tax_minor for c in controls],
            location=[c.location for c in controls],
            about=[c.about for c in controls],
            document_id=[c.document_id for c in controls],
            body=[m.body for m in messages],
        )
    )
    receipts = _receipts(session, messages, new)
    _count(session, messages, receipts, now)
    _raise_conflicts(session, messages, receipts, now)
    session.run("wake_workers")
    return receipts


def _receipts(session: Session, messages: Sequence[Message], new: Counter[tuple[str, str]]) -> list[Receipt]:
    known = [m for m in messages if (m.source, m.event_id) not in new]
    twice = len({(m.source, m.event_id) for m in messages}) < len(messages)
    held: dict[tuple[str, str], bytes] = {}
    if known or twice:
        asked = messages if twice else known
        found = session.rows("known_hashes", source=[m.source for m in asked], event_id=[m.event_id for m in asked])
        held = {(source, event_id): payload_hash for source, event_id, payload_hash in found}
    receipts: list[Receipt] = []
    for one in messages:
        identity = (one.source, one.event_id)
        if new[identity]:
            new[identity] -= 1
            receipts.append("accepted")
        else:
            receipts.append("duplicate" if held[identity] == one.payload_hash else "conflict")
    return receipts


def _count(session: Session, messages: Sequence[Message], receipts: Sequence[Receipt], now: dt.datetime) -> None:
    """What is not live runs on its own clock and is of no hour of ours."""
    every: dict[str, Counter[Receipt]] = {}
    live: dict[str, Counter[Receipt]] = {}
    for one, receipt in zip(messages, receipts, strict=True):
        every.setdefault(one.source, Counter())[receipt] += 1
        if one.provenance == "live":
            live.setdefault(one.source, Counter())[receipt] += 1
    for statement, tally in (("count_deliveries", every), ("count_hours", live)):
        for source, of in sorted(tally.items()):
            session.run(statement, source=source, accepted=of["accepted"], duplicates=of["duplicate"],
                        conflicts=of["conflict"], now=now)  # fmt: skip


def _raise_conflicts(
    session: Session, messages: Sequence[Message], receipts: Sequence[Receipt], now: dt.datetime
) -> None:
    told = []
    for one, receipt in zip(messages, receipts, strict=True):
        if receipt != "conflict":
            continue
        item = conflict(one)
        if not add_exceptions(session, [(item, now)]):
            continue
        hop = Hop(
            "exception.open", "source", item.correlation_id, item.origin, "exception", item.exception_id, "opened",
            "rejected", None,
            {"reason": item.detail, "owner": item.owner, "kind": item.kind, "severity": item.severity},
        )  # fmt: skip
        told.append(Told(hop, one.cause, now))
    if told:
        save_spans(session, encode(told), now)


def conflict(message: Message) -> ExceptionItem:
    """The exception for an event that arrives again under its identity with other content."""
    digest = message.payload_hash.hex()[:12]
    return ExceptionItem(
        exception_id=f"{message.source}:identity_conflict/{message.event_id}/{digest}",
        kind="identity_conflict",
        severity="major",
        correlation_id=hashlib.sha256(f"{message.source}\x1f{message.event_id}".encode()).digest()[:16],
        origin=message.source,
        entity="message",
        entity_id=message.event_id,
        owner="integration",
        amount_minor=0,
        currency="",
        detail=f"event {message.event_id} of {message.source} came again with other content ({digest})",
        cause_source=message.source,
        cause_event_id="",
    )
