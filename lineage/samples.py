"""Measurements as stored rows: written, read back, and shown as tiles."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from lineage.brands import NONE as NO_BRANDS
from lineage.brands import Brands
from lineage.judge import MILLION, Tally, budget_left, burn, exhausted_in, state
from lineage.model import Money, Point, Sample, Segment, SlaState, SlaTile, View
from lineage.rolling import ALL, Measure
from lineage.rows import SampleRow, micros, moment, moment_or_none
from lineage.slas import Sla

COLUMNS: Final = (
    "sla", "channel", "location", "provider", "kind", "as_of", "window_start", "window_end", "good", "bad", "pending",
    "excused", "overdue_open", "value_at_risk_minor", "currency", "target_ppm", "state", "watermark", "definition",
    "measured_at", "daily", "details", "brand",
)  # fmt: skip

WORST_FIRST: Final[tuple[SlaState, ...]] = ("breached", "at_risk", "stale", "no_data", "low_volume", "meeting")
MOST_NAMED: Final = 3
_EPOCH: Final = moment(0)


class Details(Struct, frozen=True, kw_only=True):
    """What a sample says beyond its columns, kept as JSON."""

    at_risk: tuple[Money, ...] = ()
    refused: int = 0
    oldest_due_us: int = 0
    reason: str = ""
    recent_good: int = 0
    recent_bad: int = 0
    all_good: int = 0
    all_bad: int = 0


def sample(sla: Sla, measure: Measure, newest_us: int, brands: Brands = NO_BRANDS) -> Sample:
    """``newest_us`` stands for the watermark of what has no sign of life of its own; 0 when the store is empty."""
    as_of = moment(measure.as_of_us)
    watermark = moment_or_none(measure.last_us or min(newest_us, measure.as_of_us))
    rules = sla.thresholds_of(*measure.segment)
    word, reason = state(measure.tally, rules, watermark, as_of)
    place = measure.segment
    return Sample(
        sla=sla.name,
        channel=place.channel,
        location=place.location,
        provider=place.provider,
        kind=place.kind,
        brand=place.brand,
        as_of=as_of,
        window_start=sla.window_start(as_of),
        window_end=as_of,
        good=measure.tally.good,
        bad=measure.tally.bad,
        pending=measure.tally.pending,
        excused=measure.tally.excused,
        refused=measure.tally.refused,
        overdue_open=measure.tally.overdue_open,
        at_risk=measure.at_risk,
        oldest_due_at=moment_or_none(measure.oldest_due_us),
        target=rules.target_ppm / MILLION,
        value=measure.tally.value,
        state=word,
        reason=reason,
        watermark=watermark,
        definition=definition_of(sla, place.brand, brands),
        recent_good=measure.recent.good,
        recent_bad=measure.recent.bad,
        all_good=measure.in_all.good,
        all_bad=measure.in_all.bad,
    )


def definition_of(sla: Sla, brand: str, brands: Brands) -> str:
    """What a measurement was made by: another when the promise, or of which places the brand is, is declared anew."""
    known = brands.named(brand)
    return f"{sla.definition}-{known.mark}" if known else sla.definition


def naming_the_silent(samples: Sequence[Sample]) -> list[Sample]:
    """The whole first, as it was given, its reason now naming the places that have gone silent under it."""
    whole, *others = samples
    silent = sorted(f"{one.channel}/{one.location}" for one in others if one.location and one.state == "stale")
    if silent and whole.state != "stale":
        more = f" and {len(silent) - MOST_NAMED} more" if len(silent) > MOST_NAMED else ""
        told = f"{whole.reason}; silent: {', '.join(silent[:MOST_NAMED])}{more}"
        whole = msgspec.structs.replace(whole, reason=told)
    return [whole, *others]


def stored(sample: Sample, measured_at: datetime, *, daily: bool) -> tuple[Any, ...]:
    """The row of ``COLUMNS``. The columns of money hold the largest amount, the details all of them."""
    largest = max(sample.at_risk, key=lambda money: money.amount_minor, default=Money(0, ""))
    details = Details(
        at_risk=sample.at_risk,
        refused=sample.refused,
        oldest_due_us=micros(sample.oldest_due_at) if sample.oldest_due_at else 0,
        reason=sample.reason,
        recent_good=sample.recent_good,
        recent_bad=sample.recent_bad,
        all_good=sample.all_good,
        all_bad=sample.all_bad,
    )
    return (
        sample.sla, sample.channel, sample.location, sample.provider, sample.kind, sample.as_of, sample.window_start,
        sample.window_end, sample.good, sample.bad, sample.pending, sample.excused, sample.overdue_open,
        largest.amount_minor, largest.currency, round(sample.target * MILLION), sample.state,
        sample.watermark or _EPOCH, sample.definition, measured_at, int(daily),
        msgspec.json.encode(details).decode(), sample.brand,
    )  # fmt: skip


def read(row: SampleRow) -> Sample:
    details = msgspec.json.decode(row.details, type=Details)
    decided = row.good + row.bad
    return Sample(
        sla=row.sla,
        channel=row.channel,
        location=row.location,
        provider=row.provider,
        kind=row.kind,
        brand=row.brand,
        as_of=moment(row.as_of_us),
        window_start=moment(row.window_start_us),
        window_end=moment(row.window_end_us),
        good=row.good,
        bad=row.bad,
        pending=row.pending,
        excused=row.excused,
        refused=details.refused,
        overdue_open=row.overdue_open,
        at_risk=details.at_risk,
        oldest_due_at=moment_or_none(details.oldest_due_us),
        target=row.target_ppm / MILLION,
        value=row.good / decided if decided else None,
        state=msgspec.convert(row.state, SlaState),
        reason=details.reason,
        watermark=moment_or_none(row.watermark_us),
        definition=row.definition,
        recent_good=details.recent_good,
        recent_bad=details.recent_bad,
        all_good=details.all_good,
        all_bad=details.all_bad,
        measured_at=moment(row.measured_us),
    )


def point(sample: Sample) -> Point:
    return Point(
        as_of=sample.as_of,
        value=sample.value,
        good=sample.good,
        bad=sample.bad,
        overdue_open=sample.overdue_open,
        state=sample.state,
    )


def segments(samples: Iterable[Sample]) -> tuple[Segment, ...]:
    """Worst state first, then by the share of the budget left."""
    found = [
        Segment(
            channel=one.channel,
            location=one.location,
            provider=one.provider,
            kind=one.kind,
            value=one.value,
            target=one.target,
            state=one.state,
            reason=one.reason,
            good=one.good,
            bad=one.bad,
            pending=one.pending,
            excused=one.excused,
            overdue_open=one.overdue_open,
            at_risk=one.at_risk,
            budget_left=_budget_left(one),
            burn=_burn(one),
            as_of=one.as_of,
        )
        for one in samples
        if not is_whole(one)
    ]
    return tuple(sorted(found, key=_badness))


def is_whole(one: Sample) -> bool:
    """Everything, or the whole of a brand."""
    return not (one.channel or one.location or one.provider or one.kind)


def is_of(one: Sample, view: View) -> bool:
    place = (view.channel, view.location, "", "", view.brand)
    return (one.channel, one.location, one.provider, one.kind, one.brand) == place


def is_part(one: Sample, view: View) -> bool:
    within = view.channel in ("", one.channel) and view.location in ("", one.location) and view.brand == one.brand
    return within and not is_of(one, view)


def is_all(view: View) -> bool:
    return not (view.channel or view.location or view.brand)


def _badness(segment: Segment) -> tuple[int, float, str, str, str, str]:
    left = 1.0 if segment.budget_left is None else segment.budget_left
    where = (segment.channel, segment.location, segment.provider, segment.kind)
    return WORST_FIRST.index(segment.state), left, *where


def worst(found: Iterable[Segment]) -> tuple[Segment, ...]:
    """What falls short of the target, most of its items first."""
    short = [one for one in found if one.value is not None and one.value < one.target]
    return tuple(sorted(short, key=lambda one: (one.value or 0.0, -one.bad, *_badness(one)[2:]))[:MOST_NAMED])


def _budget_left(sample: Sample) -> float | None:
    return budget_left(Tally(good=sample.good, bad=sample.bad), round(sample.target * MILLION))


def _burn(sample: Sample) -> float | None:
    return burn(Tally(good=sample.recent_good, bad=sample.recent_bad), round(sample.target * MILLION))


def tile(
    sla: Sla,
    newest: Sample | None,
    history: Sequence[Sample],
    unmeasured_since: datetime | None,
    parts: Sequence[Sample] = (),
) -> SlaTile:
    """``history`` is oldest first; ``unmeasured_since`` is set when the measuring itself has stopped."""
    at = newest or _never(sla)
    window = at.window_end - at.window_start
    spent = exhausted_in(_budget_left(at), _burn(at), window)
    word, reason = at.state, at.reason
    if newest and unmeasured_since:
        word, reason = "stale", f"not measured since {unmeasured_since:%Y-%m-%d %H:%M} UTC; was {word}: {reason}"
    return SlaTile(
        name=sla.name,
        number=sla.number,
        title=sla.title,
        description=sla.description,
        unit=sla.unit,
        value=at.value,
        target=at.target,
        state=word,
        reason=reason,
        good=at.good,
        bad=at.bad,
        pending=at.pending,
        excused=at.excused,
        refused=at.refused,
        overdue_open=at.overdue_open,
        at_risk=at.at_risk,
        budget_left=_budget_left(at),
        as_of=at.as_of if newest else None,
        watermark=at.watermark,
        window_start=at.window_start if newest else None,
        window_end=at.window_end if newest else None,
        window_days=max(1, window.days),
        deadline=sla.deadline.text,
        owner=sla.owner,
        history=tuple(map(point, (*history, newest) if newest else history)),
        change=_change(at, history, window),
        oldest_due_at=at.oldest_due_at,
        severity=sla.severity,
        kind=sla.kind,
        period=sla.period or "",
        burn=_burn(at),
        exhausted_in_seconds=None if spent is None else spent.total_seconds(),
        worst=worst(segments(parts)),
    )


def _change(newest: Sample, history: Sequence[Sample], window: timedelta) -> float | None:
    before = [one for one in history if one.as_of <= newest.as_of - window]
    if newest.value is None or not before or before[-1].value is None:
        return None
    return newest.value - before[-1].value


def _never(sla: Sla) -> Sample:
    measure = Measure(ALL, micros(_EPOCH + timedelta(days=365)), Tally(), (), 0)
    return msgspec.structs.replace(sample(sla, measure, 0), state="no_data", reason="not measured yet", watermark=None)
