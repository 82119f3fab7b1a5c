"""What one machine takes in, over loopback HTTP into embedded ClickHouse: spans acknowledged and queryable a second."""

import gc
import http.client
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from msgspec import Struct

from collector import migrations, otlp, receiver, synthetic
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage

_STORED_SIZE: Final = (migrations.SQL / "stored_size.sql").read_text()
_STORE_SECONDS: Final = 600.0
_SPANS_PER_REQUEST: Final = 512
_CONNECTIONS: Final = 4
_SMALL_CONNECTIONS: Final = 64
_SMALL: Final = (1, 10, 100)
_NATIVE_SPANS: Final = 1_000_000

Say = Callable[[str], None]


class Sent(Struct, frozen=True):
    """What the senders saw."""

    requests: int
    seconds: float  # from the first request to the last answer
    p50_ms: float
    p99_ms: float


class Small(Struct, frozen=True):
    """Little requests of many senders at once."""

    spans_per_request: int
    connections: int
    requests_per_s: float
    spans_per_s: float
    p99_ms: float


class Report(Struct, frozen=True):
    """Rates are spans a second; ``native_spans_per_s`` is the engine's own limit, the same rows read from a file that
    is ready to insert, with every view on."""

    spans: int
    acknowledged_spans_per_s: float
    queryable_spans_per_s: float
    acknowledged_p50_ms: float
    acknowledged_p99_ms: float
    cpu_seconds_per_million_spans: float  # of this process: receiver, log, engine
    peak_memory_mb: float
    bytes_per_span: float
    native_spans_per_s: float
    share_of_native: float
    small_requests: list[Small]


