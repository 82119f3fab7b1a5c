"""Silences and maintenance windows: what is not told for a while, by whom it was hidden, until when, and why."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from alerts.routing import Labels, Match, matches

LONGEST: Final = timedelta(days=30)
Line = Annotated[str, Meta(min_length=1, max_length=500)]


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A silence as it is asked for. With ``dry_run`` it is only told what it would hide now."""

    match: Match
    starts_at: Annotated[datetime, Meta(tz=True)] | None = None
    ends_at: Annotated[datetime, Meta(tz=True)]
    by: Line
    reason: Line
    kind: Literal["silence", "maintenance"] = "silence"
    dry_run: bool = False


class Silence(Struct, frozen=True, kw_only=True):
    """``hid``: how many alerts it has kept from being told."""

    silence_id: int
    kind: str
    match: Match
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str
    created_at: datetime
    hid: int = 0


def fault(wanted: Wanted, now: datetime) -> tuple[str, str]:
    """What is wrong with it, and in which field; empty when nothing is."""
    starts_at = wanted.starts_at or now
    if wanted.ends_at <= max(starts_at, now):
        return "it would be over before it begins", "ends_at"
    if wanted.ends_at - starts_at > LONGEST:
        return f"it is longer than {LONGEST.days} days", "ends_at"
    if wanted.match == Match():
        return "name at least one thing that it hides; nothing hides everything", "match"
    return "", ""


def hiding(silences: Iterable[Silence], labels: Labels, now: datetime) -> Silence | None:
    """The one that hides such an alert for longest."""
    active = [one for one in silences if one.starts_at <= now < one.ends_at and matches(one.match, labels)]
    return max(active, key=lambda one: one.ends_at, default=None)
