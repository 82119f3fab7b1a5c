"""Files of trade: kept as they came, read by their connector into the inbox, resumable and never read twice at once."""

import datetime as dt
import gzip
import hashlib
import io
import logging
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from sync_core import inbox
from sync_core.clock import Clock
from sync_core.connectors import online_retail
from sync_core.errors import UnreadableFileError
from sync_core.messages import Message
from sync_core.store import Store

log = logging.getLogger(__name__)

BATCH: Final = 500
QUEUE_LIMIT: Final = 8_000
"""The reader waits while more events than this are queued, so that the inbox stays bounded."""

GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_BUFFER_BYTES: Final = 1 << 20


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
        self._path = folder / f".part-{time.monotonic_ns()}"
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


class FileReader:
    """Keeps uploaded files under ``folder`` and reads them, one after the other, in a thread of its own."""

    def __init__(self, db: Store, folder: Path, clock: Clock, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self._db = db
        self._folder = folder
        self._clock = clock
        self._queue_limit = queue_limit
        self._stop = threading.Event()
        self._work = threading.Event()
        self._thread = threading.Thread(target=self._run, name="file-reader", daemon=True)

    def start(self) -> None:
        """Begin with what a stop interrupted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._work.set()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._work.set()
        self._thread.join()

    def incoming(self) -> "Incoming":
        """A file that is being received."""
        return Incoming(self._folder)

    def submit(self, connector: str, name: str, sha256: str, *, until_now: bool) -> None:
        """Queue a run over a kept file. Raises KeyError for an unknown connector."""
        if connector != online_retail.NAME:
            raise KeyError(connector)
        with self._db.transaction() as session:
            session.run("start_file", connector=connector, name=name, sha256=sha256, now=self._clock(),
                        shift_weeks=-1 if until_now else 0)  # fmt: skip
        self._work.set()

    def status(self, connector: str, name: str) -> FileStatus | None:
        with self._db.transaction() as session:
            row = session.run("file_status", connector=connector, name=name).fetchone()
        return FileStatus(connector, name, *row[1:]) if row else None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._work.wait()
            self._work.clear()
            with self._db.transaction() as session:
                waiting = session.rows("unfinished_files")
            for run, _, name, sha256, shift, done in waiting:
                try:
                    self._read(run, name, sha256, shift, done)
                except Exception as error:
                    log.exception("file %s stopped", name)
                    self._finish(run, "failed", f"{name}: {type(error).__name__}: {error}")

    def _read(self, run: int, name: str, sha256: str, shift: int, done: int) -> None:
        path = self._folder / sha256
        known = online_retail.survey(online_retail.rows(text_lines(path, name), name))
        weeks = self._shift(shift, known.last_at)
        stream = online_retail.messages(online_retail.rows(text_lines(path, name), name), known)
        for _ in range(done):
            next(stream, None)
        batch: list[Message] = []
        line = 0
        for one in stream:
            batch.append(shifted(one, weeks))
            line = max(line, last_line(one))
            if len(batch) == BATCH:
                if not self._accept(run, batch, line, known.rows):
                    return
                batch = []
        if self._accept(run, batch, known.rows, known.rows):
            self._finish(run, "failed" if known.error else "read", str(known.error or ""))

    def _shift(self, shift: int, last_at: dt.datetime) -> int:
        """The weeks to shift by: none, or as many as bring the file's end to the present, fixed on first use."""
        weeks = 0 if shift == 0 else (self._clock() - last_at).days // 7
        with self._db.transaction() as session:
            fixed = session.one("fix_shift", connector=online_retail.NAME, shift_weeks=weeks)[0]
        return int(fixed)

    def _accept(self, run: int, batch: list[Message], line: int, total: int) -> bool:
        """Put a batch into the inbox together with the progress; False when the reader was told to stop."""
        while not self._room():
            if self._stop.wait(0.1):
                return False
        with self._db.transaction() as session:
            counts = Counter(inbox.accept(session, batch, self._clock()))
            session.run("file_progress", run=run, messages=len(batch), lines_read=line, lines_total=total,
                        accepted=counts["accepted"], duplicates=counts["duplicate"],
                        conflicts=counts["conflict"])  # fmt: skip
        return not self._stop.is_set()

    def _room(self) -> bool:
        with self._db.transaction() as session:
            return bool(session.one("queued", limit=self._queue_limit)[0] < self._queue_limit)

    def _finish(self, run: int, state: str, error: str) -> None:
        with self._db.transaction() as session:
            session.run("finish_file", run=run, state=state, error=error[:2000], now=self._clock())


def text_lines(path: Path, name: str) -> Iterator[str]:
    """The lines of a file, gzipped or plain, as UTF-8. Raises UnreadableFileError with the line it stops at."""
    number = 0
    with path.open("rb") as raw:
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        source: Any = io.BufferedReader(gzip.GzipFile(fileobj=raw), GZIP_BUFFER_BYTES) if zipped else raw
        try:
            for number, line in enumerate(source, 1):  # noqa: B007
                yield line.decode()
        except UnicodeDecodeError as error:
            raise UnreadableFileError(name, number, f"not UTF-8 ({error.reason}); save the file as UTF-8") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableFileError(name, number + 1, f"the gzip data ends or breaks here: {error}") from error


def shifted(one: Message, weeks: int) -> Message:
    """The message with its times moved by whole weeks; identity and payload hash stay those of the file."""
    if not weeks:
        return one
    by = dt.timedelta(weeks=weeks)
    return msgspec.structs.replace(one, occurred_at=one.occurred_at + by, business_date=one.business_date + by)


def last_line(one: Message) -> int:
    """The last line of the file that a message is made of; 0 for what was generated."""
    lines = getattr(one.event, "lines", ())
    return getattr(lines[-1], "position", 0) if lines else 0
