"""How much was decided in the last hour: what was decided in all by now, less what had been decided by then."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from alerts.condition import Counted


def instants(now: datetime, seconds: Collection[float]) -> tuple[datetime, ...]:
    """When the windows began."""
    return tuple(sorted(now - timedelta(seconds=each) for each in seconds))


def counted(
    now: datetime, in_all: Counted, stored: Mapping[datetime, Counted], seconds: Collection[float]
) -> dict[float, Counted]:
    """By length of the window. ``stored``: what had been decided at each instant; where nothing is, nothing was."""
    found = {}
    for each in seconds:
        before = stored.get(now - timedelta(seconds=each), Counted(0, 0))
        found[each] = Counted(max(0, in_all.good - before.good), max(0, in_all.bad - before.bad))
    return found
