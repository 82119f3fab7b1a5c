"""The append-only log: a request is acknowledged when it is on disk, and stays there until it is stored."""

import fcntl
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self
from uuid import uuid4

from msgspec import Struct

from collector.errors import LogFullError, LogInUseError, LogUnavailableError
from collector.framing import record, scan
from collector.inserter import Insert, Inserter, StoppedError

log = logging.getLogger(__name__)

MAX_BYTES: Final = 96 << 20
MAX_AGE_SECONDS: Final = 0.25
BUSY_AGE_SECONDS: Final = 5.0
"""While another segment is being inserted, the next one grows: 246,000 spans go in for 9 s of processor time a million,
60,000 for 12 s, and leave a quarter of the parts to merge. It does not wait for ever, as that insert may be stuck."""
SMALL_BYTES: Final = 4 << 20
REST_FACTOR: Final = 6.0
REST_LIMIT_SECONDS: Final = 1.0
"""An insert costs a tenth of a second whatever it holds, as much as the ten thousand spans of a small segment do; so
small ones keep this many times their length apart, and traffic that needs more goes in by larger segments."""
MAX_BACKLOG_BYTES: Final = 8 << 30
MAX_WAITING_BYTES: Final = 128 << 20
RESERVE_BYTES: Final = 1 << 30
"""Left free on the disk, for ClickHouse on the same one and for what is on its way when senders are asked to wait."""
FREE_FOR_SECONDS: Final = 0.5
TORN_KEPT: Final = 16


class Counters(Struct, frozen=True):
    """Of this process, but for what lies on disk: requests accepted and recovered = stored + set aside + waiting."""

    accepted_requests: int  # acknowledged
    accepted_spans: int
    accepted_bytes: int
    recovered_requests: int  # found on disk at the start
    stored_requests: int
    stored_spans: int  # of those accepted by this process
    stored_segments: int
    set_aside_requests: int
    waiting_requests: int
    insert_seconds: float  # spent on the segments stored
    quarantined_requests: int  # set aside because ClickHouse cannot read them, by this process or an earlier one
    quarantined_bytes: int
    backlog_segments: int
    backlog_bytes: int  # on disk or about to be, and not stored yet
    oldest_seconds: float  # age of the oldest segment that is not stored; 0 when there is none
    free_bytes: int  # on the disk of the log
    trouble: str  # why nothing is being stored now; empty when all is well


class _Segment(Struct, frozen=True):
    path: Path
    size_bytes: int
    requests: int
    spans: int  # 0 when an earlier process wrote it
    opened_at: float  # time.monotonic()
    damaged: bool = False


class _Waiting(Struct, frozen=True):
    record: bytes
    spans: int
    durable: "Future[None]"


