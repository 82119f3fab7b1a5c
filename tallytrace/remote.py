"""Reading from the running product over HTTP."""

from functools import cache
from typing import Any, TypeVar

import httpx
import msgspec

from tallytrace.errors import RemoteError

T = TypeVar("T")


@cache
def client() -> httpx.Client:
    """One client for the whole command: a new one for each request costs more than the request."""
    return httpx.Client()


def read(url: str, into: type[T], *, timeout_seconds: float = 60.0, **params: Any) -> T:
    """GET and decode. Raises RemoteError with the problem's own words."""
    return msgspec.json.decode(fetch(url, timeout_seconds=timeout_seconds, **params), type=into)


def fetch(url: str, *, timeout_seconds: float = 60.0, **params: Any) -> bytes:
    """GET; the body of a 200. Raises RemoteError."""
    try:
        response = client().get(url, params=params, timeout=timeout_seconds)
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} does not answer ({type(error).__name__})") from error
    if response.status_code != 200:
        raise RemoteError(problem(response))
    return response.content


def send(url: str, body: Any, *, timeout_seconds: float = 60.0) -> bytes:
    """POST JSON; the body of a 200. Raises RemoteError with the problem's own words."""
    try:
        response = client().post(url, json=body, timeout=timeout_seconds)
    except httpx.HTTPError as error:
        raise RemoteError(f"{url} does not answer ({type(error).__name__})") from error
    if response.status_code != 200:
        raise RemoteError(problem(response))
    return response.content


def problem(response: httpx.Response) -> str:
    """What a problem document says, or the status when there is none."""
    try:
        about = response.json()
        return f"{about['title']}: {about['detail']}" + (f" (field {about['field']})" if about.get("field") else "")
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} from {response.request.url}"
