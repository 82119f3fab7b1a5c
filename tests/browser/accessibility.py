"""What axe finds wrong with a page for people who hear it, see it badly, or have no mouse."""

from functools import cache
from importlib.resources import files
from typing import Any

from playwright.sync_api import Page


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, *rules: str) -> list[str]:
    """Rule, what it asks, and the first elements that break it; after WCAG 2.2 A and AA and axe's best practices.

    ``rules``: only these.
    """
    page.evaluate(_axe())
    options = {"runOnly": list(rules)} if rules else {}
    found: list[dict[str, Any]] = page.evaluate(
        "options => axe.run(document, options).then(found => found.violations)", options
    )
    return [
        f"{page.url}: {one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}" for one in found
    ]
