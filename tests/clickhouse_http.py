"""A ClickHouse server for tests: the embedded engine behind the part of ClickHouse's HTTP interface that drivers use.

Run alone, as the engine allows one directory per process:
``python -m tests.clickhouse_http --directory DIR --port 8123 --database tallytrace --user u --password p``.

It takes statements from ``query`` and the body, ``param_*``, settings from the query string, ``database``, basic and
X-ClickHouse-* authentication, lz4 and gzip bodies; it answers in the FORMAT that the statement names, with
X-ClickHouse-Summary, or with the engine's error code and message. Sessions and external tables are not supported.
"""

import argparse
import base64
import binascii
import contextlib
import gzip
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import chdb
import httpx
import lz4.frame  # type: ignore[import-untyped]
import msgspec
from chdb import ChdbError

_TRANSPORT: Final = """
    query database user password buffer_size session_id session_timeout session_check query_id quota_key compress
    decompress wait_end_of_query client_protocol_version role default_format enable_http_compression
    send_progress_in_http_headers http_headers_progress_interval_ms cancel_http_readonly_queries_on_client_close
"""
NOT_SETTINGS: Final = frozenset(_TRANSPORT.split())
STATUS: Final[Mapping[int, int]] = {47: 404, 60: 404, 62: 400, 81: 404, 115: 400, 159: 408, 241: 500, 516: 403}
AUTHENTICATION_FAILED: Final = 516
NOT_IMPLEMENTED: Final = 48
INSERT: Final = re.compile(
    rb"\s*(INSERT\s+INTO\s+(?:(?!\bSELECT\b|\bVALUES\b).)+?)(\sSETTINGS\s.+?)?\s+FORMAT\s+(\w+)[ \t]*(?:;|\r?\n|$)",
    re.IGNORECASE | re.DOTALL,
)
CODE: Final = re.compile(r"Code: (\d+)")
START_SECONDS: Final = 30.0


