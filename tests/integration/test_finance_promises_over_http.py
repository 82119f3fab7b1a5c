"""The promises about settlements, closes, deliveries and stock, through real flows of the core and the lineage API."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.segments import SegmentLog
from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import slas
from lineage.measure import Measurer
from lineage.queries import Queries
from sync_core.deliveries import Deliveries
from sync_core.erp.http import ErpClient
from sync_core.exceptions.deadlines import Deadlines
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
from tests.hops import Hops, answering, nanos
from tests.promises import Promised, check, listed
from tests.serving import serving
from tests.settlement_files import stripe

DOMAINS = {"settlement": "settlement", "message": "publication"}
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

    def settle(self, payout: str, *charges: str, minor: str = "10.00", on: str = "2026-03-02") -> None:
        path = f"/v1/files/stripe_payouts/{payout}"
        content = stripe(*(("charge", one, minor, "0.59") for one in charges), payout=payout, on=on)
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

    def write_off(self, *lines: str) -> None:
        sides = {one["reference"]: one["id"] for one in self._http.get("/v1/settlements/open").json()}
        asked = {"by": "ann", "reason": "nobody's", "lines": [sides[one] for one in lines]}
        assert self._http.post("/v1/settlements/write_off", json=asked).status_code == 200
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

    def replay(self, day: int, hour: int) -> None:
        """More shipments than may be played again unannounced wait for orders, and are tried again an hour later."""
        self.at(day, hour)
        lost = [shipment(f"lost-{number}") for number in range(25)]
        sent = [cloudevent(one, one.order_id, at=self._core.now, source="wms") for one in lost]
        assert self._http.post("/v1/events", json=sent).json()["accepted"] == len(lost)
        self._core.work()
        self.at(day, hour + 1)
        Deadlines(self._core.db, lambda: self._core.now).run_once()
        waiting = [one["exception_id"] for one in self._http.get("/v1/exceptions").json()
                   if one["kind"] == "out_of_sequence"]  # fmt: skip
        for some, why in ((waiting[:10], "the orders are found"), (waiting[10:], "and the rest")):
            asked = {"by": "ann", "reason": why, "ids": some}
            assert self._http.post("/v1/exceptions/replay", json=asked).json()["done"] == len(some)
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
    story.settle("po_hand", "ch_strange", minor="9.90")
    story.settle("po_open", "ch_never", minor="60.00")
    story.settle("po_lost", "ch_lost", "ch_gone", minor="1.00")
    story.at(0, 11)
    story.again("N1", 30)
    away: dict[str, Any] = {"origin": "erp", "channel": "away"}
    story.estate.tell(
        ChannelServed(**away, locations=("ST9",)),
        ChannelConnected(**away, url="http://127.0.0.1:9/", requests_per_second=1.0),
    )
    for channel in ("store", "away", "web", "dotcom", "trade"):
        story.estate.tell(feed_report(feed="tills", channel=channel, location="ST9"), at=DAY + dt.timedelta(hours=11))
    story.move("T1", seconds_ago=30)
    story.move("T2", seconds_ago=600)
    story.count()
    story.trade(0)
    story.estate.tell(control_total("never", channel="leaflet", business_date=DAY.date() + dt.timedelta(days=1)))
    story.at(1, 8, 30)
    story.reconcile()
    story.at(1, 10)
    story.trade(1)
    story.close("2026-02")
    story.close("2026-01")
    story.at(2, 13)
    story.trade(2)
    story.sell("told_late", DAY + dt.timedelta(hours=8))
    story.match_by_hand("ch_strange", "ch_hand")
    story.write_off("ch_lost", "ch_gone")
    erp.refused["stripe:settlement/po_open"] = "closed account"
    story.post()
    story.replay(3, 14)
    story.at(4, 12, 2)
    story.move("T3", seconds_ago=10)
    story.settle("po_new", "ch_not_yet", on="2026-03-06")
    story.again("N2", 2)
    story.count()
    story.reconcile()


def foreign() -> Hops:
    """What other systems tell of themselves."""
    hops = Hops()

    def told(reference: str, entity: str, milestone: str, at: str, **also: Any) -> None:
        hops.hop(correlation_id("else", reference), f"{DOMAINS[entity]}.{milestone}", at, entity, reference, milestone,
                 origin="else", channel="", location="", **also)  # fmt: skip

    for number in range(40):
        told(f"B{number}", "settlement", "received", "2026-02-26 00:00:00", provider="bulk")
        if number:
            told(f"B{number}", "settlement", "matched", "2026-02-26 01:00:00", provider="bulk")
    told("twice", "settlement", "received", "2026-02-26 00:00:00", provider="twice")
    told("twice", "settlement", "superseded", "2026-02-26 01:00:00", provider="twice")
    for hour, accepted, replayed, redelivered, announced in (
        (1, 5000, 40, 200, 0), (2, 5000, 60, 0, 0), (3, 5000, 0, 300, 0), (4, 10, 0, 20, 0), (5, 10, 21, 0, 0),
        (6, 5000, 60, 0, 10), (7, 5000, 60, 0, 9), (8, 5000, 60, 300, 60), (9, 5000, 50, 0, 50),
    ):  # fmt: skip
        counts = {"accepted": accepted, "replayed": replayed, "redelivered": redelivered, "replay_announced": announced}
        for milestone, count in counts.items():
            told(f"else/2026-03-05T{hour:02}", "message", milestone, f"2026-03-05 {hour:02}:00:00", quantity=count,
                 provider="else")  # fmt: skip
    hops.post(correlation_id("else", "unread"), "charge/unread", "2026-02-10 10:00:00", channel="elsewhere",
              lines=[("assets:receivable", 5), ("revenue:goods", -5)])  # fmt: skip
    for channel, allowed in (("web", 60), ("store", 120), ("bazaar", 300), ("dotcom", 4500), ("trade", 4500)):
        for minute, lag_seconds in ((480, allowed), (481, allowed + 1), (482, 0), (1202, 0)):
            publish(hops, channel, DAY + dt.timedelta(days=3, minutes=minute), lag_seconds)
    publish(hops, "quiet", END - dt.timedelta(minutes=29), 0)
    publish(hops, "dumb", END - dt.timedelta(minutes=31), 0)
    return hops


def publish(hops: Hops, channel: str, at: dt.datetime, lag_seconds: int) -> None:
    mark = {"at": at, "feed": "stock", "channel": channel, "location": "L9", "source_at": nanos(at),
            "published_at": nanos(at - dt.timedelta(seconds=lag_seconds)), "heartbeat_at": nanos(at)}  # fmt: skip
    hops.hop(b"\0" * 16, "publication.publish", f"{at:%Y-%m-%d %H:%M:%S}", "", "", events=[("watermark", mark)])


def tell_story(postgres_server: str, log: SegmentLog, port: int, home: Path) -> None:
    """The story, and all that its systems say of it stored."""
    erp = Erp()
    with database(postgres_server) as url, opened(url) as core, erp.serving() as erp_url:
        with serving(core, home, port) as http:
            told(Finance(core, http, erp_url), erp)
        for body in [*core.span_requests(), foreign().request.SerializeToString()]:
            log.append(body).result(10)
        assert log.wait_stored(30)


@pytest.fixture(scope="module")
def lineage(
    postgres_server: str,
    storage: Storage,
    log: SegmentLog,
    free_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    tell_story(postgres_server, log, free_port(), tmp_path_factory.mktemp("files"))
    Measurer(Queries(storage), [one for one in slas.load() if one.name in EXPECTED], lambda: END).tick(END)
    with answering(storage, lambda: END, free_port()) as client:
        yield client


def changes(**channels: tuple[str, str, str]) -> dict[str, str]:
    """Of three changes of stock, early, late and last, what became of each in a channel."""
    return {
        f"{channel}/ST9/tills/{at}.000000": verdict
        for channel, verdicts in channels.items()
        for at, verdict in zip(CHANGES, verdicts, strict=True)
    }


CHANGES = ("2026-03-02T10:59:37", "2026-03-02T10:50:08", "2026-03-06T12:01:50")
ENTITY = next(iter(load_rules().entities))
EXPECTED: dict[str, Promised] = {
    "stock_propagation": Promised(
        items=changes(
            store=("good", "bad", "good"),
            web=("good", "bad", "good"),
            dotcom=("good", "good", "good"),
            trade=("good", "good", "good"),
            away=("overdue", "overdue", "pending"),
        ),
        due={"web/ST9/tills/2026-03-02T10:59:37.000000": "2026-03-02T11:00:37Z",
             "store/ST9/tills/2026-03-02T10:59:37.000000": "2026-03-02T11:01:37Z",
             "away/ST9/tills/2026-03-02T10:59:37.000000": "2026-03-02T11:04:37Z",
             "dotcom/ST9/tills/2026-03-02T10:59:37.000000": "2026-03-02T12:14:37Z",
             "trade/ST9/tills/2026-03-02T10:59:37.000000": "2026-03-02T12:14:37Z"},
        tile={"target": 0.99},
        segments=("channel", "channel location"),
    ),
    "stock_freshness": Promised(
        tile={"target": 0.99},
        segments=("channel", "channel location"),
        counts={"web/L9": (6, 717), "store/L9": (9, 714), "bazaar/L9": (18, 705), "dotcom/L9": (228, 495),
                "trade/L9": (228, 495)},
        states={"quiet/L9": "low_volume", "dumb/L9": "stale"},
    ),
    "reconciliation_backlog": Promised(
        items={"2026-03-04T09:00//stripe//GBP": "good", "2026-03-05T09:00//stripe//GBP": "bad",
               "2026-03-02T09:00//bulk//GBP": "good", "2026-03-03T09:00//bulk//GBP": "bad",
               "2026-03-06T09:00//twice//GBP": None},
        tile={"deadline": "3 business days", "target": 0.95},
        segments=("provider",),
        rule="On each business day no more than 0.10% of the items of 28 days are past settlement.received to "
        "settlement.matched within 3 business days, and none for 3 business days.",
    ),
    "reconciliation_effort": Promised(
        items={"po_good": "good", "po_hand": "bad, good", "po_lost": "bad, good", "po_old": "excused",
               "po_open": "overdue", "po_new": "pending"},
        due={"po_good": "2026-03-05T00:00:00Z"},
        tile={"target": 0.98},
        segments=("provider",),
    ),
    "settlement_to_erp": Promised(
        items={"po_good": "good", "po_late": "bad", "po_open": "overdue", "po_old": "excused", "po_new": "pending"},
        due={"po_good": "2026-03-03T12:00:00Z", "po_new": "2026-03-09T12:00:00Z"},
        tile={"target": 0.98},
        segments=("provider",),
    ),
    "replay_volume": Promised(
        items={"tills/2026-03-02T11": "bad", "tills/2026-03-06T12": "pending", "shop/2026-03-02T09": "good",
               "else/2026-03-05T01": "good", "else/2026-03-05T02": "bad", "else/2026-03-05T03": "bad",
               "else/2026-03-05T04": "good", "else/2026-03-05T05": "bad", "else/2026-03-05T06": "excused",
               "else/2026-03-05T07": "bad", "else/2026-03-05T08": "bad", "else/2026-03-05T09": "good",
               "wms/2026-03-05T14": "good", "wms/2026-03-05T15": "excused"},
        tile={"target": 0.95, "severity": "minor"},
        segments=("provider",),
    ),
    "close_duration": Promised(
        items={f"{ENTITY}/2026-02": "good", f"{ENTITY}/2026-01": "bad", f"{ENTITY}/2025-12": "overdue"},
        due={f"{ENTITY}/2026-02": "2026-03-04T00:00:00Z"},
        stale_after=dt.timedelta(days=32),
        tile={"target": 0.916, "window_days": 366,
              "reason": "4 decided, fewer than 12; 2 are overdue, 0 are allowed"},
    ),
    "channel_onboarding": Promised(
        items={"kiosk": "good", "outlet": "bad", "leaflet": "overdue", "away": "pending"},
        due={"kiosk": "2026-03-22T00:00:00Z"},
        stale_after=dt.timedelta(days=366),
        tile={"target": 0.8, "window_days": 365, "reason": "3 decided, fewer than 5; 1 overdue"},
        segments=("provider",),
    ),
    "reconciliation_variance": Promised(
        items={"L1/2026-03-02/kiosk//order/main/GBP": "good", "L1/2026-03-04/kiosk//order/main/GBP": "bad",
               "L1/2026-02-10/elsewhere///GBP": "overdue",
               "L0/2026-03-03/leaflet//order_list/GBP": "overdue"},
        due={"L1/2026-03-04/kiosk//order/main/GBP": "2026-03-05T09:00:00Z",
             "L1/2026-02-10/elsewhere///GBP": "2026-02-11T09:00:00Z"},
        stale_after=dt.timedelta(days=4),
        tile={"target": 0.99},
        segments=("kind", "channel", "provider"),
    ),
}  # fmt: skip


@pytest.mark.proves(248)
def test_settlements_reach_the_erp_in_time(lineage: httpx.Client) -> None:
    check(lineage, "settlement_to_erp", EXPECTED["settlement_to_erp"])


@pytest.mark.proves(245)
def test_lines_are_matched_without_hands(lineage: httpx.Client) -> None:
    check(lineage, "reconciliation_effort", EXPECTED["reconciliation_effort"])
    found = listed(lineage, "reconciliation_effort")
    by_hand = {(one["entity_id"], one["verdict"], one["weight"]) for one in found}
    assert by_hand >= {("po_hand", "bad", 1), ("po_hand", "good", 2), ("po_lost", "bad", 2)}


@pytest.mark.proves(244)
def test_a_day_that_begins_with_overdue_lines_is_a_bad_one(lineage: httpx.Client) -> None:
    check(lineage, "reconciliation_backlog", EXPECTED["reconciliation_backlog"])


@pytest.mark.proves(246)
def test_cells_agree_by_their_deadline(lineage: httpx.Client, storage: Storage, free_port: Callable[[], int]) -> None:
    check(lineage, "reconciliation_variance", EXPECTED["reconciliation_variance"])
    with answering(storage, lambda: DAY + dt.timedelta(days=1, hours=1), free_port()) as earlier:
        judged = {one["entity_id"]: one["verdict"] for one in listed(earlier, "reconciliation_variance")}
        assert judged["L1/2026-03-02/kiosk///GBP"] == "pending"
    [(runs,)] = storage.query("SELECT uniqExact(reconciled_at) FROM recon_items"
                              " WHERE level = 'L1' AND business_date = '2026-03-02' AND channel = 'kiosk'")  # fmt: skip
    assert runs > 1, "the cell that was reconciled in time was stated again long after its deadline"


@pytest.mark.proves(251)
def test_an_hour_in_which_too_much_was_sent_again_is_a_bad_one(lineage: httpx.Client) -> None:
    check(lineage, "replay_volume", EXPECTED["replay_volume"])
    [excused] = [one for one in listed(lineage, "replay_volume") if one["entity_id"] == "wms/2026-03-05T15"]
    assert excused["reason"] == (
        "25 replayed, 0 redelivered of 0; 10 announced by ann: the orders are found; 15 announced by ann: and the rest"
    )


@pytest.mark.proves(253)
def test_periods_are_closed_in_time_after_they_ended(
    lineage: httpx.Client, storage: Storage, free_port: Callable[[], int]
) -> None:
    check(lineage, "close_duration", EXPECTED["close_duration"])
    with answering(storage, lambda: DAY + dt.timedelta(hours=9), free_port()) as earlier:
        judged = {one["entity_id"]: one["verdict"] for one in listed(earlier, "close_duration")}
        assert judged[f"{ENTITY}/2026-02"] == "pending"


@pytest.mark.proves(235)
def test_changes_of_stock_come_in_time(lineage: httpx.Client) -> None:
    check(lineage, "stock_propagation", EXPECTED["stock_propagation"])


@pytest.mark.proves(234)
def test_stock_is_fresh(lineage: httpx.Client) -> None:
    check(lineage, "stock_freshness", EXPECTED["stock_freshness"])
    fresh = lineage.get("/v1/slas/stock_freshness").json()["segments"]
    minutes = {one["channel"]: (one["good"] > 0, one["bad"] > 0) for one in fresh if one["location"] == "ST9"}
    assert (minutes["store"], minutes["away"]) == ((True, True), (False, True))


@pytest.mark.proves(254)
def test_channels_are_live_in_time_after_they_were_registered(lineage: httpx.Client) -> None:
    check(lineage, "channel_onboarding", EXPECTED["channel_onboarding"])
