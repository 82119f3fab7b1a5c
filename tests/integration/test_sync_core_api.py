"""The sync core over a real socket: what it takes, what it refuses and why, and what it tells."""

import datetime as dt
import gzip
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sync_core import api, inbox
from sync_core.connectors import online_retail
from sync_core.files import ATTEMPTS, PARTIAL, FileReader, ReaderEndedError
from sync_core.ledger import ledger
from sync_core.messages import ChannelServed, LocationRegistered, StockRuleSet
from sync_core.reading import Reader
from tests.core import Core, later, text
from tests.factories import (
    NOON,
    RetailRow,
    cloudevent,
    feed_report,
    goods_in,
    line,
    online_retail_csv,
    order,
    payment,
    reclassified,
    sent,
    transfer,
)

PROBLEM = "application/problem+json"


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, title and field of a refusal in its standard form."""
    assert answer.headers["Content-Type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["instance"] == answer.request.url.path
    assert problem["type"].startswith("urn:tallytrace:problem:")
    assert problem["detail"]
    return answer.status_code, problem["title"], problem.get("field", "")


def test_events_are_accepted_once_and_their_results_told_one_by_one(http: httpx.Client, core: Core) -> None:
    stock, bought, paid = cloudevent(goods_in(), "1"), cloudevent(order(), "2"), cloudevent(payment(), "3")
    answer = http.post("/v1/events", json=stock)
    assert (answer.status_code, answer.json()) == (
        202,
        {
            "accepted": 1,
            "duplicates": 0,
            "conflicts": 0,
            "results": [{"source": "shop", "id": "1", "status": "accepted"}],
        },
    )
    changed = cloudevent(order("1", line("A1", 2)), "2")
    told = http.post("/v1/events", json=[stock, bought, changed, paid]).json()
    assert [one["status"] for one in told["results"]] == ["duplicate", "accepted", "conflict", "accepted"]
    assert (told["accepted"], told["duplicates"], told["conflicts"]) == (2, 1, 1)
    assert http.post("/v1/events", json=[]).json()["results"] == []
    core.work()
    ((found),) = http.get("/v1/orders/1").json()
    assert (found["amount_minor"], found["paid_minor"], found["origin"]) == (1000, 1000, "shop")


@pytest.mark.proves(262, 204)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", ""),
        (b"", ""),
        (b"[1]", "[0]"),
        (msgspec.json.encode(cloudevent(order()) | {"time": "2026-03-02T12:00:00"}), "time"),
        (msgspec.json.encode(cloudevent(order()) | {"type": "tallytrace.order.lost.v1"}), "type"),
        (msgspec.json.encode([cloudevent(order()), cloudevent(order(currency="pounds"), "2")]), "[1].data.currency"),
        (msgspec.json.encode(cloudevent(order("1", line(quantity=10**10)))), "data.lines[0].quantity"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_request_is_refused_whole_and_the_field_is_named(
    http: httpx.Client, core: Core, body: bytes, field: str
) -> None:
    assert refused(http.post("/v1/events", content=body)) == (400, "Malformed event", field)
    assert core.one("select count(*) from core.inbox") == 0


@pytest.mark.proves(35, 179)
def test_an_identity_with_other_content_is_a_conflict_with_an_exception(http: httpx.Client, core: Core) -> None:
    assert http.post("/v1/events", json=cloudevent(order())).status_code == 202
    assert http.post("/v1/events", json=cloudevent(order())).json()["duplicates"] == 1
    answer = http.post("/v1/events", json=cloudevent(order("1", line("A1", 2))))
    assert refused(answer) == (409, "Identity conflict", "id")
    (opened_one,) = http.get("/v1/exceptions", params={"owner": "integration"}).json()
    assert (opened_one["kind"], opened_one["severity"], opened_one["entity_id"]) == ("identity_conflict", "major", "1")
    assert http.get("/v1/exceptions", params={"owner": "finance"}).json() == []
    core.work()
    assert core.one("select amount_minor from core.orders") == 1000


@pytest.mark.proves(188)
def test_a_full_inbox_asks_to_come_again_later_and_takes_nothing(http: httpx.Client, core: Core) -> None:
    core.change(
        "insert into core.inbox (source, event_id, type, payload_hash, partition, provenance, occurred_at,"
        " business_date, accepted_at, body) select 'shop', 'q' || n, 'x', '', 0, 'live', now(), now(), now(), ''"
        " from generate_series(1, 50000) as n"
    )
    answer = http.post("/v1/events", json=cloudevent(order()))
    assert refused(answer) == (503, "Too much is queued", "")
    assert answer.headers["Retry-After"] == "2"
    assert core.one("select count(*) from core.inbox") == 50_000
    core.change("delete from core.inbox where event_id = 'q1'")
    assert http.post("/v1/events", json=cloudevent(order())).status_code == 202


def test_more_than_a_request_may_hold_is_refused(http: httpx.Client, core: Core) -> None:
    many = [cloudevent(order(str(number)), str(number)) for number in range(2001)]
    assert refused(http.post("/v1/events", json=many)) == (413, "Too many events", "")
    assert refused(http.post("/v1/events", content=b" " * (16 * 1024 * 1024 + 1)))[0] == 413
    assert core.one("select count(*) from core.inbox") == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/orders/none", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/files/online_retail/none.csv", 404),
        ("PUT", "/v1/files/shopify/orders.json", 404),
        ("GET", "/v1/exceptions?limit=0", 400),
        ("GET", "/v1/exceptions?limit=many", 400),
        ("GET", "/v1/journal?format=xml", 400),
        ("GET", "/v1/journal", 400),
    ],
)
def test_what_is_not_there_is_refused_in_the_same_form(http: httpx.Client, method: str, path: str, status: int) -> None:
    assert refused(http.request(method, path))[0] == status


def test_the_status_tells_what_waits(http: httpx.Client, core: Core) -> None:
    http.post("/v1/events", json=[cloudevent(goods_in(), "1"), cloudevent(payment(), "2")])
    before: dict[str, Any] = http.get("/v1/status").json()
    assert (before["inbox_queued"], before["spans_waiting"], before["erp"]) == (2, 0, "none")
    core.work()
    after = http.get("/v1/status").json()
    assert (after["inbox_queued"], after["inbox_parked"], after["outbox_waiting"]) == (0, 1, 1)
    assert (after["spans_waiting"] > 0, after["exceptions_open"]) == (True, 0)


def test_the_journal_and_its_audit_are_told(http: httpx.Client, core: Core) -> None:
    http.post("/v1/events", json=cloudevent(goods_in(), "1"))
    core.work()
    http.post("/v1/events", json=[cloudevent(order(), "2"), cloudevent(payment(), "3")])
    core.work()
    canonical = http.get("/v1/journal", params={"format": "canonical"})
    assert canonical.text == core.journal()
    assert canonical.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "assets:clearing:card  10.00 GBP" in http.get("/v1/journal", params={"format": "hledger"}).text
    audited = http.get("/v1/audit").json()
    assert [(check["looked_at"], check["faults"]) for check in audited["checks"]] == [
        (looked_at, []) for looked_at in (2, 2, 1, 1, 1, 0, 1, 3)
    ]
    buckets = http.get("/v1/audit/spans").json()
    spans = core.spans()
    assert sum(one["count"] for one in buckets) == sum(one["distinct"] for one in buckets) == len(spans)
    first = buckets[0]["bucket"]
    expected = sorted(span.span_id.hex() for span in spans if span.span_id[0] == first)
    assert http.get(f"/v1/audit/spans/{first}").json() == expected


def test_the_audit_names_what_was_corrupted(http: httpx.Client, core: Core) -> None:
    http.post("/v1/events", json=[cloudevent(goods_in(), "1")])
    core.work()
    core.change(
        "update core.stock set good = 4, reserved = 6",
        "alter table core.journal_lines disable trigger user",
        "update core.journal_lines set amount_minor = amount_minor + 1 where line_no = 1",
    )
    faults = [fault for check in http.get("/v1/audit").json()["checks"] for fault in check["faults"]]
    assert faults == [
        "journal shop:receipt/D1 is off by 0.01",
        "stock A1 at WH1: good 4, movements say 5; reserved 6, movements say 0",
        "stock A1 at WH1 is promised 2 beyond what is there, and no open exception says so",
    ]


@pytest.mark.proves(83)
def test_the_contract_is_published_by_version_and_held(http: httpx.Client, core: Core) -> None:
    schemas = http.get("/v1/schemas").json()
    captured = "tallytrace.order.captured.v1"
    assert schemas["types"][captured] == {"$ref": "#/$defs/OrderCaptured"}
    paths = http.get("/schema/openapi.json").json()["paths"]
    assert {path.split("/")[1] for path in paths if path != "/healthz"} == {"v1"}
    for name in schemas["types"]:
        answer = http.get(f"/v1/schemas/{name}")
        assert answer.headers["Content-Type"] == "application/schema+json"
        told: dict[str, Any] = answer.json()
        assert told["$id"] == f"/v1/schemas/{name}"
        assert told["$defs"][told["$ref"].removeprefix("#/$defs/")]["additionalProperties"] is False
    assert (
        http.get(f"/v1/schemas/{captured}").json()["$defs"]["OrderCaptured"]["properties"]["lines"]["maxItems"] == 5000
    )
    event = cloudevent(order(), dataschema=f"{http.base_url}/v1/schemas/{captured}")
    assert http.post("/v1/events", json=event).status_code == 202
    newer = "tallytrace.order.captured.v2"
    for answer in (http.post("/v1/events", json=event | {"type": newer}), http.get(f"/v1/schemas/{newer}")):
        assert refused(answer)[2] == "type"
        assert f"known: {captured}" in answer.json()["detail"]
    other = event | {"id": "2", "dataschema": f"/v1/schemas/{newer}"}
    assert refused(http.post("/v1/events", json=other))[2] == "dataschema"
    assert core.states() == {"queued": 1}


def read(http: httpx.Client, name: str, content: bytes, **params: Any) -> dict[str, Any]:
    """Give a file to the connector and wait until it has been read."""
    path = f"/v1/files/{online_retail.NAME}/{name}"
    assert http.put(path, content=content, params=params).status_code == 202
    deadline = time.monotonic() + 20
    while (status := http.get(path).json())["state"] == "reading":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return dict(status)


def test_a_file_is_read_once_gzipped_or_plain(http: httpx.Client, core: Core) -> None:
    text = online_retail_csv(
        [RetailRow("1", quantity=2), RetailRow("C2", quantity=-1, at="2011-03-01 09:30:00")]
    ).encode()
    status = read(http, "trade.csv.gz", gzip.compress(text))
    assert (status["state"], status["lines_total"], status["error"]) == ("read", 2, "")
    assert (status["messages"], status["accepted"], status["duplicates"]) == (9, 9, 0)
    core.work()
    assert core.states() == {"done": 9}
    assert core.rows("select cancelled, quantity from core.order_lines") == [(1, 2)]
    before = core.journal()
    again = read(http, "the same.csv", text)
    assert (again["accepted"], again["duplicates"], again["conflicts"]) == (0, 9, 0)
    assert core.work() == 0
    assert (core.journal(), core.faults()) == (before, [])


GOOD = online_retail_csv([RetailRow("1"), RetailRow("1"), RetailRow("2")]).encode()


@pytest.mark.parametrize(
    ("content", "error", "kept"),
    [
        (GOOD + b"2,A1,SOMETHING,many,2011-03-01 09:00:00,1.00,,UK\n", "line 5: Quantity is 'many'", 1),
        (GOOD + b"2,\xff", "line 5: not UTF-8", 1),
        (gzip.compress(GOOD, mtime=0)[:-12], "the gzip data ends or breaks here", 0),
        (b"", "line 1: expected the columns", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_read_to_its_end_says_where_it_stopped(
    http: httpx.Client, core: Core, content: bytes, error: str, kept: int
) -> None:
    status = read(http, "trade.csv", content)
    assert status["state"] == "failed"
    assert status["error"].startswith("trade.csv, line ")
    assert error in status["error"]
    assert core.one("select count(*) from core.inbox where provenance = 'file'") == kept


@pytest.mark.parametrize(("broken", "state"), [(ATTEMPTS - 1, "read"), (ATTEMPTS, "failed")])
def test_a_reading_that_breaks_off_is_taken_up_again_a_bounded_number_of_times(
    core: Core, home: Path, broken: int, state: str
) -> None:
    folder, ways = home / "files", iter(range(ATTEMPTS))
    whole = Reader(core.db, folder, ledger.load_rules(), lambda: core.now, threading.Event())

    def read(run: int) -> None:
        if next(ways) < broken:
            raise ReaderEndedError("gone")
        whole.read(run)

    folder.mkdir()
    (folder / f"{PARTIAL}left-by-a-crash").write_bytes(b"1")
    files = FileReader(core.db, folder, lambda: core.now, read, lambda: None)
    assert list(folder.iterdir()) == []
    incoming = files.incoming()
    incoming.write(GOOD)
    files.submit(online_retail.NAME, "trade.csv", incoming.finish(), until_now=False)
    for _ in range(ATTEMPTS + 1):
        files.run_once()
    status = files.status(online_retail.NAME, "trade.csv")
    assert status is not None
    assert status.state == state
    assert status.error == ("trade.csv: ReaderEndedError: gone" if state == "failed" else "")


def offered(http: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    answer = http.get("/v1/availability", params=asked)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def until(http: httpx.Client, wanted: Any, **asked: Any) -> None:
    """The shelf follows the books within a moment."""
    deadline = time.monotonic() + 10
    while (told := [(one["sku"], one["sellable"], one["available"]) for one in offered(http, **asked)]) != wanted:
        assert time.monotonic() < deadline, told
        time.sleep(0.02)


def rule(rule_id: str, kind: Any, **over: Any) -> StockRuleSet:
    return StockRuleSet(origin="shop", rule_id=rule_id, kind=kind, **over)


def test_channels_ask_what_they_may_promise(http: httpx.Client, core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 9, "B2": 5})))
    assert offered(http, sku=["A1", "X"])[1] == {"sku": "X", "sellable": 0, "available": None, "locations": []}
    until(http, [("A1", 9, None), ("B2", 5, None)], sku=["A1", "B2"])
    core.take(sent(order("1", line(quantity=2))))
    core.take(sent(transfer(units={"A1": 1})))
    until(http, [("A1", 6, None)], sku="A1")
    core.take(sent(rule("1", "safety", quantity=2)))
    core.take(sent(rule("2", "cap", channel="market", quantity=3)))
    core.take(sent(ChannelServed(origin="shop", channel="market", locations=("WH1",))))
    until(http, [("A1", 4, 3)], sku="A1", channel="market")
    core.take(sent(reclassified("B1", ("A1", 7, "good", "damaged"))))
    until(http, [("A1", 0, 0)], sku="A1", channel="market")
    [told] = offered(http, sku="A1", location="WH1")
    assert told["locations"] == [
        {"sku": "A1", "location": "WH1", "on_hand": 9, "good": 2, "damaged": 7, "return_pending": 0, "quarantine": 0,
         "refurbish": 0, "reserved": 2, "committed": 1, "in_transit": 0, "free": -1, "sellable": 0, "oversold": 1,
         "degraded": False}
    ]  # fmt: skip
    core.take(sent(rule("1", "safety", quantity=0), "rule 1 ends", at=NOON + dt.timedelta(hours=1)))
    until(http, [("B2", 5, None)], sku="B2")


def test_a_store_asks_what_is_there_and_beside_it(http: httpx.Client, core: Core) -> None:
    for location, units in (("ST1", 1), ("ST2", 2), ("ST3", 4)):
        core.take(sent(goods_in(location, {"A1": units}, location=location)))
    core.take(sent(LocationRegistered(origin="erp", location="ST1", kind="store", near=("ST2",))))
    until(http, [("A1", 3, None)], sku="A1", near="ST1")
    until(http, [("A1", 6, None)], sku="A1", location=["ST2", "ST3"])
    assert [one["location"] for one in offered(http, sku="A1", near="ST1")[0]["locations"]] == ["ST1", "ST2"]


def test_a_buffer_is_kept_while_a_feed_is_silent(http: httpx.Client, core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 9})), sent(rule("1", "buffer", percent=50)), sent(feed_report(), "beat 1"))
    until(http, [("A1", 9, None)], sku="A1")
    later(core, minutes=16)
    until(http, [("A1", 5, None)], sku="A1")
    core.take(sent(feed_report(), "beat 2", at=core.now))
    until(http, [("A1", 9, None)], sku="A1")


@pytest.mark.parametrize("asked", [{}, {"sku": ["a"] * 501}])
def test_availability_of_nothing_or_too_much_is_refused(http: httpx.Client, asked: dict[str, Any]) -> None:
    assert refused(http.get("/v1/availability", params=asked))[0] == 400


def acted(http: httpx.Client, action: str, *ids: str, **more: str) -> list[tuple[str, str]]:
    answer = http.post(f"/v1/exceptions/{action}", json={"ids": ids, "by": "ann", "reason": "because"} | more)
    assert answer.status_code == 200, answer.text
    return [(one["exception_id"], one["outcome"]) for one in answer.json()["outcomes"]]


def opened_now(http: httpx.Client, **asked: str) -> list[tuple[str, str, int]]:
    return [
        (one["exception_id"], one["assignee"], one["replays"])
        for one in http.get("/v1/exceptions", params=asked).json()
    ]


def test_an_exception_is_taken_on_and_resolved_on_record(http: httpx.Client, core: Core) -> None:
    core.take(sent(order("1")), sent(order("2")))
    [told, _] = http.get("/v1/exceptions", params={"owner": "inventory", "kind": "backorder"}).json()
    assert (told["kind"], told["amount_minor"], told["state"]) == ("backorder", 1000, "open")
    assert told["playbook"]["first"].startswith("Find stock")
    one, two = "shop:backorder/1", "shop:backorder/2"
    assert acted(http, "assign", one, to="bob") == [(one, "done")]
    assert opened_now(http) == [(one, "bob", 0), (two, "", 0)]
    assert acted(http, "resolve", one, two, "shop:nothing") == [
        (one, "done"),
        (two, "done"),
        ("shop:nothing", "unknown"),
    ]
    assert acted(http, "resolve", one) == [(one, "not open")]
    assert opened_now(http) == []
    assert (
        http.get("/v1/exceptions", params={"state": "resolved"}).json()[0]["resolution"] == "resolved by ann: because"
    )
    done = http.get("/v1/exceptions/history", params={"id": one}).json()
    assert [(record["by"], record["action"], record["reason"], record["to"]) for record in done] == [
        ("ann", "assign", "because", "bob"), ("ann", "resolve", "because", ""),
    ]  # fmt: skip
    told_hops = [(text(span, "milestone"), text(span, "reason")) for span in core.spans() if "exception." in span.name]
    assert told_hops[2:] == [("assigned", "ann: because"), ("resolved", "ann: because"), ("resolved", "ann: because")]


def test_what_was_refused_is_processed_again_once_its_cause_is_mended(http: httpx.Client, core: Core) -> None:
    core.take(sent(reclassified("B1", ("A1", 2, "good", "damaged"))))
    refused_one = "shop:stock_shortfall/B1"
    assert acted(http, "replay", refused_one) == [(refused_one, "done")]
    core.work()
    assert opened_now(http) == [(refused_one, "", 1)]
    core.take(sent(goods_in()))
    assert acted(http, "replay", refused_one) == [(refused_one, "done")]
    core.work()
    assert opened_now(http) == []
    assert core.states() == {"done": 2}
    assert core.one("select damaged from core.stock") == 2
    assert [text(span, "outcome") for span in core.spans() if span.name == "exception.open"] == ["parked", "parked"]
    assert acted(http, "replay", refused_one) == [(refused_one, "not open")]
    assert core.faults() == []


def test_what_was_applied_is_not_applied_again(http: httpx.Client, core: Core) -> None:
    core.take(sent(order("1")))
    assert acted(http, "replay", "shop:backorder/1") == [("shop:backorder/1", "nothing to replay")]
    assert opened_now(http) == [("shop:backorder/1", "", 0)]


@pytest.mark.parametrize(
    ("action", "body"),
    [("explode", {"ids": ["a"], "by": "ann", "reason": "b"}), ("resolve", {"ids": [], "by": "ann", "reason": "b"}),
     ("resolve", {"ids": ["a"], "by": "ann", "reason": ""}), ("resolve", {"ids": ["a"], "reason": "b"}),
     ("assign", {"ids": ["a"], "by": "ann", "reason": "b"}), ("resolve", {"by": "ann", "reason": "b", "where": {}}),
     ("resolve", {"ids": ["a"], "by": "ann", "reason": "b", "where": {"kind": "backorder"}}),
     ("resolve", {"ids": ["a"] * 501, "by": "ann", "reason": "b"})],
)  # fmt: skip
def test_an_action_without_who_why_or_what_is_refused(http: httpx.Client, action: str, body: dict[str, Any]) -> None:
    assert refused(http.post(f"/v1/exceptions/{action}", json=body))[0] in (400, 404)


@pytest.mark.proves(159, 160)
def test_an_order_is_answered_with_how_it_stands(http: httpx.Client, core: Core) -> None:
    core.take(sent(goods_in(units={"A1": 3})))
    submitted = msgspec.to_builtins(order("1", line(quantity=2)))
    answer = http.post("/v1/orders", json=submitted)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/orders/1")
    assert [(one["order_id"], one["state"], one["amount_minor"]) for one in answer.json()] == [("1", "reserved", 2000)]
    short = http.post("/v1/orders", json=submitted | {"order_id": "2"})
    assert [(one["order_id"], one["state"]) for one in short.json()] == [("2", "backordered")]
    later(core, hours=1)
    again = http.post("/v1/orders", json=submitted)
    assert (again.status_code, again.json()) == (201, answer.json())
    assert refused(http.post("/v1/orders", json=submitted | {"tax_minor": 1})) == (409, "Identity conflict", "order_id")
    assert core.one("select reserved from core.stock") == 2
    assert core.faults() == []


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [({"lines": []}, 400, "lines"), ({"currency": "pounds"}, 400, "currency"), ({"colour": "red"}, 400, ""),
     ({"lines": [{"sku": "A1", "quantity": 0, "amount_minor": 5}]}, 422, "lines[0].quantity"),
     ({"lines": [{"sku": "A1", "quantity": 1, "amount_minor": -5}]}, 422, "lines[0].amount_minor"),
     ({"lines": [{"sku": "D", "quantity": 1, "amount_minor": -5, "kind": "discount"}]}, 422, "lines")],
)  # fmt: skip
def test_an_order_that_cannot_be_right_is_refused_with_the_field(
    http: httpx.Client, core: Core, change: dict[str, Any], status: int, field: str
) -> None:
    answer = refused(http.post("/v1/orders", json=msgspec.to_builtins(order()) | change))
    assert (answer[0], answer[2]) == (status, field)
    assert core.states() == {}


def test_an_order_that_nobody_decides_in_time_is_on_record_all_the_same(
    http: httpx.Client, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "DECIDE_SECONDS", 0.05)
    with core.db.transaction() as session:
        everything = list(range(inbox.PARTITIONS))
        session.run("try_lock_partitions", partitions=everything)
        answer = http.post("/v1/orders", json=msgspec.to_builtins(order()))
        assert (answer.status_code, answer.json()) == (202, [])
        session.run("unlock_partitions", partitions=everything)
    core.work()
    assert http.get(answer.headers["Location"]).json()[0]["state"] == "backordered"
