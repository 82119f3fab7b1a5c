"""A headless chromium, and pages that may neither complain on the console nor ask another host for anything."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        if os.environ.get("TALLYTRACE_ALLOW_NO_BROWSER") == "1":
            pytest.skip("no chromium on this machine, and TALLYTRACE_ALLOW_NO_BROWSER=1")
        pytest.fail("no chromium found: apt-get install chromium, or set TALLYTRACE_ALLOW_NO_BROWSER=1 to skip")
    expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Opener]:
    """Opens an address in a fresh profile; at the end, no page may have complained or asked another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(address: str, *, width: int = 1280, height: int = 900, dark: bool = False, **viewer: Any) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **viewer,
        )
        contexts.append(context)
        page, host = context.new_page(), urlsplit(address).netloc

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                complaints.append(f"console: {message.text}")

        def see(request: Request) -> None:
            if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).netloc != host:
                complaints.append(f"asked another host: {request.url}")

        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
        page.on("request", see)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
