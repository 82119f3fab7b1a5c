"""A headless chromium, and pages that record what they must not do."""

import os
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from msgspec import Struct, field
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Watch(Struct):
    """What a page did that it must not."""

    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


Opener = Callable[..., tuple[Page, Watch]]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("TALLYTRACE_ALLOW_NO_BROWSER") == "1":
            pytest.skip("no chromium on this machine, and TALLYTRACE_ALLOW_NO_BROWSER=1")
        pytest.fail("no chromium found: apt-get install chromium, or set TALLYTRACE_ALLOW_NO_BROWSER=1 to skip")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Opener]:
    """Opens an address in a fresh profile and watches its console and its requests."""
    contexts = []

    def opened(address: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> tuple[Page, Watch]:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page, watch, host = context.new_page(), Watch(), urlsplit(address).netloc

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                watch.complaints.append(message.text)

        def see(request: Request) -> None:
            if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).netloc != host:
                watch.strangers.append(request.url)

        page.on("console", hear)
        page.on("pageerror", lambda error: watch.complaints.append(str(error)))
        page.on("request", see)
        page.goto(address)
        return page, watch

    yield opened
    for context in contexts:
        context.close()
