"""Promises of brands, over HTTP and on the pages: now, at past midnights, and of a brand declared later or anew."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from litestar import Litestar
from msgspec import Struct
from typer.testing import CliRunner

from collector.semconv import correlation_id
from collector.storage import Storage
from dashboards import app as pages
from lineage import flows, slas
from lineage.api import route_handlers
from lineage.brands import NONE, Brand, Brands
from lineage.measure import Measurer
from lineage.model import View
from lineage.queries import Queries
from lineage.service import Lineage
from tallytrace import health, webserver
from tallytrace.cli import app as cli
from tests.callbacks import page_at
from tests.hops import Hops

NOW: Final = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
LATER: Final = NOW + dt.timedelta(minutes=1)
PROMISE: Final = "order_to_posting"
HARBOUR: Final = Brand("Harbour", channels=("web",))
VALE: Final = Brand("Vale", channels=("store",), locations=("S2",))
BRANDS: Final = Brands((HARBOUR, VALE))
SHIPPED: Final = (
    ("A0", "web", "WH1", 17, True), ("A1", "web", "S2", 17, False), ("A2", "store", "S1", 17, False),
    ("A3", "store", "S1", 18, True), ("A4", "store", "S2", 18, False), ("A5", "post", "P1", 17, False),
)  # fmt: skip
"""Order, channel, location, the day of November, and whether it was posted in time."""


def measure(queries: Queries, brands: Brands, at: dt.datetime = NOW) -> None:
    """As of noon; ``at``: when that is done."""
    Measurer(queries, slas.load(), lambda: at, brands=brands).tick(NOW)


class Told(Struct):
    url: str

    def tiles(self, **asked: str) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.get("/v1/slas", **asked)}

    def counts(self, **asked: str) -> tuple[int, int]:
        tile = self.tiles(**asked)[PROMISE]
        return tile["good"], tile["bad"]

    def get(self, path: str, **asked: str) -> Any:
        answer = httpx.get(f"{self.url}{path}", params=asked, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def page(self, path: str, query: str = "") -> str:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            return str(page_at(client, path, query)["page"]["children"])


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queries]:
    storage = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    storage.migrate()
    hops = Hops()
    for number, channel, location, day, posted in SHIPPED:
        identity = correlation_id("uci", number)
        place: dict[str, Any] = {"channel": channel, "location": location}
        hops.hop(identity, "fulfilment.ship", f"2026-11-{day} 11:00", "fulfilment", number, "shipped", **place)
        if posted:
            hops.hop(identity, "posting.send", f"2026-11-{day} 11:01", "posting", f"shipment/{number}", "erp_accepted",
                     **place)  # fmt: skip
    hops.store(storage, tmp_path_factory.mktemp("log"))
    found = Queries(storage)
    measure(found, NONE)
    measure(found, BRANDS)  # declared when the past was measured already
    yield found
    storage.close()


@pytest.fixture(scope="module")
def told(queries: Queries, free_port: Callable[[], int]) -> Iterator[Told]:
    promises = slas.load()
    service = Lineage(queries, flows.load(promises=promises), promises, lambda: NOW, brands=BRANDS)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    shown = pages.create(service, core_url=url, plane_url=url, clock=lambda: NOW, serves_seconds=0)
    handlers = [pages.serve_below("/ui", shown), *route_handlers(service), *health.handlers(lambda: [], lambda: [])]
    app = Litestar(handlers, openapi_config=None)
    with webserver.serving(app, "127.0.0.1", port, name="pages"):
        yield Told(url)


def test_a_brand_is_what_its_places_are_together(told: Told) -> None:
    assert told.counts() == (2, 4)
    assert told.counts(brand="Harbour") == (1, 0), "what the web sold from Vale's store is Vale's"
    assert told.counts(brand="Vale") == (1, 3)
    assert told.counts(brand="Vale", channel="web") == (0, 1)
    assert told.counts(channel="web") == (1, 1), "and of the channel as ever"
    assert told.tiles(brand="nobody's") == {}


def test_a_location_of_a_brand_is_told_of_it_and_of_no_other(told: Told) -> None:
    at: dict[str, str] = {"channel": "web", "location": "S2"}
    assert told.counts(brand="Vale", **at) == told.counts(**at) == (0, 1)
    assert told.counts(brand="Vale", until="2026-11-17", **at) == (0, 1)
    assert PROMISE not in told.tiles(brand="Harbour", **at)
    assert told.get(f"/v1/slas/{PROMISE}", brand="Vale", **at)["tile"]["bad"] == 1
    assert told.get(f"/v1/slas/{PROMISE}", brand="Harbour", **at)["tile"]["state"] == "no_data"


def test_its_past_is_measured_as_soon_as_it_is_declared(told: Told) -> None:
    ended = {17: (0, 1), 18: (1, 2), 19: (1, 3)}  # a store's are due the next morning
    assert {day: told.counts(brand="Vale", until=f"2026-11-{day}") for day in ended} == ended
    history = told.tiles(brand="Vale")[PROMISE]["history"]
    assert [(point["good"], point["bad"]) for point in history] == [*ended.values(), (1, 3)]
    report = told.get("/v1/reports/slas", day="2026-11-19")
    assert {one["brand"] for one in report} == {""}, "a report is of channels, locations and providers"


def test_one_promise_of_a_brand_has_its_channels_and_its_items(told: Told) -> None:
    detail = told.get(f"/v1/slas/{PROMISE}", brand="Vale")
    assert {(one["channel"], one["location"], one["bad"]) for one in detail["segments"]} == {
        ("store", "", 2), ("web", "", 1), ("store", "S1", 1), ("store", "S2", 1), ("web", "S2", 1),
    }  # fmt: skip
    assert detail["tile"]["bad"] == 3
    items = {brand: {one["entity_id"] for one in told.get(f"/v1/slas/{PROMISE}/items", brand=brand)["items"]}
             for brand in ("", "Harbour", "Vale", "nobody's")}  # fmt: skip
    assert items == {"": {"A0", "A1", "A2", "A3", "A4", "A5"}, "Harbour": {"A0"},
                     "Vale": {"A1", "A2", "A3", "A4"}, "nobody's": set()}  # fmt: skip


def test_the_pages_are_of_a_brand(told: Told) -> None:
    every = told.page("/ui/")
    assert all(f"/ui/?brand={name}" in every for name in BRANDS.names)
    vale = told.page("/ui/", "?brand=Vale")
    assert "/ui/?brand=Vale&channel=web" in vale
    assert "channel=post" not in vale, "of which Vale has nothing"
    assert f"/ui/sla/{PROMISE}?brand=Vale" in vale
    promise = told.page(f"/ui/sla/{PROMISE}", "?brand=Vale")
    assert all(number in promise for number in ("A1", "A2", "A4"))
    assert "A5" not in promise
    assert f"/ui/sla/{PROMISE}?brand=Vale&channel=store" in promise
    assert f"/ui/sla/{PROMISE}?channel=web&location=S2" in promise, "which is Vale's alone"
    assert "A5" in told.page(f"/ui/sla/{PROMISE}")


def test_the_command_line_has_what_the_api_tells_of_a_brand(told: Told) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        at = {"TALLYTRACE_PLANE_URL": told.url, "TALLYTRACE_CORE_URL": told.url}
        done = CliRunner().invoke(cli, ["sla", *arguments], env=at)
        return done.exit_code, done.output

    status, printed = run("--brand", "Vale", "--channel", "web", "--json")
    assert (status, json.loads(printed)) == (0, told.get("/v1/slas", brand="Vale", channel="web"))
    status, said = run("--brand", "Vale", "--day", "2026-11-19")
    assert (status, "a report has every place" in said) == (2, True)


def test_a_brand_that_is_declared_anew_is_measured_anew_and_nothing_else_is(queries: Queries) -> None:
    def midnights(brand: str) -> set[tuple[int, int]]:
        """Each with when it was measured last."""
        rows = queries.samples_daily([PROMISE], NOW - dt.timedelta(days=30), NOW, every_brand=True)
        return {(row.as_of_us, row.measured_us) for row in rows if row.brand == brand}

    def bad(brands: Brands) -> int:
        promises = slas.load()
        found = Lineage(queries, flows.load(promises=promises), promises, lambda: NOW, brands=brands).sla(
            PROMISE, View(brand="Vale", until=dt.date(2026, 11, 17))
        )
        assert found
        return found.tile.bad

    whole, vale, harbour = (midnights(brand) for brand in ("", "Vale", "Harbour"))
    assert (len(whole) > 0, bad(BRANDS)) == (True, 1)
    measure(queries, BRANDS, LATER)
    assert (midnights(""), midnights("Vale"), midnights("Harbour")) == (whole, vale, harbour)
    wider = Brands((HARBOUR, Brand("Vale", ("store", "post"), ("S2",))))
    measure(queries, wider, LATER)
    assert bad(wider) == 2
    assert (midnights(""), midnights("Harbour")) == (whole, harbour)
    assert {as_of for as_of, _ in midnights("Vale")} == {as_of for as_of, _ in vale}
    assert not midnights("Vale") & vale
