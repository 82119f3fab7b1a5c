"""Service-level definitions: what is promised, how it is measured, and why a definition is refused."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from lineage.deadlines import Calendar, Deadline, midnight, parse
from lineage.definitions import DefinitionError, read
from lineage.judge import MILLION, Thresholds
from lineage.sla_checks import (
    Declared,
    Dimension,
    Hours,
    Keyed,
    Kind,
    Period,
    Severity,
    check,
    deadline_at,
    deadlines_at,
    hours_at,
    keyed_by,
    with_line,
)

DEFAULT_SLAS: Final = Path(__file__).with_name("slas.toml")
_FIRST_MONTHS: Final[dict[Period, int]] = {"month": 1, "quarter": 3, "year": 12}


class Sla(Struct, frozen=True, kw_only=True):
    """A checked definition. ``end_id`` is the ID that the ends are reached under, from that of the start."""

    name: str
    number: int
    kind: Kind
    title: str
    description: str
    unit: str
    owner: str
    severity: Severity
    deadline: Deadline
    deadline_by: Keyed  # what of an item chooses its deadline
    deadlines: dict[str, Deadline]
    start: str
    ends: tuple[str, ...]
    end_id: str
    or_ends: tuple[str, ...]  # any of these, on any object of the transaction, ends an item as well
    excused: tuple[str, ...]
    paused: tuple[tuple[str, str], ...]  # from one milestone to the other the deadline moves on
    spoiled_by: tuple[str, ...]  # of another entity than the start: on any object of the transaction
    spoiled_kinds: tuple[str, ...]
    only_kinds: tuple[str, ...]
    weighted: bool
    due_from_hop: bool
    even_when_parked: bool
    interval: Deadline | None
    intervals: dict[str, Deadline]  # by channel
    heartbeats_missed: int
    hours_by_channel: dict[str, Hours]  # a channel without hours counts between the signs of life of a day
    level: str
    measured_at: int  # seconds after local midnight
    allowed_share: float
    allowed_age: Deadline
    allowed_shares: dict[str, float]
    announced: dict[str, str]  # how many of each were announced
    floor: int
    of: tuple[str, ...]
    segments: tuple[tuple[Dimension, ...], ...]
    window_days: int
    period: Period | None  # the window is the calendar's, not a rolling one
    measured_every: Deadline
    thresholds: Thresholds
    segment_thresholds: Thresholds
    channel_thresholds: dict[str, Thresholds]  # of segments of channels with a target of their own
    calendar: Calendar
    definition: str  # hash of everything above

    @property
    def target(self) -> float:
        return self.thresholds.target_ppm / MILLION

    @property
    def counted_items(self) -> bool:
        """Whether its items are rows with a start and an end, and not minutes or other promises."""
        return self.kind not in ("freshness", "derived")

    def thresholds_of(self, channel: str, *others: str) -> Thresholds:
        """Of a segment; all "" is the whole."""
        if channel in self.channel_thresholds:
            return self.channel_thresholds[channel]
        return self.segment_thresholds if channel or any(others) else self.thresholds

    def deadline_for(self, key: str) -> Deadline:
        return self.deadlines.get(key, self.deadline)

    def window_start(self, end: datetime) -> datetime:
        """Since when items count that were decided up to ``end``, which is inside the window that it closes."""
        zone = ZoneInfo(self.calendar.zone)
        if self.period is None:
            return (end.astimezone(zone) - timedelta(days=self.window_days)).astimezone(UTC)
        day = (end - timedelta(microseconds=1)).astimezone(zone).date()
        if self.period == "week":
            return midnight(day - timedelta(days=day.weekday()), self.calendar.zone)
        months = _FIRST_MONTHS[self.period]
        return midnight(day.replace(month=(day.month - 1) // months * months + 1, day=1), self.calendar.zone)

    def rule(self) -> str:
        """The definition in one sentence."""
        other = ", ".join(f"{key}: {deadline.text}" for key, deadline in self.deadlines.items())
        within = f"within {self.deadline.text}" + (f" ({other})" if other else "")
        match self.kind:
            case "interval" | "ratio":
                return self._item_rule(within)
            case "freshness":
                return f"Each minute, what is published lags its source by no more than the limit {within}."
            case "propagation":
                return f"A change of stock is taken by the channel {within}."
            case "reconciliation":
                level = f"level {self.level}" if self.level else "each level"
                return f"Each cell of {level} is reconciled to the last minor unit {within}, and stays so."
            case "backlog":
                share = f"{self.allowed_share:.2%} of the items of {self.window_days} days"
                return (
                    f"On each business day no more than {share} are past {self.start} to {' and '.join(self.ends)} "
                    f"{within}, and none for {self.allowed_age.text}."
                )
            case "volume":
                shares = " and ".join(f"{name} {share:.2%}" for name, share in self.allowed_shares.items())
                excused = "".join(f" {one} does not count." for one in self.announced.values())
                most = f"{shares} of {self.start}, or {self.floor} where that is more"
                return f"In each hour no more than {most}.{excused}"
            case "derived":
                return f"The worst state of {', '.join(self.of)}; counts of {self.of[0]}."

    def _item_rule(self, within: str) -> str:
        ends = " and ".join(self.ends) + (f" of {self.end_id}" if self.ends and self.end_id != "{id}" else "")
        ends = " or ".join(part for part in (ends, *self.or_ends) if part)
        said = f"From {self.start} to {ends} {within}" if ends else f"From {self.start}, judged {within}"
        if self.spoiled_by:
            kinds = f" ({', '.join(self.spoiled_kinds)})" if self.spoiled_kinds else ""
            said += f"; bad at once on {', '.join(self.spoiled_by)}{kinds}"
        if self.paused:
            said += f"; paused from {', '.join(f'{begin} to {end}' for begin, end in self.paused)}"
        return said + (f"; excused after {', '.join(self.excused)}" if self.excused else "") + "."


def load(overrides: Path | None = None, defaults: Path = DEFAULT_SLAS) -> tuple[Sla, ...]:
    """The default definitions with those of ``overrides`` laid over them, key by key.

    Raises DefinitionError naming the file, the key, the reason and the line.
    """
    merged: dict[str, dict[str, Any]] = dict(read(defaults, dict[str, dict[str, Any]]))
    path = defaults
    if overrides:
        path = overrides
        for name, changed in read(overrides, dict[str, dict[str, Any]]).items():
            merged[name] = _laid_over(merged.get(name, {}), changed)
    try:
        found = tuple(_sla(name, raw, str(path)) for name, raw in merged.items())
        _check_derived(found, str(path))
    except DefinitionError as error:
        raise DefinitionError(with_line(str(error), path)) from error
    return found


def _laid_over(base: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: base[key] | value if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changed.items()
    }
    return base | both


def _check_derived(found: tuple[Sla, ...], file: str) -> None:
    counted = {sla.name for sla in found if sla.kind != "derived"}
    for sla in found:
        for name in sla.of:
            if name not in counted:
                raise DefinitionError(f"{file}: {sla.name}.of: no promise that is measured is called {name!r}")


def _sla(name: str, raw: dict[str, Any], file: str) -> Sla:
    try:
        told = msgspec.convert(raw, Declared)
    except msgspec.ValidationError as error:
        raise DefinitionError(f"{file}: {name}: {error}") from error
    check(name, told, file)
    by, texts = keyed_by(told)
    silence = told.segment_stale_after or told.stale_after
    return Sla(
        name=name,
        number=told.number,
        kind=told.kind,
        title=told.title,
        description=told.description,
        unit=told.unit,
        owner=told.owner,
        severity=told.severity,
        deadline=deadline_at(told.deadline, file, f"{name}.deadline"),
        deadline_by=by,
        deadlines=deadlines_at(texts, file, f"{name}.deadline_by_{by}"),
        start=told.start,
        ends=told.ends,
        end_id=told.end_id,
        or_ends=told.or_ends,
        excused=told.excused,
        paused=told.paused,
        spoiled_by=told.spoiled_by,
        spoiled_kinds=told.spoiled_kinds,
        only_kinds=told.only_kinds,
        weighted=told.weighted,
        due_from_hop=told.due_from_hop,
        even_when_parked=told.even_when_parked,
        interval=deadline_at(told.interval, file, f"{name}.interval") if told.interval else None,
        intervals=deadlines_at(told.interval_by_channel, file, f"{name}.interval_by_channel"),
        heartbeats_missed=told.heartbeats_missed,
        hours_by_channel=hours_at(told.hours_by_channel, file, f"{name}.hours_by_channel"),
        level=told.level,
        measured_at=told.clock_seconds,
        allowed_share=told.allowed_share,
        allowed_age=deadline_at(told.allowed_age, file, f"{name}.allowed_age"),
        allowed_shares=told.allowed_shares,
        announced=told.announced,
        floor=told.floor,
        of=told.of,
        segments=told.segments,
        window_days=told.window_days,
        period=told.period,
        measured_every=parse(told.measured_every),
        thresholds=_thresholds(told, told.target, told.stale_after),
        segment_thresholds=_thresholds(told, told.target, silence),
        channel_thresholds={
            channel: _thresholds(told, target, silence) for channel, target in told.target_by_channel.items()
        },
        calendar=told.calendar,
        definition=hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12],
    )


def _thresholds(told: Declared, target: float, stale_after: str) -> Thresholds:
    return Thresholds(
        target_ppm=round(target * MILLION),
        low_volume_under=told.low_volume_under,
        overdue_allowed=told.overdue_allowed,
        at_risk_below=told.at_risk_below,
        stale_after=timedelta(seconds=parse(stale_after).seconds),
    )
