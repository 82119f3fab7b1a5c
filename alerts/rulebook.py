"""Reading rules: every impossible one is refused, with the line and the reason."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from alerts.rule import (
    EVERY,
    Absence,
    AnyRule,
    BadRatio,
    BurnRate,
    OpenExceptions,
    Overdue,
    SlaRule,
    Threshold,
    thresholds,
)


class Promise(Struct, frozen=True, kw_only=True):
    """What rules need to know of an SLA. ``deadline`` in words, "" when nothing of it is ever overdue.

    ``targets``: others than ``target``, that some segments have.
    """

    deadline: str
    target: float
    window_seconds: float
    levels: frozenset[str]
    rolling: bool = True
    measured_every_seconds: float = 0
    owner: str = ""
    targets: frozenset[float] = frozenset()


class Refusal(Struct, frozen=True):
    """Why a rule cannot be loaded. ``line`` is where it begins in the file, 0 for the file itself."""

    line: int
    rule: str
    reason: str
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return where + (f"line {self.line}, rule {self.rule}: {self.reason}" if self.line else self.reason)


class RulesRefusedError(ValueError):
    """The alert rules cannot be loaded."""

    def __init__(self, refusals: Collection[Refusal]) -> None:
        super().__init__("; ".join(str(refusal) for refusal in refusals))
        self.refusals = tuple(refusals)

    def of(self, file: str) -> "RulesRefusedError":
        """The same, naming the file."""
        return RulesRefusedError([msgspec.structs.replace(each, file=file) for each in self.refusals])


RESERVED: Final = "alerts_without_owner"  # a rule that is always there
_HEADER: Final = re.compile(r"^\s*\[\[\s*rules\s*]]")


def load_rules(
    text: str,
    *,
    promises: Mapping[str, Promise],
    owners: Collection[str],
    things: Collection[str] = (),
    instead: Sequence[AnyRule] = (),
) -> tuple[AnyRule, ...]:
    """The rules of a TOML text and those of ``instead``, which go before any of their names.

    ``things`` are those of the register of owners, which ``about`` may name.

    Raises RulesRefusedError with every reason, not only the first.
    """
    tables = _tables(text)
    headers = [number for number, line in enumerate(text.splitlines(), start=1) if _HEADER.match(line)]
    lines = headers if len(headers) == len(tables) else [0] * len(tables)
    rules: list[AnyRule] = []
    refusals: list[Refusal] = []
    placed: dict[str, int] = {}
    for line, table in zip(lines, tables, strict=True):
        name = str(table.get("name", "without a name"))
        if any(name == rule.name for rule in instead):
            continue
        try:
            rule = msgspec.convert(table, AnyRule)
        except msgspec.ValidationError as error:
            refusals.append(Refusal(line, name, str(error)))
            continue
        rule = _owned(rule, promises)
        faults = _faults(rule, rules, owners, things) + _of_promise(rule, promises)
        refusals += [Refusal(line, name, reason) for reason in faults]
        rules.append(rule)
        placed[name] = line
    if not refusals:
        refusals = _of_all((*rules, *instead), placed)
    if refusals:
        raise RulesRefusedError(refusals)
    return (*rules, *instead)


def _owned(rule: AnyRule, promises: Mapping[str, Promise]) -> AnyRule:
    """Without an owner of its own a rule on a promise is the promise's."""
    if rule.owner or rule.about or not isinstance(rule, SlaRule) or rule.sla not in promises:
        return rule
    return msgspec.structs.replace(rule, owner=promises[rule.sla].owner)


def _of_all(rules: Sequence[AnyRule], lines: Mapping[str, int]) -> list[Refusal]:
    """What is wrong with how rules hide each other."""
    hides = {rule.name: rule.hidden_by for rule in rules}
    found = []
    for rule in rules:
        reached: set[str] = set()
        ahead = list(rule.hidden_by)
        while ahead:
            name = ahead.pop()
            if name not in reached and name in hides:
                reached.add(name)
                ahead += hides[name]
        faults = [f"hidden_by: no rule is named {name!r}" for name in rule.hidden_by if name not in hides]
        untold = {one.name for one in rules if one.severity == "record"}
        faults += [
            f"hidden_by: {name!r} is only recorded, so nobody would hear" for name in rule.hidden_by if name in untold
        ]
        faults += ["it would be hidden by itself"] if rule.name in reached else []
        found += [Refusal(lines.get(rule.name, 0), rule.name, reason) for reason in faults]
    return found


