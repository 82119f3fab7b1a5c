"""Each promise through real flows of the core, judged through the lineage API: good, bad, pending, excused, overdue."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Litestar
from typer.testing import CliRunner

from collector.segments import SegmentLog
from collector.semconv import correlation_id
from collector.storage import Storage
from dashboards import app as pages
from dashboards import wording
from dashboards.pages import promises as promises_page
from lineage import flows, slas
from lineage.api import route_handlers
from lineage.measure import Measurer
from lineage.model import SlaTile
from lineage.queries import Queries
from lineage.service import Lineage
from sync_core.erp.http import ErpClient
from sync_core.exceptions.deadlines import Deadlines
from sync_core.messages import ProductRegistered, StockLine
from sync_core.outbox import ErpRelay
from sync_core.returns.messages import RefundFailed, ReturnWithdrawn
from tallytrace import health, sla_metrics, webserver
from tallytrace.cli import app as cli
from tests.callbacks import page_at
from tests.core import Core, database, opened
from tests.erp import Erp
from tests.estate import Estate
from tests.factories import (
    NOON,
    adjustment,
    asked_back,
    came_back,
    cancellation,
    counted,
    disposed,
    goods_back,
    goods_in,
    line,
    looked_at,
    order,
    payment,
    refund,
    shipment,
    stepped,
    terms,
    units,
)
from tests.hops import Hops, answering
from tests.promises import Promised, check, listed
from tests.serving import serving

END = NOON + dt.timedelta(days=8)  # a Tuesday


class Story:
    """A retailer's week, told by its systems to a running core."""

    def __init__(self, core: Core, http: httpx.Client, url: str, erp: Erp) -> None:
        self._core = core
        self._http = http
        self._url = url
        self._erp = erp
        self._estate = Estate(http, core)

    def at(self, moment: dt.datetime) -> None:
        self._core.now = moment

    def tell(self, *events: object) -> None:
        self._estate.tell(*events, at=self._core.now)  # type: ignore[arg-type]

    def post(self, *, away: bool = False) -> None:
        """Offer the ERP what waits."""
        if away:
            self._erp.replies.append((503, {}, b""))
        client = ErpClient(self._url, lambda: self._core.now, timeout_seconds=5)
        relay = ErpRelay(self._core.db, client, lambda: self._core.now)
        while relay.run_once():
            pass
        client.close()

    def refuse(self, *documents: str) -> None:
        self._erp.refused |= dict.fromkeys(documents, "closed account")

    def take_again(self, document: str) -> None:
        """The ERP takes what it refused."""
        del self._erp.refused[document]
        self.decide("replay", f"{document}:posting_rejected")

    def decide(self, act: str, exception_id: str) -> None:
        asked = {"by": "ann", "reason": "looked at", "ids": [exception_id]}
        answer = self._http.post(f"/v1/exceptions/{act}", json=asked)
        assert answer.json()["done"] == 1, answer.text

    def end_returns(self) -> None:
        """What never came is not awaited any more."""
        Deadlines(self._core.db, lambda: self._core.now).run_once()
        self._core.work()


