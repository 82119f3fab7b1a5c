"""How long what failed is left alone."""

import datetime as dt
import threading
from email.utils import parsedate_to_datetime
from typing import Final

from sync_core.clock import Clock

MOST_RETRY_AFTER_SECONDS: Final = 3600.0


def pause_seconds(failures: int, base_seconds: float, cap_seconds: float) -> float:
    """How long to leave alone what has failed so often: twice as long each time."""
    return min(cap_seconds, base_seconds * 2.0 ** min(failures, 60))


def retry_after_seconds(text: str, now: dt.datetime) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 when it says neither."""
    try:
        seconds = float(text) if text.isdecimal() else (_moment(text) - now).total_seconds()
    except ValueError:
        return 0.0
    return min(max(0.0, seconds), MOST_RETRY_AFTER_SECONDS)


def _moment(text: str) -> dt.datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


class Pace:
    """So many requests a second, at most; as many as one likes when it is 0. Safe to share between threads."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._interval = dt.timedelta(seconds=1 / per_second if per_second else 0)
        self._next = dt.datetime.min.replace(tzinfo=dt.UTC)
        self._lock = threading.Lock()

    @property
    def full(self) -> bool:
        """Whether the next request must wait."""
        return self._clock() < self._next

    def take(self) -> bool:
        """Claim the next request; false when it must wait."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                return False
            self._next = max(self._next, now) + self._interval
            return True


class Breaker:
    """Keeps a relay from what does not answer, for longer after each failure."""

    def __init__(self, clock: Clock, base_seconds: float, cap_seconds: float) -> None:
        self._clock = clock
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._failures = 0
        self._until = dt.datetime.min.replace(tzinfo=dt.UTC)

    @property
    def up(self) -> bool:
        """Whether the last attempt reached the other side."""
        return self._failures == 0

    @property
    def open(self) -> bool:
        """Whether to leave it alone now."""
        return self._clock() < self._until

    def passed(self) -> None:
        self._failures = 0

    def failed(self, asked_seconds: float = 0.0) -> float:
        """Stand back, at least as long as the other side asked; returns for how many seconds."""
        seconds = max(asked_seconds, pause_seconds(self._failures, self._base_seconds, self._cap_seconds))
        self._failures += 1
        self._until = self._clock() + dt.timedelta(seconds=seconds)
        return seconds
