"""An ERP that takes journals over HTTP: an array of journals in, a result for each out."""

import datetime as dt
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final, Literal

import httpx
import msgspec
from msgspec import Struct

from sync_core.clock import Clock

MOST_RETRY_AFTER_SECONDS: Final = 3600.0


class Answer(Struct, frozen=True):
    """What the ERP said of one journal; ``retry`` asks for another attempt later."""

    idempotency_key: str
    status: Literal["accepted", "rejected", "retry"]
    document: str = ""
    reason: str = ""


class Unavailable(Struct, frozen=True):
    """The ERP took nothing: why, and how long it asked to be left alone."""

    reason: str
    retry_after_seconds: float = 0.0


class _Results(Struct, frozen=True):
    results: list[Answer]


class ErpClient:
    """Posts journals. Never raises for what an ERP does: it answers, or it is Unavailable."""

    def __init__(self, url: str, clock: Clock, *, timeout_seconds: float = 30.0) -> None:
        self._clock = clock
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds)

    def post(self, bodies: Sequence[bytes]) -> list[Answer] | Unavailable:
        """Offer journals; each carries its own idempotency key, so offering one again is harmless."""
        try:
            response = self._http.post(
                "/v1/journals", content=b"[" + b",".join(bodies) + b"]", headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            return Unavailable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        if response.status_code != 200:
            pause_seconds = self._retry_after(response.headers.get("Retry-After", ""))
            return Unavailable(f"HTTP {response.status_code}", pause_seconds)
        try:
            return msgspec.json.decode(response.content, type=_Results).results
        except msgspec.DecodeError as error:
            return Unavailable(f"an answer that cannot be read: {error}")

    def close(self) -> None:
        self._http.close()

    def _retry_after(self, text: str) -> float:
        """Seconds of a Retry-After header, a number or a date; 0 when it says neither."""
        try:
            seconds = float(text) if text.isdecimal() else (_moment(text) - self._clock()).total_seconds()
        except ValueError:
            return 0.0
        return min(max(0.0, seconds), MOST_RETRY_AFTER_SECONDS)


def _moment(text: str) -> dt.datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
