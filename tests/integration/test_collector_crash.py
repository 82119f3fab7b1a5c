"""A collector killed at any instant while senders go on: what was acknowledged is stored, once, in every table."""

import itertools
import logging
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from collector.storage import Storage
from tests.acknowledged import Senders, assert_stored
from tests.collector_process import Collector

log = logging.getLogger(__name__)

SENDERS = 4
LONGEST_SECONDS = 10.0  # once it is ready, for a syscall to come that often; then the collector is killed as it is

Kill = Callable[[Path, int, random.Random], bool]
"""Starts a collector and kills it; whether a syscall was the moment."""


def clickhouse(home: Path) -> str:
    return f"chdb://{home / 'clickhouse'}"


def at_random(home: Path, port: int, chance: random.Random) -> bool:
    """One in four while it starts, the others while it works."""
    with Collector(home, port, clickhouse(home)) as collector:
        if chance.randrange(4):
            assert collector.wait_ready()
        time.sleep(1.5 * chance.random())
        collector.kill()
    return False


def at_syscall(names: str, most: int) -> Kill:
    def kill(home: Path, port: int, chance: random.Random) -> bool:
        inject = f"inject={names}:signal=SIGKILL:when={chance.randrange(1, most)}"
        options = ["-D", "-f", "-qqq", "-o", str(home / "strace"), "-e", f"trace={names}"]
        with Collector(home, port, clickhouse(home), "strace", *options, "-e", inject) as collector:
            reached = not collector.wait_ready() or collector.ended(LONGEST_SECONDS)
            collector.kill()
        return reached

    return kill


# Between the engine's log of deduplication tokens and the part it speaks of lies a rename; between what is written and
# what is durable, a sync; between what is stored and what is forgotten, an unlink. Random kills hardly ever hit these.
KILLS: dict[str, list[Kill]] = {
    "random": [at_random],
    "syscalls": [
        at_syscall("rename,renameat,renameat2", 20),
        at_syscall("fsync,fdatasync", 60),
        at_syscall("unlink,unlinkat", 4),
    ],
}


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("moments", KILLS)
def test_no_acknowledged_span_is_lost_or_doubled_by_kills(
    moments: str, kills: int, home: Path, free_port: Callable[[], int]
) -> None:
    if moments == "syscalls" and not shutil.which("strace"):
        pytest.skip("strace is not installed: the collector is killed at random moments only")
    seed = random.SystemRandom().randrange(10**6)
    log.warning("seed %d", seed)
    chance, port = random.Random(seed), free_port()
    senders = Senders(port, SENDERS)
    try:
        reached = [kill(home, port, chance) for kill in itertools.islice(itertools.cycle(KILLS[moments]), kills)]
        with Collector(home, port, clickhouse(home)) as collector:
            assert collector.wait_ready()
            senders.stop()
            counters = collector.wait_stored()
            collector.stop()
    finally:
        senders.abandon()
    log.warning("%d of %d kills at a syscall, %d requests", sum(reached), kills, len(senders.acknowledged))
    assert counters.quarantined_requests == 0
    assert senders.answers.keys() <= {0, 200, 503}
    assert moments == "random" or sum(reached) >= kills // 2, f"only {sum(reached)} kills were at a syscall"
    with closing(Storage.connect(clickhouse(home))) as storage:
        assert_stored(storage, senders.acknowledged)