def told(story: Story) -> None:
    def minute(number: float) -> None:
        story.at(NOON + dt.timedelta(minutes=number))

    tell_returns_of_last_month(story)
    minute(0)
    story.tell(goods_in(units={"A1": 100, "B1": 100}), terms("bazaar", acknowledge_seconds=3 * 3600))
    story.post()
    for channel in ("trade", "dotcom", "store"):
        story.tell(order(channel, channel=channel))
    story.tell(order("collected"), order("mended"))
    chain: dict[str, Any] = {"origin": "chain"}
    story.tell(ProductRegistered(**chain, sku="C1", name="Cup"))
    story.tell(*(counted(f"K-{sku}", {sku: 0}, **chain) for sku in ("soon", "later", "never")))
    for name in ("good", "late", "cancelled", "open", "twin", "refused", "back", "odd", "edited"):
        story.tell(order(name))
    story.tell(order("short", line("Z1")))
    for name in ("acked", "silent", "slow", "over", "dropped"):
        story.tell(order(f"m-{name}", channel="bazaar"))
    story.refuse("shop:shipment/Srefused", "shop:refund/F-refused", "shop:order/mended")
    minute(5)
    story.tell(stepped("released", "good", system="wms"), cancellation("cancelled"))
    story.tell(stepped("validated", "late", system="oms", failed=True, reason="address"))
    story.tell(stepped("validated", "odd", system="oms", failed=True, reason="address"))
    story.tell(payment("twin"), cancellation("twin", reason="Duplicate of good"))
    minute(10)
    story.tell(*(payment(name) for name in ("good", "refused", "back", "mended", "collected", "store")))
    story.tell(shipment("good"), shipment("store"), ProductRegistered(**chain, sku="soon", name="Spoon"))
    story.tell(goods_in("D-given", lines=(StockLine(sku="F1", quantity=1, unit_cost_minor=0),)))
    story.tell(order("given", line(), line("F1", price_minor=0)), payment("given"))
    story.tell(shipment("given", lines=(units("F1"),)))
    story.tell(stepped("ready_for_pickup", "collected", system="pos"), stepped("picked_up", "collected", system="pos"))
    story.post()
    story.take_again("shop:order/mended")
    story.post()
    story.tell(shipment("refused"), shipment("back"))
    story.post()
    minute(15)
    story.tell(stepped("validated", "late", system="oms"))
    story.tell(stepped("acknowledged", "m-acked", system="bazaar"), cancellation("m-dropped"))
    minute(30)
    story.tell(stepped("released", "late", system="wms"), counted("K1", {"A1": 95, "B1": 60}))
    story.tell(counted("K2", {"A1": 95}, channel="store"), counted("K3", {"A1": 95}, channel="warehouse"))
    story.post(away=True)
    minute(35)
    story.post()
    minute(60)
    story.tell(goods_in("D2", {"Z1": 5}))
    minute(70)
    story.tell(stepped("released", "short", system="wms"))
    story.tell(payment("late"), shipment("late"), payment("edited"), cancellation("edited"), adjustment("N1"))
    story.tell(ProductRegistered(**chain, sku="later", name="Ladle"))
    story.post(away=True)
    minute(100)
    story.tell(goods_back("R-good", order_id="good"), goods_back("R-open", order_id="back"))
    minute(200)
    story.tell(stepped("acknowledged", "m-over", system="bazaar"))
    story.post()
    story.tell(refund("F-good", return_id="R-good"))
    story.post()
    minute(300)
    story.tell(stepped("acknowledged", "m-slow", system="bazaar"))
    story.tell(goods_back("R-late", order_id="refused"), refund("F-late", return_id="R-late"))
    story.post(away=True)
    story.tell(goods_back("R-store", order_id="store", channel="store"))
    story.tell(refund("F-store", return_id="R-store"), refund("F-failed", return_id="R-open"))
    failed = RefundFailed(origin="shop", return_id="R-open", refund_id="F-failed", provider="card", reason="closed")
    story.tell(failed)
    minute(700)
    story.post()
    story.tell(goods_back("R-slow", order_id="late"))
    story.at(NOON + dt.timedelta(days=4))
    story.tell(refund("F-refused", return_id="R-slow"))
    story.post()
    story.decide("resolve", "shop:validated_failed/odd")
    story.tell(looked_at("A-slow"), disposed("A-slow"), refund("A-slow-1", return_id="A-slow"))
    story.tell(asked_back("A-young", order_id="young"))
    story.end_returns()
    story.at(END - dt.timedelta(minutes=2))
    story.tell(order("new"), order("m-new", channel="bazaar"), payment("new"), shipment("new"))
    story.tell(counted("K-new", {"new": 1}, **chain))
    story.tell(goods_back("R-new", order_id="new"))
    story.post(away=True)
    story.tell(refund("F-new", return_id="R-new"))
    story.tell(stepped("validated", "m-new", system="oms", failed=True, reason="address"))
    story.at(END - dt.timedelta(seconds=30))
    story.tell(adjustment("N2"))
    story.at(END)


