"""Accounting periods of legal entities: calendar months that are open, closing or closed. Pure."""

import datetime as dt
from typing import Final, Literal

from msgspec import Struct

PeriodState = Literal["open", "closing", "closed"]
FINANCE: Final = frozenset({"settlement", "settlement_reversal", "settlement_difference", "settlement_write_off",
                            "bank_statement", "bank_match"})  # fmt: skip
"""Documents that a closing period still takes, as it does facts of finance; nothing else is posted into it any more."""


def bounds(period: str) -> tuple[dt.date, dt.date]:
    """First and last day of a period such as 2026-11. Raises ValueError."""
    first = dt.datetime.strptime(f"{period}-01", "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    return first, (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)


def period_of(day: dt.date) -> str:
    return f"{day:%Y-%m}"


def next_of(period: str) -> str:
    return period_of(bounds(period)[1] + dt.timedelta(days=1))


class Periods(Struct):
    """The periods that are not open, by legal entity and name."""

    states: dict[tuple[str, str], PeriodState] = {}

    def takes(self, entity: str, day: dt.date, *, finance: bool) -> dt.date:
        """On which day an entry of a day is posted: its own, or the first of the next period that takes it."""
        if not self.states:
            return day
        while state := self.states.get((entity, period_of(day))):
            if state == "closing" and finance:
                break
            day = bounds(period_of(day))[1] + dt.timedelta(days=1)
        return day
