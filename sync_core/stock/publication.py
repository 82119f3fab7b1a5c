"""Availability told to channels that have an address: at each one's pace, the newest figures alone, until it has them.

What a unit of work moves is queued in its transaction, one row per channel, SKU and location however often it moves.
A request carries figures as they are when it is sent, under the next number of the channel's sequence, taken before
they are read: a higher number is never older. What was sent and not marked is sent again, under a higher number.
"""

import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.clock import Clock
from sync_core.messages import Cause
from sync_core.model import ExceptionItem, Hop
from sync_core.stock import watermarks
from sync_core.stock.availability import SILENT_AFTER, Answer, answer
from sync_core.stock.pauses import pause_seconds, retry_after_seconds
from sync_core.store import Session, Store, add_exceptions, load_held, load_standing, save_spans
from sync_core.telemetry import encode
from sync_core.unit import FeedKey, Told, Unit, closing, opened

log = logging.getLogger(__name__)

SOURCE: Final = "tallytrace.publication"
OWNER: Final = "integration"
DOWN_AFTER: Final = 3
"""Attempts in a row that fail before a channel counts as down."""

LATE_AFTER: Final = dt.timedelta(minutes=5)
"""Age of the oldest figure that a channel does not have at which it counts as down, whatever it answers."""

VALUED: Final = 5000
"""Figures that are valued to say what hangs on a channel that is down, at most: the longest waiting ones."""

SET_ASIDE: Final = 100
"""Figures that a channel may refuse before it counts as a channel that is down."""

LEASE: Final = dt.timedelta(seconds=5)
"""How long after its time-out a request that was never marked is made again."""


class Figure(Struct, frozen=True):
    """What a channel may sell of a SKU, at one of its locations or, with an empty ``location``, in all."""

    sku: str
    location: str
    sellable: int
    as_of: dt.datetime  # business time of the newest change in it


class Publication(Struct, frozen=True):
    """The body of a request; a receiver drops what has a lower ``sequence`` than it has for a SKU and location."""

    channel: str
    sequence: int
    figures: Sequence[Figure]


class Waiting(Struct, frozen=True):
    """A figure that a channel does not have. ``told`` is the last one it took; ``refusal`` an exception about it."""

    sku: str
    location: str
    version: int
    as_of: dt.datetime
    told: int | None
    refusal: str


class Endpoint(Struct, frozen=True):
    """A channel's address, how it stands with it, and the number of the request to be made."""

    channel: str
    url: str
    batch: int
    requests_per_second: float
    sequence: int
    failures: int
    refusals: int
    down_exception: str

    @property
    def most(self) -> int:
        """Figures in a request: half as many after each that was refused, so that the bad one is found."""
        return max(1, self.batch >> self.refusals)


class Reply(Struct, frozen=True):
    """What a channel said of a request: taken, refused as it is, told to slow down, or nothing of use."""

    kind: Literal["taken", "refused", "throttled", "failed"]
    reason: str = ""
    retry_after_seconds: float = 0.0


class ChannelStatus(Struct, frozen=True):
    """How a channel with an address stands; ``oldest_waiting_seconds`` is of the figures it does not have."""

    channel: str
    url: str
    state: Literal["up", "down"]
    waiting: int
    oldest_waiting_seconds: float
    refused: int
    sequence: int
    priority: int
    acknowledged_at: dt.datetime | None
    next_attempt_at: dt.datetime
    reason: str


def queue(session: Session, unit: Unit, now: dt.datetime) -> None:
    """Have channels told what a unit of work moved. Comes last in it, as it waits for who is served how."""
    moved = {(sku, one.location, one.occurred_at): None for one in unit.movements.values() for sku in one.units}
    moved |= {(*key, at): None for key, at in unit.recounted.items()}
    if not moved:
        return
    session.run("lock_channels_shared")
    if not session.one("any_endpoint")[0]:
        return
    skus, locations, moments = zip(*moved, strict=True)
    session.run("publish_moves", sku=list(skus), location=list(locations), moved_at=list(moments), now=now)
    session.run("wake_outbox", kind="channels")


def note_sources(session: Session, furthest: Mapping[FeedKey, tuple[dt.datetime, dt.timedelta]]) -> None:
    """Remember how far feeds of channels with an address say they are, and how far their clock is from ours."""
    if not furthest:
        return
    feeds, channels, locations = (list(one) for one in zip(*furthest, strict=True))
    source_at, clock_offset = (list(one) for one in zip(*furthest.values(), strict=True))
    session.run(
        "note_sources", feed=feeds, channel=channels, location=locations, source_at=source_at,
        clock_offset=clock_offset,
    )  # fmt: skip


