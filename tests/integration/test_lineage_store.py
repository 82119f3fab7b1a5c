"""Real spans as OTLP through the real engine, read back through the lineage API over a real socket."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from rich.console import Console

from alerts.condition import Counted
from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas, text
from lineage.deadlines import midnight
from lineage.item_params import Window
from lineage.judge import judge, paused_until
from lineage.measure import Measurer
from lineage.model import Choice, Journey, Money, Overdue, Problem, Sample, SlaDetail, SlaItems, SlaTile, Trace
from lineage.promise_items import definition
from lineage.queries import Filter, Queries
from lineage.rolling import DayRow, by_segment, current
from lineage.rows import ItemRow, micros, moment
from lineage.samples import is_whole, sample
from lineage.service import Lineage
from tallytrace.alert_reader import Reader
from tests.hops import TRACE, Hops, answering, at, nanos

NOW = datetime(2011, 3, 31, 12, tzinfo=UTC)  # a Thursday
FIRST = ("refund_to_ledger", "stock_freshness", "reconciliation_variance")
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def tell_stories(estate: Hops) -> None:
    estate.order("537681", "2010-12-07 15:28:00", 30420)
    estate.credit("C538698", "2010-12-13 17:27:00", [("22952", 24, 1320, "537681")])
    estate.credit("C539600", "2010-12-20 14:19:00", [("22910", 12, 3540, "537681")])
    for number, when in (("538651", "2010-12-13 15:07:00"), ("538857", "2010-12-14 13:47:00"),
                         ("539247", "2010-12-16 13:58:00")):  # fmt: skip
        estate.order(number, when)
    estate.credit(
        "C539640", "2010-12-20 15:27:00",
        [("20829", 2, 420, "539247"), ("35004C", 3, 1395, "538651"), ("22774", 1, 106, "538857"),
         ("21668", 1, 106, "")],
    )  # fmt: skip
    estate.order("1001", "2011-03-01 10:00:00", origin="web", channel="web")
    estate.order("1001", "2011-03-02 10:00:00", origin="market", channel="marketplace")
    estate.order("2011-03-01/4/17", "2011-03-01 11:00:00", origin="pos:s1", channel="store")


def issue_refunds(estate: Hops) -> None:
    """In the window: 62 good, 4 bad (one still open), 1 pending, 1 excused, 1 refused. Before it: 1 open, 5 good."""
    for number in range(60):
        day = f"2011-03-{4 + number % 20:02}"
        estate.refund(f"G{number}", f"{day} 10:00:00", f"{day} 10:00:01", f"{day} 13:59:59")
    estate.refund("SKEWED", "2011-03-20 10:00:00", "2011-03-20 09:59:00", "2011-03-20 09:59:00")
    estate.refund("LATE1", "2011-03-21 10:00:00", "2011-03-21 10:00:01", "2011-03-21 14:00:01")
    estate.refund("LATE2", "2011-03-22 10:00:00", "2011-03-22 10:00:01", "2011-03-30 10:00:00")
    estate.refund("OPEN", "2011-03-29 10:00:00", "2011-03-29 10:00:01", amount=1320)
    estate.refund("PENDING", "2011-03-31 11:00:00", "2011-03-31 11:00:01")
    estate.refund("FAILED", "2011-03-23 10:00:00", failed="2011-03-23 11:00:00")
    estate.refund("BACKWARDS", "2011-03-24 10:00:00", "2011-03-24 09:50:00", "2011-03-24 09:55:00")
    estate.refund("STORE1", "2011-03-29 20:00:00", "2011-03-29 20:00:01", "2011-03-30 06:00:00", channel="store")
    estate.refund("STORE2", "2011-03-29 20:00:00", "2011-03-29 20:00:01", "2011-03-30 06:00:01", channel="store")
    for number in range(5):
        estate.refund(f"OLD{number}", "2011-02-01 10:00:00", "2011-02-01 10:00:01", "2011-02-01 11:00:00")
    estate.refund("FORGOTTEN", "2011-02-02 10:00:00", amount=990)


def publish_stock(estate: Hops) -> None:
    marks = [
        ("web", "WH1", "2011-03-30 10:00:00", 30), ("web", "WH1", "2011-03-30 10:01:00", 90),
        ("web", "WH1", "2011-03-30 10:02:30", 10), ("web", "WH1", "2011-03-30 10:10:00", 0),
        ("web", "WH1", "2011-03-31 09:00:00", 0), ("store", "S1", "2011-03-30 08:10:00", 0),
    ]  # fmt: skip
    for channel, location, when, lag_seconds in marks:
        mark = {
            "at": at(when), "feed": "availability", "channel": channel, "location": location,
            "source_at": nanos(at(when)), "published_at": nanos(at(when) - timedelta(seconds=lag_seconds)),
            "heartbeat_at": 0,
        }  # fmt: skip
        estate.hop(b"\0" * 16, "publication.publish", when, "", "", events=[("watermark", mark)])


def reconcile(estate: Hops) -> None:
    """Cells: 10 old ones good, one good, one with 5 unexplained, one late, one day (25 March) never run."""
    runs = [
        ("2010-12-07", "trade", "2010-12-08 08:00:00", 0), ("2010-12-13", "trade", "2010-12-14 08:00:00", 0),
        ("2010-12-14", "trade", "2010-12-15 08:00:00", 0), ("2010-12-16", "trade", "2010-12-17 08:00:00", 0),
        ("2011-03-01", "web", "2011-03-02 08:00:00", 0), ("2011-03-01", "store", "2011-03-02 08:00:00", 0),
        ("2011-03-02", "marketplace", "2011-03-03 08:00:00", 0),
        ("2011-03-28", "trade", "2011-03-29 08:00:00", 0), ("2011-03-29", "trade", "2011-03-30 08:00:00", 5),
        ("2011-03-30", "trade", "2011-03-31 10:00:00", 0),
    ]  # fmt: skip
    for day, channel, when, unexplained in runs:
        item = {
            "level": "L1", "business_date": day, "channel": channel, "provider": "", "kind": "order", "currency": "GBP",
            "left_minor": 100, "right_minor": 100 - unexplained, "unexplained_minor": unexplained, "reason": "",
            "due_at": 0,
        }  # fmt: skip
        identity = correlation_id("reconciliation", f"L1/{day}/{channel}")
        estate.hop(identity, "posting.reconcile", when, "period", f"L1/{day}/{channel}", "reconciled",
                   origin="reconciliation", events=[("recon.item", item)])  # fmt: skip
    estate.post(correlation_id("uci", "X1"), "charge/X1", "2011-03-25 10:00:00", "2011-03-25 10:00:00",
                lines=[("assets:receivable", 5), ("revenue:goods", -5)])  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    directory = tmp_path_factory.mktemp("lineage")
    estate = Hops()
    for story in (tell_stories, issue_refunds, publish_stock, reconcile):
        story(estate)
    storage = Storage.connect(f"chdb://{directory / 'clickhouse'}")
    storage.migrate()
    estate.store(storage, directory)
    estate.store(storage, directory)  # spans sent again change nothing
    yield storage
    storage.close()


def service(storage: Storage, overrides: Path | None = None, **also: Any) -> Lineage:
    promises = slas.load(overrides)
    declared = flows.load(promises=promises)
    return Lineage(Queries(storage), declared, promises, also.pop("wall", lambda: NOW), **also)


@pytest.fixture(scope="module")
def measured(storage: Storage) -> dict[tuple[str, ...], Sample]:
    """The samples of one tick, by SLA and segment; only those as of now."""
    found = Measurer(Queries(storage), slas.load(), lambda: NOW).tick(NOW)
    return {(one.sla, one.channel, one.location, one.provider): one for one in found if one.as_of == NOW}


@pytest.fixture(scope="module")
def http(storage: Storage, measured: object, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    with answering(storage, lambda: NOW, free_port()) as client:
        yield client


def journey_of(http: httpx.Client, any_id: str) -> Journey:
    answer = http.get(f"/v1/transactions/{any_id}")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Journey)


# --- transactions -----------------------------------------------------------------------------------------------------


def test_an_order_and_its_two_credit_notes(http: httpx.Client) -> None:
    journey = journey_of(http, "537681")
    header = journey.header
    assert (header.kind, header.state, header.amount) == ("order", "posted", Money(30420, "GBP"))
    assert [hop.title for hop in journey.hops] == [
        "order captured", "stock reserved", "goods shipped", "journal written", "posting accepted by the ERP",
    ]  # fmt: skip
    assert [(one.title, one.amount) for one in journey.related] == [
        ("return C538698", Money(-1320, "GBP")), ("return C539600", Money(-3540, "GBP")),
    ]  # fmt: skip
    (entry,) = journey.journal
    assert (entry.posting, entry.erp_document_id, entry.balanced, len(entry.lines)) == (
        "shipment/S-537681", "ERP/shipment/S-537681", True, 2,
    )  # fmt: skip
    assert journey.expected == ()
    console = Console(width=120)
    with console.capture() as capture:
        console.print(text.answer(journey))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "return C538698 -13.20 GBP returns ← posted 24 x 22952 -13.20 GBP" in lines
    assert "return C539600 -35.40 GBP returns ← posted 12 x 22910 -35.40 GBP" in lines


def test_a_return_of_three_orders_with_one_line_parked(http: httpx.Client) -> None:
    journey = journey_of(http, "C539640")
    direct = {one.title: one.amount for one in journey.related if one.depth == 1}
    assert direct == {
        "order 539247": Money(-420, "GBP"), "order 538651": Money(-1395, "GBP"), "order 538857": Money(-106, "GBP"),
    }  # fmt: skip
    assert [(one.sku, one.amount, one.reason) for one in journey.parked] == [
        ("21668", Money(-106, "GBP"), "no_earlier_sale")
    ]
    assert journey.header.amount == Money(-2027, "GBP")


def test_links_lead_on_to_what_else_came_back(http: httpx.Client) -> None:
    related = journey_of(http, "539247").related
    assert {one.title: (one.depth, one.amount) for one in related} == {
        "return C539640": (1, Money(-420, "GBP")),
        "order 538651": (2, Money(-1395, "GBP")),
        "order 538857": (2, Money(-106, "GBP")),
    }


@pytest.mark.parametrize(
    "any_id",
    ["537681", " 537681 ", "%23537681", "S-537681", "J%2Fshipment%2FS-537681", "ERP/shipment/S-537681",
     correlation_id("uci", "537681").hex(), correlation_id("uci", "537681").hex().upper()],
)  # fmt: skip
def test_any_id_leads_to_the_order(http: httpx.Client, any_id: str) -> None:
    assert journey_of(http, any_id).header.reference == "537681"


def test_a_receipt_with_slashes(http: httpx.Client) -> None:
    answer = http.get("/v1/transactions", params={"id": "2011-03-01/4/17"})
    assert msgspec.json.decode(answer.content, type=Journey).header.origin == "pos:s1"
    assert journey_of(http, "2011-03-01/4/17").header.origin == "pos:s1"


def test_a_number_of_two_channels_is_a_choice(http: httpx.Client) -> None:
    answer = http.get("/v1/transactions/1001")
    assert answer.status_code == 300
    choice = msgspec.json.decode(answer.content, type=Choice)
    assert {one.origin for one in choice.matches} == {"web", "market"}
    for one in choice.matches:
        assert journey_of(http, one.correlation_id).header.origin == one.origin


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("c538698", "C538698"), ("538698", "C538698"), ("537618", "537681"), ("53 76 81", "537681"), ("5376", "537681"),
     ("537681-1", "537681"), ("537699", "537681")],
)  # fmt: skip
def test_an_unknown_id_is_answered_with_near_ones(http: httpx.Client, typed: str, nearest: str) -> None:
    answer = http.get("/v1/transactions", params={"id": typed})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert (problem.title, problem.status) == ("Not found", 404)
    assert problem.suggestions[0].key_value == nearest


def test_what_is_unlike_anything_has_no_suggestions(http: httpx.Client) -> None:
    answer = http.get("/v1/transactions/' OR 1=1 --")
    assert answer.status_code == 404
    assert msgspec.json.decode(answer.content, type=Problem).suggestions == ()


def test_bad_parameters_are_problem_documents(http: httpx.Client) -> None:
    for path in ("/v1/transactions", "/v1/transactions?id=", "/v1/slas/refund_to_ledger/items?limit=0",
                 "/v1/slas/refund_to_ledger/items?limit=1001"):  # fmt: skip
        answer = http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), path
        assert msgspec.json.decode(answer.content, type=Problem).title == "Bad request"


def test_a_trace(http: httpx.Client) -> None:
    trace = msgspec.json.decode(http.get(f"/v1/traces/{TRACE.hex()}").content, type=Trace)
    assert trace.services == ("tallytrace-core",)
    assert len({span.span_id for span in trace.spans}) == len(trace.spans) > 250
    assert http.get("/v1/traces/" + "ab" * 16).status_code == 404
    assert http.get("/v1/traces/nothing").status_code == 404


# --- promises ---------------------------------------------------------------------------------------------------------


def counts(one: Sample) -> tuple[int, ...]:
    return one.good, one.bad, one.pending, one.excused, one.refused, one.overdue_open


def test_refunds_are_judged_at_their_deadline(measured: dict[tuple[str, ...], Sample]) -> None:
    whole = measured["refund_to_ledger", "", "", ""]
    assert counts(whole) == (62, 4, 1, 1, 1, 2)
    assert whole.at_risk == (Money(1320 + 990, "GBP"),)
    assert whole.oldest_due_at == at("2011-02-02 14:00:00")
    assert (whole.state, whole.value) == ("breached", 62 / 66)
    assert counts(measured["refund_to_ledger", "store", "", ""]) == (1, 1, 0, 0, 0, 0)
    assert counts(measured["refund_to_ledger", "web", "", ""]) == (61, 3, 1, 1, 1, 2)
    assert counts(measured["refund_to_ledger", "web", "WH1", ""]) == (61, 3, 1, 1, 1, 2)
    assert counts(measured["refund_to_ledger", "", "", "card"]) == (62, 4, 1, 1, 1, 2)
    assert measured["refund_to_ledger", "store", "", ""].state == "low_volume"


def test_fresh_minutes(measured: dict[tuple[str, ...], Sample]) -> None:
    # 10:00 fresh, 10:01 behind by 90 s, 10:02-10:05 fresh, 10:06-10:09 silent, 10:10 fresh; a night that counts for
    # nothing; 09:00 fresh. The store was seen once.
    assert counts(measured["stock_freshness", "web", "WH1", ""])[:2] == (7, 5)
    assert counts(measured["stock_freshness", "store", "S1", ""])[:2] == (1, 0)
    assert counts(measured["stock_freshness", "", "", ""])[:2] == (8, 5)
    feed = measured["stock_freshness", "web", "WH1", ""]
    assert (feed.state, feed.watermark) == ("stale", at("2011-03-31 09:00:00"))


def test_declared_hours_count_whether_the_feed_lives_or_not(storage: Storage, tmp_path: Path) -> None:
    mine = tmp_path / "slas.toml"
    mine.write_text('[stock_freshness]\nhours_by_channel = { store = "08:00-09:00" }\n')
    found = Measurer(Queries(storage), [slas.load(mine)[0]], lambda: NOW).tick(NOW)
    store = next(one for one in found if (one.channel, one.location, one.as_of) == ("store", "S1", NOW))
    # 30 March 08:10-08:16 fresh, then silent to 09:00; 31 March silent for the whole hour.
    assert (store.good, store.bad) == (7, 43 + 60)


def test_cells(measured: dict[tuple[str, ...], Sample]) -> None:
    # In the window: 28 March good and 1 and 2 March's (due on the 2nd and 3rd) not; 29 and 30 March and the 25th bad.
    whole = measured["reconciliation_variance", "", "", ""]
    assert counts(whole) == (1, 3, 0, 0, 0, 2)
    assert whole.at_risk == (Money(5, "GBP"),)


def test_tiles_over_http(http: httpx.Client) -> None:
    tiles = msgspec.json.decode(http.get("/v1/slas").content, type=tuple[SlaTile, ...])
    assert {tile.name: tile.state for tile in tiles if tile.name in FIRST} == {
        "refund_to_ledger": "breached", "stock_freshness": "low_volume", "reconciliation_variance": "low_volume",
    }  # fmt: skip
    fresh = next(tile for tile in tiles if tile.name == "stock_freshness")
    assert fresh.reason == "13 decided, fewer than 50; 0 overdue; silent: store/S1, web/WH1"
    refunds = next(tile for tile in tiles if tile.name == "refund_to_ledger")
    assert refunds.budget_left == pytest.approx(1 - 4 / 0.66)
    assert refunds.as_of == NOW
    assert [one.as_of.hour for one in refunds.history[:-1]] == [0] * (len(refunds.history) - 1)
    assert len(refunds.history) > 80


def test_one_promise_over_http(http: httpx.Client) -> None:
    detail = msgspec.json.decode(http.get("/v1/slas/refund_to_ledger").content, type=SlaDetail)
    assert {(one.channel, one.location, one.provider): (one.good, one.bad) for one in detail.segments} == {
        ("", "", "card"): (62, 4), ("web", "", ""): (61, 3), ("web", "WH1", ""): (61, 3), ("store", "", ""): (1, 1),
        ("store", "WH1", ""): (1, 1), ("trade", "", ""): (0, 0), ("trade", "WH1", ""): (0, 0),
    }  # fmt: skip
    unknown = http.get("/v1/slas/refunds")
    assert unknown.status_code == 404
    assert msgspec.json.decode(unknown.content, type=Problem).detail == (
        "No SLA is called 'refunds'; there are " + ", ".join(sla.name for sla in slas.load()) + "."
    )


def items(http: httpx.Client, name: str, **params: Any) -> SlaItems:
    return msgspec.json.decode(http.get(f"/v1/slas/{name}/items", params=params).content, type=SlaItems)


def test_items_over_http(http: httpx.Client) -> None:
    found = items(http, "refund_to_ledger", limit=10)
    assert [(one.entity_id, one.verdict, one.overdue) for one in found.items[:8]] == [
        ("FORGOTTEN", "bad", True), ("OPEN", "bad", True), ("LATE1", "bad", False), ("LATE2", "bad", False),
        ("STORE2", "bad", False), ("PENDING", "pending", False), ("BACKWARDS", "refused", False),
        ("FAILED", "excused", False),
    ]  # fmt: skip
    assert found.cut
    late = found.items[3]
    assert (late.due_at, late.ended_at, late.late_seconds) == (
        at("2011-03-22 14:00:00"), at("2011-03-30 10:00:00"), 7 * 86400 + 20 * 3600,
    )  # fmt: skip
    assert found.items[4].due_at == at("2011-03-30 06:00:00")
    open_ = items(http, "refund_to_ledger", verdict="overdue").items
    assert [one.entity_id for one in open_] == ["FORGOTTEN", "OPEN"]
    assert len(items(http, "refund_to_ledger", verdict=["good", "pending"], limit=500).items) == 63
    store = items(http, "refund_to_ledger", verdict="bad", channel="store").items
    assert [one.entity_id for one in store] == ["STORE2"]


def test_stale_stretches_and_open_cells_over_http(http: httpx.Client) -> None:
    assert [(one.entity_id, one.started_at.minute, one.reason) for one in items(http, "stock_freshness").items] == [
        ("web/WH1/availability", 2, "4 of 8 minutes: silent since 2011-03-30 10:02:00 UTC"),
        ("web/WH1/availability", 1, "1 of 1 minutes: published 90 s behind its source"),
    ]
    cells = items(http, "reconciliation_variance", verdict="bad").items
    assert [(one.entity_id, one.overdue, one.reason) for one in cells] == [
        ("L1/2011-03-25/trade///GBP", True, "not reconciled"),
        ("L1/2011-03-29/trade//order/GBP", True, "unexplained 5"),
        ("L1/2011-03-30/trade//order/GBP", False, ""),
    ]
    assert cells[0].due_at == at("2011-03-28 09:00:00")


def test_overdue_over_http(http: httpx.Client) -> None:
    found = msgspec.json.decode(http.get("/v1/overdue").content, type=Overdue)
    assert [(one.title, one.sla, one.owner) for one in found.items] == [
        ("refund FORGOTTEN: not yet accepted by the ERP", "refund_to_ledger", "finance"),
        ("cell L1/2011-03-25/trade///GBP: not reconciled", "reconciliation_variance", "finance"),
        ("refund OPEN: not yet accepted by the ERP", "refund_to_ledger", "finance"),
        ("cell L1/2011-03-29/trade//order/GBP: unexplained 5", "reconciliation_variance", "finance"),
    ]
    assert [(one.owner, one.count, one.at_risk) for one in found.by_owner] == [
        ("finance", 4, (Money(1320 + 990 + 5, "GBP"),))
    ]
    assert not found.cut


def test_what_alerts_read(storage: Storage, measured: object) -> None:
    lineage = service(storage)
    whole = next(one for one in lineage.current() if one.sla == "refund_to_ledger" and is_whole(one))
    assert (whole.bad, whole.overdue_open) == (4, 2)
    assert [one.entity_id for one in lineage.overdue_items("refund_to_ledger", "web", 1)] == ["FORGOTTEN"]
    assert lineage.overdue_items("refund_to_ledger", "store", 9) == []
    with httpx.Client() as client:
        reader = Reader(lineage, Queries(storage), client, "http://core.example")
        assert whole in reader.newest_samples()["refund_to_ledger"]
        assert (whole.all_good - whole.good, whole.all_bad - whole.bad) == (
            8,
            1,
        )  # before the window: three of December
        before, after = at("2011-03-29 00:00:00"), at("2011-03-30 00:00:00")
        of = reader.counted_at("refund_to_ledger", [before, after, NOW])["", "", ""]
    good, bad = whole.all_good, whole.all_bad
    assert of == {before: Counted(good - 1, bad - 2), after: Counted(good - 1, bad - 1), NOW: Counted(good, bad)}


# --- time -------------------------------------------------------------------------------------------------------------


def test_the_file_clock_is_the_newest_event(storage: Storage) -> None:
    later = service(storage, wall=lambda: at("2026-01-01 00:00:00"), mode="file")
    assert later.now() == at("2011-03-31 11:00:01")
    assert service(storage).now() == NOW


def test_a_measurer_that_stopped_makes_tiles_stale(storage: Storage, measured: object) -> None:
    tile = service(storage, wall=lambda: NOW + timedelta(minutes=11)).tiles()[0]
    assert tile.state == "stale"
    assert tile.reason.startswith("not measured since 2011-03-31 12:00 UTC; was ")


def test_who_asks_what_is_overdue_waits_only_when_nothing_late_enough_is_known(storage: Storage) -> None:
    wall = [NOW]
    lineage = service(storage, wall=lambda: wall[0])
    first, later, last = NOW, NOW + timedelta(seconds=16), NOW + timedelta(seconds=150)
    assert lineage.overdue().as_of == first
    wall[0] = later
    assert lineage.overdue().as_of == first
    until = time.monotonic() + 20
    while (found := lineage.overdue().as_of) == first and time.monotonic() < until:
        time.sleep(0.01)
    assert found == later
    wall[0] = last
    assert lineage.overdue().as_of == last
    wall[0] = last + timedelta(seconds=20)
    lineage.judge_open()
    assert lineage.overdue().as_of == wall[0]


def test_midnights_are_written_once_and_again_only_when_facts_change(storage: Storage) -> None:
    refunds = [slas.load()[1]]
    first = Measurer(Queries(storage), refunds, lambda: NOW + timedelta(hours=1))
    again = [one for one in first.tick(NOW) if one.as_of != NOW]
    assert again == []  # the tick of the other tests wrote them


def random_history(storage: Storage, count: int = 400) -> list[dict[str, Any]]:
    """Items of a promise of its own, over a change of the clocks, with every verdict among them."""
    dice = random.Random(20110327)
    begin = at("2011-03-01 00:00:00")
    made: list[dict[str, Any]] = []
    rows = []
    for number in range(count):
        start = begin + timedelta(seconds=dice.randrange(40 * 86400), microseconds=dice.randrange(1_000_000))
        early = dice.random() < 0.1
        length = timedelta(seconds=dice.randrange(-400, 0) if early else dice.randrange(5 * 86400))
        end = start + length if dice.random() < 0.8 else None
        stop = start + timedelta(seconds=dice.randrange(4 * 86400)) if dice.random() < 0.2 else None
        channel = dice.choice(["web", "store", "trade", "marketplace"])
        spoil = start + timedelta(seconds=dice.randrange(-3600, 4 * 86400)) if dice.random() < 0.1 else None
        marks = []
        for name in ("packed", "shipped", "packed", "confirmed", "confirmation_awaited"):
            if dice.random() < 0.2:
                marks.append((name, start + timedelta(seconds=dice.randrange(-3600, 3 * 86400))))
        pauses = [(when, *PAUSES[name]) for name, when in marks]
        made.append({"id": f"R{number}", "start": start, "end": end, "stop": stop, "channel": channel, "spoil": spoil,
                     "pauses": pauses})  # fmt: skip
        reached = (("released", start), ("delivered", end), ("picked_up", stop), ("delivery_promised", spoil), *marks)
        for milestone, when in reached:
            if when:
                rows.append(("fulfilment", f"R{number}", number.to_bytes(16, "big"), milestone, when, channel, "WH1",
                             "", "", 100 + number, "GBP", NEVER, "ok"))  # fmt: skip
    columns = (
        "entity entity_id correlation_id milestone occurred_at channel location provider owner amount_minor currency "
        "due_at outcome"
    )
    storage.insert("milestones", columns.split(), rows)
    return made


PAUSES = {"packed": (0, True), "shipped": (0, False), "confirmation_awaited": (1, True), "confirmed": (1, False)}
DELIVERY = """
[delivery]
kind = "interval"
title = "Delivery"
unit = "shipments"
start = "fulfilment.released"
ends = ["fulfilment.delivered"]
excused = ["fulfilment.picked_up"]
spoiled_by = ["fulfilment.delivery_promised"]
paused = [
    ["fulfilment.packed", "fulfilment.shipped"],
    ["fulfilment.confirmation_awaited", "fulfilment.confirmed"],
]
deadline = "next business day 09:00"
deadline_by_channel = { web = "36 h", store = "2 business days", marketplace = "13 business hours" }
target = 0.9
owner = "warehouse"
segments = [["channel"]]
calendar = { zone = "Europe/London", holidays = ["2011-03-17"] }
"""


@pytest.fixture(scope="module")
def delivery(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> tuple[slas.Sla, list[dict[str, Any]]]:
    mine = tmp_path_factory.mktemp("delivery") / "slas.toml"
    mine.write_text(DELIVERY)
    sla = next(one for one in slas.load(mine) if one.name == "delivery")
    return sla, random_history(storage)


@pytest.mark.parametrize(
    ("now", "every"),
    [
        ("2011-03-05 12:00:00", {"good", "bad", "excused", "pending", "refused"}),
        ("2011-03-27 01:30:00", {"good", "bad", "excused", "pending", "refused"}),
        ("2011-04-20 00:00:00", {"good", "bad", "excused", "pending", "refused"}),  # what is paused still
    ],
)
def test_sql_and_python_judge_alike(
    storage: Storage, delivery: tuple[slas.Sla, list[dict[str, Any]]], now: str, every: set[str]
) -> None:
    sla, made = delivery
    present = at(now)
    window = Window(present, at("2000-01-01 00:00:00"), at("2010-12-01 00:00:00"))
    rows = {row.entity_id: row for row in Queries(storage).items(sla, window, Filter(most=1000))}
    verdicts = set()
    for item in made:
        if item["start"] > present:
            assert item["id"] not in rows
            continue
        row = rows.pop(item["id"])
        due = sla.deadline_for(item["channel"]).due(item["start"], sla.calendar)
        due = paused_until(due, item["start"], item["pauses"], present)
        found = judge(started_at=item["start"], due_at=due, ended_at=item["end"], stopped_at=item["stop"],
                      spoiled_at=item["spoil"], now=present)  # fmt: skip
        assert moment(row.due_us) == due
        assert (row.verdict, bool(row.overdue)) == (found.verdict, found.overdue), item
        assert row.decided_us == (micros(found.decided_at) if found.decided_at else 0)
        verdicts.add(found.verdict)
    assert rows == {}
    assert verdicts == every


def test_each_midnight_equals_a_measurement_at_that_midnight(
    storage: Storage, delivery: tuple[slas.Sla, list[dict[str, Any]]]
) -> None:
    sla, _ = delivery
    end = at("2011-04-20 00:00:00")
    queries = Queries(storage)
    caught_up = Measurer(queries, [sla], lambda: end).tick(end)
    midnights = {(one.as_of, one.channel): one for one in caught_up}
    assert len({as_of for as_of, _ in midnights}) > 45
    patient = timedelta(days=9999)
    live = Measurer(queries, [sla], lambda: end, catch_up_every=patient)
    live.tick(end)
    for day in ("2011-03-03", "2011-03-17", "2011-03-29", "2011-04-10"):
        for one in live.tick(midnight(date.fromisoformat(day), "Europe/London")):
            then = midnights[one.as_of, one.channel]
            assert (counts(then), then.at_risk) == (counts(one), one.at_risk), (day, one.channel)


class Asked(Storage):
    """Counts what is asked of a storage."""

    def __init__(self, storage: Storage) -> None:
        self._asked = storage
        self.queries: list[str] = []

    def query(self, sql: str, *args: Any, **also: Any) -> list[tuple[Any, ...]]:
        self.queries.append(sql.partition(":")[0].removeprefix("-- "))
        return self._asked.query(sql, *args, **also)

    def execute(self, sql: str, *args: Any) -> None:
        self.queries.append(sql.partition(":")[0].removeprefix("-- "))
        self._asked.execute(sql, *args)

    def insert(self, *args: Any) -> None:
        self._asked.insert(*args)


def of_now(samples: Iterable[Sample], now: datetime) -> dict[str, Sample]:
    return {one.channel: one for one in samples if one.as_of == now}


def counted_anew(queries: Queries, sla: slas.Sla, window: Window) -> dict[str, Sample]:
    """The measurement by channel, from every milestone there is."""
    rows = by_segment(queries.day_counts(sla, window), sla.segments)
    measures = [current(segment, of, window.now) for segment, of in rows.items()]
    return of_now((sample(sla, one, queries.extent(window.now)[1]) for one in measures), window.now)


def test_items_kept_judged_are_as_if_all_were_judged_again(
    storage: Storage, delivery: tuple[slas.Sla, list[dict[str, Any]]]
) -> None:
    """Moments just before, at and after a deadline and an edge of the window, and such at which nothing happens."""
    sla, made = delivery
    asked = Asked(storage)
    wall = at("2026-01-01 00:00:00")
    patient = timedelta(days=9999)
    queries = Queries(storage)
    measurer = Measurer(Queries(asked), [sla], lambda: wall, catch_up_every=patient)

    def agrees(now: datetime) -> bool:
        """Whether anything was judged."""
        nonlocal wall
        wall += timedelta(minutes=1)
        asked.queries.clear()
        window = Window(now, sla.window_start(now), at("2010-12-01 00:00:00"))
        assert of_now(measurer.tick(now), now) == counted_anew(queries, sla, window), now
        everything = Filter(most=10_000)
        judged = keeping(queries, sla, wall).judged(sla, window, everything)
        assert undated(judged) == undated(queries.items(sla, window, everything))
        return "promise_changes" in asked.queries

    def undated(rows: list[ItemRow]) -> list[ItemRow]:
        """While an item is paused, its deadline is where it was when something was last heard."""
        return sorted(row._replace(due_us=0) if row.entity_id in paused else row for row in rows)

    paused = {one["id"] for one in made if one["pauses"]}
    reached(storage, "LAST", "released", at("2011-04-20 09:00:00"))
    begin = at("2011-04-20 10:00:00")
    window = Window(begin, sla.window_start(begin), at("2010-12-01 00:00:00"))
    items = queries.items(sla, window, Filter(most=1000))
    micro = timedelta(microseconds=1)
    due = moment(min(row.due_us for row in items if row.entity_id == "LAST"))
    first = min(row.decided_us for row in items if row.decided_us > micros(window.since))
    leaves = moment(first) + (begin - window.since)
    assert agrees(begin)
    assert not any(agrees(begin + timedelta(seconds=second)) for second in (1, 2))
    moments = sorted([due - micro, due, due + micro, leaves - micro, leaves, leaves + micro])
    read = [agrees(now) for now in moments]
    assert 0 < sum(read) < 6
    reached(storage, made[0]["id"], "delivered", moments[-1])
    assert agrees(moments[-1] + micro)
    storage.insert("corrections", ("entity", "entity_id", "correlation_id", "milestone", "occurred_at", "declared_at"),
                   [("fulfilment", "LAST", bytes(16), "released", at("2011-04-20 09:00:00"), begin)])  # fmt: skip
    assert agrees(moments[-1] + 2 * micro)
    assert agrees(begin), "time went back"


def keeping(queries: Queries, sla: slas.Sla, wall: datetime) -> Lineage:
    """Reads items as they are kept, however few there are."""
    return Lineage(queries, flows.load(), [sla], lambda: wall, judged_at_once=0)


def test_a_deadline_that_moves_is_kept_though_no_day_changes(
    storage: Storage, delivery: tuple[slas.Sla, list[dict[str, Any]]]
) -> None:
    sla, _ = delivery
    queries, start, hour = Queries(storage), at("2011-05-03 09:00:00"), timedelta(hours=1)

    def told(**milestones: int) -> tuple[ItemRow, list[DayRow]]:
        """A parcel as it is kept an hour after the last of these, each so many hours after it started; and its days."""
        for name, hours in milestones.items():
            reached(storage, "WAITS", name, start + hours * hour, b"w" * 16)
        now = start + (max(milestones.values()) + 1) * hour
        Measurer(queries, [sla], lambda: now).tick(now)
        window = Window(now, sla.window_start(now), at("2010-12-01 00:00:00"))
        both = (keeping(queries, sla, now).judged, queries.items)
        [kept], [judged] = ([one for one in ask(sla, window, Filter(verdicts=("pending",), most=1000))
                             if one.entity_id == "WAITS"] for ask in both)  # fmt: skip
        assert kept._replace(due_us=judged.due_us) == judged
        build = next(one.build for one in queries.promise_builds() if one.definition == definition(sla))
        return kept, sorted(queries.promise_daily(build, 0))

    waiting, days = told(released=0, packed=1)
    assert moment(waiting.due_us) == start + 37 * hour, "as far as it was known then"
    went_on, days_after = told(shipped=3)
    assert (moment(went_on.due_us), days_after) == (start + 38 * hour, days)


def test_a_measurement_that_was_broken_off_counts_nothing_twice(
    storage: Storage, delivery: tuple[slas.Sla, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sla, made = delivery
    queries, now = Queries(storage), at("2011-04-22 10:00:00")
    window = Window(now, sla.window_start(now), at("2010-12-01 00:00:00"))
    Measurer(queries, [sla], lambda: now).tick(now)
    for number, step in enumerate(("take_promise_changes", "write_promise_days", "write_promise_builds")):
        reached(storage, made[number]["id"], "delivered", now)
        reached(storage, f"NEW-{step}", "released", now)
        with monkeypatch.context() as broken:
            broken.setattr(queries, step, lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                Measurer(queries, [sla], lambda: now).tick(now)
        measured = Measurer(queries, [sla], lambda: now).tick(now)
        assert of_now(measured, now) == counted_anew(queries, sla, window), step


def reached(storage: Storage, entity_id: str, milestone: str, when: datetime, identity: bytes = bytes(16)) -> None:
    columns = "entity entity_id correlation_id milestone occurred_at channel"
    row = ("fulfilment", entity_id, identity, milestone, when, "web")
    storage.insert("milestones", columns.split(), [row])
