"""Reads one kept file of trade into the inbox: resumable, never ahead of what is processed by more than a bound.

``python -m sync_core.reading`` does it in a process of its own, because parsing would take the interpreter from the
workers; the run comes as JSON in the first line of standard input, and the end of that input ends the process.
"""

import datetime as dt
import gzip
import os
import signal
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from sync_core import clock, inbox
from sync_core.clock import Clock
from sync_core.connectors import online_retail
from sync_core.errors import UnreadableFileError
from sync_core.ledger.ledger import PostingRules, load_rules
from sync_core.messages import Message
from sync_core.settlements import staging
from sync_core.store import Session, Store

BATCH: Final = 500
QUEUE_LIMIT: Final = 8_000
"""The reader waits while more events than this are queued, so that the inbox stays bounded."""

GZIP_MAGIC: Final = b"\x1f\x8b"


class Task(Struct, frozen=True):
    """What a process of its own is told to do."""

    postgres_url: str
    folder: str
    posting_rules: str  # the file laid over those delivered; empty: none
    run: int


class Reader:
    """Reads runs over the files under ``folder``, until ``stop`` is set."""

    def __init__(
        self,
        db: Store,
        folder: Path,
        rules: PostingRules,
        clock: Clock,
        stop: threading.Event,
        *,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._db = db
        self._folder = folder
        self._rules = rules
        self._clock = clock
        self._stop = stop
        self._queue_limit = queue_limit

    def read(self, run: int) -> None:
        """Go on with a run where it stopped. Raises what the database raises; what was accepted stays accepted."""
        with self._db.transaction() as session:
            session.run("lock_run", run=run)  # the reader of a process that was killed may still have a moment to live
            stands = session.one("run", run=run)
            session.connection.commit()
            try:
                self._read(run, *stands)
            finally:
                session.run("unlock_run", run=run)

    def _read(self, run: int, name: str, sha256: str, shift: int, done: int, connector: str, generated: bool) -> None:
        path = self._folder / sha256
        if connector != online_retail.NAME:
            staging.read(self._db, run, connector, name, lambda: text_lines(path, name), self._rules, self._clock,
                         generated=generated)  # fmt: skip
            return
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
            with self._db.transaction() as session:
                finish(session, run, str(known.error or ""), self._clock())

    def _shift(self, shift: int, last_at: dt.datetime) -> int:
        """The weeks to shift by: none, or as many as bring the file's end to the present, fixed on first use."""
        weeks = 0 if shift == 0 else (self._clock() - last_at).days // 7
        with self._db.transaction() as session:
            fixed = session.one("fix_shift", connector=online_retail.NAME, shift_weeks=weeks)[0]
        return int(fixed)

    def _accept(self, run: int, batch: list[Message], line: int, total: int) -> bool:
        """Put a batch into the inbox together with the progress; False when the reader was told to stop."""
        while not self._room():
            if self._stop.wait(0.25):
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


def finish(session: Session, run: int, error: str, now: dt.datetime) -> None:
    """Note that a run has ended, and why it did before its time."""
    session.run("finish_file", run=run, state="failed" if error else "read", error=error[:2000], now=now)


def text_lines(path: Path, name: str) -> Iterator[str]:
    """The lines of a file, gzipped or plain, as UTF-8. Raises UnreadableFileError with the line it stops at."""
    number = 0
    with path.open("rb") as raw:
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        source: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
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


def main() -> None:
    """Read the run that standard input names; ends with the process that holds the other end of it."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    threading.Thread(target=_end_with_parent, name="lifeline", daemon=True).start()
    db = Store(task.postgres_url, connections=4)
    db.open()
    rules = load_rules(override=task.posting_rules)
    Reader(db, Path(task.folder), rules, clock.wall, threading.Event()).read(task.run)
    db.close()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
