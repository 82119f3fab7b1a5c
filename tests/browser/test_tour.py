"""The three stories of the tour, on the running demo, in a real browser."""

import re
from collections.abc import Callable, Iterator

import httpx
import msgspec
import pytest
from playwright.sync_api import Page, expect

from sync_core.returns.messages import RefundIssued
from tests.demos import Demo, running

pytestmark = [pytest.mark.browser, pytest.mark.long]

Opener = Callable[..., Page]
PATIENCE_MS = 240_000  # the demo trades while its pages are read


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(days=3) as one:
        one.awaits("RESOLVED refund not in the ledger")
        yield one


@pytest.fixture(scope="module")
def refund(demo: Demo) -> RefundIssued:
    return demo.first_refund()


def test_an_executive_sees_a_promise_break(demo: Demo, open_page: Opener) -> None:
    page = open_page(f"{demo.url}/ui/tour")
    expect(page.get_by_role("heading", name="An executive sees a promise break")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="promises", exact=True).click()
    tile = page.get_by_role("article").filter(has_text="Refund to ledger")
    expect(tile).to_contain_text(re.compile("Breached|Low volume"), timeout=PATIENCE_MS)
    tile.get_by_role("link", name="Refund to ledger").click()
    expect(page).to_have_url(re.compile("/ui/sla/refund_to_ledger"), timeout=PATIENCE_MS)
    expect(page.get_by_text("web").first).to_be_visible(timeout=PATIENCE_MS)


def test_an_owner_is_paged_with_a_link_to_the_items(demo: Demo, open_page: Opener, refund: RefundIssued) -> None:
    link = demo.awaits(
        r"PAGE for Finance operations: refund not in the ledger by its deadline: web\n(?:.*\n){2} +(http://\S+)"
    ).group(1)
    page = open_page(link)
    expect(page).to_have_url(re.compile("refund_to_ledger"), timeout=PATIENCE_MS)
    expect(page.get_by_text(refund.refund_id).first).to_be_visible(timeout=PATIENCE_MS)


def test_an_engineer_finds_the_cause_by_id(demo: Demo, open_page: Opener, refund: RefundIssued) -> None:
    page = open_page(f"{demo.url}/ui/")
    expect(page.get_by_text("Refund to ledger").first).to_be_visible(timeout=PATIENCE_MS)
    page.keyboard.press("/")
    page.keyboard.type(refund.refund_id)
    page.keyboard.press("Enter")
    expect(page.get_by_text(refund.return_id).first).to_be_visible(timeout=PATIENCE_MS)
    told = httpx.get(f"{demo.url}/v1/transactions", params={"id": refund.refund_id}, timeout=240).json()
    hops = [(hop["name"], hop["outcome"]) for hop in told["hops"]]
    assert ("refund.issue", "ok") in hops
    assert [name for name, _ in hops].count("settlement.match") == 2, "in two settlements"
    assert any(name == "posting.send" and outcome == "failed" for name, outcome in hops), "held by the ERP"
    assert msgspec.json.encode(told).count(b"is held") >= 1
