"""Customers and their accounts across channels: told as events or asked for an answer, found by any number."""

import datetime as dt
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.erp.http import ErpClient
from sync_core.master_messages import Account, CustomerUpdated, TaxCodeSet
from sync_core.messages import ProductRegistered
from sync_core.outbox import ErpRelay
from tests.core import Core
from tests.erp import Erp
from tests.estate import Estate, Tell
from tests.factories import NOON, cloudevent, goods_in, line, order, payment


def customer(customer_id: str, *accounts: str, **over: Any) -> CustomerUpdated:
    """``accounts`` as ``system:number``."""
    held = tuple(Account(system=one.partition(":")[0], account_id=one.partition(":")[2]) for one in accounts)
    return CustomerUpdated(**{"origin": "crm", "customer_id": customer_id, "accounts": held} | over)


def known(http: httpx.Client, number: str) -> dict[str, Any]:
    [told] = http.get(f"/v1/customers/{number}").json()
    assert isinstance(told, dict)
    return told


def accounts(http: httpx.Client, number: str) -> list[str]:
    return [f"{one['system']}:{one['account_id']}" for one in known(http, number)["accounts"]]


@pytest.mark.proves(76)
def test_product_order_payment_inventory_customer_and_financial_document_are_objects_of_one_model(
    http: httpx.Client, estate: Estate, journey: Tell
) -> None:
    estate.tell(ProductRegistered(origin="shop", sku="A1", name="mug"), goods_in())
    estate.tell(customer("C-76", "shop:web-76", "pos:card-76", segment="gold"), source="crm")
    estate.tell(order("o76", line(quantity=2), customer_ref="web-76"), order("o76", customer_ref="x", origin="other"))
    estate.tell(payment("o76", 2000))
    assert http.get("/v1/products/A1").json()[0]["name"] == "mug"
    assert {one["origin"]: one["state"] for one in http.get("/v1/orders/o76").json()} == {
        "shop": "reserved", "other": "reserved",
    }  # fmt: skip
    assert estate.at()["reserved"] == 3
    told = known(http, "card-76")
    assert (told["customer_id"], told["segment"], told["closed"]) == ("C-76", "gold", False)
    [bought] = told["orders"]
    assert (bought["order_id"], bought["amount_minor"], bought["due_minor"]) == ("o76", 2000, 0)
    paid = journey("Po76")
    assert paid.header.reference == "o76"
    assert [entry.posting for entry in paid.journal] == ["order/o76"]
    for number in ("C-76", "web-76", "card-76"):
        found = journey(number)
        assert found.header.origin == "crm"
        assert [hop.name for hop in found.hops if hop.milestone == "changed"] == ["master_data.customer"]


@pytest.mark.proves(68)
def test_accounts_follow_their_customer_and_are_nobody_elses(http: httpx.Client, estate: Estate, core: Core) -> None:
    estate.tell(goods_in(), order("1", customer_ref="w2"))
    estate.tell(customer("C1", "shop:w1", "pos:k1"), customer("C2", "shop:w2"))
    later = NOON + dt.timedelta(hours=1)
    estate.tell(customer("C1", "shop:w1", "market:m1", segment="gold"), at=later)
    estate.tell(customer("C1", "shop:w1"), at=NOON)  # an older one, late
    assert accounts(http, "m1") == ["market:m1", "shop:w1"]
    assert http.get("/v1/customers/k1").status_code == 404
    estate.tell(customer("C3", "shop:w3", "shop:w1"), at=later)
    assert estate.exceptions() == [("account_claimed", "customer service", 0)]
    assert http.get("/v1/customers/C3").status_code == 404, "nothing of it is kept"
    estate.tell(customer("C3", "shop:w3"), at=later)
    assert (estate.exceptions(), accounts(http, "w3")) == ([], ["shop:w3"])
    estate.tell(customer("C4", merged_into="C5"), at=later)
    assert core.states()["parked"] == 1
    estate.tell(customer("C2", "pos:k2", merged_into="C1"), customer("C5"), at=later)
    assert "parked" not in core.states()
    told = known(http, "w2")
    assert (told["customer_id"], told["merged"]) == ("C1", ["C2"])
    assert accounts(http, "C2") == ["market:m1", "pos:k2", "shop:w1", "shop:w2"]
    assert [one["order_id"] for one in told["orders"]] == ["1"]
    assert estate.sound()


def test_an_update_is_answered_at_once(http: httpx.Client, estate: Estate, core: Core) -> None:
    def ask(event: CustomerUpdated, **over: Any) -> httpx.Response:
        core.now += dt.timedelta(seconds=1)
        return http.post("/v1/customers", json=msgspec.to_builtins(event) | over)

    answer = ask(customer("C1", "shop:w1"))
    assert (answer.status_code, answer.json()[0]["accounts"]) == (200, [{"system": "shop", "account_id": "w1"}])
    claimed = ask(customer("C2", "shop:w1"))
    assert (claimed.status_code, claimed.json()["field"]) == (409, "accounts")
    assert claimed.json()["detail"] == "accounts: account w1 of shop is customer C1's of crm"
    assert [one["kind"] for one in http.get("/v1/exceptions").json()] == ["account_claimed"]
    personal = ask(customer("C3"), accounts=[{"system": "shop", "account_id": "ann@example.com"}])
    assert (personal.status_code, personal.json()["field"]) == (400, "accounts[0].account_id")
    for wrong in ({"merged_into": "C3"}, {"accounts": [{"system": "shop", "account_id": "w3"}] * 2}):
        assert ask(customer("C3"), **wrong).status_code == 400
    envelope = cloudevent(customer("C4"))
    envelope["data"]["accounts"] = [{"system": "shop", "account_id": "a b"}]
    assert http.post("/v1/events", json=envelope).json()["field"] == "data.accounts[0].account_id"


@pytest.mark.proves(162)
def test_customer_tax_payment_and_posting_are_answered_at_once(http: httpx.Client, estate: Estate, core: Core) -> None:
    estate.tell(ProductRegistered(origin="shop", sku="A1", name="mug", tax_code="S"), goods_in())
    estate.tell(TaxCodeSet(origin="shop", tax_code="S", rate_ppm=200_000))
    updated = http.post("/v1/customers", json=msgspec.to_builtins(customer("C1", "shop:w1"))).json()
    assert (updated[0]["customer_id"], updated[0]["orders"]) == ("C1", [])
    [taken] = http.post("/v1/orders", json=msgspec.to_builtins(order(tax_by_code=True, customer_ref="w1"))).json()
    assert (taken["tax_minor"], taken["paid_minor"], taken["due_minor"], taken["postings"]) == (200, 0, 1200, [])
    assert known(http, "C1")["orders"][0]["due_minor"] == 1200
    estate.tell(payment("1", 1200))
    [paid] = http.get("/v1/orders/1").json()
    posting = {"journal_id": "shop:order/1", "document": "order", "state": "waiting", "number": ""}
    assert (paid["paid_minor"], paid["due_minor"], paid["postings"]) == (1200, 0, [posting])
    books = Erp()
    with books.serving() as url:
        erp = ErpClient(url, lambda: core.now)
        ErpRelay(core.db, erp, lambda: core.now).run_once()
        erp.close()
    [posted] = http.get("/v1/orders/1").json()
    number = books.documents["shop:order/1"]
    assert posted["postings"] == [posting | {"state": "accepted", "number": number}]
