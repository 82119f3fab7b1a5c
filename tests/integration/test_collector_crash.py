"""Writers killed at any instant: what was acknowledged is stored, once, in every table.

Run as a program it is such a writer: ``python -m tests.integration.test_collector_crash HOME FIRST LAST`` appends the
requests of these numbers, tells each acknowledged one, waits until all is stored and tells what is.
"""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector import otlp
from collector.segments import SegmentLog
from collector.storage import Storage
from tests.unit.collector.spans import request, span

ROOT = Path(__file__).parent.parent.parent
SPANS = 25  # in each request, each with two keys, a milestone, a link and a journal line of its own
ROUND = 1_000  # the most requests a writer appends
RENAMES = "rename,renameat,renameat2"
REQUESTS = """
    SELECT intDiv(reinterpretAsUInt64(reverse(span_id)), {spans:UInt64}) AS request, count()
    FROM spans FINAL GROUP BY request
"""
TABLES = ("spans", "business_keys", "milestones", "journal_lines", "links", "links_by_target")


def numbered_request(number: int) -> bytes:
    return request(*(_numbered_span(number * SPANS + index) for index in range(SPANS)))


def _numbered_span(number: int) -> Any:
    identity = f"{number:032x}"
    attributes = {"correlation_id": identity, "order_id": identity, "journal_id": identity, "outcome": "ok",
                  "entity": "order", "entity_id": identity, "milestone": "captured"}  # fmt: skip
    link = {"from": identity, "to": f"{number + 1:032x}", "kind": "part_of"}
    return span(number, attributes, events=[("link", link), ("journal.line", {"line_no": 1, "amount_minor": 1})])


def write(home: Path, first: int, last: int) -> None:
    storage = Storage.connect(f"chdb://{home / 'clickhouse'}")
    storage.migrate()
    log = SegmentLog(home / "log", storage.insert_segment, otlp.normalised, max_age_seconds=0.02, inserters=2)
    for number in range(first, last):
        log.append(numbered_request(number)).result(30)
        _tell(number)
    assert log.wait_stored(60)
    assert log.counters().quarantined_requests == 0
    counts = {table: storage.query(f"SELECT count() FROM {table} FINAL")[0][0] for table in TABLES}  # noqa: S608
    _tell({"counts": counts, "requests": storage.query(REQUESTS, {"spans": SPANS})})
    log.close()
    storage.close()


def _tell(what: object) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def writer(home: Path, first: int, last: int, *before: str) -> "subprocess.Popen[str]":
    command = [*before, sys.executable, "-m", __spec__.name, str(home), str(first), str(last)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_at_random(home: Path, first: int, chance: random.Random) -> list[str]:
    with writer(home, first, first + ROUND) as process:
        assert process.stdout is not None
        told = [process.stdout.readline()]
        time.sleep(chance.random())
        process.kill()
        return told + process.stdout.readlines()


def killed_at_a_rename(home: Path, first: int, chance: random.Random) -> list[str]:
    """Between the log of deduplication tokens and the part it speaks of lies a rename, hardly ever hit at random."""
    at = f"inject={RENAMES}:signal=SIGKILL:when={chance.randrange(1, 40)}"
    strace = ["strace", "-f", "-qqq", "--seccomp-bpf", "-o", str(home / "strace"), "-e", f"trace={RENAMES}", "-e", at]
    with writer(home, first, first + ROUND, *strace) as process:
        assert process.stdout is not None
        return process.stdout.readlines()


def acknowledged_in_rounds(home: Path, rounds: int, chance: random.Random) -> set[int]:
    acknowledged: set[int] = set()
    for number in range(1, rounds + 1):
        kill = killed_at_random if number % 2 or not shutil.which("strace") else killed_at_a_rename
        told = kill(home, number * ROUND, chance)
        acknowledged.update(int(line) for line in told if line.endswith("\n") and line.strip().isdigit())
    return acknowledged


@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.long)])
def test_no_acknowledged_span_is_lost_or_doubled_by_kills(rounds: int, home: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    acknowledged = acknowledged_in_rounds(home, rounds, random.Random(seed))
    assert len(acknowledged) > rounds, f"seed {seed}"
    with writer(home, (rounds + 1) * ROUND, (rounds + 1) * ROUND + 1) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    stored = msgspec.json.decode(output.splitlines()[-1])
    requests = dict(map(tuple, stored["requests"]))
    assert acknowledged - requests.keys() == set(), f"seed {seed}"
    assert set(requests.values()) == {SPANS}, f"seed {seed}"
    spans = len(requests) * SPANS
    assert stored["counts"] == dict.fromkeys(TABLES, spans) | {"business_keys": 2 * spans}, f"seed {seed}"


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
