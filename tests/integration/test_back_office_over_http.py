"""Channels, the running core and an ERP that hangs, refuses or is slow: what each of them notices of the others."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import httpx
import msgspec
import psycopg
import pytest
from psycopg import sql

from sync_core.messages import TYPE_OF, LocationRegistered
from sync_core.messages import Event as CoreEvent
from sync_core.store import Store
from tallytrace import core as core_process
from tallytrace.settings import Settings
from tests.core import Core, text
from tests.erp import Erp
from tests.factories import RetailRow, cloudevent, goods_in, line, online_retail_csv, order, payment, shipment, stepped

PATIENCE_SECONDS = 90  # on a busy machine; alone it takes moments
ATTEMPTS = 4
BATCH = 40
POSTED = {"idempotency_key", "journal_id", "kind", "business_date", "currency", "lines"}


TWO_ERPS: Final = """
[entities.stores]
locations = ["ST9"]
[erps.legacy]
entities = ["stores"]
"""


class Retailer:
    """The core as it runs, between channels and an ERP."""

    def __init__(self, http: httpx.Client, erp: Erp, legacy: Erp, core: Core) -> None:
        self.http, self.erp, self.legacy, self.core = http, erp, legacy, core
        self._sent = 0

    def tell(self, *events: CoreEvent) -> None:
        bodies = []
        for event in events:
            self._sent += 1
            bodies.append(cloudevent(event, f"{self._sent}", type=TYPE_OF[type(event)]))
        assert self.http.post("/v1/events", json=bodies).json()["accepted"] == len(events)

    def order(self, order_id: str, **over: Any) -> httpx.Response:
        return self.http.post("/v1/orders", json=msgspec.to_builtins(order(order_id, **over)))

    def state(self, order_id: str) -> str:
        told = self.http.get(f"/v1/orders/{order_id}").json()
        return str(told[0]["state"]) if isinstance(told, list) else ""

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.http.get("/v1/status").json()
        return told

    def journals(self, order_id: str) -> dict[str, dict[str, str]]:
        """What the books hold of an order and its shipment: amounts by account, by document."""
        found: dict[str, dict[str, str]] = {}
        [known] = self.http.get(f"/v1/orders/{order_id}").json()
        header, *rows = self.http.get("/v1/journal", params={"format": "canonical"}).text.splitlines()
        names = header.split(",")
        for row in rows:
            one = dict(zip(names, row.split(","), strict=True))
            if one["correlation_id"] == known["correlation_id"]:
                found.setdefault(one["document"], {})[one["account"]] = one["amount_minor"]
        return found


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def retailer(
    postgres_server: str, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Retailer]:
    name, until, books, legacy = f"t_{uuid.uuid4().hex}", Event(), Erp(), Erp()
    with (
        psycopg.connect(postgres_server, autocommit=True) as server,
        books.serving() as erp_url,
        legacy.serving() as legacy_url,
    ):
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = postgres_server.replace("@/postgres?", f"@/{name}?")
        home: Path = tmp_path_factory.mktemp("core")
        (home / "rules.toml").write_text(TWO_ERPS)
        (home / "erps.toml").write_text(f'[erps.legacy]\nurl = "{legacy_url}"\n')
        settings = Settings(
            posting_rules=str(home / "rules.toml"), erps=str(home / "erps.toml"),
            home=str(home), postgres_url=url, core_port=free_port(), erp_url=erp_url, erp_batch=BATCH,
            otlp_port=free_port(), retry_base_seconds=0.01, retry_max_attempts=ATTEMPTS,
        )  # fmt: skip
        process, db = Thread(target=core_process.run, args=(settings, until)), Store(url)
        process.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{settings.core_port}", trust_env=False, verify=False) as http:
                eventually(lambda: ready(http))
                db.open()
                told = Retailer(http, books, legacy, Core(db))
                told.tell(goods_in(units={"A1": 5000}))
                eventually(lambda: books.documents and not told.status()["outbox_waiting"])
                yield told
        finally:
            books.gate.set()
            until.set()
            process.join()
            db.close()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.proves(40, 81)
def test_the_erp_is_told_of_an_order_when_it_is_paid_and_of_revenue_when_it_is_shipped(retailer: Retailer) -> None:
    assert retailer.order("milestones").json()[0]["state"] == "reserved"
    retailer.tell(order("beside"), payment("beside"))
    eventually(lambda: "shop:order/beside" in retailer.erp.documents)
    assert "shop:order/milestones" not in retailer.erp.bodies
    retailer.tell(payment("milestones"))
    eventually(lambda: "shop:order/milestones" in retailer.erp.documents)
    assert retailer.erp.bodies["shop:order/milestones"]["lines"] == [
        {"account": "liabilities:contract:goods", "amount_minor": -1000},
        {"account": "assets:clearing:card", "amount_minor": 1000},
    ]
    assert "shop:shipment/Smilestones" not in retailer.erp.bodies
    retailer.tell(shipment("milestones"))
    eventually(lambda: "shop:shipment/Smilestones" in retailer.erp.documents)
    accounts = {one["account"] for one in retailer.erp.bodies["shop:shipment/Smilestones"]["lines"]}
    assert accounts >= {"revenue:goods", "expenses:cost of goods"}
    eventually(lambda: not retailer.status()["outbox_waiting"])
    told = {
        text(span, "journal_id"): span for span in retailer.core.spans() if text(span, "milestone") == "erp_accepted"
    }
    for journal in ("shop:order/milestones", "shop:shipment/Smilestones"):
        assert text(told[journal], "erp_document_id") == retailer.erp.documents[journal]


@pytest.mark.proves(172, 187, 189, 190)
def test_orders_are_taken_while_the_erp_hangs_and_all_is_posted_afterwards(retailer: Retailer) -> None:
    retailer.erp.gate.clear()
    numbers = [f"hang{number}" for number in range(5)]
    for number in numbers:
        assert retailer.order(number).status_code == 201, "the customer is answered"
        retailer.tell(payment(number), shipment(number))
    eventually(lambda: all(retailer.state(number) == "shipped" for number in numbers))
    assert retailer.status()["outbox_waiting"] == 10
    assert not [key for key in retailer.erp.documents if "hang" in key]
    retailer.erp.gate.set()
    eventually(lambda: not retailer.status()["outbox_waiting"])
    assert len([key for key in retailer.erp.documents if "hang" in key]) == 10


@pytest.mark.proves(173)
def test_a_burst_of_channels_reaches_the_erp_in_its_own_measure(retailer: Retailer) -> None:
    retailer.erp.gate.clear()
    before = len(retailer.erp.offered)
    numbers = [f"burst{number}" for number in range(150)]
    retailer.tell(*(order(number) for number in numbers), *(payment(number) for number in numbers))
    eventually(lambda: retailer.status()["outbox_waiting"] == len(numbers))
    retailer.erp.gate.set()
    eventually(lambda: not retailer.status()["outbox_waiting"])
    offered = retailer.erp.offered[before:]
    assert max(map(len, offered)) == BATCH
    assert retailer.erp.most_at_once == 1
    assert sorted(key for keys in offered for key in keys) == sorted(f"shop:order/{number}" for number in numbers)


@pytest.mark.proves(180)
def test_a_posting_is_tried_again_by_the_policy_and_then_given_up_to_its_owner(retailer: Retailer) -> None:
    retailer.erp.replies.extend([(503, {}, b"")] * 2)
    retailer.order("again")
    retailer.tell(payment("again"))
    eventually(lambda: "shop:order/again" in retailer.erp.documents)
    retailer.erp.silent.add("shop:order/silent")
    retailer.order("silent")
    retailer.tell(payment("silent"))
    eventually(lambda: retailer.status()["outbox_refused"])
    [given_up] = retailer.http.get("/v1/exceptions", params={"kind": "posting_dead"}).json()
    assert (given_up["owner"], given_up["amount_minor"]) == ("finance", 1000)
    tried = [span for span in retailer.core.spans() if span.name == "posting.send"]
    outcomes = {
        number: [text(span, "outcome") for span in tried if text(span, "entity_id") == f"order/{number}"]
        for number in ("again", "silent")
    }
    assert outcomes == {
        "again": ["failed", "failed", "ok"], "silent": ["failed"] * (ATTEMPTS - 1) + ["dead_letter"],
    }  # fmt: skip
    assert len([keys for keys in retailer.erp.offered if "shop:order/silent" in keys]) == ATTEMPTS


@pytest.mark.proves(14)
def test_each_erp_takes_what_is_of_its_legal_entity_and_one_that_is_away_holds_up_no_other(retailer: Retailer) -> None:
    retailer.legacy.replies.extend([(503, {}, b"")] * 5)
    retailer.tell(goods_in("S", {"A1": 5}, location="ST9"))
    retailer.order("store", location="ST9")
    retailer.order("cloud")
    retailer.tell(payment("store"), payment("cloud"))
    eventually(lambda: "shop:order/cloud" in retailer.erp.documents)
    eventually(lambda: "shop:order/store" in retailer.legacy.documents)
    eventually(lambda: not retailer.status()["outbox_waiting"])
    assert retailer.legacy.documents.keys() == {"shop:receipt/S", "shop:order/store"}
    assert not retailer.legacy.bodies.keys() & retailer.erp.bodies.keys()
    told = [span for span in retailer.core.spans() if text(span, "system") == "legacy"]
    taken = {text(span, "entity_id") for span in told if text(span, "outcome") == "ok"}
    assert taken == {"receipt/S", "order/store"}
    assert {text(span, "outcome") for span in told} == {"failed", "ok"}


@pytest.mark.proves(165, 174, 175)
def test_api_event_and_batch_give_the_same_books_and_the_erp_sees_no_channel(retailer: Retailer) -> None:
    file = online_retail_csv([RetailRow("571", code="F1", quantity=2)]).encode()
    assert retailer.http.put("/v1/files/online_retail/571.csv", content=file).status_code == 202
    given: dict[str, Any] = {"tax_minor": 400, "customer_ref": "100", "location": "GB-WH1"}
    lines = {"lines": (line("F1", 2),)}
    stocked = goods_in("F", {"F1": 10}, location="GB-WH1")
    at_cost = tuple(msgspec.structs.replace(one, unit_cost_minor=450) for one in stocked.lines)
    eventually(lambda: retailer.state("571") == "shipped")
    retailer.tell(msgspec.structs.replace(stocked, lines=at_cost))
    eventually(lambda: retailer.core.one("select sum(good) from core.stock where sku = 'F1'") == 10)
    answered = retailer.order("api", channel="market", **given, **lines)
    assert answered.json()[0]["state"] == "reserved"
    assert not {"journal", "erp", "account"} & {word for name in answered.json()[0] for word in name.split("_")}
    retailer.tell(order("event", channel="web", **given, **lines))
    for number in ("api", "event"):
        retailer.tell(payment(number, 2400, provider="stripe"), shipment(number, location="GB-WH1"))
        eventually(lambda number=number: retailer.state(number) == "shipped")  # type: ignore[misc]
    assert set(retailer.journals("571")) == {"order", "shipment"}
    assert retailer.journals("571") == retailer.journals("api") == retailer.journals("event")
    keys = ["online-retail:order/571", "shop:order/api", "shop:order/event"]
    eventually(lambda: set(keys) <= set(retailer.erp.documents))
    bodies = [retailer.erp.bodies[key] for key in keys]
    assert all(set(body) == POSTED for body in bodies)
    assert bodies[0]["lines"] == bodies[1]["lines"] == bodies[2]["lines"]


@pytest.mark.proves(171)
def test_reading_goes_on_while_writing_stands_still(retailer: Retailer) -> None:
    def sellable() -> int:
        told = retailer.http.get("/v1/availability", params={"sku": "R1"}).json()
        return int(told["items"][0]["sellable"])

    retailer.tell(goods_in("R", {"R1": 5}))
    eventually(lambda: sellable() == 5)
    with retailer.core.db.transaction() as session:
        session.connection.execute("lock table core.stock in access exclusive mode")
        retailer.tell(order("stuck", line("R1")))
        for _ in range(20):
            assert sellable() == 5
        assert retailer.state("stuck") == ""
    eventually(lambda: retailer.state("stuck") == "reserved")
    eventually(lambda: sellable() == 4)


@pytest.mark.proves(52)
def test_a_pickup_alone_takes_the_goods_out_makes_revenue_and_tells_the_erp(retailer: Retailer) -> None:
    store = {"location": "ST1"}
    retailer.tell(LocationRegistered(origin="erp", location="ST1", kind="store", goods_to_erp=True))
    retailer.tell(goods_in("GR-ST1", location="ST1", units={"A1": 3}))
    assert retailer.order("collected", **store).json()[0]["state"] == "reserved"
    retailer.tell(payment("collected"), stepped("ready_for_pickup", "collected", system="pos", **store))
    eventually(lambda: "shop:order/collected" in retailer.erp.documents)
    assert not [key for key in retailer.erp.bodies if "collected-pickup" in key]
    retailer.tell(stepped("picked_up", "collected", system="pos", **store))
    eventually(lambda: "shop:shipment/collected-pickup" in retailer.erp.documents)
    posted = {
        one["account"]: one["amount_minor"] for one in retailer.erp.bodies["shop:shipment/collected-pickup"]["lines"]
    }
    assert (posted["liabilities:contract:goods"], posted["revenue:goods"]) == (1000, -1000)
    assert posted["expenses:cost of goods"] == -posted["assets:inventory:sellable"] > 0
    eventually(
        lambda: [key for key in retailer.erp.documents if key.endswith("collected-pickup/collected@ST1/shipment")]
    )
    [told] = retailer.http.get("/v1/availability", params={"sku": "A1", **store}).json()["items"][0]["locations"]
    assert (told["on_hand"], told["free"], retailer.state("collected")) == (2, 2, "shipped")
