"""What alerting asks of the lineage service."""

from collections.abc import Sequence
from typing import Protocol

from lineage.model import OverdueItem, Sample


class SampleReader(Protocol):
    def newest_samples(self, sla: str, /) -> Sequence[Sample]:
        """The newest stored measurement of each segment of the SLA; the one without any segment covers all."""
        ...

    def overdue_items(self, sla: str, channel: str, limit: int, /) -> Sequence[OverdueItem]:
        """Items of the SLA past their deadline and still open, oldest deadline first; channel "" means all."""
        ...
