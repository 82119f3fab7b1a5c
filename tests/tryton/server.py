"""A Tryton of a small retailer, and what stands between it and those who call it."""

import base64
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import msgspec

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv" / "tryton"
PASSWORD = "clerk-of-tests"
READY_SECONDS = 120.0


class Tryton:
    """A server with a database of its own. What a clerk does there is done through ``call``."""

    def __init__(self, home: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._home = home
        self._server: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False, verify=False)
        self._headers: dict[str, str] = {}
        (home / "trytond.conf").write_text(
            f"[database]\nuri = sqlite://\npath = {home}\n[web]\nlisten = 127.0.0.1:{port}\n"
            "[session]\nauthentications = password\n"
        )
        shutil.copy(VENV / "db" / "retail.sqlite", home / "retail.sqlite")

    def start(self) -> None:
        with (self._home / "trytond.log").open("ab") as log:
            self._server = subprocess.Popen(
                [VENV / "bin" / "trytond", "-c", self._home / "trytond.conf", "-d", "retail"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                user, token, *_ = self._asked("common.db.login", "admin", {"password": PASSWORD}, "en")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, (self._home / "trytond.log").read_text()[-2000:]
                time.sleep(0.2)
        session = base64.b64encode(f"admin:{user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Session {session}"}

    def stop(self) -> None:
        assert self._server is not None
        self._server.terminate()
        self._server.wait(30)

    def call(self, method: str, *params: Any, **context: Any) -> Any:
        return self._asked(method, *params, {"company": 1, **context})

    def found(self, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.call(
            f"model.{model}.search_read", domain, 0, 1000, [["id", "ASC"]], list(fields)
        )
        return records

    def close(self) -> None:
        self._http.close()

    def _asked(self, method: str, *params: Any) -> Any:
        body = msgspec.json.encode({"id": 0, "method": method, "params": params})
        answer = self._http.post(
            "/retail/rpc/", content=body, headers={"Content-Type": "application/json", **self._headers}
        )
        told = answer.raise_for_status().json()
        assert "error" not in told, told
        return told["result"]


@contextmanager
def running(home: Path, port: int) -> Iterator[Tryton]:
    """Makes what it needs on the first run."""
    subprocess.run([ROOT / ".ci" / "set-up-tryton"], check=True, timeout=560)
    one = Tryton(home, port)
    one.start()
    try:
        yield one
    finally:
        one.stop()
        one.close()


class Between:
    """Hands requests on to a server. ``alter`` may change a call; of methods in ``lose`` the next answer is lost."""

    def __init__(self, to: str) -> None:
        self._to = to
        self.alter: Callable[[dict[str, Any]], None] = lambda call: None
        self.lose: list[str] = []
        self.lost: list[str] = []

    @contextmanager
    def serving(self, port: int) -> Iterator[str]:
        between = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                between.hand_on(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the terminal of the tests."""

        with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()

    def hand_on(self, asked: BaseHTTPRequestHandler) -> None:
        call = msgspec.json.decode(asked.rfile.read(int(asked.headers["Content-Length"])))
        self.alter(call)
        headers = {name: asked.headers[name] for name in ("Content-Type", "Authorization") if name in asked.headers}
        try:
            answer = httpx.post(
                f"{self._to}{asked.path}", content=msgspec.json.encode(call), headers=headers, timeout=60
            )
        except httpx.TransportError:
            return
        if call["method"] in self.lose:
            self.lose.remove(call["method"])
            self.lost.append(call["method"])
            return
        asked.send_response(answer.status_code)
        asked.send_header("Content-Length", str(len(answer.content)))
        asked.end_headers()
        asked.wfile.write(answer.content)
