"""Is a promise breaking? One step of one rule for one channel, and whether somebody must be told."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from alerts.rule import Rule
from lineage.model import Money, Sample

Phase = Literal["inactive", "pending", "firing", "resolved"]
Change = Literal["pending", "firing", "resolved", "cleared"]
Transition = Literal["page", "resolve"]


class AlertState(Struct, frozen=True, kw_only=True):
    """Where a rule stands for one channel (``group``). ``alert_id`` names one firing, from page to resolve."""

    rule: str
    group: str
    phase: Phase = "inactive"
    since: datetime | None = None  # when the phase began
    true_at: datetime | None = None  # when the condition was last seen to hold
    alert_id: str = ""
    overdue_open: int = 0
    at_risk: tuple[Money, ...] = ()
    oldest_due_at: datetime | None = None
    measured_at: datetime | None = None


class Step(Struct, frozen=True):
    state: AlertState
    change: Change | None
    reason: str


class Notice(Struct, frozen=True):
    send: Transition | None
    reason: str


def step(state: AlertState, sample: Sample | None, rule: Rule, now: datetime) -> Step:
    """The next state. Without a usable measurement nothing changes: silence neither pages nor resolves."""
    unusable = _unusable(state, sample, rule, now)
    if sample is None or unusable:
        return Step(state, None, unusable)
    seen = msgspec.structs.replace(state, measured_at=sample.as_of, overdue_open=sample.overdue_open)
    if sample.overdue_open >= rule.overdue_at_least:
        return _held(_with_figures(seen, sample, now), rule, now, f"{sample.overdue_open} overdue and still open")
    return _not_held(seen, rule, now, f"{sample.overdue_open} overdue, fewer than {rule.overdue_at_least}")


def notify_reason(taken: Step) -> Notice:
    """Whether this step is told to the owner, and why or why not."""
    match taken.change:
        case "firing":
            return Notice("page", taken.reason)
        case "resolved":
            return Notice("resolve", taken.reason)
        case "pending":
            return Notice(None, f"not yet for long enough: {taken.reason}")
        case "cleared":
            return Notice(None, f"over before it was told: {taken.reason}")
        case None:
            return Notice(None, f"nothing new: {taken.reason}")


def by_channel(samples: Iterable[Sample], known: Collection[str]) -> dict[str, Sample | None]:
    """The measurement that judges each channel, ``known`` ones included.

    The measurement over all channels says what is current: a channel that it does not cover any more has nothing
    open, and what is open beyond the channels belongs to no channel, "". Without it there is no measurement.
    """
    rolled_up = [each for each in samples if not (each.location or each.provider or each.kind)]
    total = next((each for each in rolled_up if not each.channel), None)
    if total is None:
        return dict.fromkeys(known)
    current = {each.channel: each for each in rolled_up if each.channel and each.as_of >= total.as_of}
    rest = _without_channel(total, current.values())
    nothing = {channel: _nothing_open(total, channel) for channel in known}
    return {**nothing, **current, **({"": rest} if rest.overdue_open or "" in known else {})}


def _unusable(state: AlertState, sample: Sample | None, rule: Rule, now: datetime) -> str:
    if sample is None:
        return "no measurement"
    if now - sample.as_of > timedelta(seconds=rule.stale_after_seconds):
        return f"the newest measurement is of {sample.as_of:%Y-%m-%d %H:%M:%S} UTC"
    if state.measured_at is not None and sample.as_of < state.measured_at:
        return "a newer measurement was judged already"
    return ""


def _held(state: AlertState, rule: Rule, now: datetime, why: str) -> Step:
    if state.phase == "firing":
        return Step(state, None, f"still {why}")
    if state.phase == "pending":
        return _fire_when_due(state, rule, now, why, None)
    pending = msgspec.structs.replace(state, phase="pending", since=now, alert_id="")
    return _fire_when_due(pending, rule, now, why, "pending")


def _fire_when_due(state: AlertState, rule: Rule, now: datetime, why: str, otherwise: Change | None) -> Step:
    waited = now - state.since if state.since else timedelta()
    if waited < timedelta(seconds=rule.for_seconds):
        return Step(state, otherwise, f"{why} for {waited.total_seconds():.0f} of {rule.for_seconds:.0f} s")
    alert_id = f"{rule.name}-{_fingerprint(rule.name, state.group, now)}"
    fired = msgspec.structs.replace(state, phase="firing", since=now, alert_id=alert_id)
    held_for = f" for {waited.total_seconds():.0f} s" if rule.for_seconds else ""
    return Step(fired, "firing", f"{why}{held_for}")


def _not_held(state: AlertState, rule: Rule, now: datetime, why: str) -> Step:
    if state.phase == "pending":
        return Step(msgspec.structs.replace(state, phase="inactive", since=now), "cleared", why)
    if state.phase != "firing" or state.true_at is None:
        return Step(state, None, why)
    quiet = now - state.true_at
    if quiet < timedelta(seconds=rule.keep_firing_for_seconds):
        return Step(state, None, f"{why} for {quiet.total_seconds():.0f} of {rule.keep_firing_for_seconds:.0f} s")
    return Step(msgspec.structs.replace(state, phase="resolved", since=now), "resolved", why)


def _with_figures(state: AlertState, sample: Sample, now: datetime) -> AlertState:
    """What is at stake, kept from the last time that the condition held so that the resolve can tell it."""
    return msgspec.structs.replace(state, true_at=now, at_risk=sample.at_risk, oldest_due_at=sample.oldest_due_at)


def _nothing_open(total: Sample, channel: str) -> Sample:
    return msgspec.structs.replace(
        total, channel=channel, good=0, bad=0, pending=0, overdue_open=0, at_risk=(), oldest_due_at=None
    )


def _without_channel(total: Sample, channels: Collection[Sample]) -> Sample:
    value = Counter({money.currency: money.amount_minor for money in total.at_risk})
    for money in (money for each in channels for money in each.at_risk):
        value[money.currency] -= money.amount_minor
    open_items = max(0, total.overdue_open - sum(each.overdue_open for each in channels))
    at_risk = tuple(Money(amount, currency) for currency, amount in value.items() if amount)
    return msgspec.structs.replace(total, overdue_open=open_items, at_risk=at_risk)


def _fingerprint(rule: str, group: str, fired_at: datetime) -> str:
    return hashlib.sha256(f"{rule}\x1f{group}\x1f{fired_at.isoformat()}".encode()).hexdigest()[:12]
