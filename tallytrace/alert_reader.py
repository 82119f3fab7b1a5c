"""What alerting reads: measurements from lineage, and what people must decide from the core over HTTP."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import httpx
import msgspec

from alerts.condition import Counted
from alerts.readings import Segment, Undecided
from lineage.model import OverdueItem, Sample
from lineage.queries import Queries
from lineage.rows import moment
from lineage.samples import read
from lineage.service import Lineage

WITHIN: Final = timedelta(hours=25)  # of an instant: every midnight is measured, whenever the product ran
FINEST: Final = timedelta(seconds=1)
STEPS: Final = 43_200  # of a replay: one minute of 30 days
MOST_SAMPLES: Final = 1_000_000


class Reader:
    """``core_url``: the core's API."""

    def __init__(self, lineage: Lineage, queries: Queries, client: httpx.Client, core_url: str) -> None:
        self._lineage = lineage
        self._queries = queries
        self._client = client
        self._core_url = core_url

    def newest_samples(self) -> Mapping[str, Sequence[Sample]]:
        found: dict[str, list[Sample]] = {}
        for one in self._lineage.current():
            found.setdefault(one.sla, []).append(one)
        return found

    def overdue_items(self, sla: str, channel: str, limit: int, /) -> Sequence[OverdueItem]:
        return self._lineage.overdue_items(sla, channel, limit)

    def counted_at(self, sla: str, instants: Collection[datetime], /) -> dict[Segment, dict[datetime, Counted]]:
        found: dict[Segment, dict[datetime, Counted]] = {}
        for row in self._queries.samples_counted(sla, instants, WITHIN):
            counts = found.setdefault((row.channel, row.location, row.provider), {})
            counts[moment(row.instant_us)] = Counted(row.good, row.bad)
        return found

    def history(self, sla: str, since: datetime, until: datetime, /, *, located: bool) -> list[Sample]:
        step = max(FINEST, (until - since) / STEPS)
        rows = self._queries.samples_between(sla, since, until, step=step, located=located, most=MOST_SAMPLES)
        return [read(row) for row in reversed(rows)]

    def undecided(self) -> list[Undecided]:
        """Raises httpx.HTTPError."""
        answer = self._client.get(f"{self._core_url}/v1/exceptions/summary", params={"limit": 10_000})
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=list[Undecided])
