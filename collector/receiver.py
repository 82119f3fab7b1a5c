"""OTLP over HTTP: spans come in, are checked, made durable and acknowledged."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import InternalServerException
from msgspec import to_builtins

from collector import otlp
from collector.compression import ZSTD_ERROR, zstd_decompressor
from collector.errors import LogFullError, LogUnavailableError, UndecodableRequestError
from collector.segments import SegmentLog

MAX_BODY_BYTES: Final = 64 << 20
MAX_REQUESTS: Final = 32
RETRY_AFTER_SECONDS: Final = 1
"""Some senders drop a batch at once when they would have to wait longer than about ten seconds in all."""

_DECOMPRESSORS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
    "zstd": zstd_decompressor,
}


class _RefusedError(Exception):
    """The request is answered with an HTTP status and a ``google.rpc.Status``."""

    def __init__(self, http_code: int, rpc_code: int, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.http_code = http_code
        self.rpc_code = rpc_code
        self.message = message
        self.headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if retry else {}


def create_app(log: SegmentLog, *, max_body_bytes: int = MAX_BODY_BYTES, max_requests: int = MAX_REQUESTS) -> Litestar:
    """The receiver of one log; more than ``max_requests`` at once are asked to come again."""
    places = asyncio.Semaphore(max_requests)

    @post("/v1/traces", status_code=200, request_max_body_size=None)
    async def traces(request: Request[Any, Any, Any]) -> Response[bytes]:
        media_type = _media_type(request)
        try:
            if places.locked():
                raise _RefusedError(429, otlp.RESOURCE_EXHAUSTED, "too many requests at once", retry=True)
            async with places:
                refused_spans = await _take(log, request, media_type, max_body_bytes)
            return Response(otlp.response(refused_spans, media_type), media_type=media_type)
        except _RefusedError as refused:
            answered = media_type if media_type in otlp.MEDIA_TYPES else otlp.PROTOBUF
            body = otlp.status(refused.rpc_code, refused.message, answered)
            return Response(body, status_code=refused.http_code, media_type=answered, headers=refused.headers)

    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[dict[str, Any]]:
        counters = to_builtins(log.counters())
        return Response(counters, status_code=200 if log.accepts() else 503)

    return Litestar([traces, healthz, readyz], openapi_config=None)


async def _take(
    log: SegmentLog, request: Request[Any, Any, Any], media_type: str, max_body_bytes: int
) -> Mapping[str, int]:
    """Makes the request durable; returns how many spans were refused, by reason."""
    if media_type not in otlp.MEDIA_TYPES:
        wanted = " or ".join(otlp.MEDIA_TYPES)
        raise _RefusedError(415, otlp.INVALID_ARGUMENT, f"send {wanted}, not {media_type or 'nothing'}")
    encoding = _encoding(request)
    sent = await _body(request, max_body_bytes)
    checked = await asyncio.to_thread(_check, sent, media_type, encoding, max_body_bytes)
    if checked.spans:
        try:
            await asyncio.wrap_future(log.append(checked.body, checked.spans))
        except LogFullError as error:
            raise _RefusedError(503, otlp.RESOURCE_EXHAUSTED, str(error), retry=True) from error
        except LogUnavailableError as error:
            raise _RefusedError(503, otlp.UNAVAILABLE, str(error), retry=True) from error
    return checked.refused


def _media_type(request: Request[Any, Any, Any]) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _encoding(request: Request[Any, Any, Any]) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _DECOMPRESSORS:
        known = ", ".join(sorted(_DECOMPRESSORS))
        raise _RefusedError(415, otlp.INVALID_ARGUMENT, f"send {known} or no encoding, not {encoding}")
    return encoding


async def _body(request: Request[Any, Any, Any], max_body_bytes: int) -> bytes:
    """The body as it was sent, given up as soon as it is too long."""
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_body_bytes:
                raise _RefusedError(413, otlp.RESOURCE_EXHAUSTED, f"more than {max_body_bytes} bytes")
            chunks.append(chunk)
    except InternalServerException as error:  # how Litestar tells that the sender went away
        raise _RefusedError(400, otlp.INVALID_ARGUMENT, "the connection ended within the body") from error
    return b"".join(chunks)


def _check(sent: bytes, media_type: str, encoding: str, max_body_bytes: int) -> otlp.Checked:
    body = sent if encoding == "identity" else _decompressed(sent, encoding, max_body_bytes)
    try:
        return otlp.check(body, media_type)
    except UndecodableRequestError as error:
        raise _RefusedError(400, otlp.INVALID_ARGUMENT, str(error)) from error


def _decompressed(sent: bytes, encoding: str, max_body_bytes: int) -> bytes:
    """All members of a compressed body; never more than the limit is held."""
    parts, size = [], 0
    while sent:
        member = _DECOMPRESSORS[encoding]()
        try:
            part = member.decompress(sent, max_body_bytes - size + 1)
        except (zlib.error, ZSTD_ERROR) as error:
            raise _RefusedError(400, otlp.INVALID_ARGUMENT, f"broken {encoding}: {error}") from error
        size += len(part)
        if size > max_body_bytes:
            raise _RefusedError(413, otlp.RESOURCE_EXHAUSTED, f"more than {max_body_bytes} bytes after decompression")
        if not member.eof:
            raise _RefusedError(400, otlp.INVALID_ARGUMENT, f"broken {encoding}: it ends too early")
        parts.append(part)
        sent = member.unused_data
    return b"".join(parts)
