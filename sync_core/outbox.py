"""The outbox: journals to the ERP and spans to the collector, each until it is acknowledged."""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import httpx
import msgspec
from msgspec import Struct

from sync_core import message_milestones
from sync_core.clock import Clock
from sync_core.erp.port import Answer, DocumentKind, Erp, Unavailable
from sync_core.ledger.ledger import LANES
from sync_core.messages import Cause
from sync_core.model import ExceptionItem, ExceptionKind, Hop
from sync_core.stock.pauses import Breaker, Pace, pause_seconds
from sync_core.store import Row, Session, Store, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, opened

log = logging.getLogger(__name__)

LEAST_SHARE: Final = 10
"""One of so many journals of a request is each lane's own, however much waits in those before it."""
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


class ErpDocument(Struct, frozen=True):
    """Something that the ERP should be offered."""

    document_id: str
    kind: DocumentKind
    body: bytes
    attempts: int
    correlation_id: bytes
    origin: str
    document: str
    entity_id: str
    channel: str
    location: str
    currency: str
    worth_minor: int
    cause: Cause
    clock_offset: dt.timedelta
    due_at: dt.datetime

    @classmethod
    def of(cls, row: Row) -> "ErpDocument":
        source, event_id, business_date, provenance, clock_offset, due_at = row[12:]
        values: tuple[Any, ...] = (
            *row[:12], Cause(source, event_id, business_date, provenance), clock_offset, due_at,
        )  # fmt: skip
        return cls(*values)


class Attempt(Struct, frozen=True):
    """One offer of a document and what became of it; one that waits is offered again from ``not_before``."""

    offered: ErpDocument
    answer: Answer
    state: Literal["accepted", "rejected", "waiting", "dead"]
    not_before: dt.datetime | None = None

    def accepted_at(self, now: dt.datetime) -> dt.datetime | None:
        return now + self.offered.clock_offset if self.state == "accepted" else None