def _tables(text: str) -> list[dict[str, object]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesRefusedError([Refusal(0, "", f"not TOML: {error}")]) from error
    unknown = sorted(set(document) - {"rules"})
    if unknown:
        raise RulesRefusedError([Refusal(0, "", f"unknown table {unknown[0]!r}: rules are [[rules]]")])
    try:
        return msgspec.convert(document.get("rules", []), list[dict[str, object]])
    except msgspec.ValidationError as error:
        raise RulesRefusedError([Refusal(0, "", f"rules are [[rules]]: {error}")]) from error


def _faults(rule: AnyRule, before: list[AnyRule], owners: Collection[str], things: Collection[str]) -> list[str]:
    faults = []
    if rule.name == RESERVED or any(rule.name == other.name for other in before):
        faults.append("another rule has this name")
    if rule.owner and rule.about:
        faults.append("it has an owner, or is about a thing of the register, not both")
    if not (rule.owner or rule.about or isinstance(rule, OpenExceptions)):
        faults.append("it has no owner, and is about no thing of the register that has one")
    if rule.owner and rule.owner not in owners:
        faults.append(f"unknown owner {rule.owner!r}; known: {', '.join(sorted(owners)) or 'none'}")
    if rule.about and rule.about not in things:
        faults.append(f"nothing in the register of owners is named {rule.about!r}")
    if isinstance(rule, Overdue) and not (rule.overdue_at_least or rule.value_at_least or rule.oldest_seconds):
        faults.append("it can never fire: give overdue_at_least, value_at_least or oldest_seconds")
    if isinstance(rule, Overdue) and rule.decided_under and not rule.overdue_at_least:
        faults.append("decided_under says nothing without overdue_at_least")
    if isinstance(rule, OpenExceptions) and not (rule.open_at_least or rule.value_at_least or rule.oldest_seconds):
        faults.append("it can never fire: give open_at_least, value_at_least or oldest_seconds")
    return faults


def _of_promise(rule: AnyRule, promises: Mapping[str, Promise]) -> list[str]:
    if not isinstance(rule, SlaRule):
        return []
    if rule.sla == EVERY and isinstance(rule, Absence):
        slowest = max((each.measured_every_seconds for each in promises.values()), default=0)
        return (
            [] if rule.silent_for_seconds > slowest else [f"it would always fire: one is measured every {slowest:g} s"]
        )
    promise = promises.get(rule.sla)
    if promise is None:
        return [f"unknown SLA {rule.sla!r}; known: {', '.join(sorted(promises)) or 'none'}"]
    faults = [
        f"SLA {rule.sla!r} is not measured by {level}; it is by {', '.join(sorted(promise.levels))}"
        for level in rule.levels
        if level not in promise.levels
    ]
    if isinstance(rule, Overdue) and not promise.deadline:
        faults.append(f"SLA {rule.sla!r} has no deadline, so nothing of it is ever overdue")
    if rule.stale_after_seconds <= promise.measured_every_seconds:
        faults.append(f"its measurements would always be stale: one is made every {promise.measured_every_seconds:g} s")
    if isinstance(rule, Absence) and rule.silent_for_seconds <= promise.measured_every_seconds:
        faults.append(f"it would always fire: the SLA is measured every {promise.measured_every_seconds:g} s")
    if isinstance(rule, BurnRate | BadRatio):
        faults += _infeasible(rule, promise)
    return faults


def _impossible(one: Threshold, target: float) -> str:
    most = 1 / (1 - target)
    return (
        f"a factor of {one.bad_share * most:.4g} can never fire: all bad is {most:.4g} at a target of {target:.4%}; "
        "use a lower factor, or a bad_ratio rule"
    )


def _infeasible(rule: BurnRate | BadRatio, promise: Promise) -> list[str]:
    faults = [] if promise.rolling else [f"the window of SLA {rule.sla!r} is the calendar's: it has no burn rate"]
    for target in sorted({promise.target, *promise.targets}, reverse=True):
        faults += [_impossible(one, target) for one in thresholds(rule, target) if one.bad_share >= 1]
    for one in thresholds(rule, promise.target):
        if one.short_seconds >= one.long_seconds:
            faults.append(f"the short window, {one.short_seconds:g} s, is not shorter than {one.long_seconds:g} s")
        if one.long_seconds > promise.window_seconds:
            faults.append(f"a window of {one.long_seconds:g} s is longer than that of the SLA")
        if rule.min_bad < 2 and rule.min_decided * one.bad_share < 1:
            faults.append(
                f"low volume: one bad item of {rule.min_decided} would fire it; "
                f"set min_decided to {int(1 / one.bad_share) + 1} or min_bad to 2"
            )
    if rule.min_bad > rule.min_decided:
        faults.append("min_bad is more than min_decided, which then says nothing")
    return faults