def tell_returns_of_last_month(story: Story) -> None:
    """Asked for and brought back step by step."""
    start = NOON - dt.timedelta(days=19)
    returns = ("closed", "slow", "kept", "gone", "lost", "worn", "young")
    story.at(start)
    story.tell(goods_in("D0", {"A1": len(returns)}))
    for name in returns:
        story.tell(order(name), payment(name), shipment(name))
    story.tell(*(asked_back(f"A-{name}", order_id=name) for name in returns if name != "young"))
    story.at(start + dt.timedelta(days=2))
    story.tell(*(came_back(f"A-{name}") for name in ("closed", "slow", "worn")))
    story.tell(looked_at("A-closed"), disposed("A-closed"), refund("A-closed-1", return_id="A-closed"))
    story.tell(looked_at("A-worn", accepted=0, rejected=1))
    story.tell(ReturnWithdrawn(origin="shop", return_id="A-kept", reason="keeps it"))
    story.post()


def foreign() -> Hops:
    """What the core would not say, told by systems of others."""
    hops = Hops()
    began = f"{END - dt.timedelta(days=1, minutes=1):%Y-%m-%d %H:%M:%S}"
    later = f"{END - dt.timedelta(days=1):%Y-%m-%d %H:%M:%S}"

    def told(reference: str, entity: str, *milestones: tuple[str, str, str], **also: Any) -> None:
        for at, domain, milestone in milestones:
            hops.hop(correlation_id("else", reference), f"{domain}.{milestone}", at, entity, reference, milestone,
                     origin="else", channel="web", location="", **also)  # fmt: skip

    told("F-unbooked", "refund", (began, "refund", "issued"))
    hops.hop(correlation_id("else", "F-unbooked"), "posting.send", later, "posting", "refund/F-unbooked",
             "erp_accepted", origin="else", channel="web")  # fmt: skip
    told("F-bounced", "refund", (began, "refund", "issued"), (later, "refund", "failed"))
    told("R-refused", "return", (began, "return", "received"), (later, "return", "refused"))
    told("R-expired", "return", (began, "return", "received"), (later, "return", "expired"))
    told("R-refunded", "return", (began, "return", "received"), (later, "return", "refunded"))
    told("A-expired", "return", (began, "return", "authorised"), (later, "return", "expired"))
    for kind in ("master_data", "settlement", "cancellation"):
        told(kind, "message", (began, "publication", "failed"), kind=kind)
    told("waits", "message", (began, "publication", "failed"), outcome="parked")
    told("R-unpaid", "return", ("2026-03-03 12:00:00", "return", "received"))
    told("A-open", "return", ("2026-02-12 12:00:00", "return", "authorised"))
    told("R-pending", "return", (began, "return", "received"))
    for severity in ("critical", "minor"):
        told(severity, "exception", (later, "exception", "opened"), severity=severity, outcome="parked")
    for kind in SLOW:
        hops.post(correlation_id("else", kind), f"{kind}/{kind}", began, origin="else")
    for end in ("shipped", "picked_up"):
        told(f"O-{end}", "order", (began, "order", "captured"))
        hops.hop(correlation_id("else", f"O-{end}"), f"order.{end}", later, "fulfilment", f"S-{end}", end,
                 origin="else", channel="web")  # fmt: skip
    return hops


def tell_story(postgres_server: str, log: SegmentLog, port: int, home: Path) -> None:
    """The story, and all that its systems say of it stored."""
    erp = Erp()
    with database(postgres_server) as url, opened(url) as core, erp.serving() as erp_url:
        with serving(core, home, port) as http:
            told(Story(core, http, erp_url, erp))
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
    """The lineage API after the story."""
    tell_story(postgres_server, log, free_port(), tmp_path_factory.mktemp("files"))
    Measurer(Queries(storage), slas.load(), lambda: END).tick(END)
    with answering(storage, lambda: END, free_port()) as client:
        yield client


SLOW = ("settlement", "settlement_reversal", "bank_statement", "bank_match")
HEALTH = ("integration_failure_rate", "integration_latency", "recovery_time", "exception_resolution",
          "order_exception_rate")  # fmt: skip
