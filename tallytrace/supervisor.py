"""Runs the product's processes: PostgreSQL first, then workers, core and plane; starts again what ends by itself."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from tallytrace import postgres, presence
from tallytrace.errors import ServiceError
from tallytrace.processes import Child, answers, is_ready
from tallytrace.settings import Settings

log = logging.getLogger(__name__)

ROLES: Final[tuple[presence.Role, ...]] = ("core", "plane")  # core stops first: its last spans go to plane
READY_SECONDS: Final = 120.0
WATCH_SECONDS: Final = 0.25
HEALTHY_SECONDS: Final = 30.0  # a process that lived as long gets its tries back
TRIES: Final = 8
REFUSED: Final = 2  # exit status of a process that said what a person must mend; starting it again cannot help
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """Where the product that runs is reached."""

    core_url: str
    plane_url: str
    collector_url: str


class Watched:
    """A child, and when it may be started again."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._failures = 0
        self._start_at: float | None = None

    def look(self, now: float) -> None:
        """Starts the child again when it is due. Raises ServiceError when it refused, or after TRIES short lives."""
        if self._start_at is not None:
            if now >= self._start_at:
                self._start_at = None
                self.child.start()
            return
        code = self.child.exit_code()
        if code is None:
            return
        if code == REFUSED:
            raise ServiceError(f"{self.child.role} does not start{self.child.last_words()}")
        self._failures = failures_after(code, now - self.child.started_at, self._failures)
        if self._failures == TRIES:
            raise ServiceError(f"{self.child.role} ended {TRIES} times in a row with {code}{self.child.last_words()}")
        pause = pause_seconds(self._failures)
        log.warning("%s ended with %d; starting it again in %.1f s", self.child.role, code, pause)
        self._start_at = now + pause


def failures_after(code: int, lived_seconds: float, before: int) -> int:
    """Short lives in a row, this one included. One that was killed (a negative code) or lived long is the first."""
    return 1 if code < 0 or lived_seconds >= HEALTHY_SECONDS else before + 1


def pause_seconds(failures: int) -> float:
    """Before the next start, after so many short lives in a row."""
    return float(min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS))


class Supervisor:
    """Children of one installation. `logs`: directory for what they print; None for the terminal."""

    def __init__(self, settings: Settings, roles: Sequence[presence.Role], *, logs: Path | None = None) -> None:
        self._home = settings.directory
        self._own_postgres = not settings.postgres_url
        self._settings = settings
        self._roles = roles
        self._logs = logs
        self._watched: list[Watched] = []

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """The processes run inside the block; after it they have ended, PostgreSQL last."""
        with contextlib.ExitStack() as undo:
            url = self._settings.postgres_url or undo.enter_context(postgres.serving(self._home))
            handed_down = msgspec.structs.replace(self._settings, postgres_url=url)
            for role in self._roles:
                child = Child(role, handed_down, self._logs and self._logs / f"{role}.log")
                child.start()
                self._watched.append(Watched(child))
            undo.callback(self._stop)
            yield

    def watch(self, until: threading.Event) -> None:
        """Keeps everything running. Raises ServiceError or PostgresError when that is in vain."""
        while not until.wait(WATCH_SECONDS):
            self.look()

    def wait_until_ready(self, until: threading.Event | None = None) -> None:
        """Keeps everything running until it answers. Raises ServiceError after READY_SECONDS."""
        deadline = time.monotonic() + READY_SECONDS
        while waiting := [role for role in self._roles if not is_ready(self._home, role)]:
            if time.monotonic() > deadline:
                raise ServiceError(f"{' and '.join(waiting)} not ready within {READY_SECONDS:.0f} s{self._where()}")
            if until is not None and until.is_set():
                return
            self.look()
            time.sleep(0.05)

    def look(self) -> None:
        if self._own_postgres:
            postgres.revive(self._home)
        for watched in self._watched:
            watched.look(time.monotonic())

    def _stop(self) -> None:
        for watched in self._watched:
            watched.child.stop()
        self._watched.clear()

    def _where(self) -> str:
        return f"; see {self._logs}" if self._logs else ""


def worker_roles(settings: Settings) -> list[presence.Role]:
    """The worker processes of an installation: none when the core's own threads process events."""
    return [f"worker-{number}" for number in range(1, settings.worker_processes + 1)]


def serve(settings: Settings, until: threading.Event, on_ready: Callable[[Product], None]) -> None:
    """Runs the whole product until the event. Raises ServiceError, PostgresError or AlreadyRunningError."""
    home = settings.directory
    supervisor = Supervisor(settings, [*worker_roles(settings), *ROLES])
    with presence.claimed(home, presence.Presence(role="supervisor", pid=os.getpid())), supervisor.up():
        supervisor.wait_until_ready(until)
        if not until.is_set():
            on_ready(_product(settings))
        supervisor.watch(until)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Product]:
    """The product of this home: what does not run yet is started for the block, and stopped after it.

    Raises ServiceError or PostgresError.
    """
    home = settings.directory
    with contextlib.ExitStack() as undo:
        missing = [role for role in ROLES if not _runs(settings, role)]
        workers = worker_roles(settings) if "core" in missing else []
        supervisor = Supervisor(settings, [*workers, *missing], logs=home / "logs")
        if missing:
            log.info("starting %s; what they print is in %s", " and ".join(missing), home / "logs")
            undo.enter_context(supervisor.up())
            supervisor.wait_until_ready()
            undo.enter_context(_watching(supervisor))
        yield _product(settings)


@contextlib.contextmanager
def _watching(supervisor: Supervisor) -> Iterator[None]:
    until = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="supervisor") as pool:
        watch = pool.submit(supervisor.watch, until)
        try:
            yield
        finally:
            until.set()
    watch.result()  # what went wrong meanwhile, raised here


def _runs(settings: Settings, role: presence.Role) -> bool:
    explicit = {"core": settings.core_url, "plane": settings.plane_url}[role]
    if explicit and answers(f"{explicit.rstrip('/')}/healthz"):
        return True
    return presence.find(settings.directory, role) is not None


def _product(settings: Settings) -> Product:
    core = presence.find(settings.directory, "core")
    plane = presence.find(settings.directory, "plane")
    return Product(
        core_url=core.url if core else settings.core_base,
        plane_url=plane.url if plane else settings.plane_base,
        collector_url=plane.collector_url if plane else settings.collector_base,
    )
