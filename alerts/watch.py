"""Who watches the watchman: runs that were missed, an auditor, and a sign of life through the whole chain."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from alerts.store import Message, RuleRun, Store

GRACE: Final = timedelta(minutes=5)
HEARTBEAT: Final = "heartbeat"


class Audit(Struct, frozen=True, kw_only=True):
    """Each fault in words; ``lost`` messages of the last day were refused or given up, which no retry will mend."""

    at: datetime
    faults: tuple[str, ...]
    lost: int

    @property
    def sound(self) -> bool:
        return not self.faults


def audit(store: Store, now: datetime, rules: Sequence[str], contacts: Sequence[str], interval: timedelta) -> Audit:
    """Every alert has an incident, every incident a next step, every message was tried and every rule judged."""
    figures = store.audit_figures(now, GRACE, rules, contacts)
    faults = [
        f"{count} {what}"
        for count, what in (
            (figures.untold, "open alerts belong to no incident"),
            (figures.without_next_step, "open incidents have no next step ahead of them"),
            (figures.unsent, f"messages have been due for {GRACE.seconds // 60} minutes and were not tried"),
        )
        if count
    ]
    late = max(2 * interval, timedelta(minutes=1))
    if rules and figures.rules_run < len(set(rules)):
        faults.append(f"{len(set(rules)) - figures.rules_run} rules were never judged")
    if figures.oldest_run_at and now - figures.oldest_run_at > late:
        faults.append(f"a rule was judged last at {figures.oldest_run_at:%Y-%m-%d %H:%M:%S} UTC")
    return Audit(at=now, faults=tuple(faults), lost=figures.lost)


def gap(rule: str, last: RuleRun | None, now: datetime, interval: timedelta) -> RuleRun | None:
    """What was not judged since the last run, as an entry of the ledger; None when nothing was missed."""
    if last is None or now - last.due_at <= 2 * interval:
        return None
    return RuleRun(
        rule=rule,
        due_at=last.due_at + interval,
        started_at=now,
        finished_at=now,
        outcome="missed",
        watermark=last.watermark,
        reason=f"not judged for {(now - last.due_at).total_seconds():.0f} s, until {now:%Y-%m-%d %H:%M:%S} UTC",
    )


def heartbeat(contact: str, now: datetime) -> Message:
    """A message through the outbox, so that what listens for it outside misses it when any part stops."""
    body = msgspec.json.encode({"transition": HEARTBEAT, "at": now}).decode()
    return Message(
        dedup_key=f"{HEARTBEAT}-{now:%Y%m%dT%H%M%S.%f}", transition="heartbeat", ordinal=0, contact=contact, priority=0,
        body=body, not_before=now,
    )  # fmt: skip
