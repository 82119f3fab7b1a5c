"""The outbox: journals to the ERP and spans to the collector, each until it is acknowledged."""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any, Final

import httpx
from msgspec import Struct

from sync_core.clock import Clock
from sync_core.erp.http import Answer, ErpClient, Unavailable
from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.store import Row, Session, Store, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

log = logging.getLogger(__name__)

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


class ErpRelay:
    """Offers waiting journals to the ERP in order. While the ERP is away only the relay waits, not every journal."""

    def __init__(
        self, db: Store, erp: ErpClient, clock: Clock, *, batch: int = 200, attempts: int = 200,
        base_seconds: float = 0.5, cap_seconds: float = 10.0,
    ) -> None:  # fmt: skip
        self._db = db
        self._erp = erp
        self._clock = clock
        self._batch = batch
        self._attempts = attempts
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._failures = 0
        self._closed_until = dt.datetime.min.replace(tzinfo=dt.UTC)

    @property
    def up(self) -> bool:
        """Whether the last attempt reached the ERP."""
        return self._failures == 0

    def run_once(self) -> int:
        """Offer one batch; returns how many journals the ERP decided on."""
        now = self._clock()
        if now < self._closed_until:
            return 0
        with self._db.transaction() as session:
            if not session.one("lock_postings")[0]:
                return 0
            due = [_posting(row) for row in session.rows("postings_due", now=now, limit=self._batch)]
            if not due:
                return 0
            answer = self._erp.post([one.body for one in due])
            now = self._clock()
            if isinstance(answer, Unavailable):
                self._stand_back(session, due, answer, now)
                return 0
            self._failures = 0
            by_key = {one.idempotency_key: one for one in answer}
            missing = Answer("", "retry", reason="the ERP did not answer for this journal")
            return self._record(session, [(one, by_key.get(one.journal_id, missing)) for one in due], now)

    def _stand_back(self, session: Session, due: Sequence[Posting], why: Unavailable, now: dt.datetime) -> None:
        """Tell of the failed attempt, once per journal that was offered, and leave the ERP alone for a while."""
        pause = max(why.retry_after_seconds, min(self._cap_seconds, self._base_seconds * 2**self._failures))
        self._failures += 1
        self._closed_until = now + dt.timedelta(seconds=pause)
        self._record(session, [(one, Answer(one.journal_id, "retry", reason=why.reason)) for one in due], now, given_up=False)
        log.warning("the ERP took nothing (%s); next attempt in %.1f s", why.reason, pause)

    def _record(
        self, session: Session, answers: Sequence[tuple[Posting, Answer]], now: dt.datetime, *, given_up: bool = True
    ) -> int:
        """Write what the ERP said, and the hop of every attempt, in this transaction."""
        rows: list[tuple[Any, ...]] = []
        told: list[Told] = []
        keys: list[tuple[str, str, str, bytes]] = []
        for posting, answer in answers:
            state = {"accepted": "accepted", "rejected": "rejected"}.get(answer.status, "waiting")
            if state == "waiting" and given_up and posting.attempts + 1 >= self._attempts:
                state = "dead"
            pause = min(self._cap_seconds, self._base_seconds * 2 ** min(posting.attempts, 10)) if given_up else 0.0
            accepted_at = now + posting.clock_offset if state == "accepted" else None
            not_before = now + dt.timedelta(seconds=pause) if state == "waiting" else None
            rows.append((posting.journal_id, state, not_before, accepted_at, answer.document, answer.reason))
            told.append(_attempt(posting, answer, state, now))
            if answer.document:
                keys.append(("erp_document_id", answer.document, posting.origin, posting.correlation_id))
            if state in ("rejected", "dead"):
                self._raise(session, posting, answer, state, now)
        columns = ("journal_id", "state", "not_before", "accepted_at", "erp_document", "reason")
        session.run("postings_answered", **{name: [row[at] for row in rows] for at, name in enumerate(columns)})
        if keys:
            session.run("add_keys", name=[k[0] for k in keys], value=[k[1] for k in keys], origin=[k[2] for k in keys],
                        id=[k[3] for k in keys])  # fmt: skip
        spans = encode(told)
        save_spans(session, spans.span_ids, spans.request, now)
        return sum(1 for row in rows if row[1] != "waiting")

    def _raise(self, session: Session, posting: Posting, answer: Answer, state: str, now: dt.datetime) -> None:
        session.run(
            "add_exceptions", exception_id=[f"{posting.journal_id}:posting_{state}"], kind=[f"posting_{state}"],
            severity=["major"], correlation_id=[posting.correlation_id], entity=["posting"],
            entity_id=[f"{posting.document}/{posting.entity_id}"], owner=["finance"], amount_minor=[0],
            currency=[posting.currency], detail=[answer.reason], opened_at=[now + posting.clock_offset],
        )  # fmt: skip


