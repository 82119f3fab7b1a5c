"""Every page of the demo as people see it, wide and narrow, light and dark: nothing sticks out, every word can be read.

Pictures of them go to the directory that SCREENSHOTS names; `make screenshots` makes those of dashboards/screenshots.
"""

import base64
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations
from tests.demos import Demo, running

pytestmark = [pytest.mark.browser, pytest.mark.long]

Opener = Callable[..., Page]
PATIENCE_MS: Final = 240_000  # the demo trades while its pages are read
PAGES: Final = {
    "promises": "/ui/", "promise": "/ui/sla/refund_to_ledger", "transactions": "/ui/transaction",
    "orders": "/ui/orders", "exceptions": "/ui/exceptions", "inventory": "/ui/inventory", "returns": "/ui/returns",
    "reconciliation": "/ui/reconciliation", "flow": "/ui/flow", "alerts": "/ui/alerts?view=history",
    "rules": "/ui/alerts?view=rules", "replay": "/ui/alerts?view=rules&rule=refund_not_in_ledger&days=1",
    "tour": "/ui/tour",
}  # fmt: skip
SIZES: Final = {"wide": (1440, 900, 1300, 0.75), "narrow": (390, 844, 1500, 1)}
"""Width and height of the window; of its picture how much of the page it shows, and how large."""


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(days=3) as one:
        one.awaits("PAGE for Finance operations")
        yield one


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("SCREENSHOTS")
    directory = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def transactions(demo: Demo) -> dict[str, str]:
    """An order, and a refund that somebody waits for."""
    order = demo.awaits(r"http://\S+(/ui/transaction/\d+)").group(1)
    listed = f"{demo.url}/v1/slas/refund_to_ledger/items?limit=1&verdict=bad"
    (late,) = httpx.get(listed, timeout=240).json()["items"]
    return {"order": order, "refund": f"/ui/transaction?id={late['correlation_id']}"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_can_be_read(demo: Demo, open_page: Opener, pictures: Path, size: str, scheme: str) -> None:
    width, height, most, scale = SIZES[size]
    page = open_page(f"{demo.url}/ui/", width=width, height=height, dark=scheme == "dark")
    wrong: list[str] = []
    for name, path in (PAGES | transactions(demo)).items():
        page.goto(f"{demo.url}{path}")
        expect(page.locator("#page h1")).to_be_visible(timeout=PATIENCE_MS)
        expect(page).to_have_title(re.compile(r" · Tallytrace$"), timeout=PATIENCE_MS)
        page.wait_for_load_state("networkidle", timeout=PATIENCE_MS)
        wrong += [f"{name}: {one}" for one in (*sticking_out(page), *violations(page, "color-contrast"))]
        (pictures / f"{name}-{size}-{scheme}.webp").write_bytes(picture(page, most, scale))
    assert wrong == []


def sticking_out(page: Page) -> list[str]:
    """What is wider than the window, unless it is in a frame of its own that can be moved."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(each => {
            const frame = each.closest(".table-frame, .tabs, .top nav, .chips, pre, .unseen, .skip, .js-plotly-plot");
            return !frame && each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 1;
        }).map(each => `${each.tagName} ${each.className} is wider than the window`)"""
    )
    moved = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    return [*found[:3], *([f"the page is {moved} px wider than the window"] if moved > 0 else [])]


def picture(page: Page, most: int, scale: float) -> bytes:
    """The top of the page as WebP, as small as its letters bear."""
    size = page.evaluate("() => [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], most), "scale": scale}
    asked = {"format": "webp", "quality": 50, "captureBeyondViewport": True, "clip": clip}
    taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
    return base64.b64decode(taken["data"])
