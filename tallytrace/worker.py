"""A worker process: it processes events beside the core, as far as it can lease partitions of the inbox."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Literal

import psycopg
from psycopg_pool import PoolTimeout

from sync_core import clock
from sync_core.flows import Processor, Retry
from sync_core.ledger import ledger
from sync_core.store import Listener, Store
from sync_core.workers import Loop, looping
from tallytrace.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 0.05
LISTEN_SECONDS: Final = 0.5


def run(settings: Settings, until: threading.Event) -> None:
    """Works until the event. Raises msgspec.ValidationError for invalid posting rules."""
    with ExitStack() as undo:
        db = undo.enter_context(opened(settings, connections=1))
        if ready(db, until):
            loops = processing(settings, db, undo)
            undo.enter_context(looping(loops))
            undo.enter_context(waking(settings, "inbox", {"": [loop.wake for loop in loops]}))
            until.wait()


@contextmanager
def opened(settings: Settings, connections: int) -> Iterator[Store]:
    db = Store(settings.postgres_url, connections=connections)
    try:
        yield db
    finally:
        db.close()


def ready(db: Store, until: threading.Event) -> bool:
    """Connects and migrates, as soon as PostgreSQL answers; False when asked to stop before it did."""
    connected = False
    while not until.is_set():
        try:
            if not connected:
                db.open()
                connected = True
            db.migrate()
            return True
        except (PoolTimeout, psycopg.OperationalError) as fault:
            log.warning("PostgreSQL does not answer yet: %s", fault)
            until.wait(RETRY_SECONDS)
    return False


def processing(settings: Settings, db: Store, undo: ExitStack) -> list[Loop]:
    """The threads that process events; their connections are closed by ``undo``."""
    rules, retry = ledger.load_rules(override=settings.posting_rules), Retry(base_seconds=settings.retry_base_seconds)
    workers = [
        Processor(undo.enter_context(db.apart()), rules, clock.wall, batch=settings.worker_batch, retry=retry)
        for _ in range(settings.workers)
    ]
    return [Loop(f"worker-{n}", one.run_once, idle_seconds=IDLE_SECONDS) for n, one in enumerate(workers, 1)]


@contextmanager
def waking(
    settings: Settings, place: Literal["inbox", "outbox"], wakes: Mapping[str, Sequence[Callable[[], None]]]
) -> Iterator[None]:
    """Whoever works on a kind of what waits there hears that there is some, whichever process it comes from."""
    listener = Listener(settings.postgres_url, place)

    def listen() -> int:
        heard = listener.heard(LISTEN_SECONDS)
        for kind in wakes if heard is None else wakes.keys() & heard:
            for wake in wakes[kind]:
                wake()
        return 1

    try:
        with looping([Loop(f"{place}-listener", listen, idle_seconds=0)]):
            yield
    finally:
        listener.close()
