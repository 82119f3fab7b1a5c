"""What a rule would have done: replayed over stored measurements before it is enabled."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from alerts.condition import Counted, Place, counts_silence, windows
from alerts.evaluate import AlertState, step
from alerts.readings import Segment, of_samples
from alerts.recent import counted, instants
from alerts.rule import AnyRule
from lineage.model import Money, Sample

Trouble = tuple[str, str]
"""(channel, provider): what is told as one."""

EVERYWHERE: Final[Trouble] = ("*", "")
PAUSE: Final = timedelta(minutes=5)
MIDNIGHT_SECONDS: Final = 25 * 3600.0  # from one to the next, at most


class Fired(Struct, frozen=True, kw_only=True):
    """One time that it would have fired; ``until`` is None while it still would.

    ``page``: its owner would have been paged for it, and not already for more of it or beside it.
    """

    place: str
    at: datetime
    until: datetime | None
    why: str
    overdue_open: int
    at_risk: tuple[Money, ...]
    page: bool


class Backtest(Struct, frozen=True, kw_only=True):
    rule: str
    since: datetime
    until: datetime
    measurements: int
    fired: tuple[Fired, ...]
    pages: int
    explained: str = ""


class History:
    """Stored measurements, by time, and what each segment had counted at any instant."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._times: dict[Segment, list[datetime]] = defaultdict(list)
        self._counts: dict[Segment, list[Counted]] = defaultdict(list)
        self.moments: dict[datetime, list[Sample]] = defaultdict(list)
        for one in sorted((each for each in samples if not each.kind), key=lambda each: each.as_of):
            self.moments[one.as_of].append(one)
            segment = (one.channel, one.location, one.provider)
            self._times[segment].append(one.as_of)
            self._counts[segment].append(Counted(one.all_good, one.all_bad))

    def at(self, segment: Segment, instant: datetime) -> Counted | None:
        place = bisect_right(self._times[segment], instant)
        return self._counts[segment][place - 1] if place else None


def replayed(rule: AnyRule, samples: Sequence[Sample], since: datetime, until: datetime) -> Backtest:
    """``samples`` may begin before ``since``, for the windows that reach back."""
    history = History(samples)
    states: dict[str, AlertState] = {}
    open_now: dict[str, Fired] = {}
    troubles: Counter[Trouble] = Counter()
    done: list[Fired] = []
    judged = 0
    for moment, samples_then in _moments(rule, history, since, until):
        judged += len(samples_then) if samples_then is history.moments.get(moment) else 0
        known = {key: state.place for key, state in states.items()}
        recent = _recent(rule, history, samples_then)
        readings = of_samples(samples_then, rule.levels, known, recent)
        for key, (place, reading) in sorted(readings.items(), key=lambda one: one[1][0].level != "all"):
            before = states.get(key) or AlertState(rule=rule.name, group=key, place=place)
            taken = step(before, reading, rule, moment)
            states[key] = taken.state
            if taken.change == "firing":
                open_now[key] = Fired(
                    place=_in_words(place), at=moment, until=None, why=taken.reason,
                    overdue_open=taken.state.overdue_open, at_risk=taken.state.at_risk,
                    page=rule.severity != "record" and _is_new(_trouble(place), troubles),
                )  # fmt: skip
                troubles[_trouble(place)] += 1
            elif taken.change == "resolved":
                done.append(msgspec.structs.replace(open_now.pop(key), until=moment))
                troubles[_trouble(place)] -= 1
    fired = sorted([*done, *open_now.values()], key=lambda one: (one.at, one.place))
    pages = sum(one.page for one in fired)
    return Backtest(rule=rule.name, since=since, until=until, measurements=judged, fired=tuple(fired), pages=pages)


def _trouble(place: Place) -> Trouble:
    return EVERYWHERE if place.level == "all" else (place.channel, place.provider)


def _is_new(trouble: Trouble, troubles: Counter[Trouble]) -> bool:
    """Whether nobody was told of it yet: the locations of a channel are one trouble, and so is what has spread."""
    known = troubles.total() if trouble == EVERYWHERE else troubles[trouble] + troubles[EVERYWHERE]
    return not known


def _moments(
    rule: AnyRule, history: History, since: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Sample]]]:
    """Every moment of measurement, and in longer pauses the last one again, as long as it says something."""
    about_silence = counts_silence(rule) or rule.no_data != "keep"
    says_something = timedelta(seconds=rule.stale_after_seconds) + PAUSE
    last: list[Sample] = []
    reached = measured = since
    for moment in [*(each for each in history.moments if since <= each <= until), until]:
        while moment - reached > PAUSE and (about_silence or reached - measured <= says_something):
            reached += PAUSE
            yield reached, last
        reached = moment
        if moment in history.moments:
            last, measured = history.moments[moment], moment
            yield moment, last


def _recent(rule: AnyRule, history: History, samples: Sequence[Sample]) -> dict[Segment, dict[float, Counted]]:
    wanted = windows(rule)
    if not wanted or not samples:
        return {}
    now = samples[0].as_of
    asked = instants(now, wanted)
    found = {}
    for one in samples:
        if one.kind:
            continue
        segment = (one.channel, one.location, one.provider)
        stored = {instant: count for instant in asked if (count := history.at(segment, instant))}
        found[segment] = counted(now, Counted(one.all_good, one.all_bad), stored, wanted)
    return found


def _in_words(place: Place) -> str:
    return place.key if place.key != "*" else "all of it"


def reach_back(rule: AnyRule) -> float:
    """Seconds before the first moment that a rule looks at; midnights are always measured."""
    wanted = windows(rule)
    return max(wanted) + MIDNIGHT_SECONDS if wanted else 0.0
