"""Keys of those who send spans: kept under home as digests, read again when the file changes."""

import hashlib
import hmac
import ipaddress
import math
import os
import secrets
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from collector.intake import Sender, admit_anyone
from tallytrace.errors import KeyRefusedError, NoKeyError
from tallytrace.settings import Settings

FILE_NAME: Final = "keys.json"
LOOK_AGAIN_SECONDS: Final = 1.0
PREFIX: Final = "tt_"


class Key(Struct, frozen=True):
    """One sender's. A limit of None is none; ``sha256`` is of the key, which is not kept."""

    name: str
    sha256: str
    created_at: datetime
    spans_per_second: float | None = None
    bytes_per_second: float | None = None


def read(settings: Settings) -> list[Key]:
    """Raises KeyRefusedError when the file is damaged."""
    path = settings.directory / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Key])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as fault:
        raise KeyRefusedError(f"{path}: {fault}") from fault


def add(
    settings: Settings, name: str, *, spans_per_second: float | None = None, bytes_per_second: float | None = None
) -> str:
    """The new key, which is told only now. Raises KeyRefusedError when the name is taken."""
    known = read(settings)
    if any(key.name == name for key in known):
        raise KeyRefusedError(f"there is a key for {name} already; remove it first, or give another name")
    secret = PREFIX + secrets.token_urlsafe(32)
    new = Key(name, _digest(secret), datetime.now(UTC), spans_per_second, bytes_per_second)
    _write(settings.directory / FILE_NAME, [*known, new])
    return secret


def remove(settings: Settings, name: str) -> None:
    """Raises KeyRefusedError when there is none of that name."""
    known = read(settings)
    left = [key for key in known if key.name != name]
    if len(left) == len(known):
        raise KeyRefusedError(f"there is no key for {name}; there are {', '.join(key.name for key in known) or 'none'}")
    _write(settings.directory / FILE_NAME, left)


class Senders:
    """Finds the sender of a key; a key that is added or removed counts within a second."""

    def __init__(self, settings: Settings) -> None:
        """Raises NoKeyError when the port is open to others and nobody has a key."""
        self._settings = settings
        self._open = _is_loopback(settings.otlp_host)
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._changed_ns = -1
        self._by_digest: dict[str, Sender] = {}
        if not self._open and not settings.collector_key and not read(settings):
            raise NoKeyError(
                f"spans are taken on {settings.otlp_host}, where others can reach it, and nobody has a key: "
                "tallytrace keys add NAME, or set collector_key, or bind otlp_host to 127.0.0.1"
            )

    def find(self, key: str) -> Sender | None:
        own = self._settings.collector_key
        if own and hmac.compare_digest(key.encode(), own.encode()):
            return Sender("tallytrace")
        if not key:
            return admit_anyone(key) if self._open else None
        with self._lock:
            self._refresh()
            return self._by_digest.get(_digest(key))

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = now
        try:
            changed_ns = (self._settings.directory / FILE_NAME).stat().st_mtime_ns
        except FileNotFoundError:
            changed_ns = 0
        if changed_ns != self._changed_ns:
            self._by_digest = {
                key.sha256: Sender(key.name, key.spans_per_second or math.inf, key.bytes_per_second or math.inf)
                for key in read(self._settings)
            }
            self._changed_ns = changed_ns


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _write(path: Path, keys: list[Key]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
