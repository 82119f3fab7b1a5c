"""Journeys over links: what one transaction has to do with others, through the lineage API."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage.links import FAN
from lineage.model import BlastRadius, Comparison, LinkedPage, Money, SearchResult, Troubles
from tallytrace.cli import app
from tests.hops import Hops, answering, journey_of

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
LARGE = 10_000
T = TypeVar("T")


def gbp(minor: int) -> Money:
    return Money(minor, "GBP")


def tell_chain(hops: Hops) -> None:
    """Settlement po_1 pays order A1 and stranger A2; goods of A1 came back as RT-1, for which order A3 was sent."""
    hops.order("A1", "2026-03-02 09:00:00", 10_000)
    hops.order("A2", "2026-03-02 10:00:00", 5_000)
    hops.order("A3", "2026-03-10 10:00:00", 10_000)
    hops.credit("RT-1", "2026-03-09 09:00:00", [("22952", 1, 10_000, "A1")])
    hops.hop(correlation_id("uci", "A3"), "order.exchange", "2026-03-10 10:00:00", "order", "A3",
             events=[hops.link("A3", "RT-1", "exchanges", "RT-1")])  # fmt: skip
    hops.hop(correlation_id("uci", "A2"), "order.note", "2026-03-02 10:00:00", "order", "A2", till="4")
    settlement = [("A1", "sale of ch_1", 10_000), ("A1", "fee of ch_1", -59), ("A2", "sale of ch_2", 5_000)]
    hops.settlement("po_1", "2026-03-12 06:00:00", settlement)
    hops.settlement("stmt-1", "2026-03-13 06:00:00", [("po_1", "po_1", 14_941)])


def tell_large(hops: Hops) -> None:
    parts = [(f"L{number}", f"sale of ch_{number}", 100 + number) for number in range(LARGE)]
    hops.order("L7", "2026-03-02 09:00:00", 107)
    hops.settlement("po_large", "2026-03-20 06:00:00", [*parts, ("L7", "fee of ch_7", -3)])


@pytest.fixture(scope="module")
def http(
    storage: Storage, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[httpx.Client]:
    hops = Hops()
    tell_chain(hops)
    tell_large(hops)
    tell_failures(hops)
    tell_feed(hops)
    tell_correction(hops)
    hops.store(storage, tmp_path_factory.mktemp("segment"))
    with answering(storage, lambda: NOW, free_port()) as client:
        yield client


def ask(http: httpx.Client, path: str, into: type[T], **asked: str) -> T:
    answer = http.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=into)


@pytest.mark.proves(208, 212)
def test_a_chain_is_walked_from_the_settlement_to_the_exchange_and_back(http: httpx.Client) -> None:
    of_settlement = journey_of(http, "po_1")
    assert sorted((one.depth, one.title, one.link, one.direction) for one in of_settlement.related) == [
        (1, "order A1", "settles", "out"), (1, "order A2", "settles", "out"), (1, "settlement stmt-1", "settles", "in"),
        (2, "return RT-1", "returns", "in"), (3, "order A3", "exchanges", "in"),
    ]  # fmt: skip
    assert {one.title: one.state for one in of_settlement.related} == {
        "order A1": "posted", "order A2": "posted", "order A3": "posted", "return RT-1": "posted",
        "settlement stmt-1": "received",
    }  # fmt: skip
    failing = journey_of(http, "F1")
    last = failing.hops[-1]
    assert (failing.header.state, last.outcome, len(last.attempts)) == ("shipped", "rejected", 2)
    (sums,) = [one for one in of_settlement.linked if one.direction == "out"]
    assert (sums.transactions, sums.amounts) == (2, (gbp(14_941),))
    of_order = {one.title: one for one in journey_of(http, "A1").related}
    assert "order A2" not in of_order, "a stranger in the same settlement"
    assert [(part.evidence, part.amount) for part in of_order["settlement po_1"].parts] == [
        ("fee of ch_1", gbp(-59)), ("sale of ch_1", gbp(10_000)),
    ]  # fmt: skip
    assert of_order["settlement po_1"].amount == gbp(9_941)
    assert (of_order["settlement stmt-1"].depth, of_order["order A3"].depth) == (2, 2)
    assert {one.title for one in journey_of(http, "A3").related} == {
        "return RT-1", "order A1", "settlement po_1",
    }  # fmt: skip


def test_a_settlement_of_ten_thousand_lines_opens_and_is_paged(http: httpx.Client) -> None:
    told = journey_of(http, "po_large")
    assert (len(told.related), told.related_cut) == (FAN, True)
    (sums,) = told.linked
    assert (sums.transactions, sums.amounts) == (LARGE, (gbp(100 * LARGE + LARGE * (LARGE - 1) // 2 - 3),))
    (settlement,) = journey_of(http, "L7").related
    assert (settlement.title, settlement.amount, len(settlement.parts)) == ("settlement po_large", gbp(104), 2)
    seen: dict[str, Money | None] = {}
    after = ""
    while not seen or after:
        answer = ask(http, "/v1/linked", LinkedPage, id="po_large", kind="settles", after=after, limit="1000")
        seen |= {one.correlation_id: one.amount for one in answer.items}
        after = answer.after
    assert len(seen) == LARGE
    assert seen[correlation_id("uci", "L7").hex()] == gbp(104)
    assert http.get("/v1/linked", params={"id": "po_none"}).status_code == 404
    assert http.get("/v1/linked", params={"id": "po_1", "after": "no"}).json()["status"] == 400


def tell_failures(hops: Hops) -> None:
    """Whose postings the ERP refuses, does not answer, or is not even asked about; goods that wait; what came alone."""
    refused, silent, unsent, waits, alone, early = (correlation_id("uci", f"F{number}") for number in range(1, 7))
    when = "2026-03-30 09:00:00"
    same: dict[str, Any] = {"channel": "web", "location": "ST1"}
    for identity, number in ((refused, "F1"), (silent, "F2"), (unsent, "F3"), (waits, "F4")):
        line = {"sku": f"SKU-{number}", "quantity": 1, "amount_minor": 1000, "kind": "goods"}
        hops.hop(identity, "order.capture", when, "order", number, "captured", amount=1000, order_id=number,
                 customer_ref=f"c{number}", events=[("line", line)], **same)  # fmt: skip
    for identity, number in ((refused, "F1"), (silent, "F2"), (unsent, "F3")):
        hops.hop(identity, "inventory.reserve", when, "order", number, "reserved", **same)
        hops.hop(identity, "order.ship", when, "fulfilment", f"S-{number}", "shipped", **same)
        hops.post(identity, f"shipment/S-{number}", when, amount=1000, due_at=hops.nanos("2026-03-30 13:00:00"),
                  owner="finance", **same)  # fmt: skip
    for attempt, outcome, reason in ((1, "failed", "503 busy"), (2, "rejected", "period 2026-03 is closed")):
        hops.hop(refused, "posting.send", f"2026-03-30 09:0{attempt}:00", "posting", "shipment/S-F1", attempt=attempt,
                 outcome=outcome, reason=reason, amount=1000, owner="finance", **same)  # fmt: skip
    hops.hop(silent, "posting.send", "2026-03-30 09:01:00", "posting", "shipment/S-F2", outcome="failed",
             reason="no answer", amount=1000, **same)  # fmt: skip
    hops.hop(waits, "inventory.reserve", when, "order", "F4", outcome="parked", reason="SKU-F4 is no product",
             stage="transformation", owner="inventory", **same)  # fmt: skip
    hops.post(alone, "shipment/S-F5", when, when, 700, **same)
    hops.refund("F6", when, when, when)
    hops.hop(early, "return.receive", "2026-03-30 18:00:00", "return", "F6", "received", amount=1000)


def tell_correction(hops: Hops) -> None:
    """The shipment of C1 was told by mistake; that of C2 had happened at another time."""
    for number in ("C1", "C2"):
        identity, when = correlation_id("uci", number), "2026-03-23 09:00:00"
        line: dict[str, Any] = {"channel": "phone", "order_id": number}
        for name, milestone in (("order.capture", "captured"), ("inventory.reserve", "reserved")):
            hops.hop(identity, name, when, "order", number, milestone, amount=500, **line)
        hops.hop(identity, "order.ship", "2026-03-23 10:00:00", "fulfilment", f"S-{number}", "shipped", **line)
        wrong = {"entity": "fulfilment", "entity_id": f"S-{number}", "milestone": "shipped", "by": "ann"}
        wrong |= {"occurred_at": str(hops.nanos("2026-03-23 10:00:00"))}
        reason = "did_not_occur" if number == "C1" else "incorrect_data"
        hops.hop(identity, "order.correct", "2026-03-30 12:00:00", "fulfilment", f"S-{number}", channel="phone",
                 events=[("correction", wrong | {"reason": reason})])  # fmt: skip
        if number == "C2":
            hops.hop(identity, "order.ship", "2026-03-31 11:30:00", "fulfilment", "S-C2", "shipped", **line)


def tell_feed(hops: Hops) -> None:
    """The availability of the web shop at ST1 was last known an hour before the orders."""
    known = hops.nanos("2026-03-30 08:00:00")
    mark = {"feed": "availability", "channel": "web", "location": "ST1", "source_at": known, "published_at": known}
    hops.hop(b"\0" * 16, "publication.publish", "2026-03-30 08:00:00", "", "",
             events=[("watermark", mark | {"heartbeat_at": 0})])  # fmt: skip


def found(http: httpx.Client, number: str) -> list[tuple[str, str, str]]:
    return [(one.kind, one.stage, one.cause) for one in journey_of(http, number).findings]


@pytest.mark.proves(210)
def test_where_it_broke_and_the_first_cause(http: httpx.Client) -> None:
    assert found(http, "F1") == [("failed", "erp", "503 busy")]
    assert found(http, "F2") == [("stuck", "erp", "no answer")]
    assert found(http, "F3") == [("overdue", "queue", "nothing was heard after: journal written")]
    assert found(http, "F4") == [("stuck", "transformation", "SKU-F4 is no product")]
    assert found(http, "J/shipment/S-F5") == [("missing", "transformation", "order captured: never told")]
    assert found(http, "F6") == [("out_of_order", "source", "return received: 32400 s later")]
    (refused,) = journey_of(http, "F1").findings
    assert (refused.attempts, refused.owner, refused.amount) == (2, "finance", gbp(1000))
    assert refused.due_at == datetime(2026, 3, 30, 13, tzinfo=UTC)
    assert journey_of(http, "A1").findings == ()


def test_what_is_wrong_is_listed_over_all_transactions(http: httpx.Client) -> None:
    def listed(**asked: str) -> set[tuple[str, str]]:
        told = ask(http, "/v1/findings", Troubles, **asked)
        return {(one.finding.kind, one.finding.entity_id) for one in told.items}

    assert listed(location="ST1") == {
        ("failed", "shipment/S-F1"), ("stuck", "shipment/S-F2"), ("overdue", "shipment/S-F3"), ("stuck", "F4"),
        ("missing", "shipment/S-F5"),
    }  # fmt: skip
    assert listed(kind="missing", channel="web") == {("missing", "shipment/S-F5")}
    assert listed(kind="out_of_order") == {("out_of_order", "F6")}
    assert http.get("/v1/findings", params={"kind": "odd"}).json()["status"] == 400


@pytest.mark.proves(211)
def test_the_blast_radius_of_a_hop_and_of_a_late_feed(http: httpx.Client) -> None:
    def radius(**asked: str) -> BlastRadius:
        return ask(http, "/v1/blast-radius", BlastRadius, **asked)

    held = radius(hop="posting.send")
    assert (held.transactions, held.orders, held.customers, held.amounts) == (3, 3, 3, (gbp(3000),))
    assert held.skus == ("SKU-F1", "SKU-F2", "SKU-F3")
    assert [(one.name, one.transactions, one.amounts) for one in held.locations] == [("ST1", 3, (gbp(3000),))]
    assert [one.name for one in held.channels] == ["web"]
    assert held.causes == {"503 busy": 1, "no answer": 1}
    assert held.stage == "erp"
    waits = radius(hop="inventory.reserve")
    assert (waits.transactions, waits.stage, waits.skus) == (1, "transformation", ("SKU-F4",))
    late = radius(feed="availability", channel="web", location="ST1")
    assert (late.orders, late.amounts, late.stage) == (4, (gbp(4000),), "source")
    assert http.get("/v1/blast-radius", params={"feed": "none"}).status_code == 404
    assert http.get("/v1/blast-radius").json()["status"] == 400


def numbers(http: httpx.Client, **asked: str) -> list[str]:
    return [one.reference for one in ask(http, "/v1/search", SearchResult, **asked).items]


def test_transactions_are_found_by_what_any_of_their_hops_says(http: httpx.Client) -> None:
    assert set(numbers(http, location="ST1", outcome="rejected")) == {"F1"}
    assert set(numbers(http, sku="SKU-F4")) == {"F4"}
    assert numbers(http, customer="cF2", hop="posting.send") == ["F2"]
    assert set(numbers(http, channel="web", least_minor="700", most_minor="700")) == {""}, "posted without its order"
    assert set(numbers(http, kind="order", state="captured")) == {"F4"}
    assert set(numbers(http, owner="finance", channel="web")) == {"F1", "F2", "F3"}
    assert set(numbers(http, wrong="out_of_order")) == {"F6"}
    assert set(numbers(http, until="2026-03-02T09:30:00Z")) == {"A1", "L7"}
    assert numbers(http, attribute="till=7") == []
    assert set(numbers(http, attribute="till=4")) == {"A2"}
    assert http.get("/v1/search", params={"attribute": "till"}).json()["status"] == 400


def test_a_search_is_paged_to_its_end(http: httpx.Client) -> None:
    seen: list[str] = []
    after = ""
    while not seen or after:
        answer = ask(http, "/v1/search", SearchResult, limit="3", after=after)
        seen += [one.correlation_id for one in answer.items]
        after = answer.after
    assert len(seen) == len(set(seen)) == 16


def test_a_journey_beside_its_flow_and_beside_another(http: httpx.Client) -> None:
    told = ask(http, "/v1/compare", Comparison, id="F3")
    standings = {one.title: one.standing for one in told.steps}
    assert standings["posting accepted by the ERP"] == "overdue"
    assert standings["goods shipped"] == standings["stock reserved"] == "reached"
    assert standings["delivered"] == "not due"
    assert standings["fraud check passed"] == "optional"
    beside = {one.milestone: one for one in ask(http, "/v1/compare", Comparison, id="A1", **{"with": "F3"}).steps}
    assert (beside["fulfilment.shipped"].after_seconds, beside["fulfilment.shipped"].other_seconds) == (7200.0, 0.0)
    assert (beside["posting.erp_accepted"].standing, beside["posting.erp_accepted"].other_seconds) == ("reached", None)
    assert http.get("/v1/compare", params={"id": "A1", "with": "none"}).status_code == 404


def test_journeys_leave_as_json_csv_and_an_object_centric_log(http: httpx.Client) -> None:
    asked = {"id": ["A1", "RT-1"]}
    assert [one["query"] for one in http.get("/v1/export/json", params=asked).json()] == ["A1", "RT-1"]
    table = list(csv.DictReader(io.StringIO(http.get("/v1/export/csv", params=asked).text)))
    assert [row["milestone"] for row in table if row["reference"] == "A1"][:2] == ["captured", "reserved"]
    assert http.get("/v1/export/xml", params=asked).json()["status"] == 400


OCEL: Final = {
    "eventTypes": {"name": str, "attributes": {"name": str, "type": str}},
    "objectTypes": {"name": str, "attributes": {"name": str, "type": str}},
    "events": {"id": str, "type": str, "time": datetime, "attributes": {"name": str, "value": str},
               "relationships": {"objectId": str, "qualifier": str}},
    "objects": {"id": str, "type": str, "attributes": {"name": str, "value": str, "time": datetime},
                "relationships": {"objectId": str, "qualifier": str}},
}  # fmt: skip
"""The schema of OCEL 2.0 as JSON: what each member of a list must have, all of it here; every value is a string."""
READ: Final[dict[str, Callable[[str], object]]] = {"string": str, "time": datetime.fromisoformat, "integer": int}
"""How a value is read by the types that are declared; there are float and boolean besides."""


def require(shape: Any, told: Any, where: str) -> None:
    if isinstance(shape, dict):
        assert isinstance(told, list), where
        for one in told:
            assert one.keys() == shape.keys(), where
            for name, of in shape.items():
                require(of, one[name], f"{where}.{name}")
    else:
        assert isinstance(told, str), where
        assert shape is str or datetime.fromisoformat(told).tzinfo, where


def test_an_object_centric_log_is_as_its_schema_says_and_names_nothing_that_is_not_there(http: httpx.Client) -> None:
    asked = {"id": ["A1", "RT-1"]}
    hops = sum(len(one["hops"]) for one in http.get("/v1/export/json", params=asked).json())
    log = http.get("/v1/export/ocel", params=asked).json()
    assert log.keys() == OCEL.keys()
    for name, shape in OCEL.items():
        require(shape, log[name], name)
    objects = {one["id"]: one for one in log["objects"]}
    assert len({one["id"] for one in log["events"]}) == len(log["events"]) == hops
    assert len(objects) == len(log["objects"])
    for things, kinds in (("events", "eventTypes"), ("objects", "objectTypes")):
        typed = {kind["name"]: {one["name"]: one["type"] for one in kind["attributes"]} for kind in log[kinds]}
        assert {one["type"] for one in log[things]} == typed.keys()
        for thing in log[things]:
            for told in thing["attributes"]:
                READ[typed[thing["type"]][told["name"]]](told["value"])
            assert all(one["objectId"] in objects for one in thing["relationships"])
            assert things == "objects" or thing["relationships"]
    given_back = objects[correlation_id("uci", "RT-1").hex()]
    assert {"objectId": correlation_id("uci", "A1").hex(), "qualifier": "returns"} in given_back["relationships"]


@pytest.mark.proves(213)
def test_it_operations_finance_and_customer_service_ask_one_control_plane(
    http: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by what it knows, on the command line: a stage, a hop, an owner, a customer, any number."""
    monkeypatch.setenv("COLUMNS", "400")
    url = str(http.base_url).rstrip("/")
    environment = {"TALLYTRACE_HOME": str(tmp_path), "TALLYTRACE_PLANE_URL": url, "TALLYTRACE_CORE_URL": url}

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    failing = run("wrong", "--kind", "failed")
    assert ("shipment/S-F1" in failing, "503 busy" in failing, "S-F2" in failing) == (True, True, False)
    held = run("wrong", "--hop", "posting.send")
    assert ("3 transactions, 30.00 GBP" in held, "SKU-F1, SKU-F2, SKU-F3" in held) == (True, True)
    finance = msgspec.json.decode(run("wrong", "--owner", "finance", "--json"), type=Troubles)
    assert {one.finding.entity_id for one in finance.items if one.channel == "web"} == {
        "shipment/S-F1", "shipment/S-F2", "shipment/S-F3", "shipment/S-F5", "F6",
    }  # fmt: skip
    theirs = run("find", "customer=cF2")
    assert ("order F2" in theirs, "shipped" in theirs, "order F1" in theirs) == (True, True, False)
    assert msgspec.json.decode(run("find", "customer=cF2", "--json"), type=SearchResult).items[0].reference == "F2"
    assert "503 busy" in run("trace", "J/shipment/S-F1")
    log = json.loads(run("export", "ocel", "A1", "RT-1"))
    assert log == http.get("/v1/export/ocel", params={"id": ["A1", "RT-1"]}).json()
    assert CliRunner().invoke(app, ["export", "ocel"], env=environment).exit_code != 0


@pytest.mark.proves(214)
def test_what_was_told_wrongly_is_taken_back_and_stands_in_the_record(http: httpx.Client) -> None:
    never, otherwise = journey_of(http, "C1"), journey_of(http, "C2")
    assert [one.reason for one in (*never.corrections, *otherwise.corrections)] == ["did_not_occur", "incorrect_data"]
    assert "goods shipped" in [hop.title for hop in never.hops], "nothing is deleted"
    assert (never.header.state, [item.step for item in never.expected]) == ("reserved", ["shipped"])
    assert (otherwise.header.state, [item.step for item in otherwise.expected]) == ("shipped", ["shipment-journaled"])
    assert not otherwise.expected[0].overdue
    late = http.get("/v1/overdue").json()["items"]
    assert [one["step"] for one in late if one["channel"] == "phone"] == ["shipped"]
    wrong = ask(http, "/v1/findings", Troubles, channel="phone", kind="overdue").items
    assert [(one.correlation_id, one.finding.step) for one in wrong] == [(never.header.correlation_id, "shipped")]
    assert numbers(http, channel="phone", state="reserved") == ["C1"]
