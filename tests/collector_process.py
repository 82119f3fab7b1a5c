"""A collector in a process of its own, to be killed: ``python -m tests.collector_process HOME PORT CLICKHOUSE``.

It keeps its log in HOME and takes OTLP over HTTP at PORT until SIGTERM. An embedded ClickHouse is migrated before;
one that is a server may be away.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec

from collector import otlp, receiver
from collector.intake import Intake
from collector.segments import Counters, SegmentLog
from collector.storage import Storage
from tallytrace import webserver

ROOT: Final = Path(__file__).parent.parent
SECONDS: Final = 60.0


class Collector:
    """The process as its supervisor sees it; killed when the block ends, if it still runs."""

    def __init__(self, home: Path, port: int, clickhouse: str, *before: str) -> None:
        """``before`` is the command that the process is run under, in the same process."""
        command = [*before, sys.executable, "-m", __name__, str(home), str(port), clickhouse]
        self._process = subprocess.Popen(command, cwd=ROOT)
        self._readyz = f"http://127.0.0.1:{port}/readyz"

    def counters(self) -> Counters:
        """Raises httpx.TransportError when nobody answers."""
        answer = httpx.get(self._readyz, trust_env=False, verify=False, timeout=SECONDS)
        return msgspec.json.decode(answer.content, type=Counters)

    def wait_ready(self) -> bool:
        """Whether it answers; False when it ended before."""
        deadline = time.monotonic() + SECONDS
        while self._process.poll() is None:
            try:
                self.counters()
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the collector does not answer"
                time.sleep(0.02)
            else:
                return True
        return False

    def wait_stored(self) -> Counters:
        deadline = time.monotonic() + SECONDS
        while (counters := self.counters()).backlog_bytes or counters.waiting_requests:
            assert time.monotonic() < deadline, f"not everything is stored: {counters}"
            time.sleep(0.05)
        return counters

    def ended(self, within_seconds: float) -> bool:
        try:
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        code = self._process.wait()
        assert code == -signal.SIGKILL, f"the collector had ended by itself: {code}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        code = self._process.wait(SECONDS)
        assert code == 0, f"the collector did not stop cleanly: {code}"


def run(home: Path, port: int, clickhouse: str) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    os.chdir(home)
    storage = Storage.connect(clickhouse)
    if clickhouse.startswith("chdb:"):
        storage.migrate()
    with SegmentLog(home / "log", storage.insert_segment, otlp.normalised) as log:
        app = receiver.create_app(log, Intake(log))
        with webserver.serving(app, "127.0.0.1", port, name="collector"):
            while not stopped.wait(0.2):  # a traced thread may have got the signal: then nothing wakes this one
                pass
    storage.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
