"""The log on a real disk, with an insert that fails when told to."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from collector import otlp
from collector.errors import (
    LogFullError,
    LogInUseError,
    LogUnavailableError,
    StorageError,
    StorageUnavailableError,
    UnreadableSegmentError,
)
from collector.framing import record, scan
from collector.segments import SegmentLog
from tests.unit.collector.spans import request, span, unreadable

SECONDS = 10.0
BODIES = [request(span(number)) for number in range(1, 41)]


class Store:
    """Keeps what is inserted; ``fault`` may raise instead."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.attempts: list[str] = []  # names of the files
        self.fault: Callable[[list[bytes]], None] = lambda bodies: None
        self._lock = threading.Lock()

    def insert(self, path: Path) -> None:
        content = path.read_bytes()
        found = scan(content).bodies
        with self._lock:
            self.attempts.append(path.name)
            self.fault(found)
            self.bodies += found


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def opened(store: Store, tmp_path: Path) -> Iterator[Callable[..., SegmentLog]]:
    logs = []

    def opened(**options: object) -> SegmentLog:
        log = SegmentLog(tmp_path / "log", store.insert, otlp.normalised, **options)  # type: ignore[arg-type]
        logs.append(log)
        return log

    yield opened
    for log in logs:
        log.close(drain_seconds=0)


def append(log: SegmentLog, bodies: list[bytes]) -> None:
    wait([log.append(body, 1) for body in bodies], SECONDS)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def unreachable(bodies: list[bytes]) -> None:
    raise StorageUnavailableError("nobody answers")


def on_disk(directory: Path) -> list[bytes]:
    return [body for path in sorted((directory / "log").glob("*.otlp")) for body in scan(path.read_bytes()).bodies]


def test_what_is_acknowledged_is_on_disk_then_stored_then_gone(
    opened: Callable[..., SegmentLog], store: Store, tmp_path: Path
) -> None:
    log = opened(max_age_seconds=0.3)
    append(log, BODIES)
    assert on_disk(tmp_path) == BODIES
    assert store.bodies == []
    assert log.wait_stored(SECONDS)
    assert store.bodies == BODIES
    assert on_disk(tmp_path) == []
    counters = log.counters()
    assert (counters.accepted_requests, counters.accepted_spans, counters.stored_segments) == (40, 40, 1)
    assert (counters.backlog_bytes, counters.backlog_segments, counters.trouble) == (0, 0, "")


def test_a_large_segment_is_finished_before_its_age(opened: Callable[..., SegmentLog], store: Store) -> None:
    log = opened(max_age_seconds=SECONDS, max_bytes=1)
    append(log, BODIES[:1])
    append(log, BODIES[1:2])
    assert log.wait_stored(SECONDS / 2)
    assert len(store.attempts) == 2


def test_while_storage_is_away_requests_are_taken_and_then_all_drains(
    opened: Callable[..., SegmentLog], store: Store
) -> None:
    store.fault = unreachable
    log = opened(max_age_seconds=0.01)
    append(log, BODIES[:20])
    until(lambda: len(store.attempts) >= 2)
    append(log, BODIES[20:])
    assert log.counters().trouble == "nobody answers"
    assert log.accepts()
    assert store.bodies == []
    store.fault = lambda bodies: None
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted(BODIES)
    assert log.counters().trouble == ""
    assert len(set(store.attempts)) == log.counters().stored_segments


def test_a_failure_that_nobody_foresaw_is_survived(opened: Callable[..., SegmentLog], store: Store) -> None:
    def broken(bodies: list[bytes]) -> None:
        store.fault = lambda bodies: None
        raise RuntimeError("unforeseen")

    store.fault = broken
    log = opened(max_age_seconds=0.01)
    append(log, BODIES)
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted(BODIES)


def test_a_full_backlog_asks_senders_to_wait(opened: Callable[..., SegmentLog], store: Store) -> None:
    store.fault = unreachable
    log = opened(max_age_seconds=0.01, max_backlog_bytes=len(record(BODIES[0])) * 3)
    append(log, BODIES[:3])
    with pytest.raises(LogFullError):
        log.append(BODIES[3])
    assert not log.accepts()
    store.fault = lambda bodies: None
    assert log.wait_stored(SECONDS)
    append(log, BODIES[3:4])
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted(BODIES[:4])


def test_after_a_stop_the_rest_goes_in(opened: Callable[..., SegmentLog], store: Store, tmp_path: Path) -> None:
    store.fault = unreachable
    log = opened(max_age_seconds=0.01)
    append(log, BODIES)
    until(lambda: bool(store.attempts))
    log.close(drain_seconds=0)
    with pytest.raises(LogUnavailableError):
        log.append(BODIES[0])
    assert on_disk(tmp_path) == BODIES
    store.fault = lambda bodies: None
    log = opened()
    assert log.wait_stored(SECONDS)
    assert store.bodies == BODIES
    assert on_disk(tmp_path) == []


def test_closing_stores_what_is_left(opened: Callable[..., SegmentLog], store: Store, tmp_path: Path) -> None:
    log = opened(max_age_seconds=60.0)
    append(log, BODIES)
    log.close()
    assert store.bodies == BODIES
    assert on_disk(tmp_path) == []


