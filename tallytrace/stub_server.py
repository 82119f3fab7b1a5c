"""The small HTTP servers of the demo's stand-ins: one thread a request, on loopback, silent."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

Take = Callable[[str, Message, bytes], int]
"""Path, headers and body of a POST to the status of its answer."""
Show = Callable[[str], bytes]
"""The path of a GET to JSON."""

RETRY_AFTER_SECONDS: Final = 2


@contextmanager
def serving(name: str, port: int, take: Take, show: Show, *, most_bytes: int) -> Iterator[str]:
    """The server's URL. A body of more than ``most_bytes`` is taken as empty; a 429 says when to come again."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length) if length <= most_bytes else b""
            self._answer(take(self.path, self.headers, body), b"")

        def do_GET(self) -> None:
            self._answer(200, show(self.path))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", str(RETRY_AFTER_SECONDS))
            if body:
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what a stand-in has can be asked for."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name=name, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
