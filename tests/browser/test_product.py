"""The real product in a real browser: a person types a number of the real file and reads its story."""

import gzip
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from sync_core.messages import ChannelConnected, ChannelServed
from sync_core.returns.messages import RefundFailed
from tests.acceptance import trade
from tests.acceptance.conftest import REAL_YEAR, Installation, installation
from tests.browser.accessibility import violations
from tests.factories import (
    cloudevent,
    feed_report,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    refund,
    shipment,
    stepped,
)
from tests.settlement_files import stripe

pytestmark = pytest.mark.browser

CUSTOMERS = (",13329.0,", ",15311.0,")  # of order 537681, and of credit note C539640
Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def two_customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that two customers of the real year bought and gave back until the end of January 2011."""
    if not REAL_YEAR.exists():
        pytest.skip("the Online Retail file is not beside this repository")
    path = tmp_path_factory.mktemp("real") / "two_customers.csv"
    with gzip.open(REAL_YEAR, "rt", encoding="utf-8", newline="") as year, path.open("w", encoding="utf-8") as target:
        target.write(next(year))
        target.writelines(row for row in year if any(one in row for one in CUSTOMERS) and ",2011-02" not in row)
    return path


@pytest.fixture(scope="module")
def product(two_customers: Path, free_port: Callable[[], int]) -> Iterator[Installation]:
    with installation(free_port) as one:
        one.replay(two_customers)
        yield one


@pytest.mark.proves(223, 228)
def test_a_person_finds_an_order_and_what_came_back_of_it(product: Installation, open_page: Opener) -> None:
    page = open_page(f"{product.plane}/ui/")
    expect(page.get_by_text("Refund to ledger").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("537681")
    page.keyboard.press("Enter")
    expect(page.get_by_text("537681").first).to_be_visible()
    for words in ("304.20", "C538698", "13.20", "C539600", "35.40"):
        expect(page.get_by_text(words).first).to_be_visible()


def test_the_terminal_tells_the_same_order(product: Installation) -> None:
    told = product.run("trace", "537681").stdout
    for words in ("304.20 GBP", "C538698", "-13.20 GBP", "C539600", "-35.40 GBP"):
        assert words in told, told


@pytest.mark.proves(124, 84)
def test_a_return_of_goods_from_three_orders_with_one_line_parked(product: Installation, open_page: Opener) -> None:
    journey = httpx.get(f"{product.plane}/v1/transactions/C539640").json()
    returned = {
        one["reference"]: [(line["quantity"], line["sku"]) for line in one["lines"]]
        for one in journey["related"]
        if one["link"] == "returns" and one["depth"] == 1
    }
    assert returned == {"539247": [(2, "20829")], "538651": [(3, "35004C")], "538857": [(1, "22774")]}
    assert [(one["sku"], one["amount"]["amount_minor"]) for one in journey["parked"]] == [("21668", -106)]
    told = product.run("trace", "C539640").stdout
    for words in ("539247", "538651", "538857", "21668", "-1.06 GBP"):
        assert words in told, told
    page = open_page(f"{product.plane}/ui/transaction?id=C539640")
    for words in ("539247", "538651", "538857", "21668", "1.06"):
        expect(page.get_by_text(words).first).to_be_visible()


# --- desks ----------------------------------------------------------------------------------------------------------

DAY = datetime(2011, 2, 1, 9, tzinfo=UTC)
DESKS = ("Promises", "Transactions", "Orders", "Exceptions", "Inventory", "Returns", "Reconciliation", "Flow", "Alerts")


@pytest.fixture(scope="module")
def desks(product: Installation) -> Installation:
    """The same product, with an order that wants more than there is."""
    body = [
        cloudevent(goods_in(), "desk/1", at=DAY),
        cloudevent(order("7001", line(quantity=50)), "desk/2", at=DAY),
    ]
    assert httpx.post(f"{product.core}/v1/events", json=body, timeout=60).status_code == 202
    product.wait_until_drained()
    return product


def confirm(page: Page, **said: str) -> None:
    """Fill the form that asks who and why, and let it be done."""
    form = page.get_by_role("dialog")
    for label, text in said.items():
        form.get_by_label(label.replace("_", " ")).fill(text)
    form.locator("#act-confirm").click()


@pytest.mark.proves(218, 219, 279)
def test_an_exception_is_assigned_and_resolved_by_whom_and_why(desks: Installation, open_page: Opener) -> None:
    page = open_page(f"{desks.plane}/ui/exceptions?kind=backorder")
    page.get_by_role("link", name="Backorder", exact=True).click()
    expect(page.get_by_text("Find stock for it: receive, count or transfer goods there")).to_be_visible()

    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("dialog")).to_contain_text("This concerns 1 exception, worth £500.00.")
    confirm(page, For_whom="ben")
    expect(page.get_by_role("dialog")).to_contain_text("Say who you are and why")
    assert httpx.get(f"{desks.core}/v1/exceptions?kind=backorder").json()[0]["assignee"] == ""
    confirm(page, Your_name="ann", Reason="ben knows the supplier")
    expect(page.get_by_text("Done: 1 exception, worth £500.00.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("ann assign ben knows the supplier ben"))).to_be_visible()

    page.get_by_role("button", name="Resolve").click()
    confirm(page, Reason="the customer waits")
    expect(page.get_by_role("row", name=re.compile("ann resolve the customer waits"))).to_be_visible()
    (decided,) = httpx.get(f"{desks.core}/v1/exceptions?kind=backorder&state=resolved").json()
    assert (decided["assignee"], decided["resolution"]) == ("ben", "resolved by ann: the customer waits")


@pytest.mark.proves(220, 231, 232, 280)
def test_what_flows_is_told_by_channel_and_location_and_saved_as_a_file(
    desks: Installation, open_page: Opener, tmp_path: Path
) -> None:
    page = open_page(f"{desks.plane}/ui/flow?minutes=1440")
    rates = {one["name"]: one for one in httpx.get(f"{desks.plane}/v1/traffic?minutes=1440").json()["rates"]}
    captured = page.get_by_role("row", name=re.compile("^Order capture "))
    expect(captured).to_contain_text(f"{rates['order.capture']['runs']:,}")
    page.get_by_role("link", name="By channel").click()
    expect(page.get_by_role("row", name=re.compile("^web "))).to_be_visible()
    page.get_by_role("link", name="By location").click()
    expect(page.get_by_role("row", name=re.compile("^WH1 "))).to_be_visible()

    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV: Runs by location, the busiest first").click()
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith('"Location","Runs"')
    assert any(one.startswith('"WH1","') for one in lines)


@pytest.mark.proves(278)
def test_finance_sees_each_day_at_each_level_and_begins_to_close_the_month(
    desks: Installation, open_page: Opener
) -> None:
    page = open_page(f"{desks.plane}/ui/reconciliation?until=2011-01-31&period=2011-01")
    documents = page.get_by_role("region", name="Days by level").get_by_role("row", name=re.compile("^Documents"))
    expect(documents.get_by_role("link").first).to_be_visible()
    page.get_by_role("button", name="Begin to close").click()
    confirm(page, Your_name="ann", Reason="January is complete")
    expect(page.get_by_text("2011-01 of main is closing.")).to_be_visible()
    expect(page.get_by_text("Closing: only finance posts")).to_be_visible()
    assert httpx.get(f"{desks.core}/v1/periods/2011-01").json()["state"] == "closing"


@pytest.fixture(scope="module")
def trading(desks: Installation) -> Installation:
    """And a marketplace that takes no figures, a payout that is not what was sold, and a refund that failed."""
    now = datetime.now(UTC)
    yesterday = (now - timedelta(days=1)).date()
    happened: list[tuple[timedelta, Any]] = [
        (timedelta(days=12), goods_in("D7", {"A1": 5})),
        (timedelta(days=11), order("7009")),
        (timedelta(days=11), payment("7009", provider="stripe", payment_id="ch_7009")),
        (timedelta(days=11), shipment("7009")),
        (timedelta(days=10), goods_back("R7009", order_id="7009")),
        (timedelta(days=10), refund("F7009", return_id="R7009", provider="stripe")),
        (timedelta(days=1), order("7010")),
        (timedelta(days=1), payment("7010", provider="stripe", payment_id="ch_7010")),
        (timedelta(days=1), shipment("7010")),
        (timedelta(hours=2), goods_back("R7010", order_id="7010")),
        (timedelta(hours=2), refund("F7010", return_id="R7010", provider="stripe")),
        (timedelta(hours=1), RefundFailed(origin="shop", return_id="R7010", refund_id="F7010", provider="stripe")),
        (timedelta(minutes=30), ChannelServed(origin="erp", channel="bazaar", locations=("WH1",))),
        (timedelta(minutes=30), ChannelConnected(origin="erp", channel="bazaar", url="http://127.0.0.1:9")),
        (timedelta(minutes=30), goods_in("D8", {"A1": 500})),
    ]
    body = [cloudevent(each, f"trading/{n}", at=now - ago) for n, (ago, each) in enumerate(happened)]
    assert httpx.post(f"{desks.core}/v1/events", json=body, timeout=60).status_code == 202
    payout = stripe(("charge", "ch_7010", "9.00", "0.59"), payout="po_7", on=f"{yesterday}")
    sent = httpx.put(f"{desks.core}/v1/files/stripe_payouts/po_7.csv", content=payout, timeout=60)
    assert sent.status_code == 202
    desks.wait_until_drained()
    return desks


def feeds(of: Installation) -> set[tuple[str, str]]:
    return {(one["channel"], one["state"]) for one in httpx.get(f"{of.plane}/v1/feeds").json()}


@pytest.mark.proves(221, 225, 281)
def test_commerce_sees_which_channel_does_not_have_the_stock_that_is_there(
    trading: Installation, open_page: Opener
) -> None:
    heard = [cloudevent(feed_report(channel="bazaar"), "trading/heard", at=datetime.now(UTC))]
    assert httpx.post(f"{trading.core}/v1/events", json=heard, timeout=60).status_code == 202
    trading.wait_for(lambda: ("bazaar", "late") in feeds(trading), 60)
    page = open_page(f"{trading.plane}/ui/inventory?channel=bazaar")
    grid = page.get_by_role("table", name="Freshness by channel and location")
    expect(grid.get_by_role("row", name=re.compile("^bazaar"))).to_contain_text(re.compile("late", re.IGNORECASE))
    expect(grid.get_by_role("row", name=re.compile("^dotcom"))).to_contain_text("No heartbeat")
    told = page.get_by_role("table", name="Channels that are told what they may sell")
    channel = told.get_by_role("row", name=re.compile("^bazaar"))
    expect(channel).to_contain_text("Does not take figures")
    expect(channel.get_by_role("cell").nth(2)).to_have_text("1")


@pytest.mark.proves(227, 230)
def test_finance_sees_what_each_provider_did_not_pay_and_how_soon_it_was_posted(
    trading: Installation, open_page: Opener
) -> None:
    def tile(name: str) -> dict[str, Any]:
        return next(one for one in httpx.get(f"{trading.plane}/v1/slas").json() if one["name"] == name)

    trading.wait_for(lambda: tile("settlement_to_erp")["good"] == 1, 120)
    page = open_page(f"{trading.plane}/ui/reconciliation")
    expect(page.get_by_role("article").filter(has_text="Settlement to ERP")).to_contain_text("100.00%of settlements")
    providers = page.get_by_role("table", name="Mismatches by payment provider, the largest first")
    expect(providers.get_by_role("row", name=re.compile("^stripe Clearing to settlements"))).to_contain_text("£1.59")


@pytest.mark.proves(229)
def test_the_returns_desk_sees_how_many_refunds_have_an_exception_and_which(
    trading: Installation, open_page: Opener
) -> None:
    def refunds() -> tuple[int, int]:
        tile = httpx.get(f"{trading.plane}/v1/slas/refund_exception_rate").json()["tile"]
        return tile["good"], tile["bad"]

    trading.wait_for(lambda: refunds() == (1, 1), 120)
    page = open_page(f"{trading.plane}/ui/returns")
    rates = page.get_by_role("table", name="Refund exception rate by channel and provider")
    for where in ("Everywhere", "web", "stripe (provider)"):
        expect(rates.get_by_role("row", name=f"{where} 2 1 50.00%")).to_be_visible()
    had = page.get_by_role("table", name="Refunds with an exception, the latest first")
    expect(had.get_by_role("link")).to_have_text(["Refund F7010"])


def states_of(of: Installation) -> set[tuple[str, str, int]]:
    told = httpx.get(f"{of.plane}/v1/order-states?days=1", timeout=60).json()
    return {(one["channel"], one["state"], one["came"]) for one in told["states"]}


@pytest.mark.proves(222)
def test_how_far_orders_have_come_and_where_they_stop(trading: Installation, open_page: Opener) -> None:
    now = datetime.now(UTC)
    happened: list[tuple[timedelta, Any]] = [
        *((timedelta(hours=3), order(f"710{n}", channel="kiosk")) for n in range(4)),
        *((timedelta(hours=3), stepped("released", f"710{n}")) for n in range(3)),
        *((timedelta(hours=2), stepped("picked", f"710{n}")) for n in range(2)),
    ]
    body = [cloudevent(each, f"progress/{n}", at=now - ago) for n, (ago, each) in enumerate(happened)]
    assert httpx.post(f"{trading.core}/v1/events", json=body, timeout=60).status_code == 202
    trading.wait_for(lambda: ("kiosk", "picked", 2) in states_of(trading), 60)
    page = open_page(f"{trading.plane}/ui/orders?channel=kiosk&days=1")
    states = page.get_by_role("table", name="Orders by state, from first to last")
    expect(states.get_by_role("row", name=re.compile("^Captured 4 100% of the orders . . . "))).to_be_visible()
    expect(states.get_by_role("row", name=re.compile("^Reserved 4 100% of the orders 1 "))).to_be_visible()
    expect(states.get_by_role("row", name="Released 3 75% of the orders 1 1 3 h 1 h 1 h")).to_be_visible()
    expect(states.get_by_role("row", name=re.compile("^Picked 2 50% of the orders 2 . 2 h"))).to_be_visible()
    expect(page.locator(".lead")).to_contain_text("in a state for longer than usual")
    states.get_by_role("link", name="3 h").click()
    expect(page.locator("h1")).to_have_text("Order 7102")


def test_a_rule_is_replayed_over_the_past_on_its_page(desks: Installation, open_page: Opener) -> None:
    page = open_page(f"{desks.plane}/ui/alerts?view=rules")
    rules = page.get_by_role("table", name="Alert rules")
    expect(rules).to_be_visible()
    conditions = rules.locator("td[data-label='Fires when']").all_inner_texts()
    assert len(conditions) > 30
    assert all(conditions), "each in words"
    rules.get_by_role("row", name=re.compile("^Refund not in ledger ")).get_by_role("link", name="Replay").click()
    expect(page.get_by_role("heading", name="Refund not in ledger: over the past")).to_be_visible()
    page.get_by_role("link", name="1 day", exact=True).click()
    expect(page).to_have_url(f"{desks.plane}/ui/alerts?view=rules&rule=refund_not_in_ledger&days=1")
    asked = {"name": "refund_not_in_ledger", "since_seconds": 86_400}
    told = httpx.post(f"{desks.plane}/v1/alerts/test", json=asked, timeout=60).json()
    times = rf"fired {len(told['fired'])} times? and paged {told['pages']} times?, over "
    expect(page.get_by_text(re.compile(times))).to_be_visible()
    assert violations(page) == []


@pytest.mark.proves(285)
def test_the_promises_print_on_one_page(desks: Installation, open_page: Opener) -> None:
    body = [cloudevent(order("7002", line(quantity=1)), "desk/3", at=datetime.now(UTC) - timedelta(hours=1))]
    assert httpx.post(f"{desks.core}/v1/events", json=body, timeout=60).status_code == 202
    # a promise that nobody has decided is a row and no tile
    desks.wait_for(lambda: any(one["good"] or one["bad"] for one in httpx.get(f"{desks.plane}/v1/slas").json()), 90)
    page = open_page(f"{desks.plane}/ui/")
    expect(page.locator(".tile").first).to_be_visible()
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    page.emulate_media(media="print")
    shown = page.evaluate(
        "[...document.querySelectorAll('.board a')].filter(a => a.checkVisibility()).map(a => a.text)"
    )
    declared = [one["title"] for one in httpx.get(f"{desks.plane}/v1/slas").json()]
    assert len(declared) >= 24
    assert sorted(shown) == sorted(declared)


def test_every_page_serves_those_who_hear_it_or_have_no_mouse(desks: Installation, open_page: Opener) -> None:
    page = open_page(f"{desks.plane}/ui/", width=1440)
    wrong: list[str] = []
    for name in DESKS:
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.locator(".nav-link[aria-current]")).to_have_text(name)
        expect(page).to_have_title(re.compile(r"^(?!Tallytrace$)"))
        expect(page.locator("#page h1")).to_be_visible()
        wrong += violations(page)
    assert wrong == []


@pytest.mark.proves(224, 226, 282)
def test_the_lag_shows_on_the_page_while_the_erp_is_away(product: Installation, open_page: Opener) -> None:
    product.stop_erp()
    late = product.home / "late.csv"
    late.write_text(trade.text())
    sent = httpx.put(f"{product.core}/v1/files/online_retail/{late.name}", content=late.read_bytes(), timeout=60)
    assert sent.status_code == 202
    product.wait_for(lambda: product.status()["erp"] == "down", 60)
    product.wait_for(lambda: not (product.status()["inbox_queued"] or product.status()["spans_waiting"]), 120)
    page = open_page(f"{product.plane}/ui/")
    expect(page.get_by_text("ERP not answering").first).to_be_visible()
    page.goto(f"{product.plane}/ui/exceptions?view=refunds")
    refunds = page.get_by_role("row", name=re.compile("^Refund C6000"))
    expect(refunds).to_have_count(3)
    expect(refunds.last).to_contain_text("£5.00")
    page.get_by_role("link", name="Awaiting the ERP").click()
    expect(page.get_by_role("row", name=re.compile("600001"))).to_be_visible()
    page.goto(f"{product.plane}/ui/flow")
    to_erp = page.get_by_role("article").filter(has=page.get_by_role("heading", name="To the ERP"))
    expect(to_erp).to_contain_text("it does not answer")
    product.start_erp()
    product.wait_until_drained()
    page.reload()
    expect(page.get_by_text("All work is through").first).to_be_visible()
    page.goto(f"{product.plane}/ui/exceptions?view=refunds")
    expect(refunds).to_have_count(0)
