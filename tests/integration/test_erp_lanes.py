"""An ERP that is slow, throttles or is away: what customers wait for goes first, and the ERP is not run over."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.erp.http import ErpClient
from sync_core.messages import LocationRegistered
from sync_core.outbox import ErpRelay
from sync_core.readback import ReadBack
from tallytrace import erp_stub, webserver
from tests.core import Core, later
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    cancellation,
    counted,
    edited,
    edited_line,
    goods_in,
    line,
    order,
    payment,
    shipment,
    terms,
    units,
)


@pytest.fixture
def erp(home: Path, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    port = free_port()
    with (
        webserver.serving(erp_stub.create_app(home / "erp.jsonl"), "127.0.0.1", port, name="ERP"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as client,
    ):
        yield client


@pytest.fixture
def relay(core: Core, erp: httpx.Client) -> Iterator[Callable[..., ErpRelay]]:
    client = ErpClient(str(erp.base_url), lambda: core.now, timeout_seconds=10)
    yield lambda **over: ErpRelay(core.db, client, lambda: core.now, **over)
    client.close()


def weather(erp: httpx.Client, **change: Any) -> None:
    assert erp.post("/v1/chaos", json=change).status_code == 200


def lanes(http: httpx.Client) -> dict[str, tuple[int, int]]:
    """What waits in each lane, and for how many seconds."""
    told = http.get("/v1/status").json()["outbox_lanes"]
    return {one["lane"]: (one["waiting"], round(one["oldest_seconds"])) for one in told}


def documents(erp: httpx.Client, *keys: str) -> list[int]:
    """The numbers that the ERP gave journals: 1 is the first that it took; 0 stands for none yet."""
    answers = [erp.get(f"/v1/journals/{key}") for key in keys]
    return [int(one.json()["document"].removeprefix("ERP-")) if one.status_code == 200 else 0 for one in answers]


@pytest.mark.proves(173, 187, 200)
def test_orders_pass_before_postings_when_the_erp_is_back(
    estate: Estate, http: httpx.Client, core: Core, erp: httpx.Client, relay: Callable[..., ErpRelay]
) -> None:
    weather(erp, down_seconds=3600)
    estate.tell(*(goods_in(f"D{number}") for number in range(8)))
    one = relay(batch=6)
    assert (one.run_once(), one.up) == (0, False)
    for number in "12":
        answer = http.post("/v1/orders", json=msgspec.to_builtins(order(number)))
        assert answer.json()[0]["state"] == "reserved", "a channel is answered while the ERP is away"
        estate.tell(payment(number))
    estate.tell(shipment("1"))
    assert lanes(http) == {"orders": (2, 3), "fulfilment": (1, 1), "postings": (8, 11)}
    weather(erp, down_seconds=0)
    later(core, seconds=3600)
    assert one.run_once() == 6
    assert documents(erp, "shop:order/1", "shop:order/2", "shop:shipment/S1") == [1, 2, 3]
    assert documents(erp, *(f"shop:receipt/D{number}" for number in range(4))) == [4, 5, 6, 0]
    assert one.run_once() == 5
    assert lanes(http) == {"orders": (0, 0), "fulfilment": (0, 0), "postings": (0, 0)}


def test_no_lane_starves(estate: Estate, erp: httpx.Client, relay: Callable[..., ErpRelay]) -> None:
    estate.tell(goods_in(units={"A1": 99}))
    for number in "1234":
        estate.tell(order(number), payment(number))
    assert relay(batch=2).run_once() == 2
    assert documents(erp, "shop:order/1", "shop:receipt/D1", "shop:order/2") == [1, 2, 0]


@pytest.mark.proves(176)
def test_the_limits_of_the_erp_are_kept(
    estate: Estate, core: Core, erp: httpx.Client, relay: Callable[..., ErpRelay]
) -> None:
    weather(erp, max_concurrent=2, latency_ms=30)
    estate.tell(*(goods_in(f"D{number}") for number in range(12)))
    paced = relay(batch=1, requests_per_second=2.0)
    assert [paced.run_once(), paced.run_once()] == [1, 0]
    later(core, seconds=0.5)
    assert [paced.run_once(), paced.run_once()] == [1, 0]
    two = relay(batch=1, concurrency=2)
    with ThreadPoolExecutor(4) as threads:
        while core.one("select count(*) from core.erp_documents where state = 'waiting'"):
            list(threads.map(lambda _: two.run_once(), range(4)))
    assert erp.get("/v1/stats").json()["refused"] == {}
    estate.tell(*(goods_in(f"E{number}") for number in range(12)))
    many = relay(batch=1, concurrency=8)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: many.run_once(), range(8)))
    assert erp.get("/v1/stats").json()["refused"]["429"] > 0, "without the limit it would have refused"


@pytest.mark.proves(40)
def test_an_order_of_a_channel_that_wants_it_is_a_sales_order_in_the_erp(
    estate: Estate, http: httpx.Client, core: Core, erp: httpx.Client, relay: Callable[..., ErpRelay], journey: Tell
) -> None:
    estate.tell(
        terms(sales_orders=True), goods_in(units={"A1": 9}), order("1", line(quantity=2), line("POST", kind="shipping"))
    )
    [awaited] = [one for one in journey("1").expected if one.milestone == "erp_accepted"]
    assert (awaited.title, awaited.owner) == ("sales order accepted by the ERP", "integration")
    weather(erp, hold_kinds=["sales_order"])
    one = relay(attempts=1)
    assert one.run_once() == 2
    [dead] = http.get("/v1/exceptions").json()
    assert (dead["kind"], dead["owner"], dead["amount_minor"]) == ("sales_order_dead", "integration", 3000)
    weather(erp, hold_kinds=[])
    replay = {"by": "ann", "reason": "released there", "where": {"kind": "sales_order_dead"}}
    assert http.post("/v1/exceptions/replay", json=replay).json()["done"] == 1
    assert one.run_once() == 1
    kept = erp.get("/v1/sales_orders/shop:sales_order/1").json()
    assert [(each["sku"], each["quantity"], each["amount_minor"]) for each in kept["sales_order"]["lines"]] == [
        ("A1", 2, 2000), ("POST", 1, 1000),
    ]  # fmt: skip
    assert http.get("/v1/orders/1").json()[0]["sales_order"] == kept["document"]
    told = journey("1")
    assert "erp_accepted" in milestones(told)
    assert journey(kept["document"]).header.correlation_id == told.header.correlation_id
    estate.tell(order("2"), cancellation("2"), order("3", channel="store"))
    assert (one.run_once(), erp.get("/v1/stats").json()["by_kind"]["sales_order"]) == (0, 1)
    estate.tell(cancellation("1"))
    assert one.run_once() == 1
    given_up = erp.get("/v1/sales_order_cancellations/shop:sales_order_cancellation/1").json()
    assert given_up["sales_order_cancellation"]["sales_order"] == "shop:sales_order/1"
    assert [hop.name for hop in journey("1").hops][-2:] == ["order.withdraw", "order.withdraw_from_erp"]


@pytest.mark.proves(40)
def test_an_edit_and_a_cancellation_in_part_amend_the_sales_order_and_a_whole_one_takes_all_of_it_back(
    estate: Estate, http: httpx.Client, core: Core, erp: httpx.Client, relay: Callable[..., ErpRelay], journey: Tell
) -> None:
    one = relay()
    estate.tell(terms(sales_orders=True), goods_in(units={"A1": 20}), order("1", line(quantity=5), tax_minor=500))
    one.run_once()
    estate.tell(edited("1", edited_line(1, "A1", 4), tax_minor=400), cancellation("1", lines=(units("A1", 1),)))
    assert one.run_once() == 2

    def told(number: int) -> dict[str, Any]:
        kept = erp.get(f"/v1/sales_order_amendments/shop:sales_order_amendment/1/{number:06}").json()
        body: dict[str, Any] = kept["sales_order_amendment"]
        return body

    assert [(each["sku"], each["quantity"], each["amount_minor"]) for each in told(1)["lines"]] == [("A1", 4, 4000)]
    assert [(each["quantity"], each["amount_minor"]) for each in told(2)["lines"]] == [(3, 3000)]
    assert [told(number)["sales_order"] for number in (1, 2)] == ["shop:sales_order/1"] * 2
    assert (told(2)["version"], told(2)["amount_minor"], told(2)["tax_minor"]) == (2, 3000, 300)
    amended = [hop.name for hop in journey("1").hops if "amend" in hop.name]
    assert amended == ["order.amend", "order.amend", "order.amend_in_erp", "order.amend_in_erp"]
    estate.tell(order("2", line(quantity=5)), cancellation("2", lines=(units("A1", 1),), cancellation_id="X2"))
    estate.tell(cancellation("2", cancellation_id="X3"))
    assert one.run_once() == 0, "the ERP was offered nothing of it yet"
    assert estate.exceptions() == []


def test_what_comes_and_goes_at_a_location_that_wants_it_is_in_the_erp(
    estate: Estate, http: httpx.Client, erp: httpx.Client, relay: Callable[..., ErpRelay]
) -> None:
    told = LocationRegistered(origin="shop", location="WH1", kind="warehouse", goods_to_erp=True)
    other = LocationRegistered(origin="shop", location="WH2", kind="warehouse")
    estate.tell(
        told,
        other,
        goods_in(units={"A1": 9, "B2": 2}),
        goods_in("D2", location="WH2"),
        counted(units={"A1": 8, "B2": 3}),
    )
    estate.tell(order("1"), payment("1"), shipment("1"))
    assert relay().run_once() > 0

    def kept(key: str) -> tuple[str, str, dict[str, int]]:
        body = erp.get(f"/v1/goods_movements/{key}").json()["goods_movement"]
        return body["from_place"], body["to_place"], {one["sku"]: one["quantity"] for one in body["lines"]}

    assert kept("shop:receipt/D1@WH1/receipt") == ("supplier", "WH1", {"A1": 9, "B2": 2})
    assert kept("shop:count/K1@WH1/count") == ("adjustment", "WH1", {"B2": 1})
    assert kept("shop:count/K1@WH1/count/back") == ("WH1", "adjustment", {"A1": 1})
    assert kept("shop:shipment/S1/1@WH1/shipment") == ("WH1", "customer", {"A1": 1})
    assert erp.get("/v1/stats").json()["by_kind"]["goods_movement"] == 4, "of the other location it is told nothing"


def test_what_the_erp_keeps_otherwise_than_it_was_sent_is_found_and_is_of_finance(
    estate: Estate, http: httpx.Client, core: Core, erp: httpx.Client, relay: Callable[..., ErpRelay]
) -> None:
    client = ErpClient(str(erp.base_url), lambda: core.now, timeout_seconds=10)
    read_back = ReadBack(core.db, client, lambda: core.now)
    estate.tell(goods_in(), order("1"), payment("1"))
    assert relay().run_once() == 2
    weather(erp, distort_minor=-100)
    estate.tell(shipment("1"))
    assert (read_back.run_once(), relay().run_once(), read_back.run_once()) == (0, 1, 0), "one waits, then all is fresh"
    later(core, minutes=1)
    assert (read_back.run_once(), read_back.run_once()) == (3, 0)
    [found] = http.get("/v1/exceptions").json()
    assert (found["exception_id"], found["owner"], found["severity"]) == (
        "shop:shipment/S1:erp_unbalanced",
        "finance",
        "critical",
    )
    assert (found["amount_minor"], found["currency"]) == (100, "GBP")
    assert found["detail"].startswith("it does not balance there by -100 minor units; accounts differ there: ")
    again = {"by": "ann", "reason": "corrected there", "ids": [found["exception_id"]]}
    assert http.post("/v1/exceptions/replay", json=again).json()["done"] == 1
    assert read_back.run_once() == 1
    assert [one["kind"] for one in http.get("/v1/exceptions").json()] == ["erp_unbalanced"], "nobody has corrected it"
    client.close()
