"""What pages ask of an API over HTTP: the sync core's, the alerts', and figures of lineage."""

from typing import Any, Final, TypeVar

import httpx
import msgspec

T = TypeVar("T")

READ_SECONDS: Final = 10.0
ACT_SECONDS: Final = 30.0


class UnansweredError(Exception):
    """The other side does not answer, or answers what cannot be read."""

    def __init__(self, whose: str) -> None:
        super().__init__(f"{whose} does not answer")
        self.whose = whose


class RefusedError(Exception):
    """The other side says no; the message says why."""


class _Problem(msgspec.Struct, frozen=True):
    detail: str = ""
    field: str = ""


class Remote:
    """One API. Safe to share between threads, as httpx.Client is."""

    def __init__(self, client: httpx.Client, base: str, whose: str) -> None:
        self._client = client
        self._base = base.rstrip("/")
        self._whose = whose

    def get(self, path: str, into: type[T], **asked: Any) -> T:
        """Raises UnansweredError and RefusedError."""
        return self._read(self._send("GET", path, READ_SECONDS, params=asked), into)

    def post(self, path: str, body: Any, into: type[T]) -> T:
        """Raises UnansweredError and RefusedError."""
        sent = {"content": msgspec.json.encode(body), "headers": {"content-type": "application/json"}}
        return self._read(self._send("POST", path, ACT_SECONDS, **sent), into)

    def delete(self, path: str) -> None:
        """Raises UnansweredError and RefusedError."""
        self._send("DELETE", path, ACT_SECONDS)

    def _send(self, method: str, path: str, seconds: float, **sent: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, f"{self._base}{path}", timeout=seconds, **sent)
        except httpx.HTTPError as error:
            raise UnansweredError(self._whose) from error
        if answer.is_server_error:
            raise UnansweredError(self._whose)
        if answer.is_client_error:
            raise RefusedError(_reason(answer))
        return answer

    def _read(self, answer: httpx.Response, into: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.content, type=into)
        except msgspec.MsgspecError as error:
            raise UnansweredError(self._whose) from error


def _reason(answer: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.MsgspecError:
        return f"refused with status {answer.status_code}"
    return f"{problem.field}: {problem.detail}" if problem.field else problem.detail
