"""What one machine takes in, over loopback HTTP into embedded ClickHouse: spans acknowledged and queryable a second."""

import http.client
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import uvicorn

from collector import migrations, otlp, receiver, synthetic
from collector.intake import RETRY_AFTER_SECONDS, Intake
from collector.segments import SegmentLog
from collector.storage import Storage

_STORED_SIZE: Final = (migrations.SQL / "stored_size.sql").read_text()
_STORE_SECONDS: Final = 600.0


def run(
    spans: int = 1_000_000, *, spans_per_request: int = 2_000, connections: int = 4, directory: Path | None = None
) -> dict[str, float]:
    """Send that many distinct spans and wait until all are queryable, with every view on; rates are spans a second.

    The requests are made before the clock starts; a process of its own sends them. chDB allows one directory in a
    process, so call it in one that has no other storage open.
    """
    with tempfile.TemporaryDirectory(dir=directory) as name:
        home = Path(name)
        sent = home / "requests"
        transactions = spans // len(synthetic.HOPS)
        sent.mkdir()
        for number, body in enumerate(synthetic.requests(transactions, spans_per_request)):
            (sent / f"{number:08}").write_bytes(body)
        return _measure(home, sent, transactions * len(synthetic.HOPS), connections)


def _measure(home: Path, sent: Path, spans: int, connections: int) -> dict[str, float]:
    storage = Storage.connect(f"chdb://{home / 'clickhouse'}")
    storage.migrate()
    log = SegmentLog(home / "segments", storage.insert_segment, otlp.normalised)
    with _served(log) as url:
        sender = multiprocessing.get_context("spawn").Process(target=_send_all, args=(url, sent, connections))
        started, busy = time.perf_counter(), time.process_time()
        sender.start()
        first = _until_accepted(log, 1, started)
        acknowledged = _until_accepted(log, spans, started)
        stored = log.wait_stored(_STORE_SECONDS)
        queryable, busy = time.perf_counter(), time.process_time() - busy
        sender.join()
    [(rows, bytes_on_disk)] = storage.query(_STORED_SIZE, max_seconds=60.0)
    log.close()
    storage.close()
    if not stored or rows != spans:
        raise RuntimeError(f"{rows} of {spans} spans are queryable")
    return {
        "spans": spans,
        "acknowledged_spans_per_s": round(spans / (acknowledged - first)),
        "queryable_spans_per_s": round(spans / (queryable - first)),
        "cpu_seconds_per_million_spans": round(busy / spans * 1_000_000, 2),
        "bytes_per_span": round(bytes_on_disk / spans, 1),
    }


def _until_accepted(log: SegmentLog, spans: int, started: float) -> float:
    while log.counters().accepted_spans < spans:
        if time.perf_counter() - started > _STORE_SECONDS:
            raise RuntimeError(f"only {log.counters().accepted_spans} of {spans} spans were accepted")
        time.sleep(0.005)
    return time.perf_counter()


def _send_all(url: str, sent: Path, connections: int) -> None:
    bodies = sorted(sent.iterdir())
    with ThreadPoolExecutor(connections) as senders:
        list(senders.map(lambda number: _send(url, bodies[number::connections]), range(connections)))


def _send(url: str, bodies: list[Path]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    for path in bodies:
        body = path.read_bytes()
        while not _accepted(connection, body):
            time.sleep(RETRY_AFTER_SECONDS)


def _accepted(connection: http.client.HTTPConnection, body: bytes) -> bool:
    connection.request("POST", "/v1/traces", body, {"Content-Type": otlp.PROTOBUF})
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (200, 429, 503):
        raise RuntimeError(f"the receiver answered {answer.status}")
    return answer.status == 200


@contextmanager
def _served(log: SegmentLog) -> Iterator[str]:
    config = uvicorn.Config(
        receiver.create_app(log, Intake(log)), host="127.0.0.1", port=0, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
