"""OTLP over gRPC: the same checks and the same durability as over HTTP."""

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from collector import intake, otlp
from collector.errors import BusyError, LogUnavailableError, UndecodableRequestError, UnknownSenderError
from collector.intake import Intake

log = logging.getLogger(__name__)

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
START_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 10.0

Context = grpc.aio.ServicerContext[Any, Any]


class NotBoundError(RuntimeError):
    """The address is taken or not ours."""


@contextmanager
def serving(taken: Intake, host: str, port: int) -> Iterator[int]:
    """Requests are answered inside the block, which is given the port. Raises NotBoundError."""
    options = [("grpc.max_receive_message_length", taken.max_body_bytes), ("grpc.so_reuseport", 0)]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    running = _Running(_Receiver(taken), address, options)
    running.start()
    try:
        log.info("collector on grpc://%s", address)
        yield running.port
    finally:
        running.stop()


class _Receiver:
    def __init__(self, taken: Intake) -> None:
        self._intake = taken

    async def export(self, body: bytes, context: Context) -> bytes:
        try:
            return otlp.response(await self._take(body, context))
        except UndecodableRequestError as error:
            self._intake.count("invalid")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except UnknownSenderError as error:
            self._intake.count("unauthorized")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except BusyError as error:
            self._intake.count("busy")
            await _ask_to_retry(context, str(error), error.seconds)
        except LogUnavailableError as error:
            self._intake.count("unavailable")
            await _ask_to_retry(context, str(error), intake.RETRY_AFTER_SECONDS)

    async def _take(self, body: bytes, context: Context) -> Mapping[str, int]:
        told: dict[str, Any] = dict(context.invocation_metadata() or ())
        sender = self._intake.sender(told.get("authorization", ""))
        with self._intake.place() as place:
            place.hold(len(body))
            checked = await asyncio.to_thread(otlp.check, body)
            identity = intake.identity_of(body, told.get("idempotency-key", ""))
            return await self._intake.take(sender, checked, len(body), identity)


async def _ask_to_retry(context: Context, message: str, seconds: int) -> NoReturn:
    details = otlp.retry_status(otlp.UNAVAILABLE, message, seconds)
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
        with suppress(RuntimeError):  # the loop has closed by itself: it could not listen
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
