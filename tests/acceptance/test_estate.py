"""Who is in the demo's estate, as the product that runs knows them."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tallytrace.demo import SEED
from tallytrace.estate.lives import Life
from tallytrace.estate.retailer import catalogue
from tallytrace.estate.story import lives
from tests.demos import Demo, running

DAYS = 3


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(days=DAYS) as one:
        one.awaits("an order, shipped and in the books")
        yield one


@pytest.fixture(scope="module")
def over() -> list[Life]:
    """What the estate has sold and delivered, the latest first."""
    now = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    told = lives(SEED, now, DAYS)
    return [life for life in reversed(told) if life.keeps_goods and life.delivered_at < now and not life.returned]


def journey(demo: Demo, number: str) -> dict[str, Any]:
    answer = httpx.get(f"{demo.url}/v1/transactions", params={"id": number}, timeout=120)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def steps(told: dict[str, Any]) -> dict[str, str]:
    """Each hop that was well done, and whose system did it."""
    return {hop["name"]: hop["system"] for hop in told["hops"] if hop["outcome"] == "ok"}


def one_of(over: list[Life], chosen: Callable[[Life], bool]) -> Life:
    return next(life for life in over if chosen(life))


@pytest.mark.proves(288)
def test_four_hundred_stores_their_warehouses_and_all_that_is_connected(demo: Demo, over: list[Life]) -> None:
    """One shop, two marketplaces, a returns platform, a WMS for each region, one ERP for finance and procurement."""
    skus = [product.sku for product in catalogue(SEED)]
    url = f"http://127.0.0.1:{demo.port_base + 1}/v1/availability"
    offered = httpx.get(url, params={"sku": skus}, timeout=120).json()["items"]
    places = {place["location"] for item in offered for place in item["locations"]}
    assert len([one for one in places if one.startswith("ST")]) == 400
    feeds = httpx.get(f"{demo.url}/v1/feeds", timeout=120).text
    assert all(f"wms:{place.lower()}" in feeds for place in places if not place.startswith("ST"))
    for channel, origin in (("web", "shopify"), ("amazon", "amazon"), ("walmart", "walmart")):
        told = journey(demo, next(life.order_id for life in over if life.channel == channel))
        assert told["header"]["origin"] == origin
        assert steps(told)["posting.send"] == "erp"
    back = httpx.get(f"{demo.url}/v1/search", params={"hop": "return.authorise"}, timeout=120).json()
    assert {one["origin"] for one in back["items"]} == {"returns-platform"}
    kept = httpx.get(f"http://127.0.0.1:{demo.port_base + 3}/v1/stats", timeout=60).json()["by_kind"]
    assert kept["order"] > 500, "finance"
    assert kept["receipt"] > 403, "procurement"
    assert kept["goods_movement"] > 100, "what comes to the warehouses and leaves them"


@pytest.mark.proves(294)
def test_an_online_order_is_sent_by_a_store_or_fetched_there(demo: Demo, over: list[Life]) -> None:
    sent = one_of(over, lambda life: life.channel == "web" and life.sent and life.location.startswith("ST"))
    told = steps(journey(demo, sent.order_id))
    store = f"pos:{sent.location.lower()}"
    assert (told["order.picked"], told["order.packed"], told["order.delivered"]) == (store, store, "carrier")
    assert "order.picked_up" not in told
    fetched = one_of(over, lambda life: life.collected)
    told = steps(journey(demo, fetched.order_id))
    store = f"pos:{fetched.location.lower()}"
    assert (told["order.ready_for_pickup"], told["order.picked_up"]) == (store, store)
    assert "order.delivered" not in told