def channels(session: Session, now: dt.datetime) -> list[ChannelStatus]:
    """Every channel with an address, as it stands."""
    return [ChannelStatus(*row) for row in session.rows("channel_status", now=now)]


class Publisher:
    """Tells every channel what it waits for; one that is slow or away holds up nobody else."""

    def __init__(
        self,
        db: Store,
        clock: Clock,
        *,
        threads: int = 8,
        timeout_seconds: float = 10.0,
        base_seconds: float = 0.5,
        cap_seconds: float = 60.0,
    ) -> None:
        self._db = db
        self._clock = clock
        self._threads = threads
        self._lease = LEASE + dt.timedelta(seconds=timeout_seconds)
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._http = httpx.Client(timeout=timeout_seconds)
        self._pool = ThreadPoolExecutor(threads, "publisher")
        self._under_way: dict[str, Future[None]] = {}

    def close(self) -> None:
        """Wait for the requests under way."""
        self._pool.shutdown()
        self._http.close()

    def run_once(self) -> int:
        """Note what channels have by now, and make a request to each that is due; returns how many were under way."""
        now = self._clock()
        with self._db.transaction() as session:
            fell = [row[0] for row in session.rows("note_silence", since=now - SILENT_AFTER)]
            if fell:
                session.run("publish_locations", locations=fell, now=now)
            self._advance(session, now)
            due = [row[0] for row in session.rows("endpoints_due", now=now)]
        for channel in due:
            if channel not in self._under_way and len(self._under_way) < self._threads:
                self._under_way[channel] = self._pool.submit(self._publish, channel)
        busy = len(self._under_way)
        for ended in wait(self._under_way.values(), 0.05, FIRST_COMPLETED).done:
            if error := ended.exception():
                log.error("a publication failed; it is tried again", exc_info=error)
        self._under_way = {channel: one for channel, one in self._under_way.items() if not one.done()}
        return busy

    def _advance(self, session: Session, now: dt.datetime) -> None:
        """Tell how far channels have come."""
        told = []
        for *feed, published_at, clock_offset in session.rows("advance_publications"):
            key, moment = (feed[0], feed[1], feed[2]), now + clock_offset
            event = f"{'/'.join(feed)}/{published_at.isoformat()}"
            cause = Cause(SOURCE, event, moment.date(), "live")
            told.append(Told(watermarks.hop(key, [watermarks.published(key, published_at, moment)]), cause, moment))
        save_spans(session, encode(told), now)

    def _publish(self, channel: str) -> None:
        """Make one request. What has not changed since the channel took it is not sent."""
        now = self._clock()
        with self._db.transaction() as session:
            found = session.run("begin_publication", channel=channel, now=now, until=now + self._lease).fetchone()
            if found is None:
                return
            endpoint = Endpoint(*found)
            rows = session.rows("publications_waiting", channel=channel, limit=endpoint.most)
            waiting = [Waiting(*row) for row in rows]
            figures = _figures(session, channel, waiting, now)
            same = [one for one in waiting if one.told == figures[one.sku, one.location]]
            _mark(session, endpoint, same, figures, now)
            save_spans(session, encode(_resolve(session, endpoint, [one.refusal for one in same], now)), now)
            send = [one for one in waiting if one.told != figures[one.sku, one.location]]
            if not send:
                _answered(session, endpoint, now)
                return
        reply = self._ask(endpoint, send, figures)
        with self._db.transaction() as session:
            self._settle(session, endpoint, send, figures, reply, now)

    def _ask(self, endpoint: Endpoint, send: Sequence[Waiting], figures: Mapping[tuple[str, str], int]) -> Reply:
        listed = [Figure(one.sku, one.location, figures[one.sku, one.location], one.as_of) for one in send]
        body = msgspec.json.encode(Publication(endpoint.channel, endpoint.sequence, listed))
        key = f"{quote(endpoint.channel, safe='')}/{endpoint.sequence}"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            with self._http.stream("POST", endpoint.url, content=body, headers=headers) as response:
                status, asked = response.status_code, response.headers.get("Retry-After", "")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Reply("failed", f"{type(error).__name__}: {error}"[:500])
        seconds = retry_after_seconds(asked, self._clock())
        if 200 <= status < 300:
            return Reply("taken")
        refused = status in (400, 413, 422)
        return Reply("refused" if refused else "throttled" if status == 429 else "failed", f"HTTP {status}", seconds)

    def _settle(
        self,
        session: Session,
        endpoint: Endpoint,
        sent: Sequence[Waiting],
        figures: Mapping[tuple[str, str], int],
        reply: Reply,
        began: dt.datetime,
    ) -> None:
        """Write what became of a request, and its hop, in this transaction."""
        now = self._clock()
        next_at = began + dt.timedelta(seconds=1 / endpoint.requests_per_second)
        told = [_sent(endpoint, sent, figures, reply, now)]
        if reply.kind == "taken":
            _mark(session, endpoint, sent, figures, now)
            over = [endpoint.down_exception, *(one.refusal for one in sent)]
            told += _resolve(session, endpoint, over, now)
            refusals = max(0, endpoint.refusals - 1)
            _answered(session, endpoint, next_at, refusals=refusals, acknowledged_at=now)
        elif reply.kind == "refused" and endpoint.most > 1:
            _answered(session, endpoint, next_at, refusals=endpoint.refusals + 1, reason=reply.reason,
                      down_exception=endpoint.down_exception)  # fmt: skip
        elif reply.kind == "refused" and session.one("publications_set_aside", channel=endpoint.channel)[0] < SET_ASIDE:
            told.append(_refuse(session, endpoint, sent[0], reply, now))
            _answered(session, endpoint, next_at, refusals=endpoint.refusals, reason=reply.reason,
                      down_exception=endpoint.down_exception)  # fmt: skip
        else:
            told += self._stand_back(session, endpoint, reply, now)
        save_spans(session, encode(told), now)

    def _stand_back(self, session: Session, endpoint: Endpoint, reply: Reply, now: dt.datetime) -> list[Told]:
        """Leave a channel alone for a while; when it has failed for long, somebody must know."""
        own_seconds = pause_seconds(endpoint.failures, self._base_seconds, self._cap_seconds)
        seconds = max(reply.retry_after_seconds, own_seconds)
        failures = endpoint.failures + 1
        log.warning("%s took nothing (%s); next attempt in %.1f s", endpoint.channel, reply.reason, seconds)
        told: list[Told] = []
        oldest = session.one("oldest_publication", channel=endpoint.channel)[0]
        late = oldest is not None and now - oldest > LATE_AFTER
        exception_id = endpoint.down_exception
        if late or (reply.kind != "throttled" and failures >= DOWN_AFTER):
            item = _down(session, endpoint, reply, now)
            exception_id = item.exception_id
            if add_exceptions(session, [(item, now)]):
                told.append(Told(opened(item, endpoint.channel), _cause(endpoint, now), now))
            session.run("revalue_exceptions", exception_id=[exception_id], amount_minor=[item.amount_minor],
                        detail=[item.detail])  # fmt: skip
        _answered(session, endpoint, now + dt.timedelta(seconds=seconds), failures=failures,
                  refusals=endpoint.refusals, reason=reply.reason, down_exception=exception_id)  # fmt: skip
        return told


