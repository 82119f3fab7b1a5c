"""Work that repeats while a process runs: APScheduler as a clock, with nothing stored in it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, JobExecutionEvent  # type: ignore[import-untyped]
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]
from msgspec import Struct

from lineage.heard import BrokenOffError

log = logging.getLogger(__name__)

_LATE_IS_FINE: Final = None  # misfire_grace_time: a tick that comes late still runs, and only once (coalesce)


class Tick(Struct, frozen=True):
    name: str
    seconds: float
    run: Callable[[], object]


@contextmanager
def ticking(ticks: list[Tick]) -> Iterator[None]:
    """Each runs at once and then at its interval, never twice at a time. A failing one is logged and runs again."""
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.add_listener(_failed, EVENT_JOB_ERROR)
    scheduler.add_listener(_skipped, EVENT_JOB_MAX_INSTANCES)
    for tick in ticks:
        scheduler.add_job(
            tick.run,
            "interval",
            id=tick.name,
            name=tick.name,
            seconds=tick.seconds,
            next_run_time=datetime.now(UTC),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=_LATE_IS_FINE,
        )
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=True)


def _failed(event: JobExecutionEvent) -> None:
    if isinstance(event.exception, BrokenOffError):
        log.info("tick %s: %s", event.job_id, event.exception)
        return
    log.error("tick %s failed", event.job_id, exc_info=event.exception)


def _skipped(event: JobExecutionEvent) -> None:
    log.info("tick %s still runs; this one is left out", event.job_id)
