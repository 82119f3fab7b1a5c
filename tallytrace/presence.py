"""Which process of an installation runs: a locked file per role says so, and where it is reached.

The kernel drops the lock with the process, so a record never outlives a `kill -9`, and no PID is taken for another's.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tallytrace.errors import AlreadyRunningError

Role = str
"""core, plane, supervisor, or worker-<number>."""

POLL_SECONDS: Final = 0.1


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs, by role. ``url`` is empty for those that serve nothing."""

    role: Role
    pid: int
    url: str = ""
    collector_url: str = ""


@contextmanager
def claimed(home: Path, presence: Presence, *, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds the role until the block ends. Raises AlreadyRunningError when its holder has not left in time."""
    path = _path(home, presence.role)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(descriptor, wait_seconds):
            raise AlreadyRunningError(f"{presence.role} of {home} already runs{_holder(path)}; stop it first")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(presence), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def find(home: Path, role: Role) -> Presence | None:
    """The process that holds the role now; None when nobody does."""
    path = _path(home, role)
    if not path.exists():
        return None
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(path)
    return None


def _read(path: Path) -> Presence | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Presence)
    except msgspec.DecodeError:  # its holder is between taking the lock and writing, or leaving
        return None


def _locked(descriptor: int, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)


def _path(home: Path, role: Role) -> Path:
    return home / "run" / f"{role}.json"


def _holder(path: Path) -> str:
    """Who holds a role, for a message; empty while it is just starting."""
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=Presence)
    except msgspec.DecodeError:
        return ""
    return f" as process {holder.pid}" + (f" on {holder.url}" if holder.url else "")