class Refusal(Exception):
    """An error of the server, by ClickHouse's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.code = code


class Request(msgspec.Struct, frozen=True):
    """What a client sent. ``params`` are those of the query string, the body is decompressed."""

    params: dict[str, str]
    body: bytes

    @property
    def statement(self) -> bytes:
        return self.params.get("query", "").encode()

    @property
    def bound(self) -> dict[str, str]:
        return {name.removeprefix("param_"): value for name, value in self.params.items() if name.startswith("param_")}

    @property
    def settings(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.params.items()
            if name not in NOT_SETTINGS and not name.startswith("param_")
        }


class Engine:
    """The embedded engine of one directory; each statement gets a connection of its own, so nothing stays set."""

    def __init__(self, directory: Path, database: str) -> None:
        self._path = str(directory)
        self._keeper = chdb.connect(self._path)  # the engine stays open as long as one connection does
        self._keeper.query(f"CREATE DATABASE IF NOT EXISTS {_name(database)}")
        self._database = database

    def run(self, request: Request) -> Any:
        """The engine's result. Raises ChdbError or Refusal."""
        with contextlib.closing(chdb.connect(self._path)) as connection:
            connection.query(f"USE {_name(request.params.get('database') or self._database)}")
            for name, value in request.settings.items():
                connection.query(f"SET {_name(name)} = {_text(value)}")
            source = request.statement + request.body if not request.statement else request.statement
            insert = INSERT.match(source)
            if insert is None:
                sql = (request.statement + b"\n" + request.body).strip().decode()
                return connection.query(sql, request.params.get("default_format", "TabSeparated"), params=request.bound)
            rows = request.body if request.statement else source[insert.end() :]
            return self._insert(connection, insert, rows)

    def _insert(self, connection: Any, insert: re.Match[bytes], rows: bytes) -> Any:
        into, settings, form = (part.decode() if part else "" for part in insert.groups())
        with tempfile.NamedTemporaryFile(suffix=".rows") as file:
            file.write(rows)
            file.flush()
            return connection.query(f"{into} FROM INFILE {_text(file.name)} COMPRESSION 'none'{settings} FORMAT {form}")

    def close(self) -> None:
        self._keeper.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engine: Engine, user: str, password: str) -> None:
        super().__init__(address, Handler)
        self.engine = engine
        self.user = user
        self.password = password


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        if urlsplit(self.path).path in ("/ping", "/") and "query=" not in self.path:
            self._send(200, b"Ok.\n", {})
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._read_body())

    def _answer(self, raw: bytes) -> None:
        params = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        headers = {"X-ClickHouse-Query-Id": params.get("query_id") or str(uuid.uuid4())}
        started = time.perf_counter_ns()
        try:
            self._authenticate(params)
            result = self.server.engine.run(Request(params, self._decompressed(raw)))
        except (ChdbError, Refusal) as fault:
            message = str(fault)
            found = CODE.search(message)
            code = int(found[1]) if found else 1002
            self._send(STATUS.get(code, 500), message.encode(), headers | {"X-ClickHouse-Exception-Code": str(code)})
            return
        summary = {
            "read_rows": str(result.rows_read()),
            "read_bytes": str(result.bytes_read()),
            "written_rows": str(result.rows_written()),
            "written_bytes": str(result.bytes_written()),
            "elapsed_ns": str(time.perf_counter_ns() - started),
        }
        headers |= {"X-ClickHouse-Summary": msgspec.json.encode(summary).decode(), "X-ClickHouse-Timezone": "UTC"}
        self._send(200, result.bytes(), headers)

    def _authenticate(self, params: Mapping[str, str]) -> None:
        given = (
            self.headers.get("X-ClickHouse-User") or params.get("user", ""),
            self.headers.get("X-ClickHouse-Key") or params.get("password", ""),
        )
        if (basic := self.headers.get("Authorization", "")).startswith("Basic "):
            with contextlib.suppress(binascii.Error, UnicodeDecodeError):
                decoded = base64.b64decode(basic.removeprefix("Basic "), validate=True).decode()
                given = (decoded.partition(":")[0], decoded.partition(":")[2])
        if (given[0] or "default", given[1]) != (self.server.user, self.server.password):
            raise Refusal(AUTHENTICATION_FAILED, f"{given[0]}: Authentication failed: password is incorrect")

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return bytes(body)

    def _decompressed(self, raw: bytes) -> bytes:
        match self.headers.get("Content-Encoding", "identity"):
            case "identity":
                return raw
            case "lz4":
                return bytes(lz4.frame.decompress(raw))
            case "gzip":
                return gzip.decompress(raw)
            case other:
                raise Refusal(NOT_IMPLEMENTED, f"Content-Encoding {other} is not supported by this server")

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test shows its own failures."""


def _name(text: str) -> str:
    if not re.fullmatch(r"\w+", text):
        raise Refusal(62, f"not a name: {text}")
    return f"`{text}`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@contextlib.contextmanager
def running(
    directory: Path, port: int, *, database: str = "tallytrace", user: str = "default", password: str = ""
) -> Iterator[str]:
    """The URL of a server in a process of its own, for collector.storage."""
    command = [sys.executable, "-m", "tests.clickhouse_http", "--directory", str(directory), "--port", str(port)]
    command += ["--database", database, "--user", user, "--password", password]
    with subprocess.Popen(command, cwd=Path(__file__).parent.parent, start_new_session=True) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}/ping")
            yield f"http://{user}:{password}@127.0.0.1:{port}/{database}"
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False, verify=False).is_success:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the ClickHouse front did not start: {process.poll()}")
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", default="default")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    arguments = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    engine = Engine(arguments.directory, arguments.database)
    server = Server((arguments.host, arguments.port), engine, arguments.user, arguments.password)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    engine.close()


if __name__ == "__main__":
    main()
