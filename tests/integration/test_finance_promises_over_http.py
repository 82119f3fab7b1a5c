"""The promises about settlements, closes, deliveries and stock, through real flows of the core and the lineage API."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.segments import SegmentLog
from collector.storage import Storage
from lineage import slas
from lineage.measure import Measurer
from lineage.queries import Queries
from sync_core.deliveries import Deliveries
from sync_core.erp.http import ErpClient
from sync_core.ledger.closing import PeriodEnds
from sync_core.ledger.ledger import load_rules
from sync_core.messages import ChannelConnected, ChannelServed
from sync_core.outbox import ErpRelay
from sync_core.reconciliation.reconcile import Reconciler
from sync_core.settlements.matching import Matcher
from tests.core import Core, database, opened
from tests.erp import Erp
from tests.estate import Estate
from tests.factories import NOON, adjustment, cloudevent, control_total, feed_report, goods_in, order, payment, shipment
from tests.hops import answering
from tests.integration.test_promises_over_http import expect, items
from tests.serving import serving
from tests.settlement_files import stripe

TOLD = ("reconciliation_backlog", "reconciliation_effort", "settlement_to_erp", "replay_volume", "close_duration",
        "channel_onboarding",
        "stock_freshness", "stock_propagation", "system_health", "integration_failure_rate",
        "integration_latency", "recovery_time", "exception_resolution", "order_exception_rate")  # fmt: skip
NEW = {"kiosk": "2026-02-20", "outlet": "2026-01-15", "leaflet": "2026-01-15"}
DAY = NOON.replace(hour=0)  # a Monday
END = DAY + dt.timedelta(days=4, hours=12, minutes=5)


class Finance:
    """A week of settlements, told to a running core."""

    def __init__(self, core: Core, http: httpx.Client, url: str) -> None:
        self._core = core
        self._http = http
        self._url = url
        self.estate = Estate(http, core)

    def at(self, day: int, hour: int, minute: int = 0) -> None:
        self._core.now = DAY + dt.timedelta(days=day, hours=hour, minutes=minute)

    def sell(self, name: str, at: dt.datetime) -> None:
        paid = payment(name, provider="stripe", payment_id=f"ch_{name}")
        self.estate.tell(goods_in(f"D{name}", {"A1": 1}), order(name), paid, shipment(name), at=at)

    def settle(self, payout: str, charge: str, minor: str = "10.00", on: str = "2026-03-02") -> None:
        path = f"/v1/files/stripe_payouts/{payout}"
        content = stripe(("charge", charge, minor, "0.59"), payout=payout, on=on)
        assert self._http.put(path, content=content).status_code == 202
        deadline = time.monotonic() + 20
        while self._http.get(path).json()["state"] == "reading":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self._core.work()
        self.match()

    def match(self) -> None:
        matcher = Matcher(self._core.db, self._core.rules, lambda: self._core.now)
        while matcher.run_once():
            pass

    def match_by_hand(self, line: str, item: str) -> None:
        sides = {one["reference"]: one["id"] for one in self._http.get("/v1/settlements/open").json()}
        asked = {"by": "ann", "reason": "same sale", "lines": [sides[line]], "items": [sides[item]]}
        answer = self._http.post("/v1/settlements/match", json=asked)
        assert answer.json()["matches"] == 1, answer.text
        self.match()

    def post(self) -> None:
        client = ErpClient(self._url, lambda: self._core.now, timeout_seconds=5)
        relay = ErpRelay(self._core.db, client, lambda: self._core.now)
        while relay.run_once():
            pass
        client.close()

    def again(self, name: str, times: int) -> None:
        """The same event, delivered so many times."""
        one = cloudevent(adjustment(name), name, at=self._core.now, source="tills")
        answer = self._http.post("/v1/events", json=[one] * times)
        assert answer.json()["duplicates"] == times - 1, answer.text
        self._core.work()

    def move(self, document: str, seconds_ago: float) -> None:
        """Stock that came to the store is told by its tills, late."""
        at = self._core.now - dt.timedelta(seconds=seconds_ago)
        self.estate.tell(goods_in(document, {"S1": 5}, location="ST9"), source="tills", at=at)

    def end_periods(self, on: dt.datetime) -> None:
        assert self.period_ends(on).run_once() == 1

    def period_ends(self, on: dt.datetime) -> PeriodEnds:
        return PeriodEnds(self._core.db, lambda: on)

    def close(self, period: str) -> None:
        asked = {"by": "ann", "reason": "all is in", "accept_open": True}
        answer = self._http.post(f"/v1/periods/{period}/close", json=asked)
        assert answer.json()["state"] == "closed", answer.text

    def serve(self, channel: str, at: dt.datetime) -> None:
        self.estate.tell(ChannelServed(origin="erp", channel=channel, locations=("WH1",)), at=at)

    def trade(self, day: int) -> None:
        at = DAY + dt.timedelta(days=day, hours=8)
        self.estate.tell(goods_in(f"D-{day}", {"A1": len(NEW)}), at=at)
        for one in NEW:
            name = f"{one}-{day}"
            self.estate.tell(order(name, channel=one), payment(name), shipment(name), at=at)

    def reconcile(self) -> None:
        Reconciler(self._core.db, self._core.rules, lambda: self._core.now).run_once()

    def count(self) -> None:
        Deliveries(self._core.db, lambda: self._core.now).run_once()


def told(story: Finance, erp: Erp) -> None:
    for channel, day in NEW.items():
        story.serve(channel, dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC))
    story.at(0, 9)
    watching = story.period_ends(dt.datetime(2025, 12, 9, tzinfo=dt.UTC))
    assert watching.run_once() == 0
    story.sell("nov", dt.datetime(2025, 11, 20, 12, tzinfo=dt.UTC))
    assert [watching.run_once() for _ in range(2)] == [1, 0], "entries that come later on the same day"
    for month, name in ((12, "dec"), (1, "jan"), (2, "feb")):
        story.sell(name, dt.datetime(2026 - (month == 12), month, 20, 12, tzinfo=dt.UTC))
    for ended in ("2026-01-01", "2026-02-01", "2026-03-01"):
        story.end_periods(dt.datetime.fromisoformat(ended).replace(hour=1, tzinfo=dt.UTC))
    for name in ("good", "late", "hand"):
        story.sell(name, DAY + dt.timedelta(hours=8))
    story.at(0, 10)
    story.settle("po_good", "ch_good")
    story.post()
    story.settle("po_old", "ch_unknown")
    story.settle("po_old", "ch_elsewhere")
    story.settle("po_late", "ch_late")
    story.settle("po_hand", "ch_strange", "9.90")
    story.settle("po_open", "ch_never", "60.00")
    story.at(0, 11)
    story.again("N1", 30)
    away: dict[str, Any] = {"origin": "erp", "channel": "away"}
    story.estate.tell(
        ChannelServed(**away, locations=("ST9",)),
        ChannelConnected(**away, url="http://127.0.0.1:9/", requests_per_second=1.0),
    )
    for channel in ("store", "away"):
        story.estate.tell(feed_report(feed="tills", channel=channel, location="ST9"), at=DAY + dt.timedelta(hours=11))
    story.move("T1", seconds_ago=30)
    story.move("T2", seconds_ago=600)
    story.count()
    story.trade(0)
    story.estate.tell(control_total("never", channel="leaflet", business_date=DAY.date() + dt.timedelta(days=1)))
    story.at(1, 10)
    story.trade(1)
    story.close("2026-02")
    story.close("2026-01")
    story.at(2, 13)
    story.trade(2)
    story.match_by_hand("ch_strange", "ch_hand")
    erp.refused["stripe:settlement/po_open"] = "closed account"
    story.post()
    story.at(4, 12, 2)
    story.move("T3", seconds_ago=10)
    story.settle("po_new", "ch_not_yet", on="2026-03-06")
    story.again("N2", 2)
    story.count()
    story.reconcile()


@pytest.fixture(scope="module")
def lineage(
    postgres_server: str,
    storage: Storage,
    log: SegmentLog,
    free_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    erp = Erp()
    with database(postgres_server) as url, opened(url) as core, erp.serving() as erp_url:
        home: Path = tmp_path_factory.mktemp("files")
        with serving(core, home, free_port()) as http:
            told(Finance(core, http, erp_url), erp)
        for body in core.span_requests():
            log.append(body).result(10)
        assert log.wait_stored(30)
    Measurer(Queries(storage), [one for one in slas.load() if one.name in TOLD], lambda: END).tick(END)
    with answering(storage, lambda: END, free_port()) as client:
        yield client


def verdicts(lineage: httpx.Client, name: str, beginning: str = "") -> dict[str, str]:
    found: list[dict[str, Any]] = items(lineage, name)
    return {one["entity_id"]: one["verdict"] for one in found if one["entity_id"].startswith(beginning)}


@pytest.mark.proves(248)
def test_settlements_reach_the_erp_in_time(lineage: httpx.Client) -> None:
    expected = {"po_good": "good", "po_late": "bad", "po_open": "overdue", "po_old": "excused", "po_new": "pending"}
    expect(lineage, "settlement_to_erp", expected)


@pytest.mark.proves(245)
def test_lines_are_matched_without_hands(lineage: httpx.Client) -> None:
    expect(lineage, "reconciliation_effort", {"po_good": "good", "po_old": "excused", "po_new": "pending"})
    found = items(lineage, "reconciliation_effort")
    by_hand = sorted((one["verdict"], one["weight"]) for one in found if one["entity_id"] == "po_hand")
    assert by_hand == [("bad", 1), ("good", 2)]
    assert [one["overdue"] for one in found if one["entity_id"] == "po_open"] == [True]


@pytest.mark.proves(244)
def test_a_day_that_begins_with_overdue_lines_is_a_bad_one(lineage: httpx.Client) -> None:
    found = verdicts(lineage, "reconciliation_backlog", "2026-03-0")
    by_day = {entity_id[:10]: verdict for entity_id, verdict in found.items()}
    assert by_day == {"2026-03-02": "good", "2026-03-03": "good", "2026-03-04": "good", "2026-03-05": "bad",
                      "2026-03-06": "bad"}  # fmt: skip
    expect(lineage, "reconciliation_backlog", {})


@pytest.mark.proves(251)
def test_an_hour_in_which_too_much_was_sent_again_is_a_bad_one(lineage: httpx.Client) -> None:
    found = verdicts(lineage, "replay_volume", "tills/")
    assert found == {"tills/2026-03-02T11": "bad", "tills/2026-03-06T12": "pending"}
    shop = verdicts(lineage, "replay_volume", "shop/")
    assert shop["shop/2026-03-02T09"] == "good"
    expect(lineage, "replay_volume", {})


@pytest.mark.proves(253)
def test_periods_are_closed_in_time_after_they_ended(
    lineage: httpx.Client, storage: Storage, free_port: Callable[[], int]
) -> None:
    entity = next(iter(load_rules().entities))
    judged = {"2026-02": "good", "2026-01": "bad", "2025-12": "overdue"}
    expect(lineage, "close_duration", {f"{entity}/{month}": verdict for month, verdict in judged.items()})
    with answering(storage, lambda: DAY + dt.timedelta(hours=9), free_port()) as earlier:
        assert verdicts(earlier, "close_duration")[f"{entity}/2026-02"] == "pending"


@pytest.mark.proves(234, 235)
def test_stock_is_fresh_and_its_changes_come_in_time(lineage: httpx.Client) -> None:
    early, late, last = "2026-03-02T10:59:34", "2026-03-02T10:50:05", "2026-03-06T12:01:50"
    expected = {(early, "store"): "good", (late, "store"): "bad", (last, "store"): "good",
                (early, "away"): "overdue", (last, "away"): "pending"}  # fmt: skip
    found = {f"{channel}/ST9/tills/{at}.000000": verdict for (at, channel), verdict in expected.items()}
    expect(lineage, "stock_propagation", found)
    fresh = lineage.get("/v1/slas/stock_freshness").json()["segments"]
    minutes = {one["channel"]: (one["good"] > 0, one["bad"] > 0) for one in fresh if not one["location"]}
    assert (minutes["store"], minutes["away"]) == ((True, True), (False, True))


@pytest.mark.proves(254)
def test_channels_are_live_in_time_after_they_were_registered(lineage: httpx.Client) -> None:
    expected = {"kiosk": "good", "outlet": "bad", "leaflet": "overdue", "away": "pending"}
    expect(lineage, "channel_onboarding", expected)
