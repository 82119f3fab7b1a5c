"""Answers that several askers share: one of them has it found, those who ask meanwhile and soon after get the same."""

import logging
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final, Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

RENEWED_AT_ONCE: Final = 2


class Shared(Generic[K, V]):
    """Answers by question, of the ``most`` that were found last. Safe to share between threads.

    A question holds all that its answer depends on. An answer is as old as the moment its finding began: it serves for
    ``serves_seconds``, and until ``latest_seconds`` while another is found beside. What could not be found is told to
    all who wait for it, and is not kept. With ``times`` an answer serves for at least as many times as long as it took
    to find, but for that not longer than ``longest_seconds``, and twice that while another is found: what is asked all
    the time costs a share of 1 / ``times``.
    """

    def __init__(
        self,
        serves_seconds: float,
        latest_seconds: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        times: float = 0.0,
        longest_seconds: float = math.inf,
    ) -> None:
        self._serves_seconds = serves_seconds
        self._times = times
        self._longest_seconds = longest_seconds
        self._latest_seconds = latest_seconds
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._held: dict[K, _Held[V]] = {}
        self._beside = ThreadPoolExecutor(RENEWED_AT_ONCE, thread_name_prefix="shared")

    def get(self, question: K, find: Callable[[], V]) -> V:
        """Raises what ``find`` raises."""
        with self._lock:
            self._drop_old()
            held = self._held.get(question)
            known = held is not None
            if held is None:
                held = self._held[question] = _Held(self._clock())
                self._drop_beyond_most()
            elif held.answer.done() and not held.being_renewed and not self._serves(held):
                held.being_renewed = True
                self._beside.submit(self._renew_beside, question, held, find)
        if not known:
            self._find(question, held, find)
        return held.answer.result()

    def renew(self, question: K, find: Callable[[], V]) -> None:
        """Who asks meanwhile gets what is known already, if it is. Raises what ``find`` raises."""
        made: _Held[V] = _Held(self._clock())
        self._answer(made, find())
        with self._lock:
            self._held[question] = made

    def forget(self) -> None:
        """What is asked for from now on is found anew; whoever waits already gets what is being found."""
        with self._lock:
            self._held.clear()

    def _answer(self, held: "_Held[V]", found: V) -> None:
        held.took = self._clock() - held.began
        held.answer.set_result(found)

    def _serves(self, held: "_Held[V]") -> bool:
        return self._within(held, max(self._serves_seconds, self._earned(held)))

    def _earned(self, held: "_Held[V]") -> float:
        return min(self._times * held.took, self._longest_seconds)

    def _within(self, held: "_Held[V]", seconds: float) -> bool:
        """Not when the clock went back."""
        return 0 <= self._clock() - held.began < seconds

    def _drop_old(self) -> None:
        """What is still being found is never too old."""
        old = [
            question for question, held in self._held.items()
            if held.answer.done() and not self._within(held, max(self._latest_seconds, 2 * self._earned(held)))
        ]  # fmt: skip
        for question in old:
            del self._held[question]

    def _drop_beyond_most(self) -> None:
        while len(self._held) > self._most:
            del self._held[next(iter(self._held))]

    def _find(self, question: K, held: "_Held[V]", find: Callable[[], V]) -> None:
        try:
            self._answer(held, find())
        except BaseException as error:
            with self._lock:
                if self._held.get(question) is held:
                    del self._held[question]
            held.answer.set_exception(error)
            raise

    def _renew_beside(self, question: K, held: "_Held[V]", find: Callable[[], V]) -> None:
        made: _Held[V] = _Held(self._clock())
        try:
            self._answer(made, find())
        except Exception:
            log.exception("%r could not be found anew", question)
            held.being_renewed = False
            return
        with self._lock:
            if self._held.get(question) is held:
                self._held[question] = made


class _Held(Generic[V]):
    def __init__(self, began: float) -> None:
        self.began = began
        self.took = 0.0
        self.answer: Future[V] = Future()
        self.being_renewed = False