class ErpRelay:
    """Offers an ERP what waits for it, lane by lane. While the ERP is away only the relay waits, not each of them.

    Run by as many threads as ``concurrency`` says: so many requests may be under way, each with the journals of its own
    share of all transactions.
    """

    def __init__(
        self,
        db: Store,
        erp: Erp,
        clock: Clock,
        *,
        batch: int = 200,
        attempts: int = 200,
        base_seconds: float = 0.5,
        cap_seconds: float = 10.0,
        requests_per_second: float = 0.0,
        concurrency: int = 1,
        name: str = "",
    ) -> None:
        self.name = name
        self._pace = Pace(clock, requests_per_second)
        self._slots = concurrency
        self._db = db
        self._erp = erp
        self._clock = clock
        self._batch = batch
        self._attempts = attempts
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._breaker = Breaker(clock, base_seconds, cap_seconds)
        self.problem = ""
        """Why the last attempt did not reach the ERP."""

    @property
    def up(self) -> bool:
        """Whether the last attempt reached the ERP."""
        return self._breaker.up

    def run_once(self) -> int:
        """Offer one batch; returns how many documents the ERP decided on."""
        if self._breaker.open or self._pace.full:
            return 0
        with self._db.transaction() as session:
            return sum(self._offer(session, some) for some in self._due(session, self._clock()))

    def _offer(self, session: Session, some: Sequence[ErpDocument]) -> int:
        """One request; returns how many of its documents the ERP decided on."""
        if self._breaker.open or not self._pace.take():
            return 0
        answer = self._erp.post(some[0].kind, [one.body for one in some])
        now = self._clock()
        if isinstance(answer, Unavailable):
            self._stand_back(session, some, answer, now)
            return 0
        self._breaker.passed()
        self.problem = ""
        by_key = {one.idempotency_key: one for one in answer}
        missing = Answer("", "retry", reason="the ERP did not answer for this document")
        attempts = [self._judged(one, by_key.get(one.document_id, missing), now) for one in some]
        _write(session, attempts, now, self.name)
        return sum(1 for one in attempts if one.state != "waiting")

    def _due(self, session: Session, now: dt.datetime) -> list[list[ErpDocument]]:
        """What to offer next, by kind, of a slot that no other thread or process is at."""
        for slot in range(self._slots):
            if session.one("lock_slot", erp=self.name, slot=slot)[0]:
                rows = session.rows("documents_due", erp=self.name, now=now, limit=self._batch, slot=slot,
                                    slots=self._slots, lanes=len(LANES),
                                    share=max(1, self._batch // LEAST_SHARE))  # fmt: skip
                if rows:
                    due = [ErpDocument.of(row) for row in rows]
                    return [[one for one in due if one.kind == kind] for kind in dict.fromkeys(one.kind for one in due)]
                session.connection.rollback()
        return []

    def _stand_back(self, session: Session, due: Sequence[ErpDocument], why: Unavailable, now: dt.datetime) -> None:
        """Tell of the failed attempt, once per document that was offered, and leave the ERP alone for a while."""
        seconds = self._breaker.failed(why.retry_after_seconds)
        self.problem = why.reason
        answers = [(one, Answer(one.document_id, "retry", reason=why.reason)) for one in due]
        _write(session, [Attempt(offered, answer, "waiting", now) for offered, answer in answers], now,
               self.name)  # fmt: skip
        log.warning("the ERP %s took nothing (%s); next attempt in %.1f s", self.name, why.reason, seconds)

    def _judged(self, offered: ErpDocument, answer: Answer, now: dt.datetime) -> Attempt:
        """What an answer makes of a document: accepted, rejected, waiting for its next attempt, or given up."""
        if answer.status != "retry":
            return Attempt(offered, answer, answer.status)
        failures = offered.attempts % self._attempts  # since it was offered first, or again by somebody
        if failures + 1 == self._attempts:
            return Attempt(offered, answer, "dead")
        seconds = pause_seconds(failures, self._base_seconds, self._cap_seconds)
        return Attempt(offered, answer, "waiting", now + dt.timedelta(seconds=seconds))


def _write(session: Session, attempts: Sequence[Attempt], now: dt.datetime, erp: str) -> None:
    """Write what the ERP said, and the hop of every attempt, in this transaction."""
    session.run(
        "documents_answered",
        document_id=[one.offered.document_id for one in attempts],
        state=[one.state for one in attempts],
        not_before=[one.not_before for one in attempts],
        accepted_at=[one.accepted_at(now) for one in attempts],
        erp_document=[one.answer.document for one in attempts],
        reason=[one.answer.reason for one in attempts],
    )
    refused = [(_refused(one), one.offered) for one in attempts if one.state in ("rejected", "dead")]
    add_exceptions(session, [(item, now + offered.clock_offset) for item, offered in refused])
    told = [_told(one, now, erp) for one in attempts]
    told += [
        Told(opened(item, offered.channel), offered.cause, now + offered.clock_offset, offered.attempts + 1)
        for item, offered in refused
    ]
    save_spans(session, encode(told), now)


class _Kind(Struct, frozen=True):
    """How an attempt at a document is told: its hop, below the hop that made it, and what a refusal is called."""

    made: str
    stage: str
    made_milestone: str
    sent: str
    milestones: Mapping[str, str]
    entity: str
    owner: str
    rejected: ExceptionKind
    dead: ExceptionKind


_KINDS: Final[Mapping[DocumentKind, _Kind]] = {
    "journal": _Kind(
        "posting.journal", "transformation", "journaled", "posting.send",
        {"accepted": "erp_accepted", "waiting": "sent", "rejected": "erp_rejected", "dead": "erp_rejected"},
        "posting", "finance", "posting_rejected", "posting_dead",
    ),
    "sales_order": _Kind(
        "order.erp_awaited", "queue", "erp_awaited", "order.send_to_erp", {"accepted": "erp_accepted"},
        "order", "integration", "sales_order_rejected", "sales_order_dead",
    ),
    "sales_order_amendment": _Kind(
        "order.amend", "queue", "", "order.amend_in_erp", {},
        "order", "integration", "sales_order_amendment_rejected", "sales_order_amendment_dead",
    ),
    "sales_order_cancellation": _Kind(
        "order.withdraw", "queue", "", "order.withdraw_from_erp", {},
        "order", "integration", "sales_order_cancellation_rejected", "sales_order_cancellation_dead",
    ),
    "goods_movement": _Kind(
        "inventory.hand_over", "queue", "", "inventory.send_to_erp", {},
        "stock", "inventory", "goods_movement_rejected", "goods_movement_dead",
    ),
}  # fmt: skip
_OUTCOMES: Final = {"accepted": "ok", "waiting": "failed", "rejected": "rejected", "dead": "dead_letter"}


def _entity_id(offered: ErpDocument) -> str:
    """A journal is known by its document, anything else by its own number."""
    return f"{offered.document}/{offered.entity_id}" if offered.kind == "journal" else offered.entity_id


def _refused(attempt: Attempt) -> ExceptionItem:
    offered = attempt.offered
    about = _KINDS[offered.kind]
    kind = about.dead if attempt.state == "dead" else about.rejected
    return ExceptionItem(
        exception_id=f"{offered.document_id}:{kind}",
        kind=kind,
        severity="major",
        correlation_id=offered.correlation_id,
        origin=offered.origin,
        entity=about.entity,
        entity_id=_entity_id(offered),
        owner=about.owner,
        amount_minor=offered.worth_minor,
        currency=offered.currency,
        detail=attempt.answer.reason,
        cause_source=offered.cause.source,
        cause_event_id=offered.cause.event_id,
    )


def _told(attempt: Attempt, now: dt.datetime, erp: str) -> Told:
    """The hop of one attempt, below the hop that made what is offered."""
    offered, answer, state = attempt.offered, attempt.answer, attempt.state
    about = _KINDS[offered.kind]
    known_by = {"journal": {"journal_id": offered.document_id}, "sales_order": {"order_id": offered.entity_id}}
    attributes: dict[str, Any] = known_by.get(offered.kind, {}) | {
        "erp_document_id": answer.document,
        "channel": offered.channel,
        "location": offered.location,
        "currency": offered.currency,
        "due_at": offered.due_at,
        "system": erp or "erp",
        "reason": answer.reason,
        "owner": "" if state == "accepted" else about.owner,
    }
    made = Hop(
        name=about.made,
        stage=about.stage,
        correlation_id=offered.correlation_id,
        origin=offered.origin,
        entity=about.entity,
        entity_id=_entity_id(offered),
        milestone=about.made_milestone,
    )
    sent = msgspec.structs.replace(
        made,
        name=about.sent,
        stage="erp",
        milestone=about.milestones.get(state, ""),
        outcome=_OUTCOMES[state],
        attributes=attributes,
        events=_as_message(offered, state),
    )
    return Told(sent, offered.cause, now + offered.clock_offset, offered.attempts + 1, made)


def _as_message(offered: ErpDocument, state: str) -> list[tuple[str, dict[str, Any]]]:
    """That it failed for the first time, or was taken after that."""
    if (state == "accepted") != bool(offered.attempts):
        return []
    milestone: Literal["failed", "recovered"] = "recovered" if offered.attempts else "failed"
    return [message_milestones.told(message_milestones.to_erp(offered.document_id), milestone, offered.document)]


class SpanRelay:
    """Ships encoded spans to the collector until it acknowledges them."""

    def __init__(
        self, db: Store, url: str, clock: Clock, *, key: str = "", batches: int = 16, timeout_seconds: float = 30.0
    ) -> None:
        """``key`` is what the collector knows this sender by; none is sent when it is empty."""
        self._db = db
        self._clock = clock
        self._batches = batches
        self._url = url
        self._http = httpx.Client(timeout=timeout_seconds, headers={"Authorization": f"Bearer {key}"} if key else {})
        self._breaker = Breaker(clock, 0.2, 5.0)

    def run_once(self) -> int:
        """Ship the oldest batches in one request; returns how many were acknowledged."""
        if self._breaker.open:
            return 0
        with self._db.transaction() as session:
            waiting = _bounded(session.rows("next_span_batches", limit=self._batches))
        if not waiting:
            return 0
        numbers = [row[0] for row in waiting]
        problem = self._ship(b"".join(row[1] for row in waiting), f"{numbers[0]}-{numbers[-1]}")
        if problem:
            seconds = self._breaker.failed()
            log.warning("spans wait: %s; next attempt in %.1f s", problem, seconds)
            return 0
        self._breaker.passed()
        with self._db.transaction() as session:
            session.run("spans_acknowledged", batches=numbers)
        return len(numbers)

    def close(self) -> None:
        self._http.close()

    def _ship(self, body: bytes, name: str) -> str:
        """Send one OTLP request; returns why it was not acknowledged. Requests join by joining their frames."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "zstd",
            "Idempotency-Key": f"span-batches-{name}",
        }
        try:
            response = self._http.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return f"the collector is not reachable ({type(error).__name__})"
        return "" if response.status_code == 200 else f"the collector answered {response.status_code}"


def _bounded(rows: list[Row]) -> list[Row]:
    kept: list[Row] = []
    size = 0
    for row in rows:
        size += row[2]
        if kept and size > MAX_REQUEST_BYTES:
            break
        kept.append(row)
    return kept
