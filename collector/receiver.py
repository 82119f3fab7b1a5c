"""OTLP over HTTP: spans come in, are checked, made durable and acknowledged."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException, InternalServerException
from msgspec import to_builtins

from collector import intake, otlp
from collector.compression import ZSTD_ERROR, zstd_decompressor
from collector.errors import (
    BusyError,
    CollectorError,
    LogFullError,
    LogUnavailableError,
    TooLargeError,
    UndecodableRequestError,
    UnknownSenderError,
)
from collector.intake import Intake, Place
from collector.segments import SegmentLog

SMALL_BYTES: Final = 16 << 10
"""Checked at once, in a tenth of a millisecond: the way to another thread and back takes longer."""

_DECOMPRESSORS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "zstd": zstd_decompressor,
}


class _UnsupportedError(CollectorError):
    """The body is in a form that this receiver does not read."""


class _Refusal:
    """How an error is told: HTTP status, google.rpc.Code, name in the count of outcomes."""

    def __init__(self, http_code: int, rpc_code: int, outcome: str) -> None:
        self.http_code = http_code
        self.rpc_code = rpc_code
        self.outcome = outcome


# Only 429 and 503 may be sent again; an error that is not here is 503 too, as what is lost cannot be asked for later.
_REFUSALS: Final[Mapping[type[CollectorError], _Refusal]] = {
    UndecodableRequestError: _Refusal(400, otlp.INVALID_ARGUMENT, "invalid"),
    UnknownSenderError: _Refusal(401, otlp.UNAUTHENTICATED, "unauthorized"),
    TooLargeError: _Refusal(413, otlp.RESOURCE_EXHAUSTED, "too_large"),
    _UnsupportedError: _Refusal(415, otlp.INVALID_ARGUMENT, "invalid"),
    BusyError: _Refusal(429, otlp.RESOURCE_EXHAUSTED, "busy"),
    LogFullError: _Refusal(503, otlp.RESOURCE_EXHAUSTED, "unavailable"),
    LogUnavailableError: _Refusal(503, otlp.UNAVAILABLE, "unavailable"),
}


def create_app(log: SegmentLog, taken: Intake) -> Litestar:
    """The HTTP receiver of a log, through the intake that is shared with other receivers."""

    @post("/v1/traces", status_code=200, request_max_body_size=None)
    async def traces(request: Request[Any, Any, Any]) -> Response[bytes]:
        media_type = _media_type(request)
        try:
            refused_spans = await _take(taken, request, media_type)
            return Response(otlp.response(refused_spans, media_type), media_type=media_type)
        except CollectorError as error:
            refusal = _REFUSALS.get(type(error), _REFUSALS[LogUnavailableError])
            taken.count(refusal.outcome)
            return _told(refusal, str(error), media_type, error.seconds if isinstance(error, BusyError) else None)

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[dict[str, Any]]:
        counters = to_builtins(log.counters())
        return Response(counters, status_code=200 if log.accepts() else 503)

    return Litestar(
        [traces, healthz, readyz],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _no_such_call},
    )


def _told(refusal: _Refusal, message: str, media_type: str, retry_seconds: int | None) -> Response[bytes]:
    media_type = media_type if media_type in otlp.MEDIA_TYPES else otlp.PROTOBUF
    headers = {}
    if refusal.http_code in (429, 503):
        headers["Retry-After"] = str(retry_seconds or intake.RETRY_AFTER_SECONDS)
    if refusal.http_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = otlp.status(refusal.rpc_code, message, media_type)
    return Response(body, status_code=refusal.http_code, media_type=media_type, headers=headers)


def _no_such_call(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """404 and 405, in the form of every other refusal."""
    refusal = _Refusal(error.status_code, otlp.UNIMPLEMENTED, "invalid")
    answer = _told(refusal, f"POST /v1/traces is what this port takes; {error.detail}", _media_type(request), None)
    answer.headers.update(error.headers or {})
    return answer


async def _take(taken: Intake, request: Request[Any, Any, Any], media_type: str) -> Mapping[str, int]:
    """Makes the request durable; returns how many spans were refused, by reason."""
    sender = taken.sender(request.headers.get("authorization", ""))
    if media_type not in otlp.MEDIA_TYPES:
        raise _UnsupportedError(f"send {' or '.join(otlp.MEDIA_TYPES)}, not {media_type or 'nothing'}")
    encoding = _encoding(request)
    key = request.headers.get("idempotency-key", "")
    with taken.place() as place:
        sent = await _body(request, place, taken.max_body_bytes)

        def check() -> tuple[otlp.Checked, int, bytes]:
            body = sent if encoding == "identity" else _decompressed(sent, encoding, place, taken.max_body_bytes)
            return otlp.check(body, media_type), len(body), intake.identity_of(body, key)

        small = encoding == "identity" and len(sent) <= SMALL_BYTES
        checked, size, identity = check() if small else await asyncio.to_thread(check)
        return await taken.take(sender, checked, size, identity)


def _media_type(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _encoding(request: Request[Any, Any, Any]) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _DECOMPRESSORS:
        known = ", ".join(sorted(_DECOMPRESSORS))
        raise _UnsupportedError(f"send {known} or no encoding, not {encoding}")
    return encoding


async def _body(request: Request[Any, Any, Any], place: Place, max_body_bytes: int) -> bytes:
    """The body as it was sent, given up as soon as it is too long."""
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_body_bytes:
                raise TooLargeError(f"more than {max_body_bytes} bytes")
            place.hold(len(chunk))
            chunks.append(chunk)
    except InternalServerException as error:  # how Litestar tells that the sender went away
        raise UndecodableRequestError("the connection ended within the body") from error
    return b"".join(chunks)


def _decompressed(sent: bytes, encoding: str, place: Place, max_body_bytes: int) -> bytes:
    """All members of a compressed body; never more than the limit is held."""
    parts, size = [], 0
    while sent:
        member = _DECOMPRESSORS[encoding]()
        try:
            part = member.decompress(sent, max_body_bytes - size + 1)
        except (zlib.error, ZSTD_ERROR) as error:
            raise UndecodableRequestError(f"broken {encoding}: {error}") from error
        size += len(part)
        if size > max_body_bytes:
            raise TooLargeError(f"more than {max_body_bytes} bytes after decompression")
        if not member.eof:
            raise UndecodableRequestError(f"broken {encoding}: it ends too early")
        place.hold(len(part))
        parts.append(part)
        sent = member.unused_data
    return b"".join(parts)