class SegmentLog:
    """Segments in one directory, each the insert body of one insert.

    A writer thread puts whatever waits into the newest segment with one sync for all. The segment is finished when it
    is ``max_age_seconds`` old and nothing is being inserted, so that little traffic is seen soon and much goes in by
    the large block, or when it holds ``max_bytes``. Inserter threads store finished segments, then delete them.
    """

    def __init__(
        self,
        directory: Path,
        insert: Insert,
        normalise: Callable[[bytes], bytes],
        *,
        max_bytes: int = MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        max_backlog_bytes: int = MAX_BACKLOG_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        inserters: int = 2,
        held: bool = False,
        epoch: str | None = None,
    ) -> None:
        """Finish what an earlier process left in ``directory``, and start. Raises LogInUseError.

        A log that is ``held`` takes requests and stores none before `release`: the views that rows go through must be
        there first.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock_file = _locked(directory)
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._max_backlog_bytes = max_backlog_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._reserve_bytes = reserve_bytes
        self._inserter = Inserter(insert, normalise, directory, epoch or uuid4().hex)

        # Everything below is guarded by the condition, except the open file: the writer's alone.
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._sealed = deque(recover(directory))
        self._sequence = max((int(segment.path.stem) for segment in self._sealed), default=0)
        self._backlog_bytes = sum(segment.size_bytes for segment in self._sealed)
        self._backlog_segments = len(self._sealed)
        self._recovered_requests = sum(segment.requests for segment in self._sealed)
        self._accepted_requests = self._accepted_spans = self._accepted_bytes = 0
        self._stored_requests = self._stored_spans = self._stored_segments = self._set_aside_requests = 0
        self._insert_seconds = 0.0
        self._under_way: dict[Path, float] = {}
        self._free_bytes, self._free_at = 0, float("-inf")
        self._closing = self._written = False
        self._held = held
        self._rested_at = 0.0
        self._file: _SegmentFile | None = None

        self._writer = threading.Thread(target=self._write_forever, name="segment-writer", daemon=True)
        self._inserters = [
            threading.Thread(target=self._insert_forever, name=f"segment-inserter-{number}", daemon=True)
            for number in range(inserters)
        ]
        for thread in (self._writer, *self._inserters):
            thread.start()

    def append(self, body: bytes, spans: int = 0) -> "Future[None]":
        """A future that is done when the request is on disk; it fails with LogUnavailableError when it could not be.

        Raises LogFullError at once when too much waits already.
        """
        waiting = _Waiting(record(body), spans, Future())
        waiting.durable.set_running_or_notify_cancel()  # whoever stops waiting for it must not cancel it
        with self._changed:
            self._make_room(len(waiting.record))
            self._waiting.append(waiting)
            self._waiting_bytes += len(waiting.record)
            self._backlog_bytes += len(waiting.record)
            self._changed.notify_all()
        return waiting.durable

    def _make_room(self, size: int) -> None:
        if self._closing:
            raise LogUnavailableError("the collector is stopping")
        held = self._backlog_bytes + self._inserter.aside_bytes
        if held + size > self._max_backlog_bytes:
            raise LogFullError(f"{held} bytes wait to be stored or are set aside")
        if self._waiting and self._waiting_bytes + size > self._max_waiting_bytes:
            raise LogFullError(f"{self._waiting_bytes} bytes wait to be written")
        if self._free() - size < self._reserve_bytes:
            raise LogFullError(f"the disk has {self._free_bytes} bytes left, {self._reserve_bytes} are kept free")

    def _free(self) -> int:
        if (now := time.monotonic()) - self._free_at > FREE_FOR_SECONDS:
            try:
                self._free_bytes = shutil.disk_usage(self._directory).free
            except OSError:
                log.exception("the log's directory cannot be looked at")
                self._free_bytes = 0
            self._free_at = now
        return self._free_bytes

    def counters(self) -> Counters:
        aside = self._inserter.quarantined()
        with self._changed:
            found = self._recovered_requests + self._accepted_requests
            opened = [*self._under_way.values(), *(segment.opened_at for segment in self._sealed)]
            if self._file is not None:
                opened.append(self._file.opened_at)
            return Counters(
                accepted_requests=self._accepted_requests,
                accepted_spans=self._accepted_spans,
                accepted_bytes=self._accepted_bytes,
                recovered_requests=self._recovered_requests,
                stored_requests=self._stored_requests,
                stored_spans=self._stored_spans,
                stored_segments=self._stored_segments,
                set_aside_requests=self._set_aside_requests,
                waiting_requests=found - self._stored_requests - self._set_aside_requests,
                insert_seconds=self._insert_seconds,
                quarantined_requests=aside.requests,
                quarantined_bytes=aside.size_bytes,
                backlog_segments=self._backlog_segments,
                backlog_bytes=self._backlog_bytes,
                oldest_seconds=time.monotonic() - min(opened) if opened else 0.0,
                free_bytes=self._free(),
                trouble=self._inserter.trouble,
            )

    def accepts(self) -> bool:
        """Whether a request would be taken now."""
        with self._changed:
            try:
                self._make_room(0)
            except LogUnavailableError:
                return False
            return self._backlog_bytes + self._inserter.aside_bytes < self._max_backlog_bytes

    def wait_stored(self, timeout_seconds: float) -> bool:
        """Whether everything accepted before was stored in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._backlog_bytes == 0, timeout_seconds)

    def release(self) -> None:
        """Begin to store."""
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def close(self, drain_seconds: float = 10.0) -> None:
        """Take nothing more, store what is left for as long as that; the rest is stored after the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        until = time.monotonic() + drain_seconds
        for thread in self._inserters:
            thread.join(max(0.0, until - time.monotonic()))
        self._inserter.stop()
        for thread in self._inserters:
            thread.join()
        self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the writer's thread ---------------------------------------------------------------------------------------

    def _write_forever(self) -> None:
        while batch := self._next_batch():
            self._write(batch)
        self._seal()
        with self._changed:
            self._written = True
            self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting]:
        """What waits now; an empty list at the end. Finishes the newest segment meanwhile, when it is due."""
        while True:
            with self._changed:
                wait = self._seconds_to_seal()
                if not self._waiting and not self._closing and (wait is None or wait > 0):
                    self._changed.wait(wait)
                    continue
                batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if wait is not None and wait <= 0:
                self._seal()
            if batch or self._closing:
                return batch

    def _seconds_to_seal(self) -> float | None:
        if self._file is None:
            return None
        if self._file.size_bytes >= self._max_bytes:
            return 0.0
        if self._sealed:
            return None
        due = self._file.opened_at + (BUSY_AGE_SECONDS if self._under_way else self._max_age_seconds)
        if self._file.size_bytes < SMALL_BYTES:
            due = max(due, self._rested_at)
        return due - time.monotonic()

    def _write(self, batch: list[_Waiting]) -> None:
        try:
            if self._file is None:
                self._sequence += 1
                self._file = _SegmentFile(self._directory / f"{self._sequence:012}.otlp")
            self._file.append([waiting.record for waiting in batch], sum(waiting.spans for waiting in batch))
        except OSError as error:
            log.exception("the log cannot be written")
            self._seal()
            self._refuse(batch, LogUnavailableError(f"the log cannot be written: {error}"))
            return
        with self._changed:
            self._accepted_requests += len(batch)
            self._accepted_spans += sum(waiting.spans for waiting in batch)
            self._accepted_bytes += sum(len(waiting.record) for waiting in batch)
        for waiting in batch:
            waiting.durable.set_result(None)

    def _refuse(self, batch: list[_Waiting], error: LogUnavailableError) -> None:
        with self._changed:
            self._backlog_bytes -= sum(len(waiting.record) for waiting in batch)
            self._changed.notify_all()
        for waiting in batch:
            waiting.durable.set_exception(error)

    def _seal(self) -> None:
        if self._file is None:
            return
        segment = self._file.finish()
        self._file = None
        if segment.size_bytes == 0:
            segment.path.unlink()
            return
        with self._changed:
            self._sealed.append(segment)
            self._backlog_segments += 1
            self._changed.notify_all()

    # --- the inserters' threads ------------------------------------------------------------------------------------

    def _insert_forever(self) -> None:
        while segment := self._next_segment():
            started = time.monotonic()
            try:
                aside = self._inserter.store(segment.path, damaged=segment.damaged)
                segment.path.unlink()
            except StoppedError:
                return
            except Exception as error:
                log.exception("segment %s is not stored", segment.path.name)
                self._inserter.failed(repr(error))
                self._put_back(segment)
                continue
            self._retire(segment, aside, time.monotonic() - started)

    def _retire(self, segment: _Segment, aside: int, seconds: float) -> None:
        with self._changed:
            self._rested_at = time.monotonic() + min(REST_LIMIT_SECONDS, REST_FACTOR * seconds)
            self._stored_segments += 1
            self._stored_requests += segment.requests - aside
            self._stored_spans += segment.spans
            self._set_aside_requests += aside
            self._insert_seconds += seconds
            self._backlog_segments -= 1
            self._backlog_bytes -= segment.size_bytes
            del self._under_way[segment.path]
            self._changed.notify_all()

    def _next_segment(self) -> _Segment | None:
        with self._changed:
            self._changed.wait_for(lambda: (self._sealed and not self._held) or self._written)
            if self._held or not self._sealed:
                return None
            segment = self._sealed.popleft()
            self._under_way[segment.path] = segment.opened_at
            self._changed.notify_all()
            return segment

    def _put_back(self, segment: _Segment) -> None:
        with self._changed:
            self._sealed.appendleft(segment)
            del self._under_way[segment.path]
            self._changed.notify_all()


class _SegmentFile:
    """The newest segment, open for appending; its name is on disk before anything in it is acknowledged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self.opened_at = time.monotonic()
        self.size_bytes = self._requests = self._spans = 0
        _sync_directory(path.parent)

    def append(self, records: list[bytes], spans: int) -> None:
        content = memoryview(b"".join(records))
        written = 0
        while written < len(content):
            written += os.write(self._descriptor, content[written:])
        os.fdatasync(self._descriptor)
        self.size_bytes += written
        self._requests += len(records)
        self._spans += spans

    def finish(self) -> _Segment:
        """Close it, without what could not be made durable."""
        try:
            os.ftruncate(self._descriptor, self.size_bytes)
        except OSError:
            log.exception("%s keeps a torn end, which is cut off when it is read", self._path)
        os.close(self._descriptor)
        return _Segment(self._path, self.size_bytes, self._requests, self._spans, self.opened_at)


