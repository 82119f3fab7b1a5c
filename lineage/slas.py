"""Service-level definitions: what is promised, how it is measured, and why a definition is refused."""

import hashlib
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from lineage.deadlines import Calendar, Deadline, InvalidDeadlineError, parse, require_zone
from lineage.definitions import DefinitionError, read, require_milestone
from lineage.judge import MILLION, Thresholds

DEFAULT_SLAS: Final = Path(__file__).with_name("slas.toml")

MOST_ENDS: Final = 3

Kind = Literal["interval", "freshness", "reconciliation"]
Dimension = Literal["channel", "location", "provider"]

_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "interval": ("start", "ends"),
    "freshness": ("interval", "heartbeats_missed"),
    "reconciliation": ("level",),
}


class Hours(Struct, frozen=True):
    """Minutes after local midnight."""

    opens: int
    closes: int


class _Sla(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Kind
    title: str
    unit: str
    deadline: str
    target: float
    owner: str
    number: int = 0
    description: str = ""
    deadline_by_channel: dict[str, str] = {}
    start: str = ""
    ends: tuple[str, ...] = ()
    end_id: str = "{id}"
    excused: tuple[str, ...] = ()
    interval: str = ""
    interval_by_channel: dict[str, str] = {}
    heartbeats_missed: int = 0
    hours_by_channel: dict[str, str] = {}
    level: str = ""
    segments: tuple[tuple[Dimension, ...], ...] = ()
    window_days: int = 28
    low_volume_under: int = 50
    overdue_allowed: int = 2
    at_risk_below: float = 0.25
    stale_after: str = "26 h"
    segment_stale_after: str = ""
    calendar: Calendar = Calendar()


class Sla(Struct, frozen=True, kw_only=True):
    """A checked definition. ``end_id`` is the ID that the ends are reached under, from that of the start."""

    name: str
    kind: Kind
    title: str
    description: str
    unit: str
    owner: str
    deadline: Deadline
    deadline_by_channel: dict[str, Deadline]
    start: str
    ends: tuple[str, ...]
    end_id: str
    excused: tuple[str, ...]
    interval: Deadline | None
    interval_by_channel: dict[str, Deadline]
    heartbeats_missed: int
    hours_by_channel: dict[str, Hours]  # a channel without hours counts between the signs of life of a day
    level: str
    segments: tuple[tuple[Dimension, ...], ...]
    window: timedelta
    thresholds: Thresholds
    segment_thresholds: Thresholds
    calendar: Calendar
    definition: str  # hash of everything above

    @property
    def target(self) -> float:
        return self.thresholds.target_ppm / MILLION

    def deadline_for(self, channel: str) -> Deadline:
        return self.deadline_by_channel.get(channel, self.deadline)

    def rule(self) -> str:
        """The definition in one sentence."""
        other = ", ".join(f"{channel}: {deadline.text}" for channel, deadline in self.deadline_by_channel.items())
        within = f"within {self.deadline.text}" + (f" ({other})" if other else "")
        if self.kind == "interval":
            excused = f"; excused after {', '.join(self.excused)}" if self.excused else ""
            return f"From {self.start} to {' and '.join(self.ends)} of {self.end_id} {within}{excused}."
        if self.kind == "freshness":
            return f"Each minute, what is published lags its source by no more than the limit {within}."
        return f"Each cell of level {self.level} is reconciled to the last minor unit {within}."


def load(overrides: Path | None = None, defaults: Path = DEFAULT_SLAS) -> tuple[Sla, ...]:
    """The default definitions with those of ``overrides`` laid over them, key by key.

    Raises DefinitionError naming the file, the key and the reason.
    """
    merged: dict[str, dict[str, Any]] = dict(read(defaults, dict[str, dict[str, Any]]))
    file = str(defaults)
    if overrides:
        file = str(overrides)
        for name, changed in read(overrides, dict[str, dict[str, Any]]).items():
            merged[name] = _laid_over(merged.get(name, {}), changed)
    return tuple(_sla(name, raw, file) for name, raw in merged.items())


def _laid_over(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: base[key] | value if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changed.items()
    }
    return base | both


def _sla(name: str, raw: dict[str, Any], file: str) -> Sla:
    try:
        told = msgspec.convert(raw, _Sla)
    except msgspec.ValidationError as error:
        raise DefinitionError(f"{file}: {name}: {error}") from error
    _check(name, told, file)
    return Sla(
        name=name,
        kind=told.kind,
        title=told.title,
        description=told.description,
        unit=told.unit,
        owner=told.owner,
        deadline=_deadline(told.deadline, file, f"{name}.deadline"),
        deadline_by_channel=_deadlines(told.deadline_by_channel, file, f"{name}.deadline_by_channel"),
        start=told.start,
        ends=told.ends,
        end_id=told.end_id,
        excused=told.excused,
        interval=_deadline(told.interval, file, f"{name}.interval") if told.interval else None,
        interval_by_channel=_deadlines(told.interval_by_channel, file, f"{name}.interval_by_channel"),
        heartbeats_missed=told.heartbeats_missed,
        hours_by_channel=_hours(told.hours_by_channel, file, f"{name}.hours_by_channel"),
        level=told.level,
        segments=told.segments,
        window=timedelta(days=told.window_days),
        thresholds=_thresholds(told, told.stale_after, file, f"{name}.stale_after"),
        segment_thresholds=_thresholds(
            told, told.segment_stale_after or told.stale_after, file, f"{name}.segment_stale_after"
        ),
        calendar=told.calendar,
        definition=hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12],
    )


