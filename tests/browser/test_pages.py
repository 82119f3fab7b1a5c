"""The pages in a real browser, served over a real socket, reading a small estate held in memory."""

import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from litestar import Litestar, get
from msgspec import Struct, structs
from playwright.sync_api import Page, Route, expect

from dashboards.app import create, serve_below
from lineage.brands import Brand, Brands
from lineage.model import (
    WHOLE,
    Answer,
    Attempt,
    BusinessObject,
    Choice,
    Expected,
    Header,
    Hop,
    JournalEntry,
    JournalLine,
    Journey,
    LineItem,
    Match,
    Money,
    Overdue,
    OverdueByOwner,
    OverdueItem,
    Parked,
    Point,
    Reached,
    Related,
    Segment,
    SlaDetail,
    SlaItem,
    SlaItems,
    SlaState,
    SlaTile,
    StageMoney,
    Suggestion,
    Trace,
    TraceEvent,
    TraceSpan,
    Unknown,
    Verdict,
    View,
)
from lineage.queries import Filter
from tests.browser.accessibility import violations
from tests.callbacks import page_at

pytestmark = pytest.mark.browser

Opener = Callable[..., Page]

NOW = datetime(2026, 11, 20, 10, 42, 30, tzinfo=UTC)
SOLD = datetime(2026, 11, 17, 15, 28, tzinfo=UTC)
ORDER, RETURN, LATE, OTHER = (letter * 32 for letter in "a1b2")
TWICE = ("c3" * 16, "d4" * 16)


def gbp(minor: int) -> Money:
    return Money(minor, "GBP")


# --- the estate -----------------------------------------------------------------------------------------------------


def hop(name: str, at: datetime, **changes: object) -> Hop:
    domain, _, step = name.partition(".")
    fields: dict[str, object] = {
        "name": name, "title": name.replace(".", " "), "domain": domain, "hop": step, "stage": "transformation",
        "outcome": "ok", "entity": "order", "entity_id": "537681", "milestone": step, "at": at, "recorded_at": at,
        "duration_us": 2_300, "gap_seconds": 0.0, "attempts": (), "duplicates": 0, "reason": "", "owner": "",
        "service": "sync-core", "system": "", "channel": "web", "location": "WH1", "provider": "", "amount": None,
        "quantity": 0, "due_at": None, "lines": 0, "source": "live", "trace_id": "f" * 32, "span_id": "e" * 16,
        "keys": {}, "attrs": {},
    }  # fmt: skip
    return Hop(**{**fields, **changes})  # type: ignore[arg-type]


def attempts(at: datetime) -> tuple[Attempt, ...]:
    said = (("failed", "503 from the ERP"), ("failed", "429, asked to wait 20 s"), ("ok", ""))
    return tuple(
        Attempt(span_id=f"{n:016x}", at=at + timedelta(seconds=20 * n), outcome=outcome, attempt=n + 1, reason=reason,
                duration_us=184_000 - 50_000 * n)
        for n, (outcome, reason) in enumerate(said)
    )  # fmt: skip


def line(number: int, sku: str, quantity: int, minor: int, **changes: object) -> LineItem:
    fields: dict[str, object] = {
        "hop": "order.capture", "line_no": number, "sku": sku, "kind": "goods", "quantity": quantity,
        "amount": gbp(minor), "location": "WH1", "order_id": "", "parked": "", "attrs": {},
    }  # fmt: skip
    return LineItem(**{**fields, **changes})  # type: ignore[arg-type]


def entry(posting: str, at: datetime, lines: Sequence[tuple[str, int, str]], erp: str) -> JournalEntry:
    return JournalEntry(
        journal_id=f"J-{posting}", posting=posting, business_date=date(2026, 11, 17), at=at, source="live",
        erp_document_id=erp, complete=True, balanced=sum(minor for _, minor, _ in lines) == 0,
        lines=tuple(
            JournalLine(line_no=n + 1, account=account, amount=gbp(minor), functional=None, kind=kind, quantity=0)
            for n, (account, minor, kind) in enumerate(lines)
        ),
    )  # fmt: skip


def header(identity: str, kind: str, reference: str, **changes: object) -> Header:
    fields: dict[str, object] = {
        "correlation_id": identity, "origin": "webshop", "reference": reference, "kind": kind, "channel": "web",
        "location": "WH1", "state": "posted", "amount": gbp(35_640), "started_at": SOLD, "last_at": SOLD, "owner": "",
        "customer_ref": "", "source": "live", "trace_ids": ("f" * 32, "9" * 32),
    }  # fmt: skip
    return Header(**{**fields, **changes})  # type: ignore[arg-type]


