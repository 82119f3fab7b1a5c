"""The demo alone, as a newcomer starts it: promises measured, three numbers that open, one page and its resolve."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 120


@pytest.fixture
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="demo-"))
    yield directory / "home"
    shutil.rmtree(directory, ignore_errors=True)


def free_port_base() -> int:
    """The first of five neighbouring ports that nobody holds."""
    return next(base for base in range(21_000, 60_000, 50) if all(map(is_free, range(base, base + 5))))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.mark.long
def test_within_two_minutes_there_is_something_to_see(home: Path) -> None:
    command = [sys.executable, "-m", "tallytrace", "demo", "--home", str(home), "--seconds", str(SECONDS)]
    command += ["--port-base", str(free_port_base())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for promise in ("stock_freshness", "refund_to_ledger", "reconciliation_variance"):
        assert re.search(rf"measured:.*{promise}", done.stdout), done.stdout
    assert done.stdout.count("/ui/transaction/") == 3, done.stdout
    assert "PAGE" in done.stdout, done.stdout
    assert "RESOLVE" in done.stdout, done.stdout
