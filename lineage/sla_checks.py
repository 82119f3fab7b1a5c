"""Service-level definitions as a file declares them, and what makes one unusable."""

import re
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from lineage.deadlines import Calendar, Deadline, InvalidDeadlineError, clock_seconds, parse, require_sound
from lineage.definitions import DefinitionError, require_milestone

MOST_ENDS: Final = 3

Kind = Literal[
    "interval", "ratio", "freshness", "propagation", "reconciliation", "backlog", "volume", "derived"
]  # fmt: skip
Dimension = Literal["channel", "location", "provider", "kind"]
Keyed = Literal["channel", "kind", "severity"]
Severity = Literal["critical", "major", "minor"]
Period = Literal["week", "month", "quarter", "year"]

_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_NEEDS: Final[dict[Kind, tuple[str, ...]]] = {
    "interval": ("start",),
    "ratio": ("start", "spoiled_by"),
    "freshness": ("interval", "heartbeats_missed"),
    "propagation": (),
    "reconciliation": (),
    "backlog": ("start", "ends", "measured_at", "allowed_share", "allowed_age"),
    "volume": ("start", "allowed_shares"),
    "derived": ("of",),
}
_ONLY: Final[dict[str, tuple[Kind, ...]]] = {
    "ends": ("interval", "backlog"),
    "or_ends": ("interval",),
    "excused": ("interval", "ratio", "backlog"),
    "paused": ("interval", "ratio"),
    "spoiled_by": ("interval", "ratio"),
    "weighted": ("interval", "ratio"),
    "due_from_hop": ("interval", "ratio", "backlog"),
    "interval": ("freshness",),
    "level": ("reconciliation",),
    "measured_at": ("backlog",),
    "allowed_share": ("backlog",),
    "allowed_age": ("backlog",),
    "allowed_shares": ("volume",),
    "announced": ("volume",),
    "of": ("derived",),
}


class Hours(Struct, frozen=True):
    """Minutes after local midnight."""

    opens: int
    closes: int


