"""The outbox: journals to the ERP and spans to the collector, each until it is acknowledged."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any, Final, Literal

import httpx
import msgspec
from msgspec import Struct

from sync_core.clock import Clock
from sync_core.erp.port import Answer, Erp, Unavailable
from sync_core.ledger import LANES
from sync_core.messages import Cause
from sync_core.model import ExceptionItem, ExceptionKind, Hop
from sync_core.pauses import Breaker, Pace, pause_seconds
from sync_core.store import Row, Session, Store, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, opened

log = logging.getLogger(__name__)

LEAST_SHARE: Final = 10
"""One of so many journals of a request is each lane's own, however much waits in those before it."""
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


class Posting(Struct, frozen=True):
    """A journal that the ERP should be offered."""

    journal_id: str
    body: bytes
    attempts: int
    correlation_id: bytes
    document: str
    entity_id: str
    channel: str
    location: str
    currency: str
    cause: Cause
    clock_offset: dt.timedelta
    due_at: dt.datetime

    @property
    def origin(self) -> str:
        return self.journal_id.removesuffix(f":{self.document}/{self.entity_id}")


class Attempt(Struct, frozen=True):
    """One offer of a journal and what became of it; a journal that waits is offered again from ``not_before``."""

    posting: Posting
    answer: Answer
    state: Literal["accepted", "rejected", "waiting", "dead"]
    not_before: dt.datetime | None = None

    def accepted_at(self, now: dt.datetime) -> dt.datetime | None:
        return now + self.posting.clock_offset if self.state == "accepted" else None


