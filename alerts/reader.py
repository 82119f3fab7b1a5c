"""What alerting asks of the services that measure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from alerts.condition import Counted
from alerts.readings import Segment, Undecided
from lineage.model import OverdueItem, Sample


class SampleReader(Protocol):
    def newest_samples(self) -> Mapping[str, Sequence[Sample]]:
        """By SLA the newest stored measurement of each segment; the one without any segment covers all."""
        ...

    def overdue_items(self, sla: str, channel: str, limit: int, /) -> Sequence[OverdueItem]:
        """Items of the SLA past their deadline and still open, oldest deadline first; channel "" means all."""
        ...

    def counted_at(self, sla: str, instants: Collection[datetime], /) -> Mapping[Segment, Mapping[datetime, Counted]]:
        """What the newest stored measurement of each segment at each instant had counted; nothing where none was."""
        ...

    def history(self, sla: str, since: datetime, until: datetime, /, *, located: bool) -> Sequence[Sample]:
        """The stored measurements of that time, oldest first; those of single locations only when ``located``."""
        ...

    def undecided(self) -> Sequence[Undecided]:
        """What people must decide now, added up."""
        ...
