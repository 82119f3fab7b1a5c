"""A channel that is told what it may sell, as a retailer's shop or marketplace is: over HTTP."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from sync_core.stock.publication import Publication

Reply = tuple[int, dict[str, str]]


class Channel:
    """Keeps the newest figure of each SKU and location; ``replies`` are given first, instead of taking anything."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.replies: deque[Reply] = deque()
        self.refused: set[str] = set()
        self.requests: list[Publication] = []
        self.shown: dict[tuple[str, str], int] = {}
        self.hold = threading.Event()
        self.hold.set()
        self._sequences: dict[tuple[str, str], int] = {}

    @property
    def sizes(self) -> list[int]:
        """Figures in each request."""
        return [len(one.figures) for one in self.requests]

    def take(self, body: bytes) -> Reply:
        told = msgspec.json.decode(body, type=Publication)
        self.requests.append(told)
        assert self.hold.wait(20)
        if self.replies:
            return self.replies.popleft()
        if self.refused & {one.sku for one in told.figures}:
            return 422, {}
        for one in told.figures:
            key = (one.sku, one.location)
            assert one.sellable >= 0
            if told.sequence > self._sequences.get(key, 0):
                self._sequences[key], self.shown[key] = told.sequence, one.sellable
        return 204, {}


@contextmanager
def receiving() -> Iterator[Channel]:
    """A channel at an address of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, headers = channel.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        channel = Channel(f"http://127.0.0.1:{server.server_port}/stock")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield channel
        channel.hold.set()
        server.shutdown()
        thread.join()
