"""The demo alone, as a newcomer starts it: promises measured, numbers that open, a page, its resolve, a clean stop."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_SECONDS = 400  # on a busy machine; alone it takes a minute


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
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def demo(home: Path, port_base: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tallytrace", "demo", "--home", str(home), "--port-base", str(port_base)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    impatience = threading.Timer(PATIENCE_SECONDS, process.terminate)
    impatience.start()
    with process:
        try:
            yield process
        finally:
            process.terminate()
            impatience.cancel()


@pytest.mark.long
def test_a_newcomer_sees_promises_numbers_and_an_alert(home: Path) -> None:
    port_base = free_port_base()
    printed = ""
    with demo(home, port_base) as process:
        assert process.stdout is not None
        for line in process.stdout:
            printed += line
            if "RESOLVED" in line:
                process.send_signal(signal.SIGINT)
    for promise in ("stock_freshness", "refund_to_ledger", "reconciliation_variance"):
        assert re.search(rf"measured:.*{promise} (?!no_data)", printed), printed
    assert printed.count("/ui/transaction/") == 3, printed
    assert "PAGE for Finance operations: refund not in the ledger by its deadline" in printed
    assert re.search(r"[1-9]\d* pages, [1-9]\d* resolved", printed), printed
    assert process.returncode == 0
    assert not (home / "postgres" / "postmaster.pid").exists()
    assert all(map(is_free, range(port_base, port_base + 5)))