EVERYWHERE = ("channel", "channel location")
EXPECTED: dict[str, Promised] = {
    "inventory_accuracy": Promised(
        items={"K1": "bad, good", "K2": "good", "K-soon": "good", "K-later": "bad", "K-never": "overdue",
               "K-new": "pending"},
        due={"K1": "2026-03-02T12:45:01Z"},
        tile={"deadline": "15 min", "target": 0.99, "window_days": 28},
        segments=("channel", "location"),
        targets={"web": 0.99, "store": 0.95, "warehouse": 0.995},
        stale_after=dt.timedelta(days=31),
    ),
    "order_latency": Promised(
        items={"good": "good", "late": "bad", "cancelled": "excused", "open": "overdue", "new": "good",
               "short": "good", "collected": "good", "O-shipped": "good", "O-picked_up": "good", "edited": "bad",
               "m-new": "pending"},
        due={"good": "2026-03-02T12:15:11Z", "trade": "2026-03-04T12:00:02Z", "dotcom": "2026-03-04T12:00:03Z",
             "short": "2026-03-02T13:15:00Z"},
        tile={"target": 0.98},
        segments=EVERYWHERE,
    ),
    "order_exception_rate": Promised(
        items={"good": "good", "late": "bad", "short": "bad", "new": "pending", "refused": "bad"},
        due={"good": "2026-03-03T12:00:11Z"},
        tile={"target": 0.985},
        segments=("channel",),
    ),
    "duplicate_order_rate": Promised(
        items={"twin": "bad", "good": "good", "cancelled": "good", "new": "pending"},
        due={"good": "2026-03-03T12:00:11Z"},
        tile={"target": 0.9999, "severity": "critical"},
        segments=("channel",),
    ),
    "order_to_posting": Promised(
        items={"Sgood": "good", "Slate": "bad", "Srefused": "overdue", "Snew": "pending", "collected-pickup": "good",
               "Sgiven": "excused"},
        due={"Sgood": "2026-03-02T13:10:06Z", "Sstore": "2026-03-03T06:00:00Z"},
        tile={"target": 0.99, "severity": "major"},
        segments=EVERYWHERE,
    ),
    "integration_latency": Promised(
        items={"shipment/Sgood": "good", "shipment/Slate": "bad", "shipment/Srefused": "overdue",
               "adjustment/N2": "pending", "order/twin": "excused"},
        due={"shipment/Sgood": "2026-03-02T12:11:06Z"}
        | {f"{kind}/{kind}": "2026-03-09T12:29:00Z" for kind in SLOW},
        tile={"target": 0.99},
        segments=("kind", "channel"),
    ),
    "integration_failure_rate": Promised(
        items={"shipment/Sgood": "good", "shipment/Slate": "bad", "order/mended": "bad",
               "shipment/Srefused": "overdue", "shipment/Snew": "pending", "order/twin": "excused"},
        due={"shipment/Sgood": "2026-03-02T13:10:06Z"},
        tile={"target": 0.999},
        segments=("kind", "channel"),
    ),
    "recovery_time": Promised(
        items={"erp/shop:count/K1": "good", "erp/shop:shipment/Slate": "bad", "erp/shop:shipment/Srefused": "overdue",
               "erp/shop:shipment/Snew": "pending", "waits": "overdue"},
        due={"erp/shop:count/K1": "2026-03-02T13:00:04Z", "erp/shop:order/late": "2026-03-02T13:40:07Z",
             "erp/shop:shipment/Slate": "2026-03-02T13:40:07Z", "erp/shop:adjustment/N1": "2026-03-02T13:40:07Z",
             "erp/shop:receipt/D2": "2026-03-02T13:40:07Z", "erp/shop:refund/F-late": "2026-03-02T17:30:03Z",
             "erp/shop:return/R-late": "2026-03-02T17:30:03Z", "cancellation": "2026-03-09T12:29:00Z",
             "settlement": "2026-03-09T15:59:00Z", "master_data": "2026-03-10T11:59:00Z"},
        tile={"target": 0.95},
        segments=("kind", "channel"),
    ),
    "exception_resolution": Promised(
        items={"shop:validated_failed/late": "good", "shop:validated_failed/odd": "bad",
               "shop:shipment/Srefused:posting_rejected": "overdue", "shop:validated_failed/m-new": "pending"},
        due={"shop:validated_failed/late": "2026-03-02T16:05:02Z", "critical": "2026-03-09T13:00:00Z",
             "minor": "2026-03-11T12:00:00Z"},
        tile={"target": 0.9},
        segments=("kind", "channel"),
    ),
    "refund_to_ledger": Promised(
        items={"F-good": "good", "F-late": "bad", "F-refused": "overdue", "F-new": "pending", "F-failed": "excused",
               "F-bounced": "excused", "F-unbooked": "overdue"},
        due={"F-good": "2026-03-02T19:20:01Z", "F-store": "2026-03-03T06:00:00Z"},
        tile={"target": 0.99},
        segments=(*EVERYWHERE, "provider"),
    ),
    "return_cycle": Promised(
        items={"R-good": "good", "R-slow": "bad", "R-unpaid": "overdue", "R-pending": "pending", "A-worn": "excused",
               "R-refused": "excused", "R-expired": "excused", "R-refunded": "good"},
        due={"R-good": "2026-03-05T13:40:00Z"},
        tile={"target": 0.95},
        segments=EVERYWHERE,
    ),
    "return_closure": Promised(
        items={"A-closed": "good", "A-slow": "bad", "A-gone": "bad",
            "A-open": "overdue", "A-young": "pending", "A-kept": "excused",
               "A-expired": "excused"},
        due={"A-closed": "2026-03-04T12:00:22Z"},
        tile={"target": 0.9, "number": 249},
        segments=("channel",),
    ),
    "refund_exception_rate": Promised(
        items={"F-good": "good", "F-refused": "bad", "F-bounced": "bad", "F-new": "pending"},
        due={"F-good": "2026-03-09T15:20:01Z"},
        tile={"target": 0.99},
        segments=("channel", "provider"),
    ),
    "marketplace_ack": Promised(
        items={"m-acked": "good", "m-slow": "bad", "m-over": "bad", "m-silent": "overdue", "m-dropped": "excused",
               "m-new": "pending"},
        due={"m-new": "2026-03-10T14:58:00Z"},
        tile={"deadline": "4 h", "target": 0.999, "severity": "critical",
              "reason": "4 decided, fewer than 50; 1 are overdue, 0 are allowed"},
        segments=("channel",),
    ),
}  # fmt: skip


