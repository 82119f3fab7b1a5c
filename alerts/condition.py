"""Does a rule hold for one segment, and why? Pure: a reading in, a verdict with its reason out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, assert_never

from msgspec import Struct

from alerts.rule import (
    Absence,
    AnyRule,
    BadCount,
    BadRatio,
    BurnRate,
    Level,
    OpenExceptions,
    Overdue,
    SlaRule,
    Staleness,
    Threshold,
    in_words,
    thresholds,
)  # fmt: skip
from lineage.model import Money


class Place(Struct, frozen=True, kw_only=True):
    """What a reading is of; an empty field means all. ``subject`` is a thing of the register of owners,
    ``promise`` a whole promise of a rule on all of them."""

    level: Level | Literal["promise"] = "all"
    channel: str = ""
    location: str = ""
    provider: str = ""
    subject: str = ""
    promise: str = ""

    @property
    def key(self) -> str:
        """What tells it from the other places of the same rule."""
        if self.subject:
            return "/".join(filter(None, (self.subject, self.channel)))
        match self.level:
            case "all":
                return "*"
            case "channel":
                return self.channel
            case "provider":
                return f"provider {self.provider}"
            case "location":
                return f"{self.channel}/{self.location}"
            case "promise":
                return f"promise {self.promise}"


class Counted(Struct, frozen=True):
    """Items that were decided in a window."""

    good: int
    bad: int

    @property
    def decided(self) -> int:
        return self.good + self.bad

    def more_than(self, share: float) -> bool:
        return self.bad > share * self.decided


class Reading(Struct, frozen=True, kw_only=True):
    """What was measured of one place. ``recent`` has what was decided in the last so many seconds."""

    place: Place
    as_of: datetime
    decided: int = 0  # in the window of the promise
    overdue_open: int = 0
    at_risk: tuple[Money, ...] = ()
    oldest_due_at: datetime | None = None
    watermark: datetime | None = None
    target: float = 1.0
    owner: str = ""
    severity: str = ""
    recent: Mapping[float, Counted] = {}


class Verdict(Struct, frozen=True):
    holds: bool
    why: str


def judged(rule: AnyRule, reading: Reading, now: datetime) -> Verdict:
    match rule:
        case Overdue():
            return _overdue(rule, reading, now)
        case BadCount():
            bad = reading.recent[rule.within_seconds].bad
            return Verdict(bad >= rule.bad_at_least, f"{bad} bad in {in_words(rule.within_seconds)}")
        case BurnRate() | BadRatio():
            return _burning(rule, reading)
        case Staleness():
            return _stale(rule, reading, now)
        case Absence():
            silent = (now - reading.as_of).total_seconds()
            return Verdict(silent > rule.silent_for_seconds, f"not measured for {in_words(silent)}")
        case OpenExceptions():
            return _undecided(rule, reading, now)
        case _:
            assert_never(rule)


def counts_silence(rule: AnyRule) -> bool:
    """Whether no measurement is what the rule looks for, and not a want of knowledge."""
    return isinstance(rule, Absence)


def windows(rule: AnyRule) -> frozenset[float]:
    """Lengths of the windows in which a rule counts what was decided."""
    if isinstance(rule, BadCount):
        return frozenset({rule.within_seconds})
    pairs = thresholds(rule, 0.0) if isinstance(rule, BurnRate | BadRatio) else ()
    return frozenset(seconds for one in pairs for seconds in (one.long_seconds, one.short_seconds))


def sla_of(rule: AnyRule) -> str:
    return rule.sla if isinstance(rule, SlaRule) else ""


def least_bad(rule: AnyRule) -> int:
    """Bad items in the window of the promise below which a rule that counts in windows cannot hold."""
    return (
        rule.bad_at_least
        if isinstance(rule, BadCount)
        else rule.min_bad
        if isinstance(rule, BurnRate | BadRatio)
        else 0
    )


def _overdue(rule: Overdue, reading: Reading, now: datetime) -> Verdict:
    count = reading.overdue_open
    few = rule.decided_under is None or reading.decided < rule.decided_under
    if rule.overdue_at_least and few and count >= rule.overdue_at_least:
        return Verdict(True, f"{count} overdue and still open")
    if worth := _beyond(reading, rule.value_at_least):
        return Verdict(True, f"{count} overdue and still open, {worth}")
    late = (now - reading.oldest_due_at).total_seconds() if reading.oldest_due_at else 0.0
    if count and rule.oldest_seconds and late >= rule.oldest_seconds:
        return Verdict(True, f"{count} overdue and still open, the oldest for {in_words(late)}")
    wanted = [f"fewer than {rule.overdue_at_least}"] if rule.overdue_at_least and few else []
    wanted += [f"{reading.decided} decided, so that a number says nothing"] if rule.overdue_at_least and not few else []
    wanted += [f"less than {Money(least, currency)}" for currency, least in rule.value_at_least.items()]
    return Verdict(False, f"{count} overdue, {' and '.join(wanted)}".removesuffix(", "))


def _beyond(reading: Reading, value_at_least: Mapping[str, int]) -> str:
    for money in reading.at_risk:
        least = value_at_least.get(money.currency)
        if least is not None and money.amount_minor >= least:
            return f"worth {money}, {Money(least, money.currency)} or more"
    return ""


def _burning(rule: BurnRate | BadRatio, reading: Reading) -> Verdict:
    quiet = []
    for one in thresholds(rule, reading.target):
        long, short = reading.recent[one.long_seconds], reading.recent[one.short_seconds]
        said = f"{long.bad} of {long.decided} bad in {in_words(one.long_seconds)}"
        if long.decided < rule.min_decided or long.bad < rule.min_bad:
            quiet.append(f"{said}, too few to tell")
        elif long.more_than(one.bad_share) and short.more_than(one.bad_share):
            return Verdict(True, f"{said}, {_allowed(rule, one, reading)}")
        else:
            quiet.append(said)
    return Verdict(False, "; ".join(quiet))


def _allowed(rule: BurnRate | BadRatio, one: Threshold, reading: Reading) -> str:
    if isinstance(rule, BadRatio):
        return f"more than {one.bad_share:.4g}"
    return f"more than {one.bad_share / (1 - reading.target):.4g} times what a target of {reading.target:.4%} allows"


def _stale(rule: Staleness, reading: Reading, now: datetime) -> Verdict:
    if reading.watermark is None:
        return Verdict(False, "nothing ever arrived")
    age = (now - reading.watermark).total_seconds()
    return Verdict(age > rule.older_than_seconds, f"nothing arrived for {in_words(age)}")


def _undecided(rule: OpenExceptions, reading: Reading, now: datetime) -> Verdict:
    count = reading.overdue_open
    if rule.open_at_least and count >= rule.open_at_least:
        return Verdict(True, f"{count} open")
    if worth := _beyond(reading, rule.value_at_least):
        return Verdict(True, f"{count} open, {worth}")
    age = (now - reading.oldest_due_at).total_seconds() if reading.oldest_due_at else 0.0
    if rule.oldest_seconds and age >= rule.oldest_seconds:
        return Verdict(True, f"{count} open, the oldest for {in_words(age)}")
    return Verdict(False, f"{count} open")