def match(identity: str, key: str, origin: str = "webshop", name: str = "order_id") -> Match:
    return Match(key_value=key, key_name=name, origin=origin, correlation_id=identity, first_seen=SOLD, last_seen=NOW)


def related(identity: str, reference: str, minor: int, days: float, **changes: object) -> Related:
    fields: dict[str, object] = {
        "correlation_id": identity, "origin": "webshop", "reference": reference, "kind": "return", "state": "refunded",
        "title": f"return {reference}", "link": "returns", "direction": "in", "via": ORDER, "depth": 1,
        "evidence": "named on the credit note", "by": "sync_core", "at": SOLD, "amount": gbp(minor),
        "lines": (line(1, "22726", -4, minor),), "started_at": SOLD + timedelta(days=days),
    }  # fmt: skip
    return Related(**{**fields, **changes})  # type: ignore[arg-type]


def order_journey() -> Journey:
    shipped, journaled = SOLD + timedelta(days=1, hours=2), SOLD + timedelta(days=1, hours=2, seconds=3)
    return Journey(
        query="537681", as_of=NOW, matched=match(ORDER, "537681"),
        header=header(ORDER, "order", "537681", last_at=journaled + timedelta(minutes=12)),
        hops=(
            hop("order.capture", SOLD, title="order captured", amount=gbp(35_640), lines=3, system="webshop",
                duplicates=2),
            hop("inventory.reserve", SOLD + timedelta(seconds=2), title="stock reserved"),
            hop("payment.capture", SOLD + timedelta(minutes=4), title="payment captured", amount=gbp(35_640),
                entity="payment", entity_id="ch_81f", provider="cardco"),
            hop("order.ship", shipped, title="shipped", entity="shipment", entity_id="S-537681-1"),
            hop("posting.journal", journaled, title="journal posted", entity="posting", entity_id="order/537681",
                due_at=journaled + timedelta(hours=1), amount=gbp(35_640)),
            hop("posting.send", journaled + timedelta(minutes=12), title="accepted by the ERP", entity="posting",
                entity_id="order/537681", stage="erp", system="erp", attempts=attempts(journaled)),
        ),
        lines=(line(1, "22726", 12, 4_500), line(2, "85123A", 24, 6_120), line(3, "POST", 1, 25_020, kind="postage")),
        objects=(
            BusinessObject(entity="order", entity_id="537681", amount=gbp(35_640),
                           milestones=(Reached(milestone="captured", at=SOLD), Reached(milestone="reserved", at=SOLD))),
            BusinessObject(entity="shipment", entity_id="S-537681-1", amount=None,
                           milestones=(Reached(milestone="shipped", at=shipped),)),
        ),
        money=(
            StageMoney(step="captured", amount=gbp(35_640), count=1),
            StageMoney(step="paid", amount=gbp(35_640), count=1),
            StageMoney(step="refunded", amount=gbp(-4_860), count=2),
            StageMoney(step="posted", amount=gbp(35_640), count=1),
        ),
        journal=(entry("order/537681", journaled, [("1100 receivable", 35_640, "gross"), ("4000 sales", -29_700, "net"),
                                                    ("2200 tax payable", -5_940, "tax")], "SI-2026-08812"),),
        related=(related(RETURN, "C538698", -1_320, 1.9), related(OTHER, "C539600", -3_540, 2.4, state="posted")),
        related_cut=False, expected=(), parked=(),
        keys={"order_id": ("537681",), "payment_id": ("ch_81f",), "shipment_id": ("S-537681-1",),
              "journal_id": ("J-order/537681",), "erp_document_id": ("SI-2026-08812",)},
        notes=(),
    )  # fmt: skip