@pytest.mark.proves(236)
def test_orders_are_released_in_time(lineage: httpx.Client) -> None:
    check(lineage, "order_latency", EXPECTED["order_latency"])


@pytest.mark.proves(237)
def test_orders_have_no_exceptions(lineage: httpx.Client) -> None:
    check(lineage, "order_exception_rate", EXPECTED["order_exception_rate"])


@pytest.mark.proves(238)
def test_duplicates_do_not_escape(lineage: httpx.Client) -> None:
    check(lineage, "duplicate_order_rate", EXPECTED["duplicate_order_rate"])


@pytest.mark.proves(239)
def test_shipments_are_posted_in_time(lineage: httpx.Client) -> None:
    check(lineage, "order_to_posting", EXPECTED["order_to_posting"])


@pytest.mark.proves(240)
def test_messages_are_taken_in_time(lineage: httpx.Client) -> None:
    check(lineage, "integration_latency", EXPECTED["integration_latency"])


@pytest.mark.proves(241)
def test_messages_are_not_refused(lineage: httpx.Client) -> None:
    check(lineage, "integration_failure_rate", EXPECTED["integration_failure_rate"])


@pytest.mark.proves(242)
def test_what_failed_recovers(lineage: httpx.Client) -> None:
    check(lineage, "recovery_time", EXPECTED["recovery_time"])


@pytest.mark.proves(243)
def test_exceptions_are_resolved_in_time(lineage: httpx.Client) -> None:
    check(lineage, "exception_resolution", EXPECTED["exception_resolution"])


@pytest.mark.proves(247)
def test_refunds_reach_the_ledger(lineage: httpx.Client) -> None:
    check(lineage, "refund_to_ledger", EXPECTED["refund_to_ledger"])


@pytest.mark.proves(249)
def test_returns_are_refunded_and_closed_in_time(lineage: httpx.Client) -> None:
    check(lineage, "return_cycle", EXPECTED["return_cycle"])
    check(lineage, "return_closure", EXPECTED["return_closure"])


