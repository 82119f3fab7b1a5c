"""What it takes for a rule to fire, in words. Pure."""

from collections.abc import Iterator, Mapping

from alerts.rule import (
    EVERY,
    Absence,
    AnyRule,
    BadCount,
    BadRatio,
    BurnRate,
    OpenExceptions,
    Overdue,
    Staleness,
    Threshold,
    in_words,
    thresholds,
)
from alerts.rulebook import Promise
from lineage.model import Money


def explained(rule: AnyRule, promises: Mapping[str, Promise]) -> str:
    """When a rule fires, and for how long that must have been so before somebody is told."""
    held = f", for {in_words(rule.for_seconds)}" if rule.for_seconds else ""
    return "; or ".join(_conditions(rule, promises)) + held


def _conditions(rule: AnyRule, promises: Mapping[str, Promise]) -> Iterator[str]:
    match rule:
        case Overdue():
            yield from _overdue(rule)
        case BadCount():
            yield f"{rule.bad_at_least} or more bad in {in_words(rule.within_seconds)}"
        case BurnRate() | BadRatio():
            yield from _burning(rule, promises[rule.sla])
        case Staleness():
            yield f"nothing new has arrived for more than {in_words(rule.older_than_seconds)}"
        case Absence():
            each = "one of the promises" if rule.sla == EVERY else "the promise"
            yield f"{each} was not measured for more than {in_words(rule.silent_for_seconds)}"
        case OpenExceptions():
            yield from _undecided(rule)


def _overdue(rule: Overdue) -> Iterator[str]:
    if rule.overdue_at_least:
        few = f", while fewer than {rule.decided_under} are decided" if rule.decided_under else ""
        yield f"{rule.overdue_at_least} or more overdue and still open{few}"
    for worth in _worths(rule.value_at_least):
        yield f"what is overdue and still open is worth {worth}"
    if rule.oldest_seconds:
        yield f"one is open {in_words(rule.oldest_seconds)} after its deadline"


def _burning(rule: BurnRate | BadRatio, promise: Promise) -> Iterator[str]:
    for one in thresholds(rule, promise.target):
        soonest = in_words(max(one.long_seconds, one.short_seconds) * one.bad_share)
        long, short = in_words(one.long_seconds), in_words(one.short_seconds)
        yield (
            f"more than {100 * one.bad_share:.4g}% of {long} and of {short} is bad, at least {rule.min_bad} of "
            f"{rule.min_decided} or more (when all is bad after {soonest}, with {_budget(one, promise):.2%} of the "
            "budget spent)"
        )


def _undecided(rule: OpenExceptions) -> Iterator[str]:
    kinds = f" of {', '.join(one.replace('_', ' ') for one in rule.kinds)}" if rule.kinds else ""
    them = " ".join([" or ".join(rule.severities), f"exceptions{kinds}"]).strip()
    if rule.open_at_least:
        yield f"{rule.open_at_least} or more {them} are open"
    for worth in _worths(rule.value_at_least):
        yield f"{them} are open and worth {worth}"
    if rule.oldest_seconds:
        yield f"one of the {them} has been open for {in_words(rule.oldest_seconds)}"


def _worths(value_at_least: Mapping[str, int]) -> Iterator[str]:
    if value_at_least:
        yield " or ".join(str(Money(least, currency)) for currency, least in value_at_least.items()) + " or more"


def _budget(one: Threshold, promise: Promise) -> float:
    """Share of the budget of the whole window that is gone when the long window has just been that bad."""
    return one.bad_share / (1 - promise.target) * one.long_seconds / promise.window_seconds
