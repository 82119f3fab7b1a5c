"""A history that takes minutes to judge, after its flows or working times were changed: nobody waits for it."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any, Final

import httpx
import pytest
from litestar import Litestar, get
from msgspec import Struct, structs

from collector.semconv import correlation_id
from collector.storage import Storage
from dashboards import app as pages
from dashboards.answers import ExceptionSum
from lineage import flows, open_items, slas
from lineage.api import route_handlers
from lineage.deadlines import Calendar
from lineage.heard import BrokenOffError
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import webserver
from tests.callbacks import page_at
from tests.hops import Hops

NOW: Final = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
EARLIER: Final = NOW - dt.timedelta(hours=1)


class Product(Struct):
    url: str
    service: Lineage

    def page(self, path: str, query: str = "") -> str:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            shown: dict[str, Any] = page_at(client, path, query)
        return str(shown["page"]["children"])

    def overdue(self) -> httpx.Response:
        return httpx.get(f"{self.url}/v1/overdue", timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queries]:
    storage = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    storage.migrate()
    hops = Hops()
    hops.hop(correlation_id("uci", "A1"), "order.capture", "2026-11-18 11:00", "order", "A1", "captured")
    hops.hop(correlation_id("uci", "A1"), "fulfilment.ship", "2026-11-18 12:00", "fulfilment", "A1", "shipped")
    hops.store(storage, tmp_path_factory.mktemp("log"))
    Measurer(Queries(storage), slas.load(), lambda: NOW).tick(NOW)
    yield Queries(storage)
    storage.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_items, "AT_ONCE", 1)
    monkeypatch.setattr(open_items, "PATIENCE_SECONDS", 0.05)


def test_a_process_that_ends_does_not_judge_on_and_the_next_begins_anew(queries: Queries) -> None:
    promises, ends = slas.load(), Event()
    ended = Lineage(
        queries, flows.load(promises=promises), promises, lambda: NOW, calendar=Calendar(days_off=()), ends=ends
    )
    new = [structs.replace(one, name="posted_too") for one in promises if one.name == "order_to_posting"]
    ends.set()
    with pytest.raises(BrokenOffError):
        ended.judge_open()
    with pytest.raises(BrokenOffError):
        Measurer(queries, new, lambda: NOW, ends=ends).tick(NOW)
    again = Measurer(queries, new, lambda: NOW).tick(NOW)
    assert [one.bad for one in again if one.as_of == NOW][:1] == [1]


def test_items_that_are_not_kept_yet_are_told_to_be_still_judged(queries: Queries, product: Product) -> None:
    promises = slas.load()
    eager = Lineage(queries, flows.load(promises=promises), promises, lambda: EARLIER, judged_at_once=0)
    with pytest.raises(open_items.NotJudgedError, match="Each item of this promise is being judged"):
        eager.items("order_to_posting")
    Measurer(queries, promises, lambda: EARLIER).tick(EARLIER)
    unknown = eager.items("return_cycle")
    assert unknown
    assert unknown.items == (), "of returns nothing ever came"
    known = eager.items("order_to_posting")
    assert known
    assert [one.entity_id for one in known.items] == ["A1"]


def lineage_of(queries: Queries, calendar: Calendar) -> Lineage:
    promises = slas.load()
    return Lineage(queries, flows.load(promises=promises), promises, lambda: NOW, calendar=calendar)


@get("/v1/exceptions/summary", sync_to_thread=False)
def waiting() -> list[ExceptionSum]:
    """As the core tells it."""
    return [ExceptionSum(owner="finance", kind="posting_rejected", severity="major", channel="web", open=2,
                         currency="GBP", amount_minor=300, oldest_at=NOW)]  # fmt: skip


@get("/v1/exceptions", sync_to_thread=False)
def nothing() -> list[str]:
    return []


@pytest.fixture
def product(queries: Queries, free_port: Callable[[], int]) -> Iterator[Product]:
    service, port = lineage_of(queries, Calendar()), free_port()
    url = f"http://127.0.0.1:{port}"
    shown = pages.create(service, core_url=url, plane_url=url, clock=lambda: NOW, serves_seconds=0)
    core = [waiting, nothing]
    app = Litestar([pages.serve_below("/ui", shown), *route_handlers(service), *core], openapi_config=None)
    with webserver.serving(app, "127.0.0.1", port, name="pages"):
        yield Product(url, service)


def test_what_is_open_is_told_to_be_still_judged_and_the_rest_is_shown(product: Product) -> None:
    told = product.overdue()
    assert (told.status_code, told.headers["Retry-After"], told.json()["type"]) == (
        503, "15", "urn:tallytrace:problem:not-judged",
    )  # fmt: skip
    assert told.json()["detail"] == "What is open is being judged from the whole history: 0% is done."
    promises = product.page("/ui/")
    assert "Still being judged" in promises
    assert "0% is done. That happens once" in promises
    assert "Order to posting" in promises, "what is measured is there"
    for other in ("/ui/transaction", "/ui/tour"):
        assert "Still being judged" in product.page(other), other
    to_decide = product.page("/ui/exceptions")
    assert "2 exceptions wait for a decision" in to_decide
    assert "What is overdue is still being judged." in to_decide
    assert "0% is done" in product.page("/ui/exceptions", "?view=overdue")
    assert "Order captured" in product.page(f"/ui/transaction/{correlation_id('uci', 'A1').hex()}")
    product.service.judge_open()
    assert product.overdue().status_code == 200
    assert all("Still being judged" not in product.page(path) for path in ("/ui/", "/ui/transaction", "/ui/tour"))
    assert "overdue, worth" in product.page("/ui/exceptions")


def test_who_asks_while_all_is_judged_is_told_how_far_that_is(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lineage_of(queries, Calendar(holidays=(NOW.date(),)))
    told: list[str] = []
    read = Queries.open_items

    def slowly(self: Queries, *asked: Any, **how: Any) -> Any:
        with pytest.raises(open_items.NotJudgedError) as how_far:
            service.overdue()
        told.append(f"{how_far.value}".rpartition(": ")[2])
        return read(self, *asked, **how)

    monkeypatch.setattr(open_items, "SLICE", 1)
    monkeypatch.setattr(Queries, "open_items", slowly)
    service.judge_open()
    assert told == ["0% is done", "33% is done", "67% is done"]
    assert service.overdue().items


def test_nobody_waits_who_asked_before_the_first_of_it_was_judged(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lineage_of(queries, Calendar(holidays=(NOW.date(), dt.date(2026, 11, 19))))
    stored, read = Queries.milestones_stored, Queries.open_items
    with ThreadPoolExecutor(1) as beside:
        asked: list[Future[Any]] = []

        def slowly(self: Queries) -> int:
            asked.append(beside.submit(service.overdue))
            time.sleep(4 * open_items.PATIENCE_SECONDS)
            return stored(self)

        def told(self: Queries, *of: Any, **how: Any) -> Any:
            with pytest.raises(open_items.NotJudgedError):
                asked[0].result(10)
            return read(self, *of, **how)

        monkeypatch.setattr(Queries, "milestones_stored", slowly)
        monkeypatch.setattr(Queries, "open_items", told)
        service.judge_open()