def _figures(
    session: Session, channel: str, waiting: Sequence[Waiting], now: dt.datetime
) -> dict[tuple[str, str], int]:
    """What a channel may sell now of what it waits for."""
    standing = load_standing(session, now)
    places = standing.channels.get(channel, ())
    answers: dict[str, Answer] = {
        sku: answer(sku, held, standing.rules, places, channel, standing.silent)
        for sku, held in load_held(session, {one.sku for one in waiting}).items()
    }
    figures: dict[tuple[str, str], int] = {}
    for one in waiting:
        told = answers[one.sku]
        there = {offer.location: offer.sellable for offer in told.locations}
        figures[one.sku, one.location] = there.get(one.location, 0) if one.location else told.available or 0
    return figures


def _mark(
    session: Session,
    endpoint: Endpoint,
    had: Sequence[Waiting],
    figures: Mapping[tuple[str, str], int],
    now: dt.datetime,
) -> None:
    """The channel has these figures."""
    if had:
        session.run(
            "publications_told", channel=endpoint.channel, sequence=endpoint.sequence, now=now,
            sku=[one.sku for one in had], location=[one.location for one in had],
            version=[one.version for one in had], sellable=[figures[one.sku, one.location] for one in had],
        )  # fmt: skip


def _answered(
    session: Session,
    endpoint: Endpoint,
    not_before: dt.datetime,
    *,
    failures: int = 0,
    refusals: int = 0,
    reason: str = "",
    down_exception: str = "",
    acknowledged_at: dt.datetime | None = None,
) -> None:
    session.run(
        "endpoint_answered", channel=endpoint.channel, not_before=not_before, failures=failures, refusals=refusals,
        reason=reason, down_exception=down_exception, acknowledged_at=acknowledged_at,
    )  # fmt: skip


