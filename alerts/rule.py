"""Alert rules: when a promise counts as breaking, who is told, and what to do about it."""

import re
import tomllib
from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

Severity = Literal["critical", "major", "minor"]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Seconds = Annotated[float, Meta(ge=0, le=86_400 * 30)]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pages when a channel has at least ``overdue_at_least`` items past their deadline and still open.

    ``for_seconds``: how long that must hold before the page. ``keep_firing_for_seconds``: how long it must be over
    before the alert resolves. ``stale_after_seconds``: an older measurement says nothing, and changes nothing.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    sla: Text
    overdue_at_least: Annotated[int, Meta(ge=1)]
    for_seconds: Seconds
    keep_firing_for_seconds: Seconds
    stale_after_seconds: Annotated[float, Meta(gt=0)]
    severity: Severity
    owner: Text
    summary: Text
    next_step: Text


class Refusal(Struct, frozen=True):
    """Why a rule cannot be loaded. ``line`` is where it begins in the file, 0 for the file itself."""

    line: int
    rule: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, rule {self.rule}: {self.reason}" if self.line else self.reason


class RulesRefusedError(ValueError):
    """The alert rules cannot be loaded."""

    def __init__(self, refusals: Collection[Refusal]) -> None:
        super().__init__("; ".join(str(refusal) for refusal in refusals))
        self.refusals = tuple(refusals)


_HEADER: Final = re.compile(r"^\s*\[\[\s*rules\s*]]")


def load_rules(text: str, *, deadlines: Mapping[str, str], owners: Collection[str]) -> tuple[Rule, ...]:
    """The rules of a TOML text. ``deadlines``: of each known SLA, in words, "" when it has none.

    Raises RulesRefusedError with every reason, not only the first.
    """
    tables = _tables(text)
    headers = [number for number, line in enumerate(text.splitlines(), start=1) if _HEADER.match(line)]
    lines = headers if len(headers) == len(tables) else [0] * len(tables)
    rules: list[Rule] = []
    refusals: list[Refusal] = []
    for line, table in zip(lines, tables, strict=True):
        name = str(table.get("name", "without a name"))
        try:
            rule = msgspec.convert(table, Rule)
        except msgspec.ValidationError as error:
            refusals.append(Refusal(line, name, str(error)))
            continue
        refusals += [Refusal(line, name, reason) for reason in _faults(rule, rules, deadlines, owners)]
        rules.append(rule)
    if refusals:
        raise RulesRefusedError(refusals)
    return tuple(rules)


def _tables(text: str) -> list[dict[str, object]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesRefusedError([Refusal(0, "", f"not TOML: {error}")]) from error
    unknown = sorted(set(document) - {"rules"})
    if unknown:
        raise RulesRefusedError([Refusal(0, "", f"unknown table {unknown[0]!r}: rules are [[rules]]")])
    return msgspec.convert(document.get("rules", []), list[dict[str, object]])


def _faults(rule: Rule, before: list[Rule], deadlines: Mapping[str, str], owners: Collection[str]) -> list[str]:
    faults = []
    if any(rule.name == other.name for other in before):
        faults.append("another rule has this name")
    if rule.sla not in deadlines:
        faults.append(f"unknown SLA {rule.sla!r}; known: {', '.join(sorted(deadlines)) or 'none'}")
    elif not deadlines[rule.sla]:
        faults.append(f"SLA {rule.sla!r} has no deadline, so nothing of it is ever overdue")
    if rule.owner not in owners:
        faults.append(f"unknown owner {rule.owner!r}; known: {', '.join(sorted(owners)) or 'none'}")
    return faults
