"""When customers come: by weekday, by hour, and in a peak."""

import datetime as dt
from typing import Final

WEEKDAYS: Final = (0.9, 0.85, 0.9, 1.0, 1.15, 1.25, 0.95)
"""Monday to Sunday, against the mean."""
HOURS: Final = (
    0.3, 0.2, 0.15, 0.15, 0.15, 0.2, 0.35, 0.6, 0.9, 1.2, 1.5, 1.7,
    1.9, 1.8, 1.6, 1.5, 1.5, 1.6, 1.7, 1.6, 1.3, 1.05, 0.65, 0.4,
)  # fmt: skip
LIVE_LEAST: Final = 0.6
"""Who looks at the estate at night still sees it trade."""
PEAK_MINUTES: Final = (6, 7)
PEAK_EVERY_MINUTES: Final = 15
PEAK_FACTOR: Final = 3.0


def share(at: dt.datetime) -> float:
    """How much is sold at a moment, against the mean of a week."""
    return WEEKDAYS[at.weekday()] * HOURS[at.hour]


def live_share(at: dt.datetime) -> float:
    """The same, with a peak of two minutes in every fifteen, and not less than there is to look at."""
    return max(LIVE_LEAST, share(at)) * (PEAK_FACTOR if is_peak(at) else 1.0)


def is_peak(at: dt.datetime) -> bool:
    return at.minute % PEAK_EVERY_MINUTES in PEAK_MINUTES