def _thresholds(told: _Sla, stale_after: str, file: str, key: str) -> Thresholds:
    return Thresholds(
        target_ppm=round(told.target * MILLION),
        low_volume_under=told.low_volume_under,
        overdue_allowed=told.overdue_allowed,
        at_risk_below=told.at_risk_below,
        stale_after=timedelta(seconds=_deadline(stale_after, file, key).seconds),
    )


def _check(name: str, told: _Sla, file: str) -> None:
    for key in _NEEDS[told.kind]:
        if not getattr(told, key):
            raise DefinitionError(f"{file}: {name}.{key}: a definition of kind {told.kind!r} needs it")
    if not 0 < told.target < 1:
        raise DefinitionError(f"{file}: {name}.target: {told.target} must lie between 0 and 1, both excluded")
    if not 1 <= told.window_days <= 400:
        raise DefinitionError(f"{file}: {name}.window_days: {told.window_days} must lie between 1 and 400")
    if not told.owner:
        raise DefinitionError(f"{file}: {name}.owner: a promise needs an owner")
    _check_milestones(name, told, file)
    _check_times(name, told, file)


def _check_milestones(name: str, told: _Sla, file: str) -> None:
    keyed = [("start", told.start)] if told.start else []
    keyed += [(f"ends[{index}]", end) for index, end in enumerate(told.ends)]
    keyed += [(f"excused[{index}]", end) for index, end in enumerate(told.excused)]
    for key, milestone in keyed:
        require_milestone(milestone, file, f"{name}.{key}")
    if len(told.ends) > MOST_ENDS:
        raise DefinitionError(f"{file}: {name}.ends: {len(told.ends)} are more than {MOST_ENDS}")
    if len({end.partition(".")[0] for end in told.ends}) > 1:
        raise DefinitionError(f"{file}: {name}.ends: must be milestones of one entity")
    if any(end.partition(".")[0] != told.start.partition(".")[0] for end in told.excused):
        raise DefinitionError(f"{file}: {name}.excused: must be milestones of the entity of {told.start!r}")
    if told.end_id.count("{id}") != 1:
        raise DefinitionError(f"{file}: {name}.end_id: {told.end_id!r} must hold {{id}} once")


def _check_times(name: str, told: _Sla, file: str) -> None:
    try:
        require_zone(told.calendar.zone)
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {name}.calendar.zone: {error}") from error
    durations = {"stale_after": told.stale_after}
    if told.segment_stale_after:
        durations["segment_stale_after"] = told.segment_stale_after
    if told.kind == "freshness":
        durations |= {"deadline": told.deadline, "interval": told.interval}
        durations |= {f"deadline_by_channel.{channel}": text for channel, text in told.deadline_by_channel.items()}
        durations |= {f"interval_by_channel.{channel}": text for channel, text in told.interval_by_channel.items()}
    for key, text in durations.items():
        if _deadline(text, file, f"{name}.{key}").days:
            raise DefinitionError(f"{file}: {name}.{key}: {text!r} must be a length of time")


def _hours(told: dict[str, str], file: str, key: str) -> dict[str, Hours]:
    found: dict[str, Hours] = {}
    for channel, text in told.items():
        parts = _HOURS.fullmatch(text)
        opens, closes = (int(parts[1]) * 60 + int(parts[2]), int(parts[3]) * 60 + int(parts[4])) if parts else (0, 0)
        if not opens < closes <= 1440:
            raise DefinitionError(f'{file}: {key}.{channel}: {text!r} are no opening hours; write "08:00-20:00"')
        found[channel] = Hours(opens, closes)
    return found


def _deadlines(told: dict[str, str], file: str, key: str) -> dict[str, Deadline]:
    return {channel: _deadline(text, file, f"{key}.{channel}") for channel, text in told.items()}


def _deadline(text: str, file: str, key: str) -> Deadline:
    try:
        return parse(text)
    except InvalidDeadlineError as error:
        raise DefinitionError(f"{file}: {key}: {error}") from error
