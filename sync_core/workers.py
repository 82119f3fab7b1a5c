"""Threads that repeat a piece of work: at once while there is some, after a pause when there is none."""

import logging
import threading
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

AFTER_ERROR_SECONDS: Final = 1.0


class Loop:
    """Calls ``work`` until stopped; ``work`` returns how much it did. An error is logged and the loop goes on."""

    def __init__(self, name: str, work: Callable[[], int], *, idle_seconds: float) -> None:
        self._name = name
        self._work = work
        self._idle_seconds = idle_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the loop to end and wait until the piece of work under way is done."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                done = self._work()
            except Exception:
                log.exception("%s failed; it goes on in %.0f s", self._name, AFTER_ERROR_SECONDS)
                self._stop.wait(AFTER_ERROR_SECONDS)
                continue
            if not done:
                self._stop.wait(self._idle_seconds)
