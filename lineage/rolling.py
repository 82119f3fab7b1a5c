"""Daily counts to measurements: one rolling window for each day that has passed, and one for now."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from lineage.brands import NONE as NO_BRANDS
from lineage.brands import Brands
from lineage.judge import Tally
from lineage.model import Money
from lineage.rows import micros
from lineage.sla_checks import Dimension

DAY_US: Final = 86_400_000_000


class Segment(NamedTuple):
    """ "" = all."""

    channel: str = ""
    location: str = ""
    provider: str = ""
    kind: str = ""
    brand: str = ""


ALL: Final = Segment()

NONE: Final = Tally()


class DayRow(NamedTuple):
    """What changed on one local day in one channel, location, provider, kind and currency.

    ``opened`` and ``closed`` move the pending, ``overdue_in`` and ``overdue_out`` the overdue open items.
    """

    day: int  # days since the epoch
    inside: int  # 1: after the start of the window that ends now; 2: in the end of it
    channel: str
    location: str
    provider: str
    kind: str
    currency: str
    good: int
    bad: int
    excused: int
    refused: int
    opened: int
    closed: int
    overdue_in: int
    overdue_out: int
    amount_in: int
    amount_out: int
    oldest_due_us: int  # of those overdue and still open; 0 = none
    last_us: int  # newest sign of life among the items; 0 where the store's newest event stands for all
    first_us: int  # when the first of those inside was decided; 0 = none
    due_us: int  # when the first of those pending is due; 0 = none


DAY_COLUMNS: Final = tuple(name for name in DayRow._fields[:-4] if name != "inside")
"""What a day adds up."""


class Measure(Struct, frozen=True):
    """One segment, as of one moment."""

    segment: Segment
    as_of_us: int
    tally: Tally
    at_risk: tuple[Money, ...]
    last_us: int
    oldest_due_us: int = 0
    recent: Tally = NONE  # decided in the last day of the window
    in_all: Tally = NONE  # decided since the first data


def of_places(segments: Iterable[Sequence[Dimension]]) -> bool:
    """Whether something is measured by channel or location."""
    return any({"channel", "location"} & set(dimensions) for dimensions in segments)


def by_segment(
    rows: Iterable[DayRow], segments: Sequence[Sequence[Dimension]], brands: Brands = NO_BRANDS
) -> dict[Segment, list[DayRow]]:
    """The rows of the whole, and of each value of each declared combination of dimensions.

    Of what is declared by channel or location also those of each brand, and of its channels.
    """
    found: dict[Segment, list[DayRow]] = {ALL: []}
    placed = brands.names and of_places(segments)
    for row in rows:
        if placed and (brand := brands.of(row.channel, row.location)):
            found.setdefault(Segment(brand=brand), []).append(row)
            if row.channel:
                found.setdefault(Segment(channel=row.channel, brand=brand), []).append(row)
        found[ALL].append(row)
        for dimensions in segments:
            if all(getattr(row, dimension) for dimension in dimensions):
                found.setdefault(_key(row, dimensions), []).append(row)
    return found


def _key(row: DayRow, dimensions: Sequence[Dimension]) -> Segment:
    return Segment(
        row.channel if "channel" in dimensions else "",
        row.location if "location" in dimensions else "",
        row.provider if "provider" in dimensions else "",
        row.kind if "kind" in dimensions else "",
    )


def current(segment: Segment, rows: Sequence[DayRow], now: datetime) -> Measure:
    """As of ``now``: the window is what the rows mark as inside."""
    sums = _Sums()
    for row in rows:
        sums.standing(row)
        if row.inside:
            sums.window(row, 1)
    oldest = min((row.oldest_due_us for row in rows if row.oldest_due_us), default=0)
    recent = _decided([row for row in rows if row.inside > 1])
    return sums.measure(segment, micros(now), max((row.last_us for row in rows), default=0), oldest, recent)


def boundaries(
    segment: Segment, rows: Sequence[DayRow], days: range, starts: Mapping[int, int], instants: Mapping[int, int]
) -> Iterator[Measure]:
    """As of the first instant of each of ``days``: the window is the whole days before it since ``starts``.

    ``instants``: microseconds of the first instant of each day.
    """
    by_day: dict[int, list[DayRow]] = {}
    for row in rows:
        by_day.setdefault(row.day, []).append(row)
    sums = _Sums()
    last_us = 0
    left = min(by_day, default=days.stop)
    for day in range(left, days.stop):
        for row in by_day.get(day - 1, ()):
            sums.standing(row)
            sums.window(row, 1)
            last_us = max(last_us, row.last_us)
        if day not in days:
            continue
        while left < starts[day]:
            for row in by_day.get(left, ()):
                sums.window(row, -1)
            left += 1
        yield sums.measure(segment, instants[day], last_us, recent=_decided(by_day.get(day - 1, ())))


def _decided(rows: Collection[DayRow]) -> Tally:
    return Tally(good=sum(row.good for row in rows), bad=sum(row.bad for row in rows))


class _Sums:
    def __init__(self) -> None:
        self.good = self.bad = self.excused = self.refused = self.pending = self.overdue_open = 0
        self.amounts: dict[str, int] = {}
        self.all_good = self.all_bad = 0

    def window(self, row: DayRow, sign: int) -> None:
        self.good += sign * row.good
        self.bad += sign * row.bad
        self.excused += sign * row.excused
        self.refused += sign * row.refused

    def standing(self, row: DayRow) -> None:
        self.all_good += row.good
        self.all_bad += row.bad
        self.pending += row.opened - row.closed
        self.overdue_open += row.overdue_in - row.overdue_out
        self.amounts[row.currency] = self.amounts.get(row.currency, 0) + row.amount_in - row.amount_out

    def measure(
        self, segment: Segment, as_of_us: int, last_us: int, oldest_due_us: int = 0, recent: Tally = NONE
    ) -> Measure:
        tally = Tally(
            good=self.good,
            bad=self.bad,
            pending=self.pending,
            excused=self.excused,
            refused=self.refused,
            overdue_open=self.overdue_open,
        )
        at_risk = tuple(Money(amount, currency) for currency, amount in sorted(self.amounts.items()) if amount)
        in_all = Tally(good=self.all_good, bad=self.all_bad)
        return Measure(segment, as_of_us, tally, at_risk, last_us, oldest_due_us, recent, in_all)