class SpanRelay:
    """Ships encoded spans to the collector until it acknowledges them."""

    def __init__(self, db: Store, url: str, clock: Clock, *, batches: int = 16, timeout_seconds: float = 30.0) -> None:
        self._db = db
        self._clock = clock
        self._batches = batches
        self._url = url
        self._http = httpx.Client(timeout=timeout_seconds)
        self._failures = 0
        self._closed_until = dt.datetime.min.replace(tzinfo=dt.UTC)

    def run_once(self) -> int:
        """Ship the oldest batches in one request; returns how many were acknowledged."""
        if self._clock() < self._closed_until:
            return 0
        with self._db.transaction() as session:
            waiting = _bounded(session.rows("next_span_batches", limit=self._batches))
        if not waiting:
            return 0
        numbers = [row[0] for row in waiting]
        problem = self._ship(b"".join(row[1] for row in waiting), f"{numbers[0]}-{numbers[-1]}")
        if problem:
            self._failures += 1
            pause = min(5.0, 0.2 * 2 ** min(self._failures, 6))
            self._closed_until = self._clock() + dt.timedelta(seconds=pause)
            log.warning("spans wait: %s; next attempt in %.1f s", problem, pause)
            return 0
        self._failures = 0
        with self._db.transaction() as session:
            session.run("spans_acknowledged", batches=numbers)
        return len(numbers)

    def close(self) -> None:
        self._http.close()

    def _ship(self, body: bytes, name: str) -> str:
        """Send one OTLP request; returns why it was not acknowledged. Requests join by joining their bytes."""
        headers = {"Content-Type": "application/x-protobuf", "Idempotency-Key": f"span-batches-{name}"}
        try:
            response = self._http.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return f"the collector is not reachable ({type(error).__name__})"
        return "" if response.status_code == 200 else f"the collector answered {response.status_code}"


def _bounded(rows: list[Row]) -> list[Row]:
    kept: list[Row] = []
    size = 0
    for row in rows:
        size += len(row[1])
        if kept and size > MAX_REQUEST_BYTES:
            break
        kept.append(row)
    return kept


def _posting(row: Row) -> Posting:
    (journal_id, body, attempts, identity, document, entity_id, business_date, channel, location, currency, source,
     event_id, provenance, offset, due_at) = row  # fmt: skip
    cause = Cause(source, event_id, business_date, provenance)
    return Posting(journal_id, body, attempts, identity, document, entity_id, channel, location, currency, cause, offset, due_at)  # fmt: skip


def _attempt(posting: Posting, answer: Answer, state: str, now: dt.datetime) -> Told:
    entity_id = f"{posting.document}/{posting.entity_id}"
    outcome = {"accepted": "ok", "rejected": "rejected", "dead": "dead_letter"}.get(state, "failed")
    milestone = {"accepted": "erp_accepted", "waiting": "sent"}.get(state, "erp_rejected")
    attributes: dict[str, Any] = {
        "journal_id": posting.journal_id, "erp_document_id": answer.document, "channel": posting.channel,
        "location": posting.location, "currency": posting.currency, "due_at": posting.due_at, "system": "erp",
        "reason": answer.reason, "owner": "" if state == "accepted" else "finance",
    }  # fmt: skip
    hop = Hop("posting.send", "erp", posting.correlation_id, posting.origin, "posting", entity_id, milestone, outcome,
              None, attributes)  # fmt: skip
    journaled = Hop("posting.journal", "transformation", posting.correlation_id, posting.origin, "posting", entity_id,
                    "journaled")  # fmt: skip
    return Told(hop, posting.cause, now + posting.clock_offset, posting.attempts + 1, journaled)
