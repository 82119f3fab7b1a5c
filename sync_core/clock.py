"""Time as an argument: a clock is a function that says what time it is."""

import datetime as dt
from collections.abc import Callable

Clock = Callable[[], dt.datetime]


def wall() -> dt.datetime:
    """The time on the wall, in UTC."""
    return dt.datetime.now(dt.UTC)
