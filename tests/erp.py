"""An ERP over a real socket, as tests want it to be."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from sync_core.erp.port import Answer

Reply = tuple[int, dict[str, str], bytes]


class Erp:
    """It keeps one document per key; ``replies`` are given first, instead of taking anything."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.replies: deque[Reply] = deque()
        self.refused: dict[str, str] = {}
        self.silent: set[str] = set()
        self.offered: list[list[str]] = []
        self.gate = threading.Event()  # while it is closed every request hangs
        self.gate.set()
        self.most_at_once = self._at_once = 0
        self.bodies: dict[str, dict[str, Any]] = {}
        self.amounts: defaultdict[str, list[int]] = defaultdict(list)  # of what it took, by account

    def take(self, body: bytes) -> Reply:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            assert self.gate.wait(60)
            return self._answer(body)
        finally:
            self._at_once -= 1

    def _answer(self, body: bytes) -> Reply:
        journals = msgspec.json.decode(body)
        keys = [journal["idempotency_key"] for journal in journals]
        self.offered.append(keys)
        self.bodies |= dict(zip(keys, journals, strict=True))
        if self.replies:
            return self.replies.popleft()
        results = [self._decide(journal) for journal in journals if journal["idempotency_key"] not in self.silent]
        return 200, {}, msgspec.json.encode({"results": results})

    def _decide(self, journal: dict[str, Any]) -> Answer:
        key: str = journal["idempotency_key"]
        if key in self.refused:
            return Answer(key, "rejected", reason=self.refused[key])
        if key not in self.documents:
            self.documents[key] = f"ERP-{len(self.documents) + 1}"
            for line in journal["lines"]:
                if "account" in line:  # it is a journal
                    self.amounts[line["account"]].append(line["amount_minor"])
        return Answer(key, "accepted", self.documents[key])

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its URL while it answers."""
        erp = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status, headers, body = erp.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal of the tests."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()
