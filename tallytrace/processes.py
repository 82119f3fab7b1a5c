"""A child process of the product: started, asked whether it is ready, stopped."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import IO, Final

import httpx

from tallytrace import presence
from tallytrace.settings import Settings, as_environment

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 30.0


class Child:
    """One of our processes. It ends when we end, even by `kill -9`: its standard input is a pipe that we hold open."""

    def __init__(self, role: presence.Role, settings: Settings, output: Path | None) -> None:
        """`output`: file that takes what it prints; None for the terminal."""
        self.role = role
        self._settings = settings
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0  # monotonic

    def start(self) -> None:
        self._let_go()
        command = [sys.executable, "-m", "tallytrace", "serve", self.role, "--supervised"]
        with contextlib.ExitStack() as opened:
            output: IO[bytes] | None = None
            if self._output is not None:
                self._output.parent.mkdir(parents=True, exist_ok=True)
                output = opened.enter_context(self._output.open("ab"))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | as_environment(self._settings),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the supervisor, which stops them in order
            )
        self.started_at = time.monotonic()
        log.info("%s started as process %d", self.role, self._process.pid)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        assert self._process is not None
        return self._process.poll()

    def last_words(self) -> str:
        """The last line that it printed, and where the others are; empty when it prints to the terminal."""
        if self._output is None:
            return ""
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1] if lines else 'it printed nothing'} ({self._output})"

    def stop(self) -> None:
        """Asks it to end, and insists after STOP_SECONDS."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("%s did not stop within %.0f s; killing it", self.role, STOP_SECONDS)
            process.kill()
            process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def is_ready(home: Path, role: presence.Role) -> bool:
    """Whether a process holds the role, and says that it can work if it serves anything."""
    found = presence.find(home, role)
    return found is not None and (not found.url or answers(f"{found.url}/readyz"))


def answers(url: str) -> bool:
    try:
        return _client().get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@cache
def _client() -> httpx.Client:
    """Made once: it takes fifty milliseconds, and whoever waits asks twenty times a second."""
    return httpx.Client(timeout=5.0, trust_env=False)
