"""What the collector does when what it stands on fails: ClickHouse, the disk, the bytes on it, a client's patience."""

import errno
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from collector import grpc_receiver, otlp, receiver
from collector.framing import record, scan
from collector.intake import Intake
from collector.segments import SegmentLog
from collector.storage import Storage
from tallytrace import webserver
from tests import clickhouse_http
from tests.acknowledged import Senders, assert_stored, numbered_request
from tests.collector_process import Collector
from tests.unit.collector.spans import START

SECONDS = 60.0
MONTHS = 130
MONTH_NANOSECONDS = 30_436_875 * 86_400_000  # 30.436875 days
DISK_BYTES = 4 << 20
FIRST_SEGMENT = "000000000001.otlp"


class ClickHouse:
    """A server that comes and goes, on one directory and one port."""

    def __init__(self, directory: Path, port: int) -> None:
        self._where = (directory, port)
        with self.running() as url:
            self.storage = Storage.connect(url)
            self.url = url
            self.storage.migrate()

    @contextmanager
    def running(self) -> Iterator[str]:
        with clickhouse_http.running(*self._where) as url:
            yield url

    def process(self) -> psutil.Process:
        (found,) = [one for one in psutil.Process().children() if "tests.clickhouse_http" in one.cmdline()]
        return found


@pytest.fixture
def clickhouse(home: Path, free_port: Callable[[], int]) -> Iterator[ClickHouse]:
    """Migrated, and away."""
    server = ClickHouse(home / "clickhouse", free_port())
    yield server
    server.storage.close()


@contextmanager
def collecting(clickhouse: ClickHouse, directory: Path, port: int, **options: Any) -> Iterator[SegmentLog]:
    log = SegmentLog(directory, clickhouse.storage.insert_segment, otlp.normalised, **options)
    try:
        with webserver.serving(receiver.create_app(log, Intake(log)), "127.0.0.1", port, name="collector"):
            yield log
    finally:
        log.close(drain_seconds=0)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def post(port: int, body: bytes) -> httpx.Response:
    headers = {"Content-Type": otlp.PROTOBUF}
    return httpx.post(
        f"http://127.0.0.1:{port}/v1/traces", content=body, headers=headers, trust_env=False, verify=False, timeout=30
    )


