"""What people do about exceptions: take them on, close them, have their cause tried again; all of it on record."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from sync_core.messages import Cause, Name
from sync_core.model import Hop
from sync_core.store import Row, Session, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

SOURCE: Final = "tallytrace.operators"
REPLAYED: Final = "replayed"
"""How the resolution of an exception begins whose cause is processed again: if that fails too, it opens again."""

Action = Literal["assign", "resolve", "replay"]

PLAYBOOK: Final[Mapping[str, str]] = {
    "backorder": "Find stock for it: it is reserved by itself when all its goods are free. Else cancel the order.",
    "oversold": "Count the SKU at the location; then cancel or move orders until what is promised is there.",
    "payment_differs": "Compare the provider's figure with the order; correct the one that is wrong, or refund.",
    "second_payment": "Refund one of the payments, or find the order that it was meant for.",
    "payment_after_cancellation": "Refund the payment.",
    "shipment_not_reserved": "Find out what left the building; then count, and reserve or cancel the order.",
    "cancellation_too_late": "Tell the customer; offer a return.",
    "identity_conflict": "Ask the sender which content is right; it must send a correction under a new identity.",
    "dead_letter": "Read the reason; mend what it names, then replay it.",
    "posting_rejected": "Read the ERP's reason; mend the master data or the period there, then replay it.",
    "posting_dead": "See that the ERP answers, then replay it.",
    "stock_shortfall": "Count the bucket, send the count, then replay the document.",
    "wrong_source": "Send it from the source of record of that location, or change who that is and replay it.",
    "transfer_short": "Find stock at the location it leaves from, or cancel the transfer.",
    "transfer_variance": "Look for the goods at both ends and with the carrier before it is written off.",
    "transfer_after_cancellation": "Count both locations; request a new transfer for what really moved.",
}
"""The next step, by kind of exception."""

NEXT_STEP: Final = "Read what it says, decide, and write down why when you resolve it."


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who does something about exceptions, and why. ``to`` is whom an assignment is for."""

    ids: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)]
    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    to: str = ""


class Outcome(Struct, frozen=True):
    """What became of one exception."""

    exception_id: str
    outcome: Literal["done", "unknown", "not open", "nothing to replay"]


class Record(Struct, frozen=True):
    """One thing that was done about an exception."""

    at: dt.datetime
    by: str
    action: str
    reason: str
    to: str


def playbook(kind: str) -> str:
    return PLAYBOOK.get(kind, NEXT_STEP)


def act(session: Session, action: Action, wanted: Act, now: dt.datetime) -> list[Outcome]:
    """Do it to each, and say of each what became of it. Doing it again does nothing more."""
    ids = list(dict.fromkeys(wanted.ids))
    known = {row[0]: row for row in session.rows("lock_exceptions", ids=ids)}
    outcomes: list[Outcome] = []
    told: list[Told] = []
    for exception_id in ids:
        row = known.get(exception_id)
        if row is None:
            outcomes.append(Outcome(exception_id, "unknown"))
        elif row[-1] != "open":
            outcomes.append(Outcome(exception_id, "not open"))
        elif action == "replay" and not _queue_again(session, row, now):
            outcomes.append(Outcome(exception_id, "nothing to replay"))
        else:
            told.append(_done(session, action, wanted, row, now))
            outcomes.append(Outcome(exception_id, "done"))
    save_spans(session, encode(told), now)
    return outcomes


def history(session: Session, exception_id: str) -> list[Record]:
    """What was done about one, oldest first."""
    return [Record(*row) for row in session.rows("exception_history", id=exception_id)]


def _queue_again(session: Session, row: Row, now: dt.datetime) -> bool:
    exception_id, kind, _, _, cause_source, cause_event_id, _ = row
    if kind in ("posting_rejected", "posting_dead"):
        journal_id = exception_id.removesuffix(f":{kind}")
        return bool(session.run("post_again", journal_id=journal_id, now=now).rowcount)
    return bool(session.run("process_again", source=cause_source, event_id=cause_event_id).rowcount)


def _done(session: Session, action: Action, wanted: Act, row: Row, now: dt.datetime) -> Told:
    exception_id, _, correlation_id, owner, _, _, _ = row
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
        f"exception.{action}", "transformation", correlation_id, exception_id.partition(":")[0], "exception",
        exception_id, "assigned" if action == "assign" else "resolved",
        outcome="replayed" if action == "replay" else "ok",
        attributes={"reason": f"{wanted.by}: {wanted.reason}", "owner": wanted.to or owner},
    )  # fmt: skip
    return Told(hop, Cause(SOURCE, f"{exception_id}/{number}", now.date(), "live"), now)


def _close(session: Session, exception_id: str, resolution: str, now: dt.datetime) -> None:
    session.run("resolve_exceptions", exception_id=[exception_id], resolution=[resolution], at=[now])
