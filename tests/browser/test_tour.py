"""The three stories of the tour, on the running demo, in a real browser; and that all who tell of a promise agree."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from sync_core.returns.messages import RefundIssued
from tests.browser.accessibility import violations
from tests.demos import REFUND_PAGED, Demo, running

pytestmark = [pytest.mark.browser, pytest.mark.long]

Opener = Callable[..., Page]
TILES = "all => all.map(one => [one.querySelector('h2').innerText, one.querySelector('.value, .words').innerText])"
ROWS = "all => all.map(one => [one.querySelector('a').innerText, one.cells[2].innerText])"
PAIRS = "all => all.map(one => [one.querySelector('dt').innerText, one.querySelector('dd').innerText])"
CELLS = "all => all.map(one => [one.dataset.label, one.innerText])"  # a column with nothing in it is left out
PATIENCE_MS = 240_000  # the demo trades while its pages are read


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(days=3) as one:
        one.awaits("the first page with data")
        yield one


@pytest.fixture(scope="module")
def refund(demo: Demo) -> RefundIssued:
    return demo.refund_in_parts()


def test_an_executive_sees_a_promise_break(demo: Demo, open_page: Opener, refund: RefundIssued) -> None:
    page = open_page(f"{demo.url}/ui/tour")
    expect(page.get_by_role("heading", name="An executive sees a promise break")).to_be_visible(timeout=PATIENCE_MS)
    assert violations(page) == []
    page.get_by_role("link", name="promises", exact=True).click()
    tile = page.get_by_role("article").filter(has_text="Refund to ledger")
    expect(tile).to_contain_text(re.compile("Breached|Low volume"), timeout=PATIENCE_MS)
    assert violations(page) == []
    tile.get_by_role("link", name="Refund to ledger").click()
    expect(page).to_have_url(re.compile("/ui/sla/refund_to_ledger"), timeout=PATIENCE_MS)
    channels = page.get_by_role("table", name="The promise by channel, location and provider, worst first")
    expect(channels.get_by_role("link", name="web", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    assert violations(page) == []


def test_an_owner_is_paged_with_a_link_to_the_items(demo: Demo, open_page: Opener, refund: RefundIssued) -> None:
    page = open_page(re.findall(REFUND_PAGED, demo.printed)[-1])
    expect(page).to_have_url(re.compile(r"/ui/sla/refund_to_ledger\?channel=web"), timeout=PATIENCE_MS)
    items = page.get_by_role("table", name="Items of this promise: overdue, late, not yet due")
    expect(items.get_by_role("link", name=f"Refund {refund.refund_id}")).to_be_visible(timeout=PATIENCE_MS)
    assert violations(page) == []
    items.get_by_role("link", name=f"Refund {refund.refund_id}").click()
    expect(page.get_by_text(refund.return_id).first).to_be_visible(timeout=PATIENCE_MS)


def test_an_engineer_finds_the_cause_by_id(demo: Demo, open_page: Opener, refund: RefundIssued) -> None:
    page = open_page(f"{demo.url}/ui/")
    expect(page.get_by_text("Refund to ledger").first).to_be_visible(timeout=PATIENCE_MS)
    page.keyboard.press("/")
    page.keyboard.type(refund.refund_id)
    page.keyboard.press("Enter")
    expect(page.get_by_text(refund.return_id).first).to_be_visible(timeout=PATIENCE_MS)
    steps = page.locator(".tl-title")
    expect(steps.filter(has_text="Refund issued by its provider")).to_have_count(1)
    expect(steps.filter(has_text=re.compile("settle", re.IGNORECASE))).to_have_count(2)
    held = page.locator(".fold").filter(has_text=re.compile(r"^\d+ attempts"))
    held.last.locator("summary").click()
    expect(held.last.get_by_text(re.compile("is held")).first).to_be_visible()
    assert violations(page) == []


def test_tile_chart_page_api_and_report_agree_to_the_digit_on_every_promise(demo: Demo, open_page: Opener) -> None:
    """Of a day that is over, whose figures stand still while they are read one after the other."""
    day = f"{datetime.now(UTC).date() - timedelta(days=2)}"
    reported = {one["sla"]: one for one in demo.json("sla", "--day", day)
                if not (one["channel"] or one["location"] or one["provider"] or one["kind"])}  # fmt: skip
    told = httpx.get(f"{demo.url}/v1/slas", params={"until": day}, timeout=60).json()
    assert [one["name"] for one in told if one["as_of"] and one["name"] not in reported] == []
    page = open_page(f"{demo.url}/ui/?until={day}")
    expect(page.locator(".lead")).to_be_visible(timeout=PATIENCE_MS)
    tiles = dict(page.locator("article.tile").evaluate_all(TILES))
    rows = page.get_by_role("table", name="Promises, the worst first").locator("tbody tr")
    shown = tiles | dict(rows.evaluate_all(ROWS))
    assert shown.keys() == {one["title"] for one in told}
    for one in told:
        name, kept, decided = one["name"], one["good"], one["good"] + one["bad"]
        share = f"{kept * 10_000 // decided / 100:.2f}%" if decided else "\u2013"
        worst_of = one["kind"] == "derived" and one["title"] in tiles
        assert shown[one["title"]] == ("Worst of several" if worst_of else share), name
        page.goto(f"{demo.url}/ui/sla/{name}?until={day}")
        expect(page.locator(".tile-value .value")).to_have_text(share, timeout=PATIENCE_MS)
        facts = dict(page.locator(".sla-head dl > div").evaluate_all(PAIRS))
        assert (facts["Good"], facts["Bad"]) == (f"{kept:,}", f"{one['bad']:,}"), name
        if one["as_of"] is None:
            continue
        stated = reported[name]
        assert (stated["good"], stated["bad"], stated["value"]) == (kept, one["bad"], one["value"]), name
        page.get_by_text("Show as a table").click()
        drawn = page.get_by_role("table", name="Measurements, newest first").locator("tbody tr").first
        last = {"Value": "\u2013"} | dict(drawn.locator("td").evaluate_all(CELLS))
        assert (last["Value"], last["Good"], last["Bad"]) == (share, f"{kept:,}", f"{one['bad']:,}"), name
