"""The business present: the wall clock, or the newest event when history is replayed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

Clock = Callable[[], datetime]
Mode = Literal["wall", "file"]

_REMEMBERED: Final = timedelta(seconds=2)


def business_now(wall: datetime, mode: Mode, newest: datetime | None) -> datetime:
    """``newest`` is the newest business time in the store; an empty store has the wall's present."""
    return newest if mode == "file" and newest else wall


class BusinessClock:
    """Gives the business present; in file mode the store is asked again after two seconds of wall time."""

    def __init__(self, wall: Clock, mode: Mode, newest: Callable[[datetime], datetime | None]) -> None:
        self.wall = wall
        self._mode = mode
        self._newest = newest
        self._asked: tuple[datetime, datetime] | None = None

    def __call__(self) -> datetime:
        wall = self.wall()
        if self._mode == "wall":
            return wall
        asked = self._asked
        if asked is None or not timedelta(0) <= wall - asked[0] < _REMEMBERED:
            asked = self._asked = (wall, business_now(wall, self._mode, self._newest(wall)))
        return asked[1]