def late_journey() -> Journey:
    """A refund that never reached the ledger, with a parked line and two more steps to come."""
    came = SOLD + timedelta(days=1, hours=20)
    due = came + timedelta(hours=4)
    return Journey(
        query="C538698", as_of=NOW, matched=match(RETURN, "C538698", name="credit_memo_id"),
        header=header(RETURN, "return", "C538698", state="refunded", amount=gbp(-1_320), owner="finance-ops",
                      started_at=came, last_at=came + timedelta(seconds=9)),
        hops=(
            hop("return.receive", came, title="return received", entity="return", entity_id="C538698", lines=2,
                amount=gbp(-1_426), system="returns desk"),
            hop("refund.issue", came + timedelta(seconds=2), title="refund issued", entity="refund",
                entity_id="C538698", amount=gbp(-1_320), provider="cardco", channel="web", location=""),
            hop("posting.journal", came + timedelta(seconds=3), title="journal posted", entity="posting",
                entity_id="refund/C538698", due_at=due, amount=gbp(-1_320), owner="finance-ops"),
            hop("posting.send", came + timedelta(seconds=9), title="sent to the ERP", outcome="dead_letter",
                entity="posting", entity_id="refund/C538698", system="erp", stage="erp", owner="finance-ops",
                reason="the ERP refused it: account 4010 is closed for 2026-11", attempts=attempts(came)[:2]),
        ),
        lines=(line(1, "22726", -4, -1_320, order_id="537681", hop="return.receive"),
               line(2, "21212", -1, -106, parked="no sale of this item is known", hop="return.receive")),
        objects=(BusinessObject(entity="refund", entity_id="C538698", amount=gbp(-1_320),
                                milestones=(Reached(milestone="issued", at=came),)),),
        money=(StageMoney(step="received", amount=gbp(-1_426), count=1),
               StageMoney(step="refunded", amount=gbp(-1_320), count=1)),
        journal=(entry("refund/C538698", came,
                       [("4010 returns", 1_320, "gross"), ("1150 cardco clearing", -1_300, "net")], ""),),
        related=(related(ORDER, "537681", 35_640, 0, kind="order", title="order 537681", direction="out",
                         state="posted"),),
        related_cut=False,
        expected=(
            Expected(flow="return", step="erp", title="accepted by the ERP", entity="posting",
                     entity_id="refund/C538698", milestone="erp_accepted", since=came, due_at=due, overdue=True,
                     overdue_seconds=(NOW - due).total_seconds(), owner="finance-ops", amount=gbp(-1_320)),
            Expected(flow="return", step="closed", title="return closed", entity="return", entity_id="C538698",
                     milestone="closed", since=came, due_at=came + timedelta(days=21), overdue=False,
                     overdue_seconds=0.0, owner="returns-desk", amount=None),
        ),
        parked=(Parked(hop="return.receive", sku="21212", quantity=-1, amount=gbp(-106), owner="returns-desk", at=came,
                       reason="no sale of this item is known"),),
        keys={"credit_memo_id": ("C538698",), "refund_id": ("C538698",), "order_id": ("537681",)},
        notes=("Journal entry refund/C538698 does not balance.",),
    )  # fmt: skip


def points(values: Sequence[float | None], target: float) -> tuple[Point, ...]:
    def state(value: float | None) -> SlaState:
        return "no_data" if value is None else "meeting" if value >= target else "breached"

    return tuple(
        Point(as_of=NOW - timedelta(hours=6 * (len(values) - n)), value=value, good=int(1_000 * (value or 0)),
              bad=1_000 - int(1_000 * (value or 0)), overdue_open=0 if value is None or value >= target else 1 + n % 4,
              state=state(value))
        for n, value in enumerate(values)
    )  # fmt: skip


def tile(name: str, title: str, state: SlaState, **changes: object) -> SlaTile:
    fields: dict[str, object] = {
        "name": name, "title": title, "description": "", "unit": "items", "value": 0.99, "target": 0.99, "state": state,
        "reason": "", "good": 990, "bad": 10, "pending": 4, "excused": 0, "refused": 0, "overdue_open": 0,
        "at_risk": (),
        "budget_left": 0.4, "as_of": NOW - timedelta(seconds=20), "watermark": NOW - timedelta(minutes=3),
        "window_start": NOW - timedelta(days=28), "window_end": NOW, "window_days": 28, "deadline": "4 h",
        "owner": "ops", "history": (), "change": 0.001,
    }  # fmt: skip
    return SlaTile(**{**fields, **changes})  # type: ignore[arg-type]


FALLING = [0.995, 0.996, 0.994, 0.995, 0.993, 0.991, 0.992, None, 0.989, 0.986, 0.981, 0.9712]
SLIPPING = [0.9951, 0.9957, 0.996, 0.9949, 0.9953, 0.9938, 0.993, 0.9921, 0.9915, 0.9912, 0.9907, 0.9904]
STEADY = [0.9932, 0.9941, 0.9928, 0.995, 0.9951, 0.9938, 0.9944, 0.995, 0.9961, 0.9955, 0.9949, 0.9953]
TILES = (
    tile("stock_freshness", "Stock freshness", "at_risk", unit="minutes", value=0.9904, budget_left=0.04,
         change=-0.0021, good=39_930, bad=387, deadline="60 s", owner="inventory",
         reason="Marketplace feed of WH1 behind since 10:12",
         history=points(SLIPPING, 0.99)),
    tile("reconciliation_variance", "Reconciliation variance", "meeting", unit="cells", value=0.9953, target=0.99,
         budget_left=0.53, deadline="next business day 09:00", owner="controlling", history=points(STEADY, 0.99),
         reason="All 212 cells of the window but one are explained to the penny", good=211, bad=1),
    tile("refund_to_ledger", "Refund to ledger", "breached", unit="refunds", value=0.9712, budget_left=-1.88,
         change=-0.0214, good=1_214, bad=36, overdue_open=3, at_risk=(gbp(129_390),), owner="finance-ops",
         reason="36 of 1,250 refunds missed their deadline, 3 are still open", history=points(FALLING, 0.99)),
)  # fmt: skip


