"""When a channel is live: each of its last three business days is explained to the last minor unit, at every level."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from sync_core.messages import Cause
from sync_core.model import Hop
from sync_core.reconciliation.cells import Day, Level, next_business_day
from sync_core.store import Session
from sync_core.unit import Told

DAYS_RUNNING: Final = 3
LOOK_BACK: Final = dt.timedelta(days=14)


def passed_on(broken: Mapping[dt.date, bool]) -> dt.date | None:
    """``broken``: the days on which a channel traded, and whether anything of them is unexplained."""
    running, last = 0, None
    for day in sorted(broken):
        if broken[day]:
            running, last = 0, None
        elif day.weekday() < 5:
            running = running + 1 if last and day == next_business_day(last) else 1
            last = day
        if running == DAYS_RUNNING:
            return day
    return None


def go_live(
    session: Session,
    found: Mapping[tuple[Level, dt.date], Day],
    done_at: Mapping[dt.date, dt.datetime],
    provenance: Any,
) -> list[Told]:
    """Remember how the days of channels that are not live came out; returns the hops of those that are by now."""
    outcome: dict[tuple[str, dt.date], bool] = {}
    for (_, on), day in found.items():
        wrong = {one.pair.key for one in day.wrong}
        for key, cell in day.cells.items():
            if key.channel:
                place = key.channel, on
                outcome[place] = outcome.get(place, False) or cell.unexplained_minor != 0 or key in wrong
    if not outcome:
        return []
    channels, days = (list(one) for one in zip(*outcome, strict=True))
    session.run("keep_channel_days", channel=channels, business_date=days, broken=list(outcome.values()))
    traded: defaultdict[tuple[str, str, bytes], dict[dt.date, bool]] = defaultdict(dict)
    for *channel, on, broken in session.rows("channel_days", channels=channels, since=min(days) - LOOK_BACK):
        traded[channel[0], channel[1], bytes(channel[2])][on] = broken
    live = {one: passed for one, broken in traded.items() if (passed := passed_on(broken))}
    if live:
        session.run("channels_live", channels=[channel for channel, _, _ in live])
    last = max(done_at.values())
    return [_told(*one, done_at.get(passed, last), provenance) for one, passed in live.items()]


def _told(channel: str, origin: str, identity: bytes, at: dt.datetime, provenance: Any) -> Told:
    about = {"channel": channel, "provider": origin, "owner": "integration"}
    hop = Hop("master_data.channel_live", "transformation", identity, "channel", "channel", channel, "live",
              occurred_at=at, attributes=about)  # fmt: skip
    return Told(hop, Cause("reconciliation", f"{channel}/live", at.date(), provenance), at)
