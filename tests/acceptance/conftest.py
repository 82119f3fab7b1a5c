"""An installation of the product for acceptance tests: its own home, ports, ERP and command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallytrace import presence

READY_SECONDS = 90.0
HTTP = httpx.Client(trust_env=False)  # made once: each time it takes fifty milliseconds
STOP_SECONDS = 60.0
REAL_YEAR = Path(__file__).parents[3] / "shared" / "data" / "uci" / "online_retail_2010_2011.csv.gz"


class Installation:
    """One product, started as a user starts it; ``erp`` is the stand-in ERP's base URL, if settings name no other."""

    def __init__(self, home: Path, port: Callable[[], int], **settings: str) -> None:
        self.home = home
        self.core, self.plane, self.erp = (f"http://127.0.0.1:{port()}" for _ in range(3))
        self._own_erp = "TALLYTRACE_ERP_URL" in settings
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TALLYTRACE_")},
            "TALLYTRACE_HOME": str(home),
            "TALLYTRACE_CORE_PORT": self.core.rpartition(":")[2],
            "TALLYTRACE_PLANE_PORT": self.plane.rpartition(":")[2],
            "TALLYTRACE_OTLP_PORT": str(port()),
            "TALLYTRACE_OTLP_GRPC_PORT": str(port()),
            "TALLYTRACE_ERP_URL": self.erp,
            "TALLYTRACE_CLOCK": "file",
            "TALLYTRACE_SLA_TICK_SECONDS": "2",
            "COLUMNS": "160",
            **settings,
        }
        self._erp: subprocess.Popen[bytes] | None = None
        self._serve: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not self._own_erp:
            self.start_erp()
        self._serve = self._spawn("tallytrace", "serve", log="serve.log")
        self.wait_for(lambda: all(ready(f"{url}/readyz") for url in (self.core, self.plane)), READY_SECONDS)

    def stop(self) -> None:
        for process in (self._serve, self._erp):
            if process is not None:
                process.terminate()
                process.wait(STOP_SECONDS)

    def start_erp(self) -> None:
        port = self.erp.rpartition(":")[2]
        self._erp = self._spawn(
            "tallytrace.erp_stub", "--port", port, "--state", str(self.home / "erp.jsonl"), log="erp.log"
        )
        self.wait_for(lambda: ready(f"{self.erp}/healthz"), READY_SECONDS)

    def stop_erp(self) -> None:
        assert self._erp is not None
        self._erp.kill()
        self._erp.wait()

    def run(self, *arguments: str, timeout: float = 240.0, **settings: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a user runs it, with other settings where some are given; output and exit status."""
        command = [sys.executable, "-m", "tallytrace", *arguments]
        return subprocess.run(
            command,
            env=self._environment | settings,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def replay(self, file: Path, *options: str) -> dict[str, Any]:
        outcome: dict[str, Any] = self.json("replay", str(file), *options)
        return outcome

    def journal(self) -> str:
        """The canonical export."""
        done = self.run("export", "journal")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self, role: presence.Role) -> None:
        """kill -9; the supervisor starts the process again."""
        found = presence.find(self.home, role)
        assert found is not None, f"{role} does not run"
        os.kill(found.pid, signal.SIGKILL)
        self.wait_for(
            lambda: (now := presence.find(self.home, role)) is not None and now.pid != found.pid, READY_SECONDS
        )

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = HTTP.get(f"{self.core}/v1/status", timeout=30.0).json()
        return answer

    def wait_until_drained(self, seconds: float = 120.0) -> None:
        """Until no event, journal or span is on its way; so long nothing may stand still."""
        least: tuple[int, ...] = (sys.maxsize,)
        since = time.monotonic()
        while left := self._on_their_way():
            if left < least:
                least, since = left, time.monotonic()
            if time.monotonic() > since + seconds:
                raise AssertionError(f"{left} for {seconds:.0f} s; {self._logs()}")
            time.sleep(0.1)

    def _on_their_way(self) -> tuple[int, ...]:
        """Events, journals and spans; empty when there are none of any."""
        try:
            now = self.status()
        except httpx.HTTPError:
            return (sys.maxsize,)
        left = (now["inbox_queued"], now["outbox_waiting"], now["spans_waiting"])
        return left if any(left) else ()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:.0f} s; {self._logs()}")
            time.sleep(0.1)

    def _spawn(self, module: str, *arguments: str, log: str) -> subprocess.Popen[bytes]:
        with (self.home / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self._environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}" for path in self.home.glob("*.log")
        )


def ready(url: str) -> bool:
    try:
        return HTTP.get(url, timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def installation(port: Callable[[], int], **settings: str) -> Iterator[Installation]:
    """A product that runs inside the block; its state is gone after it."""
    home = Path(tempfile.mkdtemp(prefix="tt-"))
    home.chmod(0o755)
    one = Installation(home, port, **settings)
    try:
        one.start()
        yield one
    finally:
        one.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def product(free_port: Callable[[], int]) -> Iterator[Installation]:
    """A fresh product of this test's own."""
    with installation(free_port) as one:
        yield one


@pytest.fixture
def real_year() -> Path:
    """The real file, where it lies beside the repository; the tests of its figures need it."""
    if not REAL_YEAR.exists():
        pytest.skip("the Online Retail file is not beside this repository")
    return REAL_YEAR
