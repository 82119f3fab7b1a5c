"""Brings one finished segment into storage, however long that takes, and sets aside what can never go in."""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from collector.errors import CollectorError, StorageError, UndecodableRequestError, UnreadableSegmentError
from collector.framing import EMPTY_REQUEST, record, scan

log = logging.getLogger(__name__)

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 5.0
UNFORESEEN_WAIT_SECONDS: Final = 1.0

Insert = Callable[[Path], None]
"""Inserts a file of records; again it changes nothing. Raises UnreadableSegmentError, or another StorageError that may
pass."""


class StoppedError(CollectorError):
    """Asked to stop before the segment was stored; it stays where it is."""


class Aside(Struct, frozen=True):
    requests: int
    size_bytes: int


class Inserter:
    """Inserts with retries; ``epoch`` is new in every process, so that no two set aside anything under one name."""

    def __init__(
        self,
        insert: Insert,
        normalise: Callable[[bytes], bytes],
        directory: Path,
        epoch: str,
        *,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._insert = insert
        self._normalise = normalise
        self._parts = directory / "parts"
        self._quarantine = directory / "quarantine"
        self._epoch = epoch
        self._waits = (first_wait_seconds, longest_wait_seconds)
        self._stopping = threading.Event()
        self._set_aside = 0
        self.trouble = ""  # why the last attempt failed; empty when it did not
        self.aside_bytes = 0  # in quarantine, as far as known
        shutil.rmtree(self._parts, ignore_errors=True)
        self._parts.mkdir()
        self._quarantine.mkdir(exist_ok=True)
        self.quarantined()

    def quarantined(self) -> Aside:
        """What is set aside and not yet taken away by a person."""
        sizes = [path.stat().st_size for path in self._quarantine.glob("*.otlp")]
        self.aside_bytes = sum(sizes)
        return Aside(len(sizes), self.aside_bytes)

    def failed(self, reason: str) -> None:
        """Wait a while after a failure that nobody foresaw."""
        self.trouble = reason
        self._stopping.wait(UNFORESEEN_WAIT_SECONDS)

    def stop(self) -> None:
        """What is not stored by the end of the attempt under way stays on disk."""
        self._stopping.set()

    def store(self, segment: Path, *, damaged: bool = False) -> int:
        """Return when every request is stored or set aside: how many were. Raises StoppedError.

        Of a ``damaged`` segment only the records that are whole go in; what lies between them is set aside.
        """
        before = self._set_aside
        if not damaged:
            try:
                self._until_stored(segment, segment.stem)
                return 0
            except UnreadableSegmentError as error:
                unread = str(error)  # a record that somebody keeps would keep the error, and with it the segment
                log.warning("segment %s holds what ClickHouse cannot read: %s", segment.name, unread)
        content = segment.read_bytes()
        found = scan(content)
        for start, end in found.broken:
            self._keep_aside(f"{segment.stem}.broken-{start}", content[start:end], "its checksum does not fit")
        if found.bodies:
            self._store_part(f"{segment.stem}.whole", found.bodies)
        return self._set_aside - before

    def _until_stored(self, path: Path, name: str) -> None:
        wait, longest = self._waits
        while not self._stopping.is_set():
            try:
                self._insert(path)
                self.trouble = ""
                return
            except UnreadableSegmentError as error:
                if self._storage_works():
                    raise
                self.trouble = str(error)
            except StorageError as error:
                self.trouble = str(error)
            log.warning("segment %s is not stored, next attempt in %.1f s: %s", name, wait, self.trouble)
            self._stopping.wait(wait)
            wait = min(2 * wait, longest)
        raise StoppedError(name)

    def _storage_works(self) -> bool:
        """Whether an empty request goes in: when not even that does, the fault is not the segment's."""
        path = self._write_part("empty", EMPTY_REQUEST)
        try:
            self._insert(path)
        except StorageError:
            return False
        finally:
            path.unlink()
        return True

    def _store_halves(self, name: str, bodies: Sequence[bytes]) -> None:
        if len(bodies) == 1:
            self._store_suspect(name, bodies[0])
            return
        middle = len(bodies) // 2
        self._store_part(f"{name}.0", bodies[:middle])
        self._store_part(f"{name}.1", bodies[middle:])

    def _store_part(self, name: str, bodies: Sequence[bytes]) -> None:
        path = self._write_part(name, b"".join(map(record, bodies)))
        try:
            self._until_stored(path, name)
        except UnreadableSegmentError:
            self._store_halves(name, bodies)
        finally:
            path.unlink()

    def _store_suspect(self, name: str, body: bytes) -> None:
        """One request that was refused goes in as our own parser understood it, or is set aside as it was sent."""
        part = f"{name}.normalised"
        try:
            path = self._write_part(part, record(self._normalise(body)))
            try:
                self._until_stored(path, part)
            finally:
                path.unlink()
        except (UnreadableSegmentError, UndecodableRequestError) as error:
            self._keep_aside(name, record(body), str(error))

    def _keep_aside(self, name: str, content: bytes, reason: str) -> None:
        path = self._quarantine / f"{name}-{self._epoch}.otlp"
        _write_durably(path, content)
        self._set_aside += 1
        self.quarantined()
        log.error("%s is set aside: %s", path, reason)

    def _write_part(self, name: str, content: bytes) -> Path:
        path = self._parts / f"{name}-{threading.get_ident()}.otlp"
        path.write_bytes(content)
        return path


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
