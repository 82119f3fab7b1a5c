"""The demo as a newcomer starts it, with all that it prints."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sync_core.returns.messages import RefundIssued
from tallytrace.demo import SEED, begun
from tallytrace.estate.incidents import Incident, plan_of

PATIENCE_SECONDS = 900  # on a busy machine; alone it takes a minute
PORTS = 7
REFUND_PAGED = r"PAGE for Finance operations: refund not in the ledger by its deadline: web\n(?:.*\n){2} +(http://\S+)"
"""Says where its owner is sent."""


class Demo:
    """A demo that runs. ``printed`` grows as it prints."""

    def __init__(self, process: subprocess.Popen[str], home: Path, port_base: int) -> None:
        self.process = process
        self.home = home
        self.port_base = port_base
        self.url = f"http://127.0.0.1:{port_base}"
        self.printed = ""

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def awaits(self, pattern: str) -> "re.Match[str]":
        """What it prints that matches."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(pattern, self.printed)):
            assert self.process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.5)
        return found

    def refund_in_parts(self) -> RefundIssued:
        """A refund that a held ERP keeps out of the ledger, told to its owner and over again.

        It is caused by hand: that of the timetable may be over before a busy machine has measured anything.
        """
        paged = len(re.findall(REFUND_PAGED, self.printed))
        assert self.faults("refund-in-parts", "--for", "90s").returncode == 0
        self.awaits(f"(?s)(?:{REFUND_PAGED}.*){{{paged + 1}}}RESOLVED refund not in the ledger by its deadline: web")
        return self._refund_of([one for one in begun(self.home) if one.kind == "refund-in-parts"][-1])

    def _refund_of(self, incident: Incident) -> RefundIssued:
        told = plan_of(incident, SEED, []).happenings
        return next(each.event for each in told if isinstance(each.event, RefundIssued))

    def faults(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``tallytrace demo fault`` from another terminal."""
        return self.command("demo", "fault", *arguments, "--home", str(self.home))

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``tallytrace`` from another terminal."""
        environment = os.environ | {"TALLYTRACE_HOME": str(self.home)}
        command = [sys.executable, "-m", "tallytrace", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def json(self, *arguments: str) -> Any:
        """What ``tallytrace ... --json`` answers."""
        told = self.command(*arguments, "--json")
        assert told.returncode == 0, told.stderr
        return msgspec.json.decode(told.stdout)


@contextmanager
def running(days: int) -> Iterator[Demo]:
    directory = Path(tempfile.mkdtemp(prefix="demo-"))
    base = free_port_base()
    command = [sys.executable, "-m", "tallytrace", "demo", "--home", str(directory / "home"), "--port-base", str(base),
               "--days", str(days)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        demo = Demo(process, directory / "home", base)
        reader = threading.Thread(target=demo.read)
        reader.start()
        try:
            yield demo
        finally:
            process.terminate()
            process.wait(120)
            reader.join()
    shutil.rmtree(directory, ignore_errors=True)


def free_port_base() -> int:
    """The first of neighbouring ports that nobody holds."""
    return next(base for base in range(21_000, 60_000, 50) if all(map(is_free, range(base, base + PORTS))))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
