"""What happens now: hops by rate and latency, feeds of stock, how long returns take from step to step."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from collector.errors import QueryTimeoutError, StorageUnavailableError
from collector.storage import Storage
from lineage.problems import unavailable
from lineage.queries import text
from lineage.rows import FeedRow, micros, moment
from lineage.slas import Sla

_ERRORS: Final[Any] = {StorageUnavailableError: unavailable, QueryTimeoutError: unavailable}
By = Literal["hop", "channel", "location"]
FeedState = Literal["fresh", "late", "silent"]
SLICES: Final = 60
FRESHNESS: Final = "freshness"
NO_LIMIT: Final = float("inf")


class HopRate(Struct, frozen=True, kw_only=True):
    """Runs of a hop, or of all hops of a channel or location; times are the 50th, 95th and 99th of a hundred."""

    name: str
    runs: int
    failed: int  # attempts that will be made again
    given_up: int  # rejected or dead letters
    parked: int
    duplicates: int
    replayed: int
    took_us: tuple[int, int, int]  # of those that told a beginning and an end; -1 when none did
    since_us: tuple[int, int, int]  # from business time to the end of the hop, likewise
    last_at: datetime


class Slice(Struct, frozen=True):
    at: datetime
    runs: int
    failed: int


class Traffic(Struct, frozen=True, kw_only=True):
    """Of the last minutes by the wall clock; ``slices`` leave out those in which nothing ran."""

    as_of: datetime
    since: datetime
    slice_seconds: int
    rates: tuple[HopRate, ...]
    slices: tuple[Slice, ...]


class Feed(Struct, frozen=True, kw_only=True):
    """A feed of stock to a channel. ``silent``: not heard of for as many intervals as its promise allows."""

    channel: str
    location: str
    feed: str
    state: FeedState
    lag_seconds: float  # of what was published behind its source
    allowed_seconds: float | None  # None without a promise
    silent_seconds: float  # since it was heard of last
    heard_at: datetime
    published_at: datetime | None


class ReturnStep(Struct, frozen=True, kw_only=True):
    """How long returns of a channel took to reach a step: half of them, and 95 of a hundred."""

    channel: str
    step: str
    returns: int
    half_seconds: int
    most_seconds: int


def route_handlers(
    storage: Storage, slas: Sequence[Sla], wall: Callable[[], datetime], now: Callable[[], datetime]
) -> list[HTTPRouteHandler]:
    """``now`` is the business present."""

    @get("/v1/traffic", sync_to_thread=True, tags=["operations"], exception_handlers=_ERRORS)
    def traffic(
        by: By = "hop", minutes: Annotated[int, QueryParameter(ge=1, le=24 * 60, description="how far back")] = 15
    ) -> Traffic:
        """What ran in the last minutes: how much, how fast, and what became of it."""
        until = wall()
        since, seconds = until - timedelta(minutes=minutes), max(1, minutes * 60 // SLICES)
        asked = {"since_us": micros(since), "now_us": micros(until)}
        return Traffic(
            as_of=until,
            since=since,
            slice_seconds=seconds,
            rates=tuple(map(_rate, storage.query(text("hop_rates"), asked | {"by": by}))),
            slices=tuple(Slice(*row) for row in storage.query(text("hop_minutes"), asked | {"slice_s": seconds})),
        )

    @get("/v1/feeds", sync_to_thread=True, tags=["operations"], exception_handlers=_ERRORS)
    def feeds() -> list[Feed]:
        """Every feed of stock: how far it is behind, and since when nothing was heard of it."""
        promise = next((one for one in slas if one.kind == FRESHNESS), None)
        rows = storage.query(text("feeds"), {"now_us": micros(now())})
        return [feed(FeedRow(*row), promise, now()) for row in rows]

    @get("/v1/return-steps", sync_to_thread=True, tags=["operations"], exception_handlers=_ERRORS)
    def return_steps(days: Annotated[int, QueryParameter(ge=1, le=400)] = 28) -> list[ReturnStep]:
        """How long returns that began in the last days took from step to step."""
        asked = {"since_us": micros(now() - timedelta(days=days)), "now_us": micros(now())}
        return [
            ReturnStep(channel=channel, step=step, returns=returns, half_seconds=half, most_seconds=most)
            for channel, step, returns, (half, most) in storage.query(text("return_stages"), asked)
        ]

    return [traffic, feeds, return_steps]


def _rate(row: tuple[Any, ...]) -> HopRate:
    name, runs, failed, given_up, parked, duplicates, replayed, took, since, last_at = row
    return HopRate(
        name=name, runs=runs, failed=failed, given_up=given_up, parked=parked, duplicates=duplicates,
        replayed=replayed, took_us=tuple(took), since_us=tuple(since), last_at=last_at,
    )  # fmt: skip


def feed(row: FeedRow, promise: Sla | None, now: datetime) -> Feed:
    """How a feed stands; without a promise about freshness nothing is late or silent.

    What was never published is as late as its source's newest change is old.
    """
    never = row.source_us and not row.published_us
    lag = max(0, micros(now) - row.source_us if never else row.source_us - row.published_us) / 1e6
    silent = max(0.0, (now - moment(row.heard_us)).total_seconds())
    allowed, patience = NO_LIMIT, NO_LIMIT
    if promise is not None and promise.interval is not None:
        interval = promise.intervals.get(row.channel, promise.interval)
        patience = interval.seconds * promise.heartbeats_missed
        allowed = promise.deadline_for(row.channel).seconds
    state: FeedState = "silent" if silent > patience else "late" if lag > allowed else "fresh"
    return Feed(
        channel=row.channel, location=row.location, feed=row.feed, state=state, lag_seconds=lag,
        allowed_seconds=None if allowed == NO_LIMIT else allowed, silent_seconds=silent, heard_at=moment(row.heard_us),
        published_at=moment(row.published_us) if row.published_us else None,
    )  # fmt: skip
