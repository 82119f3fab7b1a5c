"""Receivers of pages on real sockets: HTTP for PagerDuty, Slack and webhooks, and SMTP."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Receiver:
    """What came, as (path, body), in the order of arrival; ``answers`` has the status of a path, else it is 202.

    ``keys`` are the idempotency keys of all that was taken, and ``took`` is called before it is answered.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, int] = {}
        self.mails: list[str] = []
        self.keys: list[str] = []
        self.took: Callable[[], None] = lambda: None
        self.http_port = self.smtp_port = 0

    def of(self, path: str) -> list[dict[str, Any]]:
        return [body for heard, body in self.heard if heard == path]

    def clear(self) -> None:
        self.heard.clear()
        self.mails.clear()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens as long as the block."""
    one = Receiver()

    class Web(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
            status = one.answers.get(self.path, 202)
            if status < 300:
                one.heard.append((self.path, body))
                one.keys.append(self.headers.get("Idempotency-Key", ""))
                one.took()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent: what was heard is in the list."""

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                match line[:4].upper().strip():
                    case b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        text = b""
                        while (more := self.rfile.readline()) != b".\r\n":
                            text += more
                        one.mails.append(text.decode())
                        self.wfile.write(b"250 taken\r\n")
                    case b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    case _:
                        self.wfile.write(b"250 yes\r\n")

    servers: list[socketserver.TCPServer] = [
        ThreadingHTTPServer(("127.0.0.1", 0), Web), socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail),
    ]  # fmt: skip
    one.http_port, one.smtp_port = (server.server_address[1] for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield one
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
