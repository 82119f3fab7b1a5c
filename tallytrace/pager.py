"""A stand-in for an owner's pager: it takes pages over HTTP, keeps them, and passes each one on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec

from alerts.page import Page

MOST_KEPT: Final = 1000
MOST_BYTES: Final = 512 * 1024


class Pager:
    """Pages by idempotency key, in the order of their arrival; one that comes again is answered and not passed on."""

    def __init__(self, on_page: Callable[[Page], None]) -> None:
        self._on_page = on_page
        self._pages: dict[str, msgspec.Raw] = {}
        self._lock = threading.Lock()

    def take(self, key: str, body: bytes) -> int:
        """The status to answer with."""
        try:
            page = msgspec.json.decode(body, type=Page)
        except msgspec.DecodeError:
            return 400
        with self._lock:
            if key in self._pages:
                return 200
            self._pages[key] = msgspec.Raw(body)
            if len(self._pages) > MOST_KEPT:
                del self._pages[next(iter(self._pages))]
        self._on_page(page)
        return 202

    def kept(self) -> bytes:
        with self._lock:
            return msgspec.json.encode(list(self._pages.values()))


@contextmanager
def serving(pager: Pager, port: int) -> Iterator[str]:
    """The pager's URL: POST a page to it, GET all of them from it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length) if length <= MOST_BYTES else b""
            self._answer(pager.take(self.headers["Idempotency-Key"] or "", body), b"")

        def do_GET(self) -> None:
            self._answer(200, pager.kept())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: pages are passed on, and the rest is of no interest."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="pager", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/pages"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
