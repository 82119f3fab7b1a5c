"""OTLP over gRPC: the same checks and the same durability as over HTTP."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import grpc.aio

from collector import otlp
from collector.errors import LogUnavailableError, UndecodableRequestError
from collector.receiver import MAX_BODY_BYTES, MAX_REQUESTS, RETRY_AFTER_SECONDS
from collector.segments import SegmentLog

log = logging.getLogger(__name__)

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
START_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class NotBoundError(RuntimeError):
    """The address is taken or not ours."""


@contextmanager
def serving(
    segments: SegmentLog,
    host: str,
    port: int,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_requests: int = MAX_REQUESTS,
) -> Iterator[int]:
    """Requests are answered inside the block, which is given the port. Raises NotBoundError."""
    receiver = _Receiver(segments, max_requests)
    options = [("grpc.max_receive_message_length", max_body_bytes), ("grpc.so_reuseport", 0)]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    running = _Running(receiver, address, options)
    running.start()
    try:
        log.info("collector on grpc://%s", address)
        yield running.port
    finally:
        running.stop()


class _Receiver:
    def __init__(self, segments: SegmentLog, max_requests: int) -> None:
        self._segments = segments
        self._max_requests = max_requests
        self._under_way = 0  # touched by the event loop's thread alone

    async def export(self, body: bytes, context: Context) -> bytes:
        if self._under_way >= self._max_requests:
            await _ask_to_retry(context, "too many requests at once")
        self._under_way += 1
        try:
            return await self._take(body, context)
        finally:
            self._under_way -= 1

    async def _take(self, body: bytes, context: Context) -> bytes:
        try:
            checked = await asyncio.to_thread(otlp.check, body)
            if checked.spans:
                await asyncio.wrap_future(self._segments.append(checked.body, checked.spans))
        except UndecodableRequestError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except LogUnavailableError as error:
            await _ask_to_retry(context, str(error))
        return otlp.response(checked.refused)


async def _ask_to_retry(context: Context, message: str) -> None:
    details = otlp.retry_status(otlp.UNAVAILABLE, message, RETRY_AFTER_SECONDS)
    await context.abort(grpc.StatusCode.UNAVAILABLE, message, (("grpc-status-details-bin", details),))


class _Running:
    """A server on an event loop and a thread of its own."""

    def __init__(self, receiver: _Receiver, address: str, options: list[tuple[str, Any]]) -> None:
        self._receiver = receiver
        self._address = address
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="collector-grpc")
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(START_SECONDS) or not self.port:
            self.stop()
            raise NotBoundError(f"the gRPC receiver cannot listen on {self._address}; is the port taken?")

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = grpc.aio.server(options=self._options)
        export: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._receiver.export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),))
        try:
            self.port = server.add_insecure_port(self._address)
            await server.start()
        except RuntimeError as error:
            log.error("gRPC: %s", error)
            return
        finally:
            self._started.set()
        await self._ended.wait()
        await server.stop(GRACE_SECONDS)