def run(spans: int, small_seconds: float = 5.0, directory: Path | None = None, say: Say = lambda text: None) -> Report:
    """Send about so many distinct spans in requests of 512 and wait until all are queryable, with every view on; then
    little requests from 64 connections.

    The requests are made before the clock starts; processes of their own send them. chDB allows one directory in a
    process, so call it in one that has no other storage open.
    """
    with tempfile.TemporaryDirectory(dir=directory) as name:
        home = Path(name)
        transactions = -(-spans // len(synthetic.HOPS) // _SPANS_PER_REQUEST) * _SPANS_PER_REQUEST
        spans = transactions * len(synthetic.HOPS)
        say(f"making {spans:,} distinct spans")
        made = _make(home / "sent", transactions, _SPANS_PER_REQUEST, seed=1)
        storage = Storage.connect(f"chdb://{home / 'clickhouse'}")
        storage.migrate()
        log = SegmentLog(home / "segments", storage.insert_segment, otlp.normalised)
        with _served(log) as port:
            say(f"sending them in {made:,} requests over {_CONNECTIONS} connections")
            measured = _sustained(log, storage, port, home / "sent", spans)
            small = [_small(log, port, home, size, small_seconds, say) for size in _SMALL]
        log.close()
        say("the same rows from a file in the engine's own format")
        native = _native(storage, home)
        storage.close()
    return Report(
        **measured,
        native_spans_per_s=native,
        share_of_native=round(measured["queryable_spans_per_s"] / native, 2),
        small_requests=small,
    )


def _make(folder: Path, transactions: int, spans_per_request: int, seed: int) -> int:
    folder.mkdir()
    number = 0
    for number, body in enumerate(synthetic.requests(transactions, spans_per_request, seed=seed), 1):
        (folder / f"{number:08}").write_bytes(body)
    return number


def _sustained(log: SegmentLog, storage: Storage, port: int, sent: Path, spans: int) -> dict[str, Any]:
    started, busy = time.perf_counter(), time.process_time()
    told = _send(port, sent, _CONNECTIONS)
    stored = log.wait_stored(_STORE_SECONDS)
    elapsed, busy = time.perf_counter() - started, time.process_time() - busy
    [(rows, bytes_on_disk)] = storage.query(_STORED_SIZE, max_seconds=60.0)
    if not stored or rows != spans:
        raise RuntimeError(f"{rows} of {spans} spans are queryable")
    return {
        "spans": spans,
        "acknowledged_spans_per_s": round(spans / told.seconds),
        "queryable_spans_per_s": round(spans / elapsed),
        "acknowledged_p50_ms": told.p50_ms,
        "acknowledged_p99_ms": told.p99_ms,
        "cpu_seconds_per_million_spans": round(busy / spans * 1_000_000, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "bytes_per_span": round(bytes_on_disk / spans, 1),
    }


def _small(log: SegmentLog, port: int, home: Path, size: int, seconds: float, say: Say) -> Small:
    requests = int(seconds * 1_500)
    transactions = -(-requests // len(synthetic.HOPS)) * size
    folder = home / f"small-{size}"
    made = _make(folder, transactions, size, seed=size + 1)
    say(f"sending {made:,} requests of {size} spans over {_SMALL_CONNECTIONS} connections")
    told = _send(port, folder, _SMALL_CONNECTIONS)
    log.wait_stored(_STORE_SECONDS)
    rate = told.requests / told.seconds
    return Small(size, _SMALL_CONNECTIONS, round(rate), round(rate * size), told.p99_ms)


def _native(storage: Storage, home: Path) -> float:
    """In a process and a database of their own: spans a second from a file in Native format."""
    file = home / "spans.native"
    storage.execute(f"SELECT * FROM spans LIMIT {_NATIVE_SPANS} INTO OUTFILE '{file}' FORMAT Native")  # noqa: S608
    code = f"from collector import bench; print(bench.insert_native({str(home / 'native')!r}, {str(file)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    return round(float(done.stdout.splitlines()[-1]))


def insert_native(directory: str, file: str) -> float:
    """Rows a second from a file in Native format into ``spans`` and all its views."""
    storage = Storage.connect(f"chdb://{directory}")
    storage.migrate()
    started = time.perf_counter()
    storage.execute(
        f"INSERT INTO spans FROM INFILE '{file}' SETTINGS max_insert_threads = 1, optimize_on_insert = 0,"
        " max_partitions_per_insert_block = 0 FORMAT Native"
    )
    seconds = time.perf_counter() - started
    [(rows,)] = storage.query("SELECT count() FROM spans")
    storage.close()
    return float(rows / seconds)


# --- the senders' process ---


def _send(port: int, folder: Path, connections: int) -> Sent:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(port, folder, connections, sending))
    process.start()
    sending.close()
    try:
        told: Sent = receiving.recv()
    finally:
        process.join()
    return told


def _send_all(port: int, folder: Path, connections: int, told: Any) -> None:
    bodies = sorted(folder.iterdir())
    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as senders:
        shares = [bodies[number::connections] for number in range(connections)]
        waits = [wait for share in senders.map(lambda share: _send_share(port, share), shares) for wait in share]
    seconds = time.perf_counter() - started
    waits.sort()
    p50, p99 = (round(waits[int(len(waits) * part)] * 1_000, 2) for part in (0.5, 0.99))
    told.send(Sent(len(bodies), seconds, p50, p99))


def _send_share(port: int, bodies: list[Path]) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    waits = []
    for path in bodies:
        body = path.read_bytes()
        started = time.perf_counter()
        while not _accepted(connection, body):
            pass
        waits.append(time.perf_counter() - started)
    connection.close()
    return waits


def _accepted(connection: http.client.HTTPConnection, body: bytes) -> bool:
    connection.request("POST", "/v1/traces", body, {"Content-Type": otlp.PROTOBUF})
    answer = connection.getresponse()
    answer.read()
    if answer.status in (429, 503):
        time.sleep(float(answer.headers["Retry-After"]))
        return False
    if answer.status != 200:
        raise RuntimeError(f"the receiver answered {answer.status}")
    return True


@contextmanager
def _served(log: SegmentLog) -> Iterator[int]:
    app = receiver.create_app(log, Intake(log))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with ThreadPoolExecutor(1) as runner:
        running = runner.submit(server.run)
        while not server.started and not running.done():
            time.sleep(0.01)
        try:
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            running.result()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    """``python -m collector.bench SPANS``: the report as JSON on standard output, progress on standard error."""
    gc.set_threshold(50_000, 20, 50)  # as `tallytrace serve` does
    report = run(int(sys.argv[1]), say=_say)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main()
