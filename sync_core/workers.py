"""Threads that repeat a piece of work: at once while there is some, after pauses that grow when there is none."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

AFTER_ERROR_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.5
"""The longest pause of a loop that would look more often: whoever makes work for it wakes it."""


class Loop:
    """Calls ``work`` until stopped; ``work`` returns how much it did. An error is logged and the loop goes on."""

    def __init__(self, name: str, work: Callable[[], int], *, idle_seconds: float, linger_seconds: float = 0.0) -> None:
        """``linger_seconds``: how long it waits for more once it is woken."""
        self._name = name
        self._linger_seconds = linger_seconds
        self._work = work
        self._idle_seconds = idle_seconds
        self._stopping = False
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is work: do not wait for the end of a pause."""
        self._look.set()

    def stop(self) -> None:
        """Ask the loop to end and wait until the piece of work under way is done."""
        self._stopping = True
        self._look.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._idle_seconds
        while not self._stopping:
            self._look.clear()
            try:
                done = self._work()
            except Exception:
                log.exception("%s failed; it goes on in %.0f s", self._name, AFTER_ERROR_SECONDS)
                self._pause(AFTER_ERROR_SECONDS)
                continue
            woken = not done and self._pause(pause)
            if woken and self._linger_seconds:
                time.sleep(self._linger_seconds)
            pause = self._idle_seconds if done or woken else max(self._idle_seconds, min(2 * pause, REST_SECONDS))

    def _pause(self, seconds: float) -> bool:
        """Whether somebody ended it."""
        return not self._stopping and self._look.wait(seconds)


@contextmanager
def looping(loops: Sequence[Loop]) -> Iterator[None]:
    """They run inside the block."""
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
