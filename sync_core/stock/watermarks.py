"""How far each channel's view of stock has come: watermarks of feeds, and the hop that carries them. Pure."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from collector.semconv import EVENT_WATERMARK, correlation_id
from sync_core.model import Hop
from sync_core.telemetry import nanoseconds
from sync_core.unit import FeedKey

Mark = dict[str, Any]


def happened(feed: FeedKey, source_at: dt.datetime, *, heartbeat: bool = False) -> Mark:
    """Something changed at the source, or it gave a sign of life."""
    source = nanoseconds(source_at)
    return _mark(feed, source) | {"source_at": source, "heartbeat_at": source if heartbeat else 0}


def published(feed: FeedKey, source_at: dt.datetime, done_at: dt.datetime, *, heartbeat: bool = False) -> Mark:
    """At ``done_at`` the channel had everything that happened up to ``source_at``."""
    done = nanoseconds(done_at)
    return _mark(feed, done) | {"published_at": nanoseconds(source_at), "heartbeat_at": done if heartbeat else 0}


def hop(feed: FeedKey, marks: Iterable[Mark], *, queued: bool = False) -> Hop:
    """The hop that tells of them; ``queued`` when the channel has yet to take what changed."""
    system, channel, location = feed
    identity = "/".join(feed)
    name, stage = ("publication.queue", "queue") if queued else ("publication.publish", "delivery")
    return Hop(
        name, stage, correlation_id("publication", identity), "publication", "feed", identity,
        attributes={"channel": channel, "location": location, "system": system},
        events=[(EVENT_WATERMARK, mark) for mark in _latest_per_minute(marks)],
    )  # fmt: skip


def _mark(feed: FeedKey, at: int) -> Mark:
    system, channel, location = feed
    where = {"feed": system, "channel": channel, "location": location}
    return where | {"at": at, "source_at": 0, "published_at": 0, "heartbeat_at": 0}


def _latest_per_minute(marks: Iterable[Mark]) -> list[Mark]:
    """One watermark per minute: the maximum of each field, since only the furthest one counts."""
    minutes: dict[int, Mark] = {}
    for mark in marks:
        held = minutes.setdefault(mark["at"] // 60_000_000_000, dict(mark))
        for name in ("at", "source_at", "published_at", "heartbeat_at"):
            held[name] = max(held[name], mark[name])
    return [minutes[minute] for minute in sorted(minutes)]
