"""What each source delivered, hour by hour: events taken, sent again and played again, as lineage is told."""

import datetime as dt
from typing import Final

from collector.semconv import EVENT_MILESTONE, correlation_id
from sync_core.clock import Clock
from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.store import Row, Store, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told

SOURCE: Final = "tallytrace.deliveries"
KEPT: Final = dt.timedelta(days=2)
MOST: Final = 500


class Deliveries:
    """Tells of the hours that changed; a figure told later goes before one told earlier."""

    def __init__(self, db: Store, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def run_once(self) -> int:
        """Returns how many hours of sources were told."""
        now = self._clock()
        with self._db.transaction() as session:
            rows = session.rows("hours_to_tell", limit=MOST)
            save_spans(session, encode([_told(row, now) for row in rows]), now)
            session.run("forget_hours", before=now - KEPT)
            return len(rows)


def announced(source: str, count: int, by: str, reason: str, why: Cause, now: dt.datetime) -> Told:
    """So many events of a source are played again within the hour, and somebody said so: who, and for what reason."""
    begin = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    hop = Hop(
        "publication.announce_replay", "source", correlation_id(SOURCE, why.event_id), SOURCE, "message",
        _number(source, begin), "replay_announced", occurred_at=begin,
        attributes={"provider": source, "quantity": count, "reason": f"{by}: {reason}"},
    )  # fmt: skip
    return Told(hop, why, now)


def _told(row: Row, now: dt.datetime) -> Told:
    source, hour, accepted, redelivered, replayed, telling = row
    begin: dt.datetime = hour.astimezone(dt.UTC)
    number = _number(source, begin)
    again = {"redelivered": redelivered, "replayed": replayed}
    events = [
        (EVENT_MILESTONE, {"entity": "message", "entity_id": number, "milestone": name, "quantity": count})
        for name, count in again.items()
        if count
    ]
    hop = Hop(
        "publication.count_deliveries", "source", correlation_id(SOURCE, number), SOURCE, "message", number, "accepted",
        occurred_at=begin, attributes={"provider": source, "quantity": accepted}, events=events,
    )  # fmt: skip
    return Told(hop, Cause(SOURCE, number, begin.date(), "live"), now, attempt=telling)


def _number(source: str, begin: dt.datetime) -> str:
    return f"{source}/{begin:%Y-%m-%dT%H}"
