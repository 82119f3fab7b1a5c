"""What happens because nothing happened: at a deadline the core sends itself the event that says so."""

import datetime as dt
from collections.abc import Callable
from typing import Final

from sync_core import inbox
from sync_core.clock import Clock
from sync_core.messages import (
    Cause,
    Event,
    Message,
    OrderDeadlinePassed,
    Payment,
    ShipmentShipped,
    TransferWrittenOff,
    decode_event,
    message,
)
from sync_core.model import ExceptionItem
from sync_core.returns.messages import ReturnDeadlinePassed, ReturnEvent
from sync_core.store import Row, Store, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, opened

SOURCE: Final = "tallytrace.deadlines"
PATIENCE: Final = dt.timedelta(minutes=15)
"""An event may wait so long for one that must come before it, until somebody is told."""


class Deadlines:
    """Looks for deadlines that have passed; what is sent twice is a duplicate."""

    def __init__(self, db: Store, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def run_once(self) -> int:
        """Do what is due; returns how much was new."""
        return self._write_off() + self._pass_deadlines() + self._end_returns() + self._tell_of_waiting()

    def _tell_of_waiting(self) -> int:
        """An event that has waited too long for another is its owner's."""
        now = self._clock()
        with self._db.transaction() as session:
            rows = session.rows("waiting_long", since=now - PATIENCE)
            items = [(_waiting(row), now + row[6]) for row in rows]
            add_exceptions(session, items)
            told = [
                Told(opened(item), Cause(row[0], row[1], row[4], row[5]), at, attempt=row[-1] + 1)
                for (item, at), row in zip(items, rows, strict=True)
            ]
            save_spans(session, encode(told), now)
            return len(items)

    def _pass_deadlines(self) -> int:
        """What was to happen to orders by now."""
        return self._send(
            "order_deadlines_due",
            lambda origin, order_id, _, deadline, reference, at: _passed(
                OrderDeadlinePassed(origin=origin, order_id=order_id, deadline=deadline, reference=reference),
                f"{order_id}/{deadline}/{reference}",
                at,
            ),
            lambda row: row[2],
        )

    def _end_returns(self) -> int:
        """Returns that are not here by their time."""
        return self._send(
            "returns_due",
            lambda origin, return_id, _, at: _passed(
                ReturnDeadlinePassed(origin=origin, return_id=return_id), return_id, at
            ),
            lambda row: row[2],
        )

    def _write_off(self) -> int:
        return self._send(
            "variances_due",
            lambda origin, transfer_id, at: _passed(
                TransferWrittenOff(origin=origin, transfer_id=transfer_id), transfer_id, at
            ),
        )

    def _send(
        self, statement: str, event: Callable[..., Message], partition: Callable[[Row], int] | None = None
    ) -> int:
        """Accept one event for each row of what is due, in the ``partition`` it names or the one of its key."""
        now = self._clock()
        with self._db.transaction() as session:
            due = session.rows(statement, now=now)
            partitions = [partition(row) for row in due] if partition else None
            return inbox.accept(session, [event(*row) for row in due], now, partitions).count("accepted")


def _passed(
    event: OrderDeadlinePassed | ReturnDeadlinePassed | TransferWrittenOff, about: str, at: dt.datetime
) -> Message:
    return message(event, source=SOURCE, event_id=f"{event.origin}:{about}/{at.isoformat()}", occurred_at=at)


def _waiting(row: Row) -> ExceptionItem:
    source, event_id, type_name, occurred_at, _, _, _, body, waiting_for, reason, _ = row
    event = decode_event(type_name, body)
    lines = getattr(event, "lines", ())
    return ExceptionItem(
        exception_id=f"{source}:out_of_sequence/{event_id}",
        kind="out_of_sequence",
        severity="major",
        correlation_id=waiting_for,
        origin=source,
        entity="message",
        entity_id=event_id,
        owner=_owner(event),
        amount_minor=getattr(event, "amount_minor", sum(getattr(line, "amount_minor", 0) for line in lines)),
        currency=getattr(event, "currency", ""),
        detail=f"{type_name} of {occurred_at:%Y-%m-%d %H:%M} UTC waits: {reason}",
        cause_source=source,
        cause_event_id=event_id,
    )


def _owner(event: Event) -> str:
    match event:
        case Payment():
            return "payments"
        case ShipmentShipped():
            return "warehouse"
        case ReturnEvent():
            return "returns"
        case _:
            return "order management"
