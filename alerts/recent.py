"""How much was decided in the last hour, from measurements of rolling windows.

A measurement R counts what was decided in the window W before it. What was decided in the last w seconds is what was
added at its front; what fell off its back was added W ago, and so on:
``c(t-w, t) = [R(t) - R(t-w)] + [R(t-W) - R(t-W-w)] + …``.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from alerts.condition import Counted

MOST_WINDOWS_BACK: Final = 3


def instants(now: datetime, seconds: Collection[float], window_seconds: float) -> tuple[datetime, ...]:
    """When the windows began, now and each window of the promise earlier."""
    back = [timedelta(seconds=window_seconds * times) for times in range(MOST_WINDOWS_BACK)]
    starts = [now - earlier for earlier in back[1:]]
    return tuple(sorted({*starts, *(now - earlier - timedelta(seconds=each) for earlier in back for each in seconds)}))


def counted(
    now: datetime,
    newest: Counted,
    stored: Mapping[datetime, Counted],
    seconds: Collection[float],
    window_seconds: float,
) -> dict[float, Counted]:
    """By length of the window. ``stored`` is the newest measurement at each instant; where none is, nothing was."""
    nothing = Counted(0, 0)
    found = {}
    for each in seconds:
        good = bad = 0
        for times in range(MOST_WINDOWS_BACK):
            end = now - timedelta(seconds=window_seconds * times)
            front = stored.get(end, nothing) if times else newest
            back = stored.get(end - timedelta(seconds=each), nothing)
            good, bad = good + front.good - back.good, bad + front.bad - back.bad
        found[each] = Counted(max(0, good), max(0, bad))
    return found
