"""An ERP that takes documents over HTTP: an array of one kind in, a result for each out."""

from collections.abc import Sequence
from typing import TypeVar

import httpx
import msgspec
from msgspec import Struct

from sync_core.clock import Clock
from sync_core.erp.port import Answer, DocumentKind, Held, Unavailable
from sync_core.stock.pauses import retry_after_seconds


class _Results(Struct, frozen=True):
    results: list[Answer]


class _Documents(Struct, frozen=True):
    documents: list[Held]


Form = TypeVar("Form")


class ErpClient:
    """Posts documents. Never raises for what an ERP does: it answers, or it is Unavailable."""

    def __init__(self, url: str, clock: Clock, *, timeout_seconds: float = 30.0) -> None:
        self._clock = clock
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds)

    def post(self, kind: DocumentKind, bodies: Sequence[bytes]) -> list[Answer] | Unavailable:
        """Offer documents; each carries its own idempotency key, so offering one again is harmless."""
        told = self._asked(f"/v1/{kind}s", b"[" + b",".join(bodies) + b"]", _Results)
        return told if isinstance(told, Unavailable) else told.results

    def held(self, keys: Sequence[str]) -> list[Held] | Unavailable:
        told = self._asked("/v1/journals/read", msgspec.json.encode(keys), _Documents)
        return told if isinstance(told, Unavailable) else told.documents

    def account(self, ours: str) -> str:
        """It keeps its books by our accounts."""
        return ours

    def check(self) -> list[str]:
        told = self.post("journal", [])
        return [told.reason] if isinstance(told, Unavailable) else []

    def close(self) -> None:
        self._http.close()

    def _asked(self, path: str, body: bytes, form: type[Form]) -> Form | Unavailable:
        try:
            response = self._http.post(path, content=body, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            return Unavailable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        if response.status_code != 200:
            asked_seconds = retry_after_seconds(response.headers.get("Retry-After", ""), self._clock())
            return Unavailable(f"HTTP {response.status_code}", asked_seconds)
        try:
            return msgspec.json.decode(response.content, type=form)
        except msgspec.DecodeError as error:
            return Unavailable(f"an answer that cannot be read: {error}")
