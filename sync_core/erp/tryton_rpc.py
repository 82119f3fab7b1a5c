"""Tryton's JSON-RPC over HTTP: log-in, calls, and its three ways to say no."""

import base64
import datetime as dt
import threading
from decimal import Decimal
from typing import Any, Final

import httpx
import msgspec

from sync_core.clock import Clock
from sync_core.errors import SyncCoreError
from sync_core.stock.pauses import retry_after_seconds

PAGE: Final = 1_000
"""Records of one answer; Tryton gives 2,000 at most unless told otherwise."""

_OURS: Final = frozenset({400, 413, 422, 500})
"""Statuses that are about the call, not about the ERP: another call may pass."""


class ErpAwayError(SyncCoreError):
    """The ERP cannot be reached, or wants to be left alone."""

    def __init__(self, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class ErpRefusedError(SyncCoreError):
    """The ERP understood and said no, for a reason that a person can mend."""


class ErpFaultError(SyncCoreError):
    """The ERP failed while it worked on a call."""


class Rpc:
    """Calls of one database. Safe to share between threads; logs in when it must."""

    def __init__(
        self, url: str, database: str, user: str, password: str, clock: Clock, *, timeout_seconds: float = 60.0
    ) -> None:
        self._path = f"/{database}/rpc/"
        self._user = user
        self._password = password
        self._clock = clock
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds)
        self._lock = threading.Lock()
        self._session = ""
        self._context: dict[str, Any] = {}

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises ErpAwayError, ErpRefusedError or ErpFaultError."""
        for _ in range(2):
            session, context = self._logged_in()
            response = self._send(method, [*params, context], {"Authorization": f"Session {session}"})
            if response.status_code not in (401, 403):
                return self._result(response)
            with self._lock:
                if self._session == session:
                    self._session = ""
        raise ErpAwayError(f"the ERP does not let {self._user} call {method} (HTTP {response.status_code})")

    def found(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        """All records of a model in a domain, oldest first."""
        records: list[dict[str, Any]] = []
        while True:
            page = self.call(
                f"model.{model}.search_read", domain, len(records), PAGE, [["id", "ASC"]], fields,
            )  # fmt: skip
            records += page
            if len(page) < PAGE:
                return records

    @property
    def company(self) -> int | None:
        """The company that our user works in."""
        company: int | None = self._logged_in()[1]["company"]
        return company

    def close(self) -> None:
        self._http.close()

    def _logged_in(self) -> tuple[str, dict[str, Any]]:
        with self._lock:
            if not self._session:
                session = self._log_in()
                told = self._result(
                    self._send("model.res.user.get_preferences", [True, {}], {"Authorization": f"Session {session}"})
                )
                self._session, self._context = session, {"company": told.get("company"), "language": "en"}
            return self._session, self._context

    def _log_in(self) -> str:
        response = self._send("common.db.login", [self._user, {"password": self._password}, "en"], {})
        if response.status_code in (401, 403):
            raise ErpAwayError(f"the ERP refuses to log {self._user} in: is the password right?")
        if response.status_code == 404:
            raise ErpAwayError(f"the ERP has no database {self._path.split('/')[1]}")
        user, token, *_ = self._result(response)
        return base64.b64encode(f"{self._user}:{user}:{token}".encode()).decode()

    def _send(self, method: str, params: list[Any], headers: dict[str, str]) -> httpx.Response:
        body = msgspec.json.encode({"id": 1, "method": method, "params": params})
        try:
            return self._http.post(self._path, content=body, headers={"Content-Type": "application/json", **headers})
        except httpx.HTTPError as error:
            raise ErpAwayError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error

    def _result(self, response: httpx.Response) -> Any:
        if response.status_code in _OURS:
            raise ErpFaultError(f"the ERP failed: HTTP {response.status_code}")
        if response.status_code != 200:
            asked = retry_after_seconds(response.headers.get("Retry-After", ""), self._clock())
            raise ErpAwayError(f"HTTP {response.status_code}", asked)
        try:
            told = msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise ErpAwayError(f"an answer that cannot be read: {error}") from error
        match told:
            case {"result": result}:
                return result
            case {"error": ["UserError", [str(message), *_]]}:
                raise ErpRefusedError(message)
            case {"error": ["UserWarning", [_, str(message), *_]]}:
                raise ErpRefusedError(message)
            case {"error": ["ConcurrencyException", *_]}:
                raise ErpAwayError("somebody else changes the same records")
            case {"error": [str(message), *_]}:
                raise ErpFaultError(f"the ERP failed: {message}")
        raise ErpAwayError("an answer that is none")


def date(day: str) -> dict[str, Any]:
    """An ISO date as Tryton takes it."""
    year, month, number = (int(part) for part in day.split("-"))
    return {"__class__": "date", "year": year, "month": month, "day": number}


def iso(day: dict[str, Any] | None) -> str:
    """A date of Tryton's as ISO."""
    return dt.date(day["year"], day["month"], day["day"]).isoformat() if day else ""


def decimal(amount: Decimal) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": str(amount)}


def number(told: dict[str, str]) -> Decimal:
    """A number of Tryton's."""
    return Decimal(told["decimal"])