class ErpRelay:
    """Offers waiting journals to the ERP, lane by lane. While the ERP is away only the relay waits, not every journal.

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
    ) -> None:
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

    @property
    def up(self) -> bool:
        """Whether the last attempt reached the ERP."""
        return self._breaker.up

    def run_once(self) -> int:
        """Offer one batch; returns how many journals the ERP decided on."""
        if self._breaker.open or self._pace.full:
            return 0
        with self._db.transaction() as session:
            due = self._due(session, self._clock())
            if not due or not self._pace.take():
                return 0
            answer = self._erp.post([one.body for one in due])
            now = self._clock()
            if isinstance(answer, Unavailable):
                self._stand_back(session, due, answer, now)
                return 0
            self._breaker.passed()
            by_key = {one.idempotency_key: one for one in answer}
            missing = Answer("", "retry", reason="the ERP did not answer for this journal")
            attempts = [self._judged(one, by_key.get(one.journal_id, missing), now) for one in due]
            _write(session, attempts, now)
            return sum(1 for one in attempts if one.state != "waiting")

    def _due(self, session: Session, now: dt.datetime) -> list[Posting]:
        """What to offer next of a slot that no other thread or process is at, and that has something."""
        for slot in range(self._slots):
            if session.one("lock_postings", slot=slot)[0]:
                rows = session.rows("postings_due", now=now, limit=self._batch, slot=slot, slots=self._slots,
                                    lanes=len(LANES), share=max(1, self._batch // LEAST_SHARE))  # fmt: skip
                if rows:
                    return [_posting(row) for row in rows]
                session.connection.rollback()
        return []

    def _stand_back(self, session: Session, due: Sequence[Posting], why: Unavailable, now: dt.datetime) -> None:
        """Tell of the failed attempt, once per journal that was offered, and leave the ERP alone for a while."""
        seconds = self._breaker.failed(why.retry_after_seconds)
        answers = [(one, Answer(one.journal_id, "retry", reason=why.reason)) for one in due]
        _write(session, [Attempt(posting, answer, "waiting", now) for posting, answer in answers], now)
        log.warning("the ERP took nothing (%s); next attempt in %.1f s", why.reason, seconds)

    def _judged(self, posting: Posting, answer: Answer, now: dt.datetime) -> Attempt:
        """What an answer makes of a journal: accepted, rejected, waiting for its next attempt, or given up."""
        if answer.status != "retry":
            return Attempt(posting, answer, answer.status)
        failures = posting.attempts % self._attempts  # since it was offered first, or again by somebody
        if failures + 1 == self._attempts:
            return Attempt(posting, answer, "dead")
        seconds = pause_seconds(failures, self._base_seconds, self._cap_seconds)
        return Attempt(posting, answer, "waiting", now + dt.timedelta(seconds=seconds))


def _write(session: Session, attempts: Sequence[Attempt], now: dt.datetime) -> None:
    """Write what the ERP said, and the hop of every attempt, in this transaction."""
    session.run(
        "postings_answered",
        journal_id=[one.posting.journal_id for one in attempts],
        state=[one.state for one in attempts],
        not_before=[one.not_before for one in attempts],
        accepted_at=[one.accepted_at(now) for one in attempts],
        erp_document=[one.answer.document for one in attempts],
        reason=[one.answer.reason for one in attempts],
    )
    refused = [(_refused(one), one.posting) for one in attempts if one.state in ("rejected", "dead")]
    add_exceptions(session, [(item, now + posting.clock_offset) for item, posting in refused])
    told = [_told(one, now) for one in attempts]
    told += [
        Told(opened(item, posting.channel), posting.cause, now + posting.clock_offset, posting.attempts + 1)
        for item, posting in refused
    ]
    save_spans(session, encode(told), now)


def _refused(attempt: Attempt) -> ExceptionItem:
    posting = attempt.posting
    kind: ExceptionKind = "posting_dead" if attempt.state == "dead" else "posting_rejected"
    return ExceptionItem(
        exception_id=f"{posting.journal_id}:{kind}",
        kind=kind,
        severity="major",
        correlation_id=posting.correlation_id,
        origin=posting.origin,
        entity="posting",
        entity_id=f"{posting.document}/{posting.entity_id}",
        owner="finance",
        amount_minor=_worth(posting.body),
        currency=posting.currency,
        detail=attempt.answer.reason,
        cause_source=posting.cause.source,
        cause_event_id=posting.cause.event_id,
    )


def _worth(body: bytes) -> int:
    """The debits of a journal, from what the ERP is sent."""
    lines = msgspec.json.decode(body)["lines"]
    return sum(line["amount_minor"] for line in lines if line["amount_minor"] > 0)


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


def _posting(row: Row) -> Posting:
    journal_id, body, attempts, identity, document, entity_id, business_date, *rest = row
    channel, location, currency, source, event_id, provenance, clock_offset, due_at = rest
    return Posting(
        journal_id,
        body,
        attempts,
        identity,
        document,
        entity_id,
        channel,
        location,
        currency,
        cause=Cause(source, event_id, business_date, provenance),
        clock_offset=clock_offset,
        due_at=due_at,
    )


_MILESTONES: Final = {"accepted": "erp_accepted", "waiting": "sent", "rejected": "erp_rejected", "dead": "erp_rejected"}
_OUTCOMES: Final = {"accepted": "ok", "waiting": "failed", "rejected": "rejected", "dead": "dead_letter"}


def _told(attempt: Attempt, now: dt.datetime) -> Told:
    """The hop of one attempt, below the hop that journaled what is posted."""
    posting, answer, state = attempt.posting, attempt.answer, attempt.state
    attributes: dict[str, Any] = {
        "journal_id": posting.journal_id,
        "erp_document_id": answer.document,
        "channel": posting.channel,
        "location": posting.location,
        "currency": posting.currency,
        "due_at": posting.due_at,
        "system": "erp",
        "reason": answer.reason,
        "owner": "" if state == "accepted" else "finance",
    }
    journaled = Hop(
        name="posting.journal",
        stage="transformation",
        correlation_id=posting.correlation_id,
        origin=posting.origin,
        entity="posting",
        entity_id=f"{posting.document}/{posting.entity_id}",
        milestone="journaled",
    )
    sent = msgspec.structs.replace(
        journaled,
        name="posting.send",
        stage="erp",
        milestone=_MILESTONES[state],
        outcome=_OUTCOMES[state],
        attributes=attributes,
    )
    return Told(sent, posting.cause, now + posting.clock_offset, posting.attempts + 1, journaled)
