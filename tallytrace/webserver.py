"""An ASGI application served by uvicorn on a thread of this process."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from litestar.types import ASGIApp

from tallytrace.errors import NotServedError

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
GRACE_SECONDS: Final = 10  # for requests under way when the process is asked to stop
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than senders pause: a connection closed at the moment of their next request looks to them like a failure."""


@contextmanager
def serving(app: ASGIApp, host: str, port: int, *, name: str) -> Iterator[None]:
    """Requests are answered inside the block. Raises NotServedError."""
    listener = _listen(host, port, name)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=_run, args=[server, listener], name=name)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise NotServedError(f"{name} did not start; its log says why")
            time.sleep(0.01)
        log.info("%s on http://%s:%d", name, host, port)
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(SystemExit):  # uvicorn's way to say that the application did not start
        server.run(sockets=[listener])


def _listen(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as fault:
        listener.close()
        raise NotServedError(f"{name} cannot listen on {host}:{port}: {fault.strerror}") from fault
    listener.setblocking(False)
    return listener