def overdue_item(title: str, identity: str, hours: float, minor: int, owner: str, reason: str = "") -> OverdueItem:
    return OverdueItem(
        flow="return", step="erp", title=title, entity="refund", entity_id=title, correlation_id=identity,
        sla="refund_to_ledger", since=NOW - timedelta(hours=hours + 4), due_at=NOW - timedelta(hours=hours),
        overdue_seconds=hours * 3_600, owner=owner, channel="web", location="WH1", provider="cardco", amount=gbp(minor),
        reason=reason,
    )  # fmt: skip


OVERDUE = Overdue(
    as_of=NOW, cut=False,
    items=(
        overdue_item("refund C538698 is not accepted by the ERP", RETURN, 19.24, -1_320, "finance-ops",
                     "account 4010 is closed for 2026-11"),
        overdue_item("refund C540117 is not accepted by the ERP", OTHER, 5.5, -120_000, "finance-ops"),
        overdue_item("refund C540120 is not accepted by the ERP", OTHER, 1.1, -8_070, "finance-ops"),
        overdue_item("shipment S-541002-1 is not posted", ORDER, 0.4, 40_112, "fulfilment"),
    ),
    by_owner=(
        OverdueByOwner(owner="finance-ops", count=3, at_risk=(gbp(129_390),), oldest_due_at=NOW - timedelta(hours=19)),
        OverdueByOwner(owner="fulfilment", count=1, at_risk=(gbp(40_112),), oldest_due_at=NOW - timedelta(minutes=24)),
    ),
)  # fmt: skip


def segment(channel: str, location: str, value: float, state: SlaState, bad: int, late: int) -> Segment:
    return Segment(
        channel=channel, location=location, provider="", value=value, target=0.99, state=state, reason="", good=400,
        bad=bad, pending=2, excused=0, overdue_open=late, at_risk=(gbp(late * 43_130),) if late else (),
        budget_left=0.1, as_of=NOW,
    )  # fmt: skip


def item(number: str, identity: str, verdict: Verdict, late_hours: float, minor: int) -> SlaItem:
    due = NOW - timedelta(hours=late_hours)
    return SlaItem(
        sla="refund_to_ledger", entity="refund", entity_id=number, correlation_id=identity, verdict=verdict,
        overdue=verdict == "bad" and minor > -100_000, started_at=due - timedelta(hours=4), due_at=due,
        ended_at=None if minor > -100_000 else due + timedelta(hours=2), decided_at=due,
        late_seconds=max(0, late_hours * 3_600), channel="store" if number == "C541200" else "web",
        location="WH1", provider="cardco", owner="finance-ops", amount=gbp(minor), reason="",
    )  # fmt: skip


def span(number: int, parent: int, offset_us: int, **changes: object) -> TraceSpan:
    fields: dict[str, object] = {
        "span_id": f"{number:016x}", "parent_span_id": f"{parent:016x}", "depth": number - 1, "name": "posting.send",
        "service": "sync-core", "started_at": SOLD + timedelta(microseconds=offset_us), "offset_us": offset_us,
        "duration_us": 1_000, "failed": False, "message": "", "outcome": "ok", "correlation_id": ORDER,
        "orphan": False, "attrs": {}, "events": (),
    }  # fmt: skip
    return TraceSpan(**{**fields, **changes})  # type: ignore[arg-type]


TRACE = Trace(
    trace_id="f" * 32, started_at=SOLD, duration_us=4_000, services=("sync-core", "erp"), failed=1, orphans=0,
    spans=(
        span(1, 0, 0, name="order.capture", duration_us=4_000),
        span(2, 1, 1_500, failed=True, outcome="failed", service="erp", attrs={"http.status": "503"},
             events=(TraceEvent(at=SOLD, name="exception", attrs={"type": "Busy"}),)),
    ),
)  # fmt: skip


VALUES = {("web", "", None): 0.96, ("web", "WH1", None): 0.9412, ("web", "WH1", date(2026, 11, 19)): 0.9412}