@pytest.mark.proves(250)
def test_refunds_have_no_exceptions(lineage: httpx.Client) -> None:
    check(lineage, "refund_exception_rate", EXPECTED["refund_exception_rate"])


@pytest.mark.proves(252)
def test_marketplaces_are_acknowledged(lineage: httpx.Client) -> None:
    check(lineage, "marketplace_ack", EXPECTED["marketplace_ack"])


@pytest.mark.proves(233)
def test_counts_agree_line_by_line(lineage: httpx.Client) -> None:
    check(lineage, "inventory_accuracy", EXPECTED["inventory_accuracy"])
    weights = [(one["verdict"], one["weight"]) for one in listed(lineage, "inventory_accuracy")
               if one["entity_id"] == "K1"]  # fmt: skip
    assert weights == [("bad", 1), ("good", 1)]


@pytest.fixture(scope="module")
def plane(lineage: httpx.Client, storage: Storage, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    """The same measurements as the plane serves them: API, pages and metrics at one address."""
    promises = slas.load()
    service = Lineage(Queries(storage), flows.load(promises=promises), promises, lambda: END)
    port = free_port()
    shown = pages.create(service, core_url="", plane_url=f"http://127.0.0.1:{port}", clock=lambda: END)
    metrics = health.handlers(lambda: [], lambda: sla_metrics.metrics(service.current))
    app = Litestar([*route_handlers(service), *metrics, pages.serve_below("/ui", shown)])
    with (
        webserver.serving(app, "127.0.0.1", port, name="plane"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False, verify=False) as client,
    ):
        yield client


def quoted(words: object) -> str:
    """As the page's JSON has it."""
    return msgspec.json.encode(words).decode()


def test_tile_page_command_line_export_and_metrics_agree_to_the_digit(plane: httpx.Client) -> None:
    tiles = {one["name"]: one for one in plane.get("/v1/slas").json()}
    exposed, page = plane.get("/metrics").text, quoted(page_at(plane, "/ui/")["page"]["children"])
    url = str(plane.base_url)
    told = CliRunner().invoke(cli, ["sla", "--json"], env={"TALLYTRACE_PLANE_URL": url, "TALLYTRACE_CORE_URL": url})
    assert told.exit_code == 0, told.output
    printed = {one["name"]: one for one in json.loads(told.stdout)}
    assert printed == tiles
    documents = plane.get("/v1/export/openslo").text.split("---\n")[1:]
    assert len(documents) == len(tiles) == len(slas.load())
    cards = 0
    for document in map(json.loads, documents):
        name = document["metadata"]["name"].replace("-", "_")
        tile, annotated = tiles[name], document["metadata"]["annotations"]
        assert document["spec"]["objectives"][0]["target"] == tile["target"]
        assert document["spec"]["timeWindow"] == [{"duration": f"{tile['window_days']}d", "isRolling": True}]
        for figure in ("good", "bad", "pending", "overdue_open", "state"):
            assert annotated[f"tallytrace/{figure}"] == str(tile[figure])
        assert quoted(wording.share(tile["value"])) in page, name
        cards += quoted(promises_page.described(msgspec.convert(tile, SlaTile, strict=False))) in page
        if tile["as_of"]:
            place = f'channel="",kind="",location="",provider="",sla="{name}"'
            for figure in ("good", "bad", "pending", "excused", "refused"):
                assert f'tallytrace_sla_items{{{place},verdict="{figure}"}} {tile[figure]}\n' in exposed
            assert f"tallytrace_sla_overdue_items{{{place}}} {float(tile['overdue_open'])}\n" in exposed
            assert f'tallytrace_sla_state{{{place},state="{tile["state"]}"}} 1.0\n' in exposed
            if tile["budget_left"] is not None:
                assert f"tallytrace_sla_budget_left_ratio{{{place}}} {tile['budget_left']}\n" in exposed
    assert cards == promises_page.ABOVE, "the tiles; the others are rows"


PLACE = ("channel", "location", "provider", "kind")
FIGURES = ("good", "bad", "pending", "excused", "overdue_open", "value", "target", "state")


def figures(of: dict[str, Any]) -> dict[str, Any]:
    return {name: of[name] for name in FIGURES}


def test_a_view_of_a_place_has_the_figures_of_its_segment(lineage: httpx.Client) -> None:
    seen = 0
    for place in ({"channel": "web"}, {"channel": "store"}, {"channel": "web", "location": "WH1"}):
        where = (place["channel"], place.get("location", ""), "", "")
        for tile in lineage.get("/v1/slas", params=place).json():
            segments = lineage.get(f"/v1/slas/{tile['name']}").json()["segments"]
            [own] = [one for one in segments if tuple(one[of] for of in PLACE) == where]
            assert figures(tile) == figures(own), (tile["name"], where)
            seen += 1
    assert seen > 10
    assert lineage.get("/v1/slas", params={"channel": "nowhere"}).json() == []


def test_a_view_of_a_day_has_the_figures_of_its_report_and_its_chart_ends_there(lineage: httpx.Client) -> None:
    day = {"day": "2026-03-02"}
    rows = [one for one in lineage.get("/v1/reports/slas", params=day).json() if not any(one[of] for of in PLACE)]
    tiles = {one["name"]: one for one in lineage.get("/v1/slas", params={"until": day["day"]}).json()}
    assert len(tiles) == len(slas.load())
    for row in rows:
        tile = tiles[row["sla"]]
        assert figures(tile) == figures(row), row["sla"]
        last = tile["history"][-1]
        assert {name: last[name] for name in last} == {name: row[name] for name in last}, row["sla"]
    assert len(rows) > 10
    assert {one["state"] for name, one in tiles.items() if name not in {row["sla"] for row in rows}} <= {"no_data"}


@pytest.mark.proves(215)
def test_a_report_is_the_same_after_late_facts_came(lineage: httpx.Client, storage: Storage, log: SegmentLog) -> None:
    """The day of the story ended; a refund of it is told a week late, and the window is measured again."""
    asked = {"day": "2026-03-02"}

    def refunds(**also: str) -> tuple[int, int]:
        rows = lineage.get("/v1/reports/slas", params=asked | also).json()
        [whole] = [one for one in rows if one["sla"] == "refund_to_ledger" and not (one["channel"] or one["provider"])]
        return whole["good"], whole["bad"]

    before = refunds()
    hops = Hops()
    late = correlation_id("shop", "R-late-fact")
    hops.hop(late, "refund.issue", "2026-03-02 13:00:00", "refund", "F-told-late", "issued")
    hops.post(late, "refund/F-told-late", "2026-03-02 13:01:00", "2026-03-02 13:02:00")
    log.append(hops.request.SerializeToString()).result(10)
    assert log.wait_stored(30)
    assert refunds() == before
    again = END + dt.timedelta(minutes=5)
    Measurer(Queries(storage), slas.load()[1:2], lambda: again).tick(END)
    assert refunds() == (before[0] + 1, before[1])
    assert refunds(known_at=END.isoformat()) == before


@pytest.mark.proves(255)
def test_the_health_of_a_system_is_the_worst_of_its_promises(
    lineage: httpx.Client, storage: Storage, free_port: Callable[[], int], tmp_path: Path
) -> None:
    parts = HEALTH
    own = tmp_path / "slas.toml"
    own.write_text("".join(f"[{name}]\nlow_volume_under = 1\ntarget = 0.01\n" for name in parts))
    promises = [one for one in slas.load(own) if one.name in ("system_health", *parts)]
    Measurer(Queries(storage), promises, lambda: END + dt.timedelta(minutes=6)).tick(END)
    with answering(storage, lambda: END, free_port(), own) as client:
        whole, *of_parts = (client.get(f"/v1/slas/{name}").json()["tile"] for name in ("system_health", *parts))
        by_kind = {one["kind"]: one for one in client.get("/v1/slas/system_health").json()["segments"]}
    assert {one["name"]: one["state"] for one in of_parts} == dict.fromkeys(parts, "meeting") | {
        "recovery_time": "at_risk"
    }
    assert (whole["state"], whole["reason"]) == ("at_risk", "recovery_time: 12% of the budget is left")
    assert (whole["good"], whole["bad"]) == (of_parts[0]["good"], of_parts[0]["bad"])
    assert whole["at_risk"] == max(
        (one["at_risk"] for one in of_parts), key=lambda one: sum(money["amount_minor"] for money in one)
    )
    told = {kind: (one["state"], one["reason"].partition(":")[0], one["good"]) for kind, one in by_kind.items()}
    assert {kind: told[kind] for kind in ("count", "return", "shipment", "cancellation_refund")} == {
        "count": ("breached", "integration_latency", 1),
        "return": ("breached", "integration_failure_rate", 0),
        "shipment": ("breached", "recovery_time", 4),
        "cancellation_refund": ("no_data", "integration_failure_rate", 0),
    }


@pytest.mark.parametrize("worst", HEALTH)
def test_each_of_the_promises_about_a_system_can_be_its_worst(
    lineage: httpx.Client, storage: Storage, free_port: Callable[[], int], tmp_path: Path, worst: str
) -> None:
    own = tmp_path / "slas.toml"
    own.write_text("".join(f"[{name}]\nlow_volume_under = 1\ntarget = {0.999 if name == worst else 0.001}\n"
                           for name in HEALTH))  # fmt: skip
    promises = [one for one in slas.load(own) if one.name in ("system_health", *HEALTH)]
    later = END + dt.timedelta(minutes=10 + HEALTH.index(worst))
    Measurer(Queries(storage), promises, lambda: later).tick(END)
    with answering(storage, lambda: END, free_port(), own) as client:
        tile = client.get("/v1/slas/system_health").json()["tile"]
    assert (tile["state"], tile["reason"].partition(":")[0]) == ("breached", worst)


OWN = """
[refund_to_ledger]
deadline = "4 business hours"
deadline_by_channel = { outlet = "next business day 12:00" }
period = "month"
calendar = { zone = "America/New_York", holidays = [2026-03-09] }
"""


def test_hours_days_and_months_are_those_of_the_calendar_and_its_zone(
    lineage: httpx.Client, storage: Storage, log: SegmentLog, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """Clocks in New York go forward on the 8th of March, and the 9th is a holiday here."""
    hops = Hops()
    hops.refund("NY1", "2026-03-06 21:59:00", "2026-03-07 10:00:00", "2026-03-10 16:59:00", channel="loft")
    hops.refund("NY2", "2026-03-06 21:59:00", "2026-03-07 10:00:00", "2026-03-10 17:00:00", channel="loft")
    hops.refund("NY3", "2026-03-05 04:59:30", "2026-03-05 06:00:00", "2026-03-05 18:00:00", channel="outlet")
    hops.refund("NY4", "2026-03-05 05:00:30", "2026-03-05 06:00:00", "2026-03-05 18:00:00", channel="outlet")
    hops.refund("NY5", "2026-03-01 04:50:00", "2026-03-01 04:55:00", "2026-03-01 04:59:30", channel="loft")
    hops.refund("NY6", "2026-03-01 04:50:00", "2026-03-01 04:55:00", "2026-03-01 05:00:30", channel="loft")
    log.append(hops.request.SerializeToString()).result(10)
    assert log.wait_stored(30)
    own = tmp_path / "slas.toml"
    own.write_text(OWN)
    now = END + dt.timedelta(days=1)
    [promise] = [one for one in slas.load(own) if one.name == "refund_to_ledger"]
    Measurer(Queries(storage), [promise], lambda: now).tick(now)
    with answering(storage, lambda: now, free_port(), own) as client:
        judged = {one["entity_id"]: (one["verdict"], one["due_at"]) for one in listed(client, "refund_to_ledger")}
        places = client.get("/v1/slas/refund_to_ledger").json()["segments"]
    assert {name: one for name, one in judged.items() if name.startswith("NY")} == {
        "NY1": ("good", "2026-03-10T16:59:00Z"),
        "NY2": ("bad", "2026-03-10T16:59:00Z"),
        "NY3": ("bad", "2026-03-05T17:00:00Z"),
        "NY4": ("good", "2026-03-06T17:00:00Z"),
        "NY6": ("good", "2026-03-02T18:00:00Z"),
    }
    counted = {one["channel"]: (one["good"], one["bad"]) for one in places if not (one["location"] or one["provider"])}
    assert (counted["loft"], counted["outlet"]) == ((2, 1), (1, 1))
