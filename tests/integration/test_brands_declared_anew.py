"""The past of brands that were declared otherwise, or not at all, for a while."""

import datetime as dt
from pathlib import Path
from typing import Any, Final

import pytest

from collector.errors import StorageUnavailableError
from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas
from lineage.brands import NONE, Brand, Brands
from lineage.measure import Measurer
from lineage.model import SlaTile, View
from lineage.queries import Queries
from lineage.service import Lineage
from tests.hops import Hops

NOON: Final = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
MINUTE: Final = dt.timedelta(minutes=1)
PROMISE: Final = "order_to_posting"
VALE: Final = Brands((Brand("Vale", channels=("web",), locations=("S2",)),))
WIDER: Final = Brands((Brand("Vale", channels=("web", "post"), locations=("S2",)),))
MOVED: Final = Brands((Brand("Vale", channels=("post",)),))


class Estate:
    """Shipments that were never posted: two of the web and one by post."""

    def __init__(self, storage: Storage, log: Path) -> None:
        self._storage = storage
        self._log = log
        self._at = NOON
        self.queries = Queries(storage)
        self.ship(A0="web", A1="web", A2="post")

    def ship(self, **channels: str) -> None:
        hops = Hops()
        for number, channel in channels.items():
            identity = correlation_id("uci", number)
            hops.hop(identity, "fulfilment.ship", "2026-11-17 11:00", "fulfilment", number, "shipped", channel=channel)
        hops.store(self._storage, self._log)

    def measurer(self, brands: Brands, overrides: Path | None = None) -> Measurer:
        return Measurer(self.queries, slas.load(overrides), self._clock, brands=brands)

    def measure(self, brands: Brands) -> None:
        """As at another start."""
        self.measurer(brands).tick(NOON)

    def lineage(self, brands: Brands) -> Lineage:
        promises = slas.load()
        return Lineage(self.queries, flows.load(promises=promises), promises, lambda: NOON, brands=brands)

    def tile(self, brands: Brands, **of: Any) -> SlaTile | None:
        return next((one for one in self.lineage(brands).tiles(View(**of)) if one.name == PROMISE), None)

    def bad(self, brands: Brands, **of: Any) -> int | None:
        """Until the end of the 18th; None when nothing is told of that."""
        found = self.tile(brands, until=dt.date(2026, 11, 18), **of)
        return found.bad if found else None

    def measured(self) -> set[tuple[int, int]]:
        """Each midnight of everything, with when it was measured last."""
        rows = self.queries.samples_daily([PROMISE], NOON - dt.timedelta(days=30), NOON)
        return {(row.as_of_us, row.measured_us) for row in rows}

    def _clock(self) -> dt.datetime:
        self._at += MINUTE
        return self._at


@pytest.fixture
def estate(storage: Storage, tmp_path: Path) -> Estate:
    for table in ("milestones", "promise_items", "promise_days", "promise_builds", "sli_samples"):
        storage.execute(f"TRUNCATE TABLE {table}")
    return Estate(storage, tmp_path)


def test_a_brand_that_is_declared_as_it_once_was_has_the_figures_of_now(estate: Estate) -> None:
    told = []
    for brands in (VALE, WIDER, VALE):
        estate.measure(brands)
        told.append(estate.bad(brands, brand="Vale"))
    assert told == [2, 3, 2]


def test_what_came_late_while_a_brand_was_not_declared_is_in_its_past(estate: Estate) -> None:
    estate.measure(VALE)
    estate.ship(A3="web")
    estate.measure(NONE)
    assert (estate.bad(NONE), estate.bad(VALE, brand="Vale")) == (4, 2)
    estate.measure(VALE)
    assert estate.bad(VALE, brand="Vale") == 3


def test_what_is_no_longer_of_a_brand_is_not_told_of_it(estate: Estate) -> None:
    estate.measure(VALE)
    assert estate.bad(VALE, brand="Vale", channel="web") == 2
    estate.measure(MOVED)
    assert estate.bad(MOVED, brand="Vale") == estate.bad(MOVED, brand="Vale", channel="post") == 1
    assert estate.bad(MOVED, brand="Vale", channel="web") is None
    assert estate.tile(MOVED, brand="Vale", channel="web") is None
    assert estate.lineage(MOVED).places("Vale") == (("post", ""),)


def test_nothing_is_told_of_a_brand_that_is_declared_no_more(estate: Estate) -> None:
    estate.measure(VALE)
    assert (estate.bad(NONE, brand="Vale"), estate.tile(NONE, brand="Vale")) == (None, None)
    assert estate.lineage(NONE).places("Vale") == ()


def test_a_past_that_could_not_be_stored_is_measured_again(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    estate.measure(NONE)
    measurer = estate.measurer(VALE)
    with monkeypatch.context() as now:
        now.setattr(Queries, "write_samples", _away)
        with pytest.raises(StorageUnavailableError):
            measurer.tick(NOON)
    measurer.tick(NOON)
    assert estate.bad(VALE, brand="Vale") == 2


def test_what_was_measured_of_everything_stays_when_a_brand_is_declared(estate: Estate, tmp_path: Path) -> None:
    estate.measure(NONE)
    before = estate.measured()
    (tmp_path / "slas.toml").write_text(f"[{PROMISE}]\ntarget = 0.5\n")  # by which the past was not judged
    estate.measurer(VALE, tmp_path / "slas.toml").tick(NOON)
    assert estate.measured() == before
    assert estate.bad(VALE, brand="Vale") == 2


def _away(*_: object) -> None:
    raise StorageUnavailableError("the store is away")
