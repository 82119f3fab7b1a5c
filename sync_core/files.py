"""Files of trade: kept as they came, read by their connector into the inbox, resumable and never read twice at once."""

import datetime as dt
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sync_core import reading
from sync_core.clock import Clock
from sync_core.connectors import online_retail
from sync_core.settlements import staging
from sync_core.store import Store

log = logging.getLogger(__name__)

PARTIAL: Final = ".part-"
ATTEMPTS: Final = 5


class FileStatus(Struct, frozen=True):
    """How far a run over a file has come. ``error`` names the file and the line beyond which it cannot be read."""

    connector: str
    name: str
    sha256: str
    state: str
    shift_weeks: int
    messages: int
    lines: int
    lines_total: int
    accepted: int
    duplicates: int
    conflicts: int
    error: str
    started_at: dt.datetime
    finished_at: dt.datetime | None


class Incoming:
    """A file on its way in: durable, under the digest of its bytes, once ``finish`` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = hashlib.sha256()
        self._path = folder / f"{PARTIAL}{time.monotonic_ns()}"
        self._target = self._path.open("wb")

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._target.write(chunk)

    def finish(self) -> str:
        self._target.flush()
        os.fsync(self._target.fileno())
        self._target.close()
        name = self._digest.hexdigest()
        self._path.replace(self._folder / name)
        return name

    def abandon(self) -> None:
        self._target.close()
        self._path.unlink(missing_ok=True)


class ReaderEndedError(Exception):
    """A file was not read to its end."""


class Apart:
    """Reads a run in a process of its own, which ends when this one does."""

    def __init__(self, postgres_url: str, folder: Path, posting_rules: str = "") -> None:
        """``posting_rules``: the file laid over those delivered, if any."""
        self._postgres_url = postgres_url
        self._folder = folder
        self._posting_rules = posting_rules
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def read(self, run: int) -> None:
        """Raises ReaderEndedError when the process did not come to an end by itself."""
        task = reading.Task(self._postgres_url, str(self._folder), self._posting_rules, run)
        command = [sys.executable, "-m", "sync_core.reading"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
            self._process = process
            if self._stopped:
                process.terminate()
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            process.stdin.flush()
            if process.wait():
                raise ReaderEndedError(f"the process that read it ended with {process.returncode}; replay it to go on")

    def stop(self) -> None:
        """Ends the process; ``read`` then raises."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()


class FileReader:
    """Keeps uploaded files under ``folder`` and has them read, one after the other."""

    def __init__(
        self, db: Store, folder: Path, clock: Clock, read: Callable[[int], None], stop: Callable[[], None]
    ) -> None:
        """``read`` brings a run to its end, ``stop`` makes it return early."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{PARTIAL}*"):
            left.unlink()
        self._db = db
        self._folder = folder
        self._clock = clock
        self._read = read
        self._stop_reading = stop
        self._stop = threading.Event()
        self._endings: Counter[int] = Counter()

    def stop(self) -> None:
        """Ends the reading; what was accepted stays, and the next start goes on from there."""
        self._stop.set()
        self._stop_reading()

    def incoming(self) -> "Incoming":
        """A file that is being received."""
        return Incoming(self._folder)

    def knows(self, connector: str) -> bool:
        """Whether files of this kind can be read."""
        with self._db.transaction() as session:
            return connector == online_retail.NAME or staging.connector_of(session, connector) is not None

    def submit(self, connector: str, name: str, sha256: str, *, until_now: bool, generated: bool = False) -> None:
        """Queue a run over a kept file."""
        with self._db.transaction() as session:
            session.run("start_file", connector=connector, name=name, sha256=sha256, now=self._clock(),
                        shift_weeks=-1 if until_now else 0, generated=generated)  # fmt: skip

    def status(self, connector: str, name: str) -> FileStatus | None:
        with self._db.transaction() as session:
            row = session.run("file_status", connector=connector, name=name).fetchone()
        return FileStatus(connector, name, *row[1:]) if row else None

    def run_once(self) -> int:
        """Read the runs that wait, or what a stop left of them; returns how many came to their end.

        A reading that breaks off is taken up again where it was; after ``ATTEMPTS`` times the run has failed.
        """
        with self._db.transaction() as session:
            waiting = session.rows("unfinished_files")
        done = 0
        for run, name in waiting:
            if self._stop.is_set():
                break
            try:
                self._read(run)
                done += 1
            except Exception as error:
                if self._stop.is_set():
                    break
                log.exception("reading %s broke off", name)
                self._endings[run] += 1
                if self._endings[run] >= ATTEMPTS:
                    with self._db.transaction() as session:
                        reading.finish(session, run, f"{name}: {type(error).__name__}: {error}", self._clock())
        return done
