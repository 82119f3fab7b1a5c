"""What happens because nothing happened: at a deadline the core sends itself the event that says so."""

from typing import Final

from sync_core import inbox
from sync_core.clock import Clock
from sync_core.messages import TransferWrittenOff, message
from sync_core.store import Store

SOURCE: Final = "tallytrace.deadlines"


class Deadlines:
    """Looks for deadlines that have passed; what is sent twice is a duplicate."""

    def __init__(self, db: Store, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def run_once(self) -> int:
        """Send what is due; returns how many events were new."""
        now = self._clock()
        with self._db.transaction() as session:
            due = session.rows("variances_due", now=now)
            events = [
                message(
                    TransferWrittenOff(origin=origin, transfer_id=transfer_id),
                    source=SOURCE,
                    event_id=f"{origin}:{transfer_id}/{at.isoformat()}",
                    occurred_at=at,
                )
                for origin, transfer_id, at in due
            ]
            return inbox.accept(session, events, now).count("accepted")
