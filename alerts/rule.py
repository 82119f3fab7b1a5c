"""Alert rules as values: when a promise counts as breaking, whose it is, and what to do about it."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

Severity = Literal["critical", "major", "minor", "record"]
Level = Literal["all", "channel", "provider", "location"]
NoData = Literal["keep", "alert", "resolve"]
Domain = Literal[
    "inventory", "order", "payment", "return", "refund", "posting", "settlement", "master_data", "exception",
    "publication",
]  # fmt: skip
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Seconds = Annotated[float, Meta(ge=0, le=86_400 * 30)]
Positive = Annotated[float, Meta(gt=0, le=86_400 * 30)]
Count = Annotated[int, Meta(ge=1)]

EVERY: Final = "*"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every rule has.

    ``owner`` names whose it is; ``about`` names a thing of the register of owners instead, whose owner it then has.
    ``for_seconds``: how long the condition must hold before somebody is told. ``keep_firing_for_seconds``: how long it
    must be over before the alert resolves. An older measurement than ``stale_after_seconds`` is none, and ``no_data``
    says what none means: keep the state, alert, or resolve. Severity "record" is kept and shown, and never sent. While
    a rule of ``hidden_by`` fires for the same place, or for more of it, this one is not told: it is the same trouble.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    domain: Domain
    severity: Severity
    summary: Text
    next_step: Text
    stale_after_seconds: Annotated[float, Meta(gt=0)]
    owner: str = ""
    about: str = ""
    for_seconds: Seconds = 0
    keep_firing_for_seconds: Seconds = 0
    no_data: NoData = "keep"
    levels: Annotated[tuple[Level, ...], Meta(min_length=1)] = ("channel",)
    hidden_by: tuple[str, ...] = ()
    enabled: bool = True


class SlaRule(Rule, frozen=True, kw_only=True):
    """A rule on the stored measurements of one promise, judged for every segment of ``levels`` apart.

    Without ``owner`` and ``about`` it is the promise's owner's.
    """

    sla: Text


class Overdue(SlaRule, frozen=True, kw_only=True, tag="overdue"):
    """At least so many items past their deadline and open, such a value (minor units by currency), or one so old.

    With ``decided_under`` the number tells only where the window of the promise has decided fewer: a few late ones of
    many say nothing, and there a share can tell.
    """

    overdue_at_least: Count | None = None
    decided_under: Count | None = None
    value_at_least: dict[str, Count] = {}
    oldest_seconds: Positive | None = None  # since its deadline


class BadCount(SlaRule, frozen=True, kw_only=True, tag="bad_count"):
    """At least so many items were bad in the last seconds: for what must never be, and for what is rare."""

    bad_at_least: Count
    within_seconds: Positive


class Pair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A long window, and a short one that ends the alert soon after recovery; both must exceed ``factor``."""

    long_seconds: Positive
    short_seconds: Positive
    factor: Annotated[float, Meta(gt=0)]


class BurnRate(SlaRule, frozen=True, kw_only=True, tag="burn_rate"):
    """The error budget is spent ``factor`` times as fast as the promise allows, in one of the pairs of windows.

    Nothing fires below ``min_decided`` decided items and ``min_bad`` bad ones of the long window.
    """

    windows: Annotated[tuple[Pair, ...], Meta(min_length=1, max_length=4)]
    min_decided: Count
    min_bad: Count


class BadRatio(SlaRule, frozen=True, kw_only=True, tag="bad_ratio"):
    """More than the share ``above`` is bad in both windows: for targets so low that no burn rate is of use."""

    above: Annotated[float, Meta(gt=0, lt=1)]
    long_seconds: Positive
    short_seconds: Positive
    min_decided: Count
    min_bad: Count


class Staleness(SlaRule, frozen=True, kw_only=True, tag="staleness"):
    """The newest event that the measurement saw is older than this."""

    older_than_seconds: Positive


class Absence(SlaRule, frozen=True, kw_only=True, tag="absence"):
    """The promise has not been measured for so long; with the SLA "*", each of the promises."""

    silent_for_seconds: Positive


class OpenExceptions(Rule, frozen=True, kw_only=True, tag="exceptions"):
    """Exceptions that people must decide, by what they are about: so many, worth so much, or open for so long.

    Each subject (``exception:<kind>``, ``event:<type>``) is judged apart and is its own owner's, unless the rule names
    one. ``kinds`` and ``severities`` narrow it; empty means any.
    """

    kinds: tuple[str, ...] = ()
    severities: tuple[Literal["critical", "major", "minor"], ...] = ()
    open_at_least: Count | None = None
    value_at_least: dict[str, Count] = {}
    oldest_seconds: Positive | None = None


AnyRule = Overdue | BadCount | BurnRate | BadRatio | Staleness | Absence | OpenExceptions


class Threshold(Struct, frozen=True):
    """A share of bad items that must be exceeded in both windows."""

    long_seconds: float
    short_seconds: float
    bad_share: float


def thresholds(rule: BurnRate | BadRatio, target: float) -> tuple[Threshold, ...]:
    if isinstance(rule, BadRatio):
        return (Threshold(rule.long_seconds, rule.short_seconds, rule.above),)
    return tuple(Threshold(one.long_seconds, one.short_seconds, one.factor * (1 - target)) for one in rule.windows)


def in_words(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
