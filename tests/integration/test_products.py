"""The product master: once an origin has one, documents name its products, by any of their numbers."""

import datetime as dt
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.master_messages import TaxCodeSet
from sync_core.messages import ChannelServed, LocationName, LocationRegistered, ProductRegistered
from tests.core import Core, text
from tests.estate import Estate
from tests.factories import NOON, counted, goods_in, line, order, transfer


def product(sku: str = "A1", **over: Any) -> ProductRegistered:
    return ProductRegistered(**{"origin": "shop", "sku": sku, "name": f"the {sku}", "tax_code": "S"} | over)


def asked(*lines: Any, **over: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(order("9", *lines)) | over
    return body


def test_a_product_tells_what_it_is_and_where(estate: Estate, http: httpx.Client) -> None:
    estate.tell(product(aliases=("5012",), parent="A", replaces="A0"), goods_in(), order())
    estate.tell(goods_in("D2", {"A1": 2}, location="ST1"))
    [told] = http.get("/v1/products/5012").json()
    assert {name: told[name] for name in ("sku", "name", "unit", "tax_code", "parent", "replaces", "aliases")} == {
        "sku": "A1", "name": "the A1", "unit": "each", "tax_code": "S", "parent": "A", "replaces": "A0",
        "aliases": ["5012"],
    }  # fmt: skip
    assert [(one["location"], one["good"], one["reserved"], one["sellable"]) for one in told["stock"]] == [
        ("ST1", 2, 0, 2), ("WH1", 5, 1, 4),
    ]  # fmt: skip
    assert http.get("/v1/products/B2").status_code == 404


@pytest.mark.proves(36)
def test_an_order_is_checked_and_completed(estate: Estate, core: Core, http: httpx.Client) -> None:
    estate.tell(product(aliases=("5012",)), goods_in(), ChannelServed(origin="erp", channel="web", locations=("WH1",)))
    refused = http.post("/v1/orders", json=asked(line(), line("B2")))
    assert (refused.status_code, refused.json()["field"]) == (422, "lines[1].sku")
    assert refused.json()["detail"] == "B2 is no product of shop"
    refused = http.post("/v1/orders", json=asked(channel="nobody", location=""))
    assert (refused.status_code, refused.json()["field"]) == (422, "location")
    refused = http.post("/v1/orders", json=asked(line(price_minor=-1)))
    assert (refused.status_code, refused.json()["field"]) == (422, "lines[0].amount_minor")
    [taken] = http.post("/v1/orders", json=asked(line("5012", quantity=2), location="")).json()
    assert (taken["location"], taken["state"]) == ("WH1", "reserved")
    core.now += dt.timedelta(seconds=1)
    assert estate.at()["reserved"] == 2
    [hop] = [span for span in core.spans() if span.name == "order.enrich"]
    assert text(hop, "reason") == "location WH1 from channel web; SKU A1 from its number 5012"


def test_what_names_no_product_waits_for_it(estate: Estate, core: Core, http: httpx.Client) -> None:
    estate.tell(product("A1"), goods_in(units={"B2": 5}), order("1", line("B2")), counted(units={"B2": 5}))
    assert core.states() == {"done": 1, "parked": 3}
    estate.tell(goods_in("D2", {"B2": 1}, origin="other"))  # an origin without a master names what it likes
    assert core.states() == {"done": 2, "parked": 3}
    estate.tell(product("B2"))
    assert core.states() == {"done": 6}
    assert [one["state"] for one in http.get("/v1/orders/1").json()] == ["reserved"]
    assert estate.at(sku="B2")["reserved"] == 1
    assert estate.sound()


def test_an_order_of_a_channel_that_nothing_serves_waits_until_something_does(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(), order("1", location=""))
    assert core.states() == {"done": 1, "parked": 1}
    estate.tell(ChannelServed(origin="erp", channel="web", locations=("WH1",)))
    assert estate.at()["reserved"] == 1


def test_an_older_registration_changes_nothing(estate: Estate, http: httpx.Client) -> None:
    estate.tell(product(name="new", aliases=("5012",)), at=NOON + dt.timedelta(hours=1))
    estate.tell(product(name="old", aliases=("5013",)), at=NOON)
    assert [one["name"] for one in http.get("/v1/products/A1").json()] == ["new"]
    assert http.get("/v1/products/5013").status_code == 404
    estate.tell(product(name="newest", aliases=("5013",)), at=NOON + dt.timedelta(hours=2))
    assert http.get("/v1/products/5012").status_code == 404


@pytest.mark.proves(82)
def test_hierarchies_tax_codes_and_what_systems_call_stores(estate: Estate, core: Core, http: httpx.Client) -> None:
    estate.tell(product("DEPT"), product("STYLE", parent="DEPT"), product("A1", parent="STYLE", tax_code="S"))
    estate.tell(product("B2", parent="STYLE", tax_code="R", aliases=("5012",)))
    told = {sku: http.get(f"/v1/products/{sku}").json()[0] for sku in ("DEPT", "STYLE", "5012")}
    assert [told[sku]["path"] for sku in told] == [[], ["DEPT"], ["STYLE", "DEPT"]]
    assert [told[sku]["variants"] for sku in told] == [["STYLE"], ["A1", "B2"], []]

    called = tuple(LocationName(system=system, name=name) for system, name in (("pos", "0042"), ("shop", "LDN")))
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store", names=called))
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse"))
    estate.tell(goods_in("D0", {"A1": 4}, origin="pos", location="0042"))
    estate.tell(goods_in("D1", {"A1": 5, "B2": 5}, location="LDN"), transfer(from_location="LDN", to_location="WH1"))
    assert (estate.at("ST1")["good"], estate.at("ST1")["committed"]) == (9, 2)
    assert [one["location"] for one in http.get("/v1/locations/0042").json()] == ["ST1"]
    assert http.get("/v1/locations/0043").status_code == 404

    by_code = {"tax_by_code": True, "location": "LDN"}
    refused = http.post("/v1/orders", json=asked(line(), **by_code))
    assert (refused.status_code, refused.json()["field"]) == (422, "lines[0].sku")
    assert refused.json()["detail"] == "A1 has no tax code with a rate"
    assert http.post("/v1/orders", json=asked(line(), tax_minor=1, **by_code)).json()["field"] == "tax_minor"
    lines = (line("A1", 2), line("5012", price_minor=995), line("POST", amount_minor=300, kind="shipping"))
    estate.tell(order("waits", *lines, **by_code))
    estate.tell(TaxCodeSet(origin="shop", tax_code="S", rate_ppm=200_000))
    assert core.states()["parked"] == 1
    estate.tell(TaxCodeSet(origin="shop", tax_code="R", rate_ppm=50_000))
    estate.tell(TaxCodeSet(origin="shop", tax_code="S", rate_ppm=175_000), at=NOON + dt.timedelta(days=1))
    [waited] = http.get("/v1/orders/waits").json()
    assert (waited["location"], waited["tax_minor"]) == ("ST1", 400 + 50 + 45)
    core.now += dt.timedelta(days=2)
    [taken] = http.post("/v1/orders", json=asked(line("A1", 2), **by_code)).json()
    assert (taken["location"], taken["state"], taken["tax_minor"]) == ("ST1", "reserved", 350)
    reasons = [text(span, "reason") for span in core.spans() if span.name == "order.enrich"]
    assert reasons[-1] == "location ST1 from its name LDN; tax 350 from S at 175000 ppm"
    assert estate.sound()
