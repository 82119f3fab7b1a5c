"""Is a promise breaking? One step of one rule for one place, and whether anybody must be told."""

import hashlib
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from msgspec import Struct

from alerts.condition import Place, Reading, counts_silence, judged
from alerts.rule import AnyRule
from lineage.model import Money

_JUDGED: Final = "a newer measurement was judged already"
Phase = Literal["inactive", "pending", "firing", "resolved"]
Change = Literal["pending", "firing", "resolved", "cleared"]


class AlertState(Struct, frozen=True, kw_only=True):
    """Where a rule stands for one place (``group`` is its key). ``alert_id`` names one firing, from start to end."""

    rule: str
    group: str
    place: Place = Place()
    phase: Phase = "inactive"
    since: datetime | None = None  # when the phase began
    true_at: datetime | None = None  # when the condition was last seen to hold
    alert_id: str = ""
    owner: str = ""
    severity: str = ""
    overdue_open: int = 0
    at_risk: tuple[Money, ...] = ()
    oldest_due_at: datetime | None = None
    measured_at: datetime | None = None


class Step(Struct, frozen=True):
    state: AlertState
    change: Change | None
    reason: str


def step(state: AlertState, reading: Reading | None, rule: AnyRule, now: datetime) -> Step:
    """The next state. Without a usable measurement the rule says what becomes of it; by itself nothing changes."""
    unusable = _unusable(state, reading, rule, now)
    if reading is None or unusable:
        return _without(state, rule, now, unusable)
    seen = msgspec.structs.replace(
        state, place=reading.place, measured_at=reading.as_of, overdue_open=reading.overdue_open
    )
    verdict = judged(rule, reading, now)
    if verdict.holds:
        return _held(_with_figures(seen, reading, now), rule, now, verdict.why)
    return _not_held(seen, rule, now, verdict.why)


def _without(state: AlertState, rule: AnyRule, now: datetime, why: str) -> Step:
    policy = "alert" if counts_silence(rule) else rule.no_data
    if policy == "keep" or why == _JUDGED:
        return Step(state, None, why)
    if policy == "alert":
        return _held(msgspec.structs.replace(state, true_at=now), rule, now, why)
    return _not_held(state, rule, now, why)


def _unusable(state: AlertState, reading: Reading | None, rule: AnyRule, now: datetime) -> str:
    if reading is None:
        return "no measurement"
    if now - reading.as_of > timedelta(seconds=rule.stale_after_seconds) and not counts_silence(rule):
        return f"the newest measurement is of {reading.as_of:%Y-%m-%d %H:%M:%S} UTC"
    if state.measured_at is not None and reading.as_of < state.measured_at:
        return _JUDGED
    return ""


def _held(state: AlertState, rule: AnyRule, now: datetime, why: str) -> Step:
    if state.phase == "firing":
        return Step(state, None, f"still {why}")
    if state.phase == "pending":
        return _fire_when_due(state, rule, now, why, None)
    pending = msgspec.structs.replace(state, phase="pending", since=now, alert_id="")
    return _fire_when_due(pending, rule, now, why, "pending")


def _fire_when_due(state: AlertState, rule: AnyRule, now: datetime, why: str, otherwise: Change | None) -> Step:
    waited = now - state.since if state.since else timedelta()
    if waited < timedelta(seconds=rule.for_seconds):
        return Step(state, otherwise, f"{why} for {waited.total_seconds():.0f} of {rule.for_seconds:.0f} s")
    alert_id = f"{rule.name}-{_fingerprint(rule.name, state.group, now)}"
    fired = msgspec.structs.replace(state, phase="firing", since=now, alert_id=alert_id)
    held_for = f" for {waited.total_seconds():.0f} s" if rule.for_seconds else ""
    return Step(fired, "firing", f"{why}{held_for}")


def _not_held(state: AlertState, rule: AnyRule, now: datetime, why: str) -> Step:
    if state.phase == "pending":
        return Step(msgspec.structs.replace(state, phase="inactive", since=now), "cleared", why)
    if state.phase != "firing" or state.true_at is None:
        return Step(state, None, why)
    quiet = now - state.true_at
    if quiet < timedelta(seconds=rule.keep_firing_for_seconds):
        return Step(state, None, f"{why} for {quiet.total_seconds():.0f} of {rule.keep_firing_for_seconds:.0f} s")
    return Step(msgspec.structs.replace(state, phase="resolved", since=now), "resolved", why)


def _with_figures(state: AlertState, reading: Reading, now: datetime) -> AlertState:
    """What is at stake, kept from the last time that the condition held so that the resolve can tell it."""
    return msgspec.structs.replace(
        state, true_at=now, at_risk=reading.at_risk, oldest_due_at=reading.oldest_due_at, owner=reading.owner,
        severity=reading.severity,
    )  # fmt: skip


def _fingerprint(rule: str, group: str, fired_at: datetime) -> str:
    return hashlib.sha256(f"{rule}\x1f{group}\x1f{fired_at.isoformat()}".encode()).hexdigest()[:12]