@pytest.mark.parametrize(
    "tail", [record(BODIES[2])[:-1], b"\xff", bytes(512), record(BODIES[2]).replace(b"order", b"0rder")]
)
def test_a_torn_end_of_the_newest_segment_is_cut_off_and_kept(
    tail: bytes, opened: Callable[..., SegmentLog], store: Store, tmp_path: Path
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "000000000007.otlp").write_bytes(record(BODIES[0]))
    (tmp_path / "log" / "000000000008.otlp").write_bytes(record(BODIES[1]) + tail)
    log = opened()
    append(log, BODIES[3:4])
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted([BODIES[0], BODIES[1], BODIES[3]])
    assert [path.read_bytes() for path in (tmp_path / "log").glob("*.torn")] == [tail]
    assert log.counters().set_aside_requests == 0


def test_what_is_damaged_of_an_older_segment_is_set_aside_and_counted(
    opened: Callable[..., SegmentLog], store: Store, tmp_path: Path
) -> None:
    damaged = record(BODIES[1])[:-1] + b"!"
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "000000000007.otlp").write_bytes(record(BODIES[0]) + damaged)
    (tmp_path / "log" / "000000000008.otlp").write_bytes(record(BODIES[2]))
    log = opened()
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted([BODIES[0], BODIES[2]])
    counters = log.counters()
    assert (counters.recovered_requests, counters.stored_requests, counters.set_aside_requests) == (3, 2, 1)
    assert [path.read_bytes() for path in (tmp_path / "log" / "quarantine").iterdir()] == [damaged]


def test_a_log_that_is_held_takes_requests_and_stores_none_before_it_is_released(
    opened: Callable[..., SegmentLog], store: Store
) -> None:
    log = opened(max_age_seconds=0.01, held=True)
    append(log, BODIES)
    assert not log.wait_stored(0.3)
    assert store.attempts == []
    log.release()
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted(BODIES)


def test_a_held_log_that_is_closed_keeps_all_for_the_next_start(
    opened: Callable[..., SegmentLog], store: Store, tmp_path: Path
) -> None:
    log = opened(held=True)
    append(log, BODIES)
    log.close()
    assert on_disk(tmp_path) == BODIES
    assert opened().wait_stored(SECONDS)
    assert store.bodies == BODIES


def test_a_poisoned_request_alone_is_set_aside(opened: Callable[..., SegmentLog], store: Store, tmp_path: Path) -> None:
    poison = {BODIES[7], BODIES[30]}

    def fault(bodies: list[bytes]) -> None:
        if poison & set(bodies):
            raise UnreadableSegmentError("cannot be read")

    store.fault = fault
    log = opened(max_age_seconds=0.2)
    append(log, BODIES)
    assert log.wait_stored(SECONDS)
    assert sorted(body for body in store.bodies if body) == sorted(set(BODIES) - poison)
    aside = [path.read_bytes() for path in (tmp_path / "log" / "quarantine").iterdir()]
    assert sorted(aside) == sorted(map(record, poison))
    assert log.counters().quarantined_requests == 2
    assert list((tmp_path / "log" / "parts").iterdir()) == []


def test_a_request_that_needs_normalising_is_stored(opened: Callable[..., SegmentLog], store: Store) -> None:
    odd = unreadable(99)

    def fault(bodies: list[bytes]) -> None:
        if odd in bodies:
            raise UnreadableSegmentError("cannot be read")

    store.fault = fault
    log = opened(max_age_seconds=0.2)
    append(log, [*BODIES[:3], odd])
    assert log.wait_stored(SECONDS)
    assert sorted(body for body in store.bodies if body) == sorted([*BODIES[:3], otlp.normalised(odd)])
    assert log.counters().quarantined_requests == 0


def test_when_nothing_can_be_read_nothing_is_set_aside(opened: Callable[..., SegmentLog], store: Store) -> None:
    def fault(bodies: list[bytes]) -> None:
        raise UnreadableSegmentError("the schema is broken")

    store.fault = fault
    log = opened(max_age_seconds=0.01)
    append(log, BODIES)
    until(lambda: log.counters().trouble == "the schema is broken")
    store.fault = lambda bodies: None
    assert log.wait_stored(SECONDS)
    assert sorted(body for body in store.bodies if body) == sorted(BODIES)
    assert log.counters().quarantined_requests == 0


def test_storage_that_goes_away_while_poison_is_sought(opened: Callable[..., SegmentLog], store: Store) -> None:
    calls = iter(range(10**6))

    def fault(bodies: list[bytes]) -> None:
        if next(calls) % 3 == 2:
            raise StorageError("busy")
        if BODIES[4] in bodies:
            raise UnreadableSegmentError("cannot be read")

    store.fault = fault
    log = opened(max_age_seconds=0.2)
    append(log, BODIES[:8])
    assert log.wait_stored(SECONDS)
    assert {body for body in store.bodies if body} == set(BODIES[:8]) - {BODIES[4]}
    assert log.counters().quarantined_requests == 1


def test_two_processes_never_share_a_directory(opened: Callable[..., SegmentLog]) -> None:
    opened()
    with pytest.raises(LogInUseError):
        opened()


def test_a_log_that_cannot_be_written_says_so_and_recovers(
    opened: Callable[..., SegmentLog], store: Store, tmp_path: Path
) -> None:
    log = opened(max_age_seconds=0.01)
    blocked = tmp_path / "log" / "000000000001.otlp"
    blocked.mkdir()  # the name of the first segment is taken
    with pytest.raises(LogUnavailableError, match="cannot be written"):
        log.append(BODIES[0]).result(SECONDS)
    append(log, BODIES[1:])
    assert log.wait_stored(SECONDS)
    assert sorted(store.bodies) == sorted(BODIES[1:])
    blocked.rmdir()
