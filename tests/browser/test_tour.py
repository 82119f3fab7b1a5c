"""The three stories of the tour, on the running demo, in a real browser."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from sync_core.returns.messages import RefundIssued
from tests.browser.accessibility import violations
from tests.demos import REFUND_PAGED, Demo, running

pytestmark = [pytest.mark.browser, pytest.mark.long]

Opener = Callable[..., Page]
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