class Estate(Struct):
    """A Reader whose answers are all written down above."""

    unreadable: bool = False
    minutes: int = 0  # that have passed since NOW

    def journey(self, any_id: str, /) -> Answer:
        if any_id in ("537681", ORDER):
            return order_journey()
        if any_id in ("C538698", RETURN):
            told = late_journey()
            return structs.replace(told, as_of=told.as_of + timedelta(minutes=self.minutes))
        if any_id == "77":
            return Choice(query="77", matches=(match(TWICE[0], "77"), match(TWICE[1], "77", "pos:s17")))
        near = Suggestion(key_value="537681", key_name="order_id", origin="webshop", correlation_id=ORDER,
                          why="1 character differs", distance=1)  # fmt: skip
        return Unknown(query=any_id, suggestions=(near,) if any_id.startswith("53") else ())

    def trace(self, trace_id: str, /) -> Trace | None:
        return TRACE if trace_id == TRACE.trace_id else None

    def tiles(self, view: View = WHOLE, /) -> Sequence[SlaTile]:
        if self.unreadable:
            raise ConnectionError("the store of spans does not answer")
        if view == WHOLE:
            return TILES
        return [structs.replace(TILES[2], value=VALUES.get((view.channel, view.location, view.until), 0.5))]

    @property
    def brands(self) -> Brands:
        return Brands((Brand("Harbour", channels=("web",)), Brand("Vale", locations=("S017",))))

    def places(self, brand: str = "", /) -> Sequence[tuple[str, str]]:
        return [("web", "")] if brand else [("store", ""), ("store", "S017"), ("web", ""), ("web", "WH1")]

    def sla(self, name: str, view: View = WHOLE, /) -> SlaDetail | None:
        found = next((tile for tile in self.tiles(view) if tile.name == name), TILES[2])
        segments = (segment("web", "WH1", 0.9412, "breached", 25, 2), segment("store", "S017", 0.985, "breached", 6, 1),
                    segment("marketplace", "WH1", 0.9975, "meeting", 1, 0))  # fmt: skip
        rule = ("From the moment the provider accepted the refund until our journal and the ERP both have it. "
                "Good within 4 h; late, or still open after that, is bad.")  # fmt: skip
        return SlaDetail(tile=found, segments=segments, rule=rule)

    def items(self, name: str, wanted: Filter | None = None, /) -> SlaItems | None:
        items = (item("C538698", RETURN, "bad", 19.24, -1_320), item("C540117", OTHER, "bad", 5.5, -120_000),
                 item("C541200", OTHER, "pending", -2, -4_499))  # fmt: skip
        channel = wanted.channel if wanted else ""
        shown = tuple(one for one in items if channel in ("", one.channel))
        return SlaItems(sla=name, as_of=NOW, items=shown, cut=False)

    def overdue(self) -> Overdue:
        return OVERDUE


class Served(Struct):
    root: str
    estate: Estate


