"""An ERP that takes journals over HTTP: an array of journals in, a result for each out."""

from collections.abc import Sequence
from typing import Literal

import httpx
import msgspec
from msgspec import Struct

from sync_core.clock import Clock
from sync_core.pauses import retry_after_seconds


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
            asked_seconds = retry_after_seconds(response.headers.get("Retry-After", ""), self._clock())
            return Unavailable(f"HTTP {response.status_code}", asked_seconds)
        try:
            return msgspec.json.decode(response.content, type=_Results).results
        except msgspec.DecodeError as error:
            return Unavailable(f"an answer that cannot be read: {error}")

    def close(self) -> None:
        self._http.close()
