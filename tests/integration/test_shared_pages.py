"""Many viewers of the pages, over real sockets, on one store whose questions are counted."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest
from litestar import Litestar, delete
from msgspec import Struct

from collector.semconv import correlation_id
from collector.storage import Storage
from dashboards import app as pages
from lineage import flows, slas
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import webserver
from tests.callbacks import ask, page_at
from tests.hops import Hops

NOW: Final = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
VIEWERS: Final = 12  # fewer than the threads that answer them: all wait at once


class CountedStorage(Storage):
    """Remembers the first line of each query."""

    def __init__(self, url: str, *, max_queries: int, max_writers: int) -> None:
        super().__init__(url, max_queries=max_queries, max_writers=max_writers)
        self.asked: list[str] = []

    def query(self, sql: str, params: Mapping[str, Any] | None = None, **options: Any) -> list[tuple[Any, ...]]:
        self.asked.append(sql.partition("\n")[0])
        return super().query(sql, params, **options)


class Watched(Struct):
    url: str
    storage: CountedStorage

    def viewer(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, verify=False)

    def shown(self, path: str, query: str = "") -> dict[str, Any]:
        with self.viewer() as client:
            return page_at(client, path, query)

    def questions(self) -> list[str]:
        """Since the last time."""
        asked, self.storage.asked = self.storage.asked, []
        return asked


@delete("/v1/silences/7", status_code=204, sync_to_thread=False)
def unsilence() -> None:
    pass


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedStorage]:
    made = CountedStorage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    made.migrate()
    hops = Hops()
    for number, channel in enumerate(("web", "store", "store")):
        name = f"A{number}"
        hops.hop(correlation_id("uci", name), "fulfilment.ship", "2026-11-18 11:00", "fulfilment", name, "shipped",
                 channel=channel)  # fmt: skip
    hops.store(made, tmp_path_factory.mktemp("log"))
    Measurer(Queries(made), slas.load(), lambda: NOW).tick(NOW)
    yield made
    made.close()


@pytest.fixture
def watched(storage: CountedStorage, free_port: Callable[[], int]) -> Iterator[Watched]:
    promises, port = slas.load(), free_port()
    service = Lineage(Queries(storage), flows.load(promises=promises), promises, lambda: NOW)
    url = f"http://127.0.0.1:{port}"
    shown = pages.create(service, core_url=url, plane_url=url, clock=lambda: NOW, serves_seconds=60)
    app = Litestar([unsilence, pages.serve_below("/ui", shown)], openapi_config=None)
    with webserver.serving(app, "127.0.0.1", port, name="pages"):
        found = Watched(url, storage)
        found.shown("/ui/tour")  # what is overdue serves everybody for a while by itself
        found.questions()
        yield found


def test_many_who_ask_the_same_at_once_are_one_question_to_the_store(watched: Watched) -> None:
    with ThreadPoolExecutor(VIEWERS) as viewers:
        shown = list(viewers.map(lambda _: watched.shown("/ui/"), range(VIEWERS)))
    asked = watched.questions()
    assert len(asked) == len(set(asked)) == 3
    assert all(one == shown[0] for one in shown)
    assert shown[0]["page"]["children"]["props"]["className"] == "board"
    watched.shown("/ui/")
    assert watched.questions() == []


def test_who_looks_at_another_place_is_told_of_that_place(watched: Watched) -> None:
    told = {query: watched.shown("/ui/sla/order_to_posting", query) for query in ("", "?channel=web", "?channel=store")}
    assert len({one["shown"]["data"]["mark"] for one in told.values()}) == 3
    items = {query: str(one["page"]["children"]).count("/ui/transaction?id=") for query, one in told.items()}
    assert items == {"": 3, "?channel=web": 1, "?channel=store": 2}
    watched.questions()
    assert watched.shown("/ui/sla/order_to_posting", "?channel=web") == told["?channel=web"]
    assert watched.questions() == []


def test_each_is_told_when_what_is_shown_was_read(watched: Watched) -> None:
    before = dt.datetime.now(dt.UTC)
    first = watched.shown("/ui/")["read"]["children"]["props"]["children"][1]["props"]
    after = dt.datetime.now(dt.UTC)
    assert before <= dt.datetime.fromisoformat(first["dateTime"]) <= after
    assert first["children"] == dt.datetime.fromisoformat(first["dateTime"]).strftime("%H:%M:%S")
    assert watched.shown("/ui/")["read"]["children"]["props"]["children"][1]["props"] == first


def test_who_did_something_is_shown_what_came_of_it(watched: Watched) -> None:
    watched.shown("/ui/")
    watched.questions()
    form = {"act.data": {"deed": "alerts.unsilence", "about": "a silence", "ids": ["7"]}, "act-confirm.n_clicks": 1,
            "act-by.value": "ann", "act-reason.value": "mended"}  # fmt: skip
    with watched.viewer() as client:
        assert "acted" in ask(client, "acted.data", form, by="act-confirm.n_clicks")
    watched.shown("/ui/")
    assert len(watched.questions()) == 3
