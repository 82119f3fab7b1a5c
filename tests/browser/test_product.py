"""The real product in a real browser: a person types a number of the real file and reads its story."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance import trade
from tests.acceptance.conftest import REAL_YEAR, Installation, installation

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


@pytest.mark.proves(224)
def test_the_lag_shows_on_the_page_while_the_erp_is_away(product: Installation, open_page: Opener) -> None:
    product.stop_erp()
    late = product.home / "late.csv"
    late.write_text(trade.text())
    sent = httpx.put(f"{product.core}/v1/files/online_retail/{late.name}", content=late.read_bytes(), timeout=60)
    assert sent.status_code == 202
    product.wait_for(lambda: product.status()["erp"] == "down", 60)
    page = open_page(f"{product.plane}/ui/")
    expect(page.get_by_text("ERP not answering").first).to_be_visible()
    product.start_erp()
    product.wait_until_drained()
    page.reload()
    expect(page.get_by_text("All work is through").first).to_be_visible()
