"""What is open is judged again when something is heard of it, and only then."""

from datetime import datetime
from pathlib import Path

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas
from lineage.deadlines import Calendar
from lineage.open_items import OpenItems
from lineage.queries import Queries
from tests.hops import Hops, at

NOON = at("2026-03-16 12:00:00")


class Estate:
    def __init__(self, storage: Storage, directory: Path) -> None:
        self._storage, self._directory = storage, directory
        self._queries = Queries(storage)
        self._flows = flows.load(promises=slas.load())
        self.items = OpenItems(self._queries, self._flows, Calendar())
        self.told = Hops()

    def tell(self, number: str, name: str, when: str, milestone: str, **also: object) -> None:
        self.told.hop(correlation_id("uci", number), name, when, "order", number, milestone, **also)  # type: ignore[arg-type]

    def store(self) -> None:
        self.told.store(self._storage, self._directory)

    def late(self, now: datetime, items: OpenItems | None = None) -> list[tuple[str, str]]:
        judged = items or self.items
        rows = self._queries.open_overdue(judged.generation(now), judged.listed, now, 100)
        return sorted((row.entity_id, row.watch) for row in rows)

    def anew(self) -> OpenItems:
        """Of another definition, though the same here: nothing that is kept serves it."""
        return OpenItems(self._queries, self._flows, Calendar(holidays=(NOON.date().replace(year=2020),)))


def test_open_items_follow_what_is_heard_what_is_foretold_and_what_is_taken_back(
    storage: Storage, tmp_path: Path
) -> None:
    estate = Estate(storage, tmp_path)
    for number in ("A", "B"):
        estate.tell(number, "order.capture", "2026-03-16 09:00:00", "captured")
    estate.store()
    unreserved = [("A", "order/reserved"), ("B", "order/reserved")]
    assert estate.late(NOON) == unreserved

    estate.tell("A", "inventory.reserve", "2026-03-16 10:00:00", "reserved")
    estate.tell("B", "inventory.reserve", "2026-03-16 13:00:00", "reserved")
    estate.store()
    assert estate.late(NOON) == unreserved[1:], "what happens at one has not happened at noon"
    assert estate.late(at("2026-03-16 13:30:00")) == []
    assert estate.late(NOON) == unreserved[1:], "a clock that was put back"

    wrong = {"entity": "order", "entity_id": "A", "milestone": "reserved", "reason": "did_not_occur", "by": "ann"}
    when = {"occurred_at": str(estate.told.nanos("2026-03-16 10:00:00"))}
    estate.tell("A", "order.correct", "2026-03-16 14:00:00", "", events=[("correction", wrong | when)])
    estate.store()
    later = at("2026-03-16 15:00:00")
    assert estate.late(later) == unreserved[:1]
    assert estate.late(later) == estate.late(later, estate.anew())
    assert estate.items.generation(later) == estate.items.generation(later), "nothing was heard meanwhile"