def test_nothing_is_lost_while_clickhouse_is_away_or_killed_in_the_middle_of_inserts(
    clickhouse: ClickHouse, home: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    with collecting(clickhouse, home / "log", port, max_bytes=1_000_000) as log:
        senders = Senders(port, 3)
        try:
            until(lambda: len(senders.acknowledged) > 50)
            assert log.counters().stored_requests == 0
            for _ in range(2):
                with clickhouse.running():
                    stored = log.counters().stored_segments
                    until(lambda: log.counters().stored_segments > stored + 1)  # noqa: B023
                    time.sleep(random.SystemRandom().random() / 5)
                    clickhouse.process().kill()
                    until(lambda: log.counters().trouble != "")
            until(lambda: len(senders.acknowledged) > 200)
            with clickhouse.running():
                senders.stop()
                assert log.wait_stored(SECONDS)
                assert_stored(clickhouse.storage, senders.acknowledged)
        finally:
            senders.abandon()
        assert senders.answers.keys() == {200}
        assert log.counters().quarantined_requests == 0


def test_nothing_is_lost_by_a_clickhouse_that_is_killed_at_its_renames(clickhouse: ClickHouse, home: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed: ClickHouse is killed at random moments only")
    renames, numbers = "rename,renameat,renameat2", range(1, 4)
    with SegmentLog(home / "log", clickhouse.storage.insert_segment, otlp.normalised, inserters=1) as log:
        for number in numbers:
            with clickhouse.running():
                kill = f"inject={renames}:signal=SIGKILL:when={2 * number + 1}"
                pid = str(clickhouse.process().pid)
                strace = ["strace", "-f", "-qqq", "-p", pid, "-o", str(home / "strace"), "-e", f"trace={renames}"]
                with subprocess.Popen([*strace, "-e", kill]) as tracer:
                    until(lambda: all(traced(thread) for thread in Path(f"/proc/{pid}/task").iterdir()))  # noqa: B023
                    log.append(numbered_request(number)).result(SECONDS)
                    tracer.wait(SECONDS)
            with clickhouse.running():
                assert log.wait_stored(SECONDS)
        with clickhouse.running():
            assert_stored(clickhouse.storage, numbers)


def traced(thread: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in (thread / "status").read_text()
    except OSError:  # the thread has ended
        return True


def test_a_backlog_of_more_months_than_an_insert_may_touch_goes_in_at_once(
    clickhouse: ClickHouse, home: Path, free_port: Callable[[], int]
) -> None:
    numbers = range(1, MONTHS + 1)
    port = free_port()
    with collecting(clickhouse, home / "log", port, max_age_seconds=SECONDS):
        for number in numbers:
            body = numbered_request(number, at=START - number * MONTH_NANOSECONDS)
            assert post(port, body).status_code == 200
    assert [path.name for path in (home / "log").glob("*.otlp")] == [FIRST_SEGMENT]
    with clickhouse.running(), collecting(clickhouse, home / "log", port) as log:
        assert log.wait_stored(SECONDS)
        counters = log.counters()
        assert (counters.stored_segments, counters.quarantined_requests) == (1, 0)
        assert clickhouse.storage.query("SELECT uniqExact(toYYYYMM(start_time)) FROM spans") == [(MONTHS,)]
        assert_stored(clickhouse.storage, numbers)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """Skips where this user may not mount."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted, os.write alone says that it is full: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def small_quota(directory: Path) -> Iterator[None]:
    """Writes into the directory fail as they do on a disk that is full, the last of them after a part."""
    write = os.write

    def bounded(descriptor: int, content: Any) -> int:
        if Path(os.readlink(f"/proc/self/fd/{descriptor}")).parent != directory:
            return write(descriptor, content)
        left = DISK_BYTES - sum(path.stat().st_size for path in directory.glob("*.otlp") if path.exists())
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[:left])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", bounded)
        yield


@pytest.mark.parametrize("small", [small_disk, small_quota])
def test_on_a_full_disk_senders_are_asked_to_come_again_and_nothing_acknowledged_is_lost(
    small: Callable[[Path], Any], clickhouse: ClickHouse, home: Path, free_port: Callable[[], int]
) -> None:
    port, none = free_port(), -DISK_BYTES  # nobody looks how much is left: the write finds out
    with small(home / "log"), collecting(clickhouse, home / "log", port, reserve_bytes=none) as log:
        senders = Senders(port, 4)
        try:
            until(lambda: senders.answers[503] > 100)
            assert any("No space left on device" in told for told in senders.refusals)
            acknowledged = len(senders.acknowledged)
            time.sleep(0.5)
            assert len(senders.acknowledged) <= acknowledged + 4
            with clickhouse.running():
                until(lambda: len(senders.acknowledged) > acknowledged + 100)
                senders.stop()
                assert log.wait_stored(SECONDS)
                assert_stored(clickhouse.storage, senders.acknowledged)
        finally:
            senders.abandon()
        assert senders.answers.keys() == {200, 503}
        assert log.counters().quarantined_requests == 0


def test_before_the_disk_is_full_senders_are_asked_to_come_again(
    clickhouse: ClickHouse, home: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    reserve_bytes = shutil.disk_usage(home).free + (1 << 30)
    with collecting(clickhouse, home / "log", port, reserve_bytes=reserve_bytes) as log:
        answer = post(port, numbered_request(1))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "are kept free" in answer.text
        ready = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, verify=False)
        assert ready.status_code == 503
        assert log.counters().accepted_requests == 0
    assert list((home / "log").glob("*.otlp")) == []


def test_of_a_segment_damaged_between_a_kill_and_the_start_all_but_the_damaged_request_is_stored(
    clickhouse: ClickHouse, home: Path, free_port: Callable[[], int]
) -> None:
    bodies, port = {numbered_request(number): number for number in range(1, 41)}, free_port()
    with Collector(home, port, clickhouse.url) as collector:
        assert collector.wait_ready()
        assert {post(port, body).status_code for body in bodies} == {200}
        collector.kill()
    damaged = damage(home / "log")
    with clickhouse.running(), Collector(home, port, clickhouse.url) as collector:
        assert collector.wait_ready()
        assert collector.wait_stored().quarantined_requests == 1
        assert post(port, numbered_request(41)).status_code == 200
        counters = collector.wait_stored()
        collector.stop()
        assert (counters.recovered_requests, counters.stored_requests, counters.set_aside_requests) == (40, 40, 1)
        assert_stored(clickhouse.storage, {*bodies.values(), 41} - {bodies[damaged]})
    (aside,) = (home / "log" / "quarantine").iterdir()
    assert len(aside.read_bytes()) == len(record(damaged))


def damage(directory: Path) -> bytes:
    """Flips eight bytes in the middle of a request that is neither the first nor the last of its segment; returns it
    as it was."""
    path = max(directory.glob("*.otlp"), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    bodies = scan(bytes(content)).bodies
    body = bodies[len(bodies) // 2]
    assert len(bodies) > 2
    middle = content.index(body) + len(body) // 2
    for position in range(middle, middle + 8):
        content[position] ^= 0xFF
    path.write_bytes(content)
    return body


def test_a_caller_that_gives_up_stops_nobody_else(
    clickhouse: ClickHouse, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.3)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    with (
        clickhouse.running(),
        SegmentLog(home / "log", clickhouse.storage.insert_segment, otlp.normalised) as log,
        grpc_receiver.serving(Intake(log), "127.0.0.1", 0) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call: Any = channel.unary_unary(f"/{grpc_receiver.SERVICE}/Export")
        assert call(numbered_request(1), timeout=SECONDS) == b""
        for number in (2, 3):
            with pytest.raises(grpc.RpcError) as caught:
                call(numbered_request(number), timeout=0.1)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        given_up = call.future(numbered_request(4))
        time.sleep(0.1)
        given_up.cancel()
        assert call(numbered_request(2), timeout=SECONDS) == b""
        assert call(numbered_request(5), timeout=SECONDS) == b""
        assert log.wait_stored(SECONDS)
        assert_stored(clickhouse.storage, {1, 2, 3, 4, 5})
