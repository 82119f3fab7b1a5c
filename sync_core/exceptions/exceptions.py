"""What people do about exceptions: take them on, close them, have their cause tried again; all of it on record."""

import datetime as dt
from collections import Counter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sync_core import deliveries, inbox, message_milestones
from sync_core.ledger.compensation import COMPENSABLE
from sync_core.messages import Cause, Name, PostingCompensated, message
from sync_core.model import Hop
from sync_core.store import Session, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

SOURCE: Final = "tallytrace.operators"
REPLAYED: Final = "replayed"
"""How the resolution of an exception begins whose cause is processed again: if that fails too, it opens again."""

Action = Literal["assign", "resolve", "replay", "compensate"]
POSTINGS: Final = ("posting_rejected", "posting_dead")
REFUSED: Final = (*POSTINGS, "sales_order_rejected", "sales_order_dead",
                  "sales_order_cancellation_rejected", "sales_order_cancellation_dead",
                  "sales_order_amendment_rejected", "sales_order_amendment_dead",
                  "goods_movement_rejected", "goods_movement_dead")  # fmt: skip
"""What the ERP did not take, and may be offered again."""
DIFFERS: Final = ("posting_differs", "erp_unbalanced", "erp_wrong_period")
"""What the ERP took and has otherwise: it is read back again."""
PUBLICATIONS: Final = ("channel_down", "publication_refused")
OFFERED_AGAIN: Final = (*REFUSED, *DIFFERS, *PUBLICATIONS)
"""What a replay offers to another system again; of all else the event that caused it is played again."""

MOST: Final = 500
"""Exceptions that one request may change, at most."""


class Filter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which open exceptions are meant; what is empty does not matter, but something must be named."""

    owner: str = ""
    kind: str = ""
    severity: Literal["", "critical", "major", "minor"] = ""
    opened_before: Annotated[dt.datetime, Meta(tz=True)] | None = None


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who does something about exceptions, and why: to those of ``ids``, or to the longest open ones that ``where``
    finds. ``to`` is whom an assignment is for. With ``dry_run`` nothing is done, and the answer is what it would be.
    """

    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    ids: Annotated[tuple[Name, ...], Meta(max_length=MOST)] = ()
    where: Filter | None = None
    to: Annotated[str, Meta(max_length=200)] = ""
    dry_run: bool = False

    def fault(self, action: Action) -> tuple[str, str]:
        """What is wrong with it, and in which field; empty when nothing is."""
        if bool(self.ids) == (self.where is not None):
            return "name either exceptions or what they have in common", "ids"
        if self.where == Filter():
            return "name at least one thing that the exceptions have in common", "where"
        if action == "assign" and not self.to:
            return "an assignment needs whom it is for", "to"
        return "", ""


class Outcome(Struct, frozen=True):
    """What became of one exception."""

    exception_id: str
    outcome: Literal["done", "unknown", "not open", "nothing to replay", "nothing to compensate"]


class Acted(Struct, frozen=True):
    """What was done: ``worth`` is the value of what it was done to, in minor units by currency.

    ``left`` counts what ``where`` finds beyond the most that one request may change.
    """

    dry_run: bool
    done: int
    left: int
    worth: dict[str, int]
    outcomes: list[Outcome]


class Record(Struct, frozen=True):
    """One thing that was done about an exception."""

    at: dt.datetime
    by: str
    action: str
    reason: str
    to: str


class Locked(Struct, frozen=True):
    """An exception that somebody does something about."""

    exception_id: str
    kind: str
    correlation_id: bytes
    owner: str
    amount_minor: int
    currency: str
    cause_source: str
    cause_event_id: str
    state: str

    @property
    def document_id(self) -> str:
        """Of an exception about what the ERP was sent."""
        return self.exception_id.removesuffix(f":{self.kind}")