def recover(directory: Path) -> list[_Segment]:
    """The segments an earlier process left, oldest first, the newest without its torn end.

    What is cut off was never acknowledged, unless the disk is damaged: it is kept aside as ``.torn`` for a person.
    """
    segments = []
    paths = sorted(directory.glob("*.otlp"))
    for path in paths:
        content = path.read_bytes()
        found = scan(content)
        broken = found.broken
        torn = path == paths[-1] and broken and broken[-1][1] == len(content)
        if torn and _cut(path, content, broken[-1][0]):
            broken = broken[:-1]
        if found.bodies or broken:
            size = path.stat().st_size
            segments.append(_Segment(path, size, len(found.bodies) + len(broken), 0, time.monotonic(), bool(broken)))
        else:
            path.unlink()
    for left in sorted(directory.glob("*.torn"), key=lambda path: path.stat().st_mtime)[:-TORN_KEPT]:
        left.unlink()
    return segments


def _cut(path: Path, content: bytes, whole_bytes: int) -> bool:
    """Move the end of a segment aside; False when the disk has no room for it."""
    torn = path.with_suffix(f".{time.time_ns()}.torn")
    try:
        torn.write_bytes(content[whole_bytes:])
    except OSError:
        log.exception("%s keeps its torn end", path.name)
        return False
    os.truncate(path, whole_bytes)
    log.warning("%s had a torn end of %d bytes, kept as %s", path.name, len(content) - whole_bytes, torn.name)
    return True


def _locked(directory: Path) -> BinaryIO:
    """A lock on the directory until it is closed or the process ends, whatever ends it."""
    file = (directory / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise LogInUseError(str(directory)) from error
    return file


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