class Declared(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Kind
    title: str
    unit: str
    target: float
    owner: str
    severity: Severity = "major"
    number: int = 0
    description: str = ""
    deadline: str = ""
    deadline_by_channel: dict[str, str] = {}
    deadline_by_kind: dict[str, str] = {}
    deadline_by_severity: dict[str, str] = {}
    start: str = ""
    ends: tuple[str, ...] = ()
    end_id: str = "{id}"
    or_ends: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    paused: tuple[tuple[str, str], ...] = ()
    spoiled_by: tuple[str, ...] = ()
    spoiled_kinds: tuple[str, ...] = ()
    only_kinds: tuple[str, ...] = ()
    weighted: bool = False
    due_from_hop: bool = False
    even_when_parked: bool = False
    interval: str = ""
    interval_by_channel: dict[str, str] = {}
    heartbeats_missed: int = 0
    hours_by_channel: dict[str, str] = {}
    level: str = ""
    measured_at: str = ""
    allowed_share: float = 0.0
    allowed_age: str = ""
    allowed_shares: dict[str, float] = {}
    announced: dict[str, str] = {}
    floor: int = 0
    of: tuple[str, ...] = ()
    segments: tuple[tuple[Dimension, ...], ...] = ()
    target_by_channel: dict[str, float] = {}
    window_days: int = 28
    period: Period | None = None
    low_volume_under: int = 50
    overdue_allowed: int = 2
    at_risk_below: float = 0.25
    measured_every: str = "60 s"
    stale_after: str = "26 h"
    segment_stale_after: str = ""
    calendar: Calendar = Calendar()

    @property
    def clock_seconds(self) -> int:
        return clock_seconds(self.measured_at) if self.measured_at else 0


def check(name: str, told: Declared, file: str) -> None:
    """Raises DefinitionError naming the file, the key and the reason."""
    for key in _NEEDS[told.kind]:
        if not getattr(told, key):
            raise DefinitionError(f"{file}: {name}.{key}: a definition of kind {told.kind!r} needs it")
    for key, kinds in _ONLY.items():
        if getattr(told, key) and told.kind not in kinds:
            raise DefinitionError(f"{file}: {name}.{key}: means nothing in a definition of kind {told.kind!r}")
    if not told.deadline and told.kind not in ("derived", "volume"):
        raise DefinitionError(f"{file}: {name}.deadline: a definition of kind {told.kind!r} needs it")
    if told.kind == "interval" and not (told.ends or told.or_ends):
        raise DefinitionError(f"{file}: {name}.ends: a definition of kind 'interval' needs it")
    targets = {"target": told.target} | {
        f"target_by_channel.{one}": value for one, value in told.target_by_channel.items()
    }
    for key, target in targets.items():
        if not 0 < target < 1:
            raise DefinitionError(f"{file}: {name}.{key}: {target} must lie between 0 and 1, both excluded")
    if not 1 <= told.window_days <= 400:
        raise DefinitionError(f"{file}: {name}.window_days: {told.window_days} must lie between 1 and 400")
    if not told.owner:
        raise DefinitionError(f"{file}: {name}.owner: a promise needs an owner")
    for key, share in {"allowed_share": told.allowed_share, **told.allowed_shares}.items():
        if not 0 <= share < 1:
            raise DefinitionError(f"{file}: {name}.{key}: {share} must lie between 0 and 1")
    _check_milestones(name, told, file)
    _check_times(name, told, file)


def _check_milestones(name: str, told: Declared, file: str) -> None:
    keyed = [("start", told.start)] if told.start else []
    lists = {"ends": told.ends, "or_ends": told.or_ends, "excused": told.excused, "spoiled_by": told.spoiled_by,
             "allowed_shares": tuple(told.allowed_shares), "announced": tuple(told.announced.values())}  # fmt: skip
    keyed += [(f"{key}[{index}]", one) for key, names in lists.items() for index, one in enumerate(names)]
    keyed += [(f"paused[{index}]", one) for index, pair in enumerate(told.paused) for one in pair]
    for key, milestone in keyed:
        require_milestone(milestone, file, f"{name}.{key}")
    if len(told.ends) > MOST_ENDS:
        raise DefinitionError(f"{file}: {name}.ends: {len(told.ends)} are more than {MOST_ENDS}")
    if len({end.partition(".")[0] for end in told.ends}) > 1:
        raise DefinitionError(f"{file}: {name}.ends: must be milestones of one entity")
    own = told.start.partition(".")[0]
    pauses = [one for pair in told.paused for one in pair]
    of_the_start = {"excused": told.excused, "paused": pauses, "allowed_shares": list(told.allowed_shares),
                    "announced": list(told.announced.values())}  # fmt: skip
    for key, names in of_the_start.items():
        if any(one.partition(".")[0] != own for one in names):
            raise DefinitionError(f"{file}: {name}.{key}: must be milestones of the entity of {told.start!r}")
    for share in told.announced:
        if share not in told.allowed_shares:
            raise DefinitionError(f"{file}: {name}.announced: {share!r} is none of allowed_shares")
    if told.end_id.count("{id}") != 1:
        raise DefinitionError(f"{file}: {name}.end_id: {told.end_id!r} must hold {{id}} once")


def _check_times(name: str, told: Declared, file: str) -> None:
    try:
        require_sound(told.calendar)
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {name}.calendar: {error}") from error
    try:
        _ = told.clock_seconds
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {name}.measured_at: {error}") from error
    if sum(map(bool, (told.deadline_by_channel, told.deadline_by_kind, told.deadline_by_severity))) > 1:
        raise DefinitionError(f"{file}: {name}.deadline: may differ by channel, by kind or by severity, not by two")
    durations = {"stale_after": told.stale_after, "measured_every": told.measured_every}
    if told.segment_stale_after:
        durations["segment_stale_after"] = told.segment_stale_after
    if told.kind in ("freshness", "propagation"):
        durations |= {"deadline": told.deadline, **({"interval": told.interval} if told.interval else {})}
        durations |= {f"deadline_by_channel.{channel}": text for channel, text in told.deadline_by_channel.items()}
        durations |= {f"interval_by_channel.{channel}": text for channel, text in told.interval_by_channel.items()}
    for key, text in durations.items():
        if not deadline_at(text, file, f"{name}.{key}").plain:
            raise DefinitionError(f"{file}: {name}.{key}: {text!r} must be a length of time")


def keyed_by(told: Declared) -> tuple[Keyed, dict[str, str]]:
    """What chooses the deadline of an item, and the deadlines that are not the general one."""
    if told.deadline_by_kind:
        return "kind", told.deadline_by_kind
    if told.deadline_by_severity:
        return "severity", told.deadline_by_severity
    return "channel", told.deadline_by_channel


def hours_at(told: dict[str, str], file: str, key: str) -> dict[str, Hours]:
    found: dict[str, Hours] = {}
    for channel, text in told.items():
        parts = _HOURS.fullmatch(text)
        opens, closes = (int(parts[1]) * 60 + int(parts[2]), int(parts[3]) * 60 + int(parts[4])) if parts else (0, 0)
        if not opens < closes <= 1440:
            raise DefinitionError(f'{file}: {key}.{channel}: {text!r} are no opening hours; write "08:00-20:00"')
        found[channel] = Hours(opens, closes)
    return found


def deadlines_at(told: dict[str, str], file: str, key: str) -> dict[str, Deadline]:
    return {one: deadline_at(text, file, f"{key}.{one}") for one, text in told.items()}


def deadline_at(text: str, file: str, key: str) -> Deadline:
    if not text:
        return Deadline(text="")
    try:
        return parse(text)
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {key}: {error}") from error


def with_line(message: str, path: Path) -> str:
    """The message, ending with the line of the file that it is about: of the key, else of its table."""
    about = message.removeprefix(f"{path}: ").partition(":")[0]
    name, _, key = about.partition(".")
    unknown = re.search(r"unknown field `(\w+)`|at `\$\.(\w+)", message)
    key = re.split(r"[.\[]", key)[0] or (unknown and (unknown[1] or unknown[2])) or ""
    inside = found = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"\s*\[", line):
            inside = number if re.match(rf'\s*\[\s*"?{re.escape(name)}"?\s*[.\]]', line) else 0
            found = found or inside
        elif inside and key and re.match(rf"\s*{re.escape(key)}\s*=", line):
            found = number
    return f"{message} (line {found})" if found else message