@get("/v1/status", sync_to_thread=False)
def status() -> dict[str, object]:
    return {"inbox_queued": 0, "outbox_waiting": 12, "oldest_waiting_seconds": 190.0, "spans_waiting": 3, "erp": "down"}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    root = f"http://127.0.0.1:{listening.getsockname()[1]}"
    estate = Estate()
    pages = create(estate, core_url=root, plane_url=root, clock=lambda: NOW, serves_seconds=0)
    app = Litestar([status, serve_below("/ui", pages)], openapi_config=None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    httpx.get(f"{root}/v1/status", timeout=20, trust_env=False, verify=False)
    yield Served(root, estate)
    server.should_exit = True
    thread.join(timeout=20)
    listening.close()


# --- what a person does ---------------------------------------------------------------------------------------------


def test_the_worst_promise_comes_first_and_says_so_in_words(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/")
    tiles = page.locator(".tile")

    expect(tiles).to_have_count(3)
    expect(tiles.locator("h2")).to_have_text(["Refund to ledger", "Stock freshness", "Reconciliation variance"])
    expect(tiles.locator(".mark")).to_have_text(["Breached", "At risk", "Meeting target"])
    expect(tiles.locator(".value")).to_have_text(["97.12%", "99.04%", "99.53%"])
    expect(tiles.first).to_contain_text("overspent by 188%")
    expect(tiles.first).to_contain_text("£1,293.90")
    expect(tiles.first).to_contain_text("as of 10:42 (data 3 min old)")
    expect(page).to_have_title("Promises · Tallytrace")
    loaded = page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert not [name for name in loaded if "plotly" in name]  # the overview draws without the largest script


def test_from_the_promise_to_the_item_to_the_transaction(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/")
    page.locator(".tile").first.get_by_role("link").click()
    expect(page).to_have_url(f"{served.root}/ui/sla/refund_to_ledger")
    expect(page.locator("h1")).to_have_text("Refund to ledger")
    expect(page.locator(".chart .scatterlayer .point")).to_have_count(11)  # of 12 measurements one had no data

    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("row", name="97.12% 971 29 4 Breached")).to_be_visible()

    page.get_by_role("link", name="Refund C538698").click()
    expect(page.locator("h1")).to_have_text("Return C538698")


def test_the_link_of_an_alert_lists_the_items_of_its_channel(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/sla/refund_to_ledger?channel=store")
    items = page.get_by_role("link", name=re.compile("^Refund C"))
    expect(items).to_have_text(["Refund C541200"])
    expect(page.get_by_text("Only those of store.")).to_be_visible()
    page.get_by_role("link", name="Show all", exact=True).click()
    expect(items).to_have_count(3)
    page.get_by_role("link", name="web · WH1").click()
    expect(items).to_have_text(["Refund C538698", "Refund C540117"])


def test_a_table_is_sorted_by_any_column_and_stays_so(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/sla/refund_to_ledger")
    items = page.get_by_role("table", name="Items of this promise: overdue, late, not yet due")
    found, worth = items.get_by_role("link"), items.get_by_role("columnheader", name="Worth")
    as_sent = ["Refund C538698", "Refund C540117", "Refund C541200"]  # of 13.20, 1,200.00 and 44.99, given back
    expect(found).to_have_text(as_sent)
    worth.get_by_role("button").click()
    expect(found).to_have_text(["Refund C540117", "Refund C541200", "Refund C538698"])
    expect(worth).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="web · WH1").click()
    expect(found).to_have_text(["Refund C540117", "Refund C538698"])
    worth.get_by_role("button").click()
    expect(found).to_have_text(["Refund C538698", "Refund C540117"])
    page.get_by_role("link", name="Show all", exact=True).click()
    worth.get_by_role("button").click()
    expect(found).to_have_text(as_sent)


def test_a_long_table_is_filtered_and_saved_as_it_is_shown(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/sla/refund_to_ledger")
    page.get_by_text("Show as a table").click()
    rows = page.get_by_role("table", name="Measurements, newest first").locator("tbody").get_by_role("row")
    expect(rows).to_have_count(12)
    page.get_by_role("searchbox", name="Filter: Measurements, newest first").fill("no data")
    expect(rows).to_have_count(1)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV: Measurements, newest first").click()
    assert len(Path(saved.value.path()).read_text(encoding="utf-8").splitlines()) == 2


def test_numbers_and_times_are_those_of_the_reader(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/", locale="de-DE", timezone_id="America/New_York")
    tile = page.locator(".tile").first
    expect(tile.locator(".value")).to_have_text("97,12%")
    expect(tile).to_contain_text("£1.293,90")
    expect(tile).to_contain_text("as of 20 Nov, 05:42 (data 3 min old)")
    expect(tile.locator("time").first).to_have_attribute("title", "2026-11-20 10:42:10 UTC")
    tile.get_by_role("link").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV: Items of this promise: overdue, late, not yet due").click()
    assert "1,200.00" in Path(saved.value.path()).read_text(encoding="utf-8")


def test_a_brand_is_chosen_before_its_channels(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/?channel=web&location=WH1&until=2026-11-19")
    page.get_by_role("combobox", name="Brand").select_option("Harbour")
    expect(page).to_have_url(f"{served.root}/ui/?brand=Harbour&until=2026-11-19")
    expect(page.locator(".lead")).to_contain_text("Harbour, until 19 Nov 2026: 1 breached.")
    expect(page.get_by_role("combobox", name="Channel").locator("option")).to_have_text(["All", "web"])
    page.get_by_role("combobox", name="Channel").select_option("web")
    expect(page).to_have_url(f"{served.root}/ui/?brand=Harbour&channel=web&until=2026-11-19")
    page.get_by_role("article").get_by_role("link").click()
    expect(page).to_have_url(f"{served.root}/ui/sla/refund_to_ledger?brand=Harbour&channel=web&until=2026-11-19")
    expect(page.locator(".lead")).to_contain_text("Harbour · web")
    assert violations(page) == []


def test_period_and_place_are_in_the_address_and_kept_on_the_way_down(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/")
    tile, value = page.get_by_role("article"), page.locator(".tile .value")
    expect(tile).to_have_count(3)
    expect(page.get_by_role("combobox", name="Location")).to_have_count(0)
    page.get_by_role("combobox", name="Channel").select_option("web")
    expect(page).to_have_url(f"{served.root}/ui/?channel=web")
    expect(tile).to_have_count(1)
    expect(value).to_have_text("96.00%")
    page.get_by_role("combobox", name="Location").select_option("WH1")
    expect(value).to_have_text("94.12%")
    page.get_by_role("combobox", name="Period").select_option("Yesterday, 19 Nov 2026")
    there = "?channel=web&location=WH1&until=2026-11-19"
    expect(page).to_have_url(f"{served.root}/ui/{there}")
    expect(page.locator(".lead")).to_contain_text("Web · WH1, until 19 Nov 2026: 1 breached.")
    assert violations(page) == []

    sent = open_page(f"{served.root}/ui/{there}")
    expect(sent.get_by_role("combobox", name="Location").locator("option:checked")).to_have_text("WH1")
    sent.get_by_role("article").get_by_role("link").click()
    expect(sent).to_have_url(f"{served.root}/ui/sla/refund_to_ledger{there}")
    expect(sent.locator("h1")).to_have_text("Refund to ledger")
    expect(sent.locator(".value").first).to_have_text("94.12%")
    sent.get_by_role("combobox", name="Channel").select_option("All")
    expect(sent).to_have_url(f"{served.root}/ui/sla/refund_to_ledger?until=2026-11-19")
    sent.go_back()
    expect(sent.get_by_role("combobox", name="Channel").locator("option:checked")).to_have_text("web")
    sent.locator(".crumbs").get_by_role("link", name="Promises").click()
    expect(sent).to_have_url(f"{served.root}/ui/{there}")


@pytest.mark.parametrize("first", ["the page that was left", "the page that was gone back to"])
@pytest.mark.parametrize(
    ("path", "picked", "before", "value"),
    [("/ui/", "web", "All", "97.12%"), ("/ui/sla/refund_to_ledger?channel=web&location=WH1", "All", "web", "94.12%")],
)
def test_who_goes_back_before_a_page_is_drawn_sees_the_page_of_the_address(
    served: Served, open_page: Opener, path: str, picked: str, before: str, value: str, first: str
) -> None:
    page = open_page(served.root + path)
    shown, picker = page.locator(".value").first, page.get_by_role("combobox", name="Channel")
    expect(shown).to_have_text(value)
    asked: list[Route] = []

    def hold(route: Route) -> None:
        if "page.children" in (route.request.post_data or ""):
            asked.append(route)
        else:
            route.continue_()

    def awaits(many: int) -> None:
        for _ in range(500):
            if len(asked) < many:
                page.wait_for_timeout(20)
        assert len(asked) == many

    page.route(re.compile("_dash-update-component"), hold)
    picker.select_option(picked)
    awaits(1)
    page.go_back(wait_until="commit")
    awaits(2)
    answers = [(route, route.fetch()) for route in asked]
    for route, answer in answers if first == "the page that was left" else reversed(answers):
        route.fulfill(response=answer)
    page.unroute_all()

    expect(page).to_have_url(served.root + path)
    expect(picker.locator("option:checked")).to_have_text(before)
    expect(shown).to_have_text(value)


def test_search_by_key_shows_the_timeline(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/")
    expect(page.locator(".tile")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("537681")
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{served.root}/ui/transaction?id=537681")
    expect(page.locator("h1")).to_have_text("Order 537681")
    expect(page.locator(".timeline .tl-title b")).to_have_text(
        ["Order captured", "Stock reserved", "Payment captured", "Shipped", "Journal posted", "Accepted by the ERP"]
    )
    expect(page.locator(".tl-gap-label")).to_have_text(["3 min 58 s later", "1 d 1 h later", "12 min later"])
    expect(page.locator(".related")).to_contain_text("Goods came back in return C538698")
    expect(page.locator(".related")).to_contain_text("−£35.40")  # noqa: RUF001 [a minus sign is meant]
    page.get_by_text("3 attempts").click()
    expect(page.get_by_text("503 from the ERP")).to_be_visible()


def test_the_technical_trace_is_drawn_beside_its_transaction(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction?id=537681")
    page.get_by_text("2 technical traces").click()
    page.get_by_role("link", name="f" * 32).click()
    expect(page.get_by_text("2 spans in 4 ms, 1 failed span, sync-core, erp")).to_be_visible()
    page.get_by_text("posting.send", exact=True).click()
    expect(page.get_by_text("503", exact=True)).to_be_visible()


def test_what_never_happened_is_on_the_timeline(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction?id=C538698")
    hollow = page.locator(".tl-row.hollow")

    expect(hollow).to_have_count(2)
    expect(hollow.first).to_contain_text("missing: due then, 19 h 14 min overdue")
    expect(hollow.first).to_contain_text("with finance-ops")
    expect(hollow.last).to_contain_text("due in 20 d")
    expect(page.get_by_text("1 entry out of balance")).to_be_visible()
    expect(page.get_by_text("parked: no sale of this item is known")).to_be_visible()


def test_a_refresh_leaves_open_what_was_opened_and_the_focus_where_it_was(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction?id=C538698")
    expect(page.locator(".now .tl-time")).to_have_text("10:42")
    page.get_by_text("2 attempts").click()
    linked = page.locator(".related").get_by_role("link", name="order 537681")
    linked.focus()

    served.estate.minutes = 3
    page.evaluate("dash_clientside.set_props('tick', {n_intervals: 1})")
    expect(page.locator(".now .tl-time")).to_have_text("10:45")
    served.estate.minutes = 0
    expect(page.get_by_text("503 from the ERP")).to_be_visible()
    expect(linked).to_be_focused()


def test_an_unknown_number_offers_what_is_near(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction/53768x")
    expect(page.locator("h1")).to_have_text("Nothing is known by this number")
    page.get_by_role("link", name="Order 537681").click()
    expect(page.locator("h1")).to_have_text("Order 537681")


def test_an_ambiguous_number_is_a_choice(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction?id=77")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.get_by_role("link", name="77 in pos:s17").get_attribute("href") == f"/ui/transaction?id={TWICE[1]}"


@pytest.mark.parametrize(("dark", "ground"), [(False, "rgb(245, 246, 247)"), (True, "rgb(18, 21, 25)")])
def test_the_scheme_follows_the_system_until_it_is_switched(
    served: Served, open_page: Opener, dark: bool, ground: str
) -> None:
    page = open_page(f"{served.root}/ui/", dark=dark)
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator("body")).to_have_css("background-color", ground)

    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("body")).not_to_have_css("background-color", ground)
    page.reload()
    expect(page.locator("body")).not_to_have_css("background-color", ground)


@pytest.mark.parametrize("path", ["/ui/", "/ui/sla/refund_to_ledger", "/ui/transaction?id=C538698"])
def test_nothing_is_cut_off_on_a_telephone(served: Served, open_page: Opener, path: str) -> None:
    page = open_page(served.root + path, width=390, height=844)
    expect(page.locator("#page h1")).to_be_visible()
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('#page *')].map(each => each.getBoundingClientRect().right))"
    )
    assert widest <= 390


@pytest.mark.parametrize(("path", "name"), [("/ui/", "Promises"), ("/ui/tour", "Tour")])
def test_where_one_is_can_be_seen_on_a_telephone(served: Served, open_page: Opener, path: str, name: str) -> None:
    page = open_page(served.root + path, width=390, height=844)
    here = page.get_by_role("navigation", name="Pages").get_by_role("link", name=name)
    expect(here).to_have_attribute("aria-current", "page")
    expect(here).to_be_in_viewport(ratio=1)


def test_the_lag_of_the_core_is_on_every_page(served: Served, open_page: Opener) -> None:
    page = open_page(f"{served.root}/ui/transaction")
    expect(page.locator("#core")).to_have_text("ERP not answering: 12 journals waiting, oldest 3 min 10 s")


def test_a_store_that_does_not_answer_is_said(served: Served, open_page: Opener) -> None:
    served.estate.unreadable = True
    try:
        page = open_page(f"{served.root}/ui/")
        expect(page.locator("#trouble")).to_contain_text("The data cannot be read at the moment")
    finally:
        served.estate.unreadable = False


# --- what the server does -------------------------------------------------------------------------------------------


def test_a_page_that_is_shown_is_sent_again_only_when_it_changed(served: Served) -> None:
    with httpx.Client(base_url=served.root, trust_env=False, verify=False) as client:
        first = page_at(client, "/ui/transaction", "?id=537681")
        shown = first["shown"]["data"]
        assert shown["title"] == "Order 537681"
        ticked = page_at(client, "/ui/transaction", "?id=537681", shown, by="tick.n_intervals")
        assert set(ticked) == {"trouble", "read"}
        other = page_at(client, "/ui/transaction", "?id=537681", shown | {"mark": "of old"}, by="tick.n_intervals")
        assert other["page"] == first["page"]


def test_the_pages_may_load_nothing_from_elsewhere(served: Served) -> None:
    policy = httpx.get(f"{served.root}/ui/", trust_env=False, verify=False).headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; script-src 'self' 'sha256-")
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("path", "status_code"),
    [
        ("/ui", 200),
        ("/ui/sla/x", 200),
        ("/uiguide", 404),
        ("/ui/assets/nothing.css", 404),
        ("/ui/_dash-component-suites/nobody/nothing.js", 404),
        ("/ui/_dash-component-suites/dash/nothing.js", 404),
    ],
)
def test_only_what_is_below_the_prefix_is_served(served: Served, path: str, status_code: int) -> None:
    assert httpx.get(served.root + path, trust_env=False, verify=False).status_code == status_code