def _resolve(session: Session, endpoint: Endpoint, ids: Iterable[str], now: dt.datetime) -> list[Told]:
    """Close exceptions about a channel that was down, and about figures that it refused before."""
    over = [one for one in ids if one]
    if not over:
        return []
    resolution = f"{endpoint.channel} took it"
    session.run("resolve_exceptions", exception_id=over, resolution=[resolution] * len(over), at=[now] * len(over))
    identity = _identity(endpoint.channel)
    cause = _cause(endpoint, now)
    return [Told(closing(one, identity, "publication", resolution), cause, now) for one in over]


def _refuse(session: Session, endpoint: Endpoint, one: Waiting, reply: Reply, now: dt.datetime) -> Told:
    """Set a figure aside that a channel does not take."""
    about = f"{endpoint.channel}/{one.sku}" + (f"@{one.location}" if one.location else "")
    item = ExceptionItem(
        f"publication:publication_refused/{about}/{endpoint.sequence}", "publication_refused", "minor",
        _identity(endpoint.channel), "publication", "channel", endpoint.channel, OWNER, 0, "",
        f"{endpoint.channel} does not take {one.sku}: {reply.reason}", SOURCE, "",
    )  # fmt: skip
    add_exceptions(session, [(item, now)])
    session.run("set_publication_aside", channel=endpoint.channel, sku=one.sku, location=one.location,
                version=one.version, refusal=item.exception_id)  # fmt: skip
    return Told(opened(item, endpoint.channel), _cause(endpoint, now), now)


def _down(session: Session, endpoint: Endpoint, reply: Reply, now: dt.datetime) -> ExceptionItem:
    """The exception about a channel that takes nothing: its value is what it still offers and is not there, at cost."""
    rows = session.rows("publications_waiting", channel=endpoint.channel, limit=VALUED)
    waiting = [one for one in (Waiting(*row) for row in rows) if not one.location]
    figures = _figures(session, endpoint.channel, waiting, now)
    costs = {sku: rest for sku, *rest in session.rows("unit_costs", skus=[one.sku for one in waiting])}
    value, currency = 0, ""
    for one in waiting:
        cost_minor, own = costs.get(one.sku, (0, ""))
        if (gone := (one.told or 0) - figures[one.sku, ""]) > 0 and currency in ("", own):
            value, currency = value + gone * cost_minor, own
    return ExceptionItem(
        endpoint.down_exception or f"publication:channel_down/{endpoint.channel}/{endpoint.sequence}", "channel_down",
        "major", _identity(endpoint.channel), "publication", "channel", endpoint.channel, OWNER, value, currency,
        f"{endpoint.channel} takes nothing ({reply.reason}); {len(waiting)} SKUs wait", SOURCE, "",
    )  # fmt: skip


def _sent(
    endpoint: Endpoint, sent: Sequence[Waiting], figures: Mapping[tuple[str, str], int], reply: Reply, now: dt.datetime
) -> Told:
    """The hop of one request, with the figures in it."""
    attributes: dict[str, Any] = {
        "channel": endpoint.channel,
        "quantity": len(sent),
        "reason": reply.reason,
        "owner": "" if reply.kind == "taken" else OWNER,
    }
    outcome = {"taken": "ok", "refused": "rejected", "throttled": "failed", "failed": "failed"}[reply.kind]
    lines = [
        {"sku": one.sku, "quantity": figures[one.sku, one.location], "amount_minor": 0}
        | ({"location": one.location} if one.location else {})
        for one in sent
    ]
    hop = Hop(
        "publication.send", "delivery", _identity(endpoint.channel), "publication", "channel", endpoint.channel,
        outcome=outcome, attributes=attributes, events=[(EVENT_LINE, line) for line in lines],
    )  # fmt: skip
    return Told(hop, _cause(endpoint, now), now, endpoint.failures + 1)


def _identity(channel: str) -> bytes:
    return correlation_id("publication", channel)


def _cause(endpoint: Endpoint, now: dt.datetime) -> Cause:
    return Cause(SOURCE, f"{endpoint.channel}/{endpoint.sequence}", now.date(), "live")