def act(session: Session, action: Action, wanted: Act, now: dt.datetime) -> Acted:
    """Do it to each, and say of each what became of it. Doing it again does nothing more."""
    ids, left = (list(dict.fromkeys(wanted.ids)), 0) if wanted.where is None else _found(session, wanted.where)
    known = {row[0]: Locked(*row) for row in session.rows("lock_exceptions", ids=ids)}
    outcomes: list[Outcome] = []
    told: list[Told] = []
    replayed: dict[str, list[Told]] = {}
    worth: Counter[str] = Counter()
    for exception_id in ids:
        about = known.get(exception_id)
        if about is None:
            outcomes.append(Outcome(exception_id, "unknown"))
        elif about.state != "open":
            outcomes.append(Outcome(exception_id, "not open"))
        elif action == "replay" and not _queue_again(session, about, now):
            outcomes.append(Outcome(exception_id, "nothing to replay"))
        elif action == "compensate" and not _compensate(session, about, wanted, now):
            outcomes.append(Outcome(exception_id, "nothing to compensate"))
        else:
            told.append(_done(session, action, wanted, about, now))
            if action == "replay" and about.kind not in OFFERED_AGAIN:
                replayed.setdefault(about.cause_source, []).append(told[-1])
            outcomes.append(Outcome(exception_id, "done"))
            worth[about.currency] += about.amount_minor
    for source, of in sorted(replayed.items()):
        session.run("count_replayed", source=source, count=len(of), now=now)
        told.append(deliveries.announced(source, len(of), wanted.by, wanted.reason, of[0].cause, now))
    save_spans(session, encode(told), now)
    if wanted.dry_run:
        session.connection.rollback()
    done = sum(one.outcome == "done" for one in outcomes)
    return Acted(wanted.dry_run, done, left, {code: minor for code, minor in worth.items() if minor}, outcomes)


def _found(session: Session, where: Filter) -> tuple[list[str], int]:
    """The longest open exceptions of a filter, and how many more there are."""
    rows = session.rows("open_exceptions_where", **msgspec.structs.asdict(where), limit=MOST)
    return [row[0] for row in rows], rows[0][1] - len(rows) if rows else 0


def history(session: Session, exception_id: str) -> list[Record]:
    """What was done about one, oldest first."""
    return [Record(*row) for row in session.rows("exception_history", id=exception_id)]


def _queue_again(session: Session, about: Locked, now: dt.datetime) -> bool:
    if about.kind in REFUSED:
        return bool(session.run("post_again", document_id=about.document_id, now=now).rowcount)
    if about.kind in DIFFERS:
        return bool(session.run("compare_again", document_id=about.document_id).rowcount)
    if about.kind in PUBLICATIONS:
        return bool(session.rows("publish_again", id=about.exception_id, now=now))
    return bool(session.run("process_again", source=about.cause_source, event_id=about.cause_event_id).rowcount)


def _compensate(session: Session, about: Locked, wanted: Act, now: dt.datetime) -> bool:
    """Have the core undo what the ERP refused; the exception is closed when that is done."""
    if about.kind not in POSTINGS:
        return False
    document = session.rows("refused_posting", journal_id=about.document_id)
    if not document or document[0][0] not in COMPENSABLE:
        return False
    origin = about.document_id.partition(f":{document[0][0]}/")[0]
    event = PostingCompensated(
        origin=origin, journal_id=about.document_id, reason=f"{wanted.by}: {wanted.reason}"[:2000]
    )
    told = message(event, source=SOURCE, event_id=f"{about.exception_id} {now.isoformat()}", occurred_at=now)
    return inbox.accept(session, [told], now) == ["accepted"]


def _done(session: Session, action: Action, wanted: Act, about: Locked, now: dt.datetime) -> Told:
    exception_id = about.exception_id
    number = session.one(
        "record_action", id=exception_id, at=now, by=wanted.by, action=action, reason=wanted.reason, to=wanted.to
    )[0]
    match action:
        case "assign":
            session.run("assign_exception", id=exception_id, to=wanted.to)
        case "resolve":
            _close(session, exception_id, f"resolved by {wanted.by}: {wanted.reason}", now)
        case "replay":
            session.run("count_replay", id=exception_id)
            _close(session, exception_id, f"{REPLAYED} by {wanted.by}: {wanted.reason}", now)
    hop = Hop(
        f"exception.{action}", "transformation", about.correlation_id, exception_id.partition(":")[0], "exception",
        exception_id, {"assign": "assigned", "compensate": ""}.get(action, "resolved"),
        outcome="replayed" if action == "replay" else "ok",
        attributes={"reason": f"{wanted.by}: {wanted.reason}", "owner": wanted.to or about.owner},
        events=_as_message(action, about),
    )  # fmt: skip
    return Told(hop, Cause(SOURCE, f"{exception_id}/{number}", now.date(), "live"), now)


def _as_message(action: Action, about: Locked) -> list[tuple[str, dict[str, Any]]]:
    """A message that failed is over when somebody has decided about it; played again, when it is taken."""
    if action != "resolve":
        return []
    if about.kind in REFUSED:
        document = about.document_id.rpartition(":")[2].partition("/")[0]
        return [message_milestones.told(message_milestones.to_erp(about.document_id), "recovered", document)]
    return message_milestones.of_exception(about.exception_id, "recovered")


def _close(session: Session, exception_id: str, resolution: str, now: dt.datetime) -> None:
    session.run("resolve_exceptions", exception_id=[exception_id], resolution=[resolution], at=[now])
