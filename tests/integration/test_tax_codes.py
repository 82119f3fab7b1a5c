"""Tax by code: from the lines of an order to its journals, what the ERP is given, its refunds and the sub-ledger."""

import datetime as dt
from collections import Counter
from typing import LiteralString

import httpx
import msgspec
import pytest

from sync_core.ledger.summaries import Summaries
from sync_core.master_messages import TaxCodeSet
from sync_core.messages import ProductRegistered
from sync_core.reconciliation.cells import Cell
from sync_core.reconciliation.reconcile import Reconciler, compare
from tests.core import Core, later
from tests.estate import Estate
from tests.factories import (
    asked_back,
    came_back,
    cancellation,
    cloudevent,
    edited,
    edited_line,
    fact,
    goods_back,
    goods_in,
    goodwill,
    line,
    looked_at,
    order,
    payment,
    refund,
    shipment,
    units,
)

RULES = """
[summaries]
locations = ["ST1"]
below_minor = 50000
documents = ["order", "shipment"]
[channels.pos]
tax_code = "GB20"
[channels.late]
tax_point = "shipment"
[entities.main]
tax_code = "GB-standard"
"""
BOOKED: LiteralString = """
    select account, tax_code, sum(amount_minor)::bigint from core.journal_lines
    where account like '%%tax%%' group by 1, 2 having sum(amount_minor) <> 0
"""


@pytest.fixture
def posting_rules() -> str:
    return RULES


def booked(core: Core) -> dict[tuple[str, str], int]:
    """Minor units of the accounts of tax by code."""
    return {(account.removeprefix("liabilities:"), code): minor for account, code, minor in core.rows(BOOKED)}


def cells(core: Core) -> dict[str, Cell]:
    """The cells of tax at the level of sub-ledgers, by kind."""
    days = [core.now.date()]
    with core.db.transaction() as session:
        found = compare(session, core.rules, days)["L5", days[0]]
    return {one.key.kind: one for one in found.cells.values() if one.key.kind.partition(":")[0] == "tax"}


def test_a_summary_has_a_line_for_each_code_of_tax_which_exports_and_journals_show(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(goods_in(units={"A1": 9, "B2": 9}, location="ST1"))
    store = {"location": "ST1", "channel": "pos"}
    reduced = line("B2", 1, 1000, tax_code="GB5", tax_minor=50)
    estate.tell(order("1", line("A1", 2), reduced, tax_minor=450, **store), payment("1", 3450))
    estate.tell(order("2", line("A1", 1), tax_minor=200, **store), payment("2", 1200))
    estate.tell(order("3", line("A1", 1), tax_minor=200, channel="web", location="ST1"), payment("3", 1200))
    later(core, days=1)
    Summaries(core.db, core.rules, lambda: core.now).run_once()
    body = core.one("select body from core.erp_documents where document = 'summary'")
    given = [one for one in msgspec.json.decode(bytes(body))["lines"] if "tax" in one["account"]]
    assert given == [
        {"account": "liabilities:sales tax", "amount_minor": -200, "tax_code": "GB-standard"},
        {"account": "liabilities:sales tax", "amount_minor": -600, "tax_code": "GB20"},
        {"account": "liabilities:sales tax", "amount_minor": -50, "tax_code": "GB5"},
    ]
    told = http.get("/v1/journals", params={"id": "shop:order/1"}).json()["lines"]
    assert {one["tax_code"]: one["amount_minor"] for one in told if "tax" in one["account"]} == {
        "GB20": -400, "GB5": -50,
    }  # fmt: skip
    written = http.get("/v1/journal", params={"format": "hledger"}).text
    assert "    liabilities:sales tax  -0.50 GBP  ; source:live, tax_code:GB5\n" in written
    assert {kind: (one.left_minor, one.unexplained_minor) for kind, one in cells(core).items()} == {
        "tax:GB20": (600, 0), "tax:GB5": (50, 0), "tax:GB-standard": (200, 0),
    }  # fmt: skip
    wrong = order("4", line(tax_minor=300), tax_minor=200)
    assert estate_refuses(http, wrong) == ("data.tax_minor", "its lines alone are taxed with 300")


def estate_refuses(http: httpx.Client, event: object) -> tuple[str, str]:
    envelope = cloudevent(event, "wrong", source="shop", type="tallytrace.order.captured.v1")  # type: ignore[arg-type]
    problem = http.post("/v1/events", json=envelope).json()
    return problem["field"], problem["detail"]


@pytest.mark.proves(133)
def test_what_comes_back_takes_its_own_tax_with_it_under_its_own_code(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 3, "B2": 3}))
    basket = line("A1", 3, 1000, tax_code="GB20", tax_minor=600), line("B2", 3, 1000, tax_code="GB0", tax_minor=0)
    estate.tell(order("1", *basket, tax_minor=600), payment("1", 6600), shipment("1"))
    estate.tell(asked_back("R1"))
    assert booked(core) == {("sales tax", "GB20"): -600, ("tax on refunds pending", "GB20"): 200}
    estate.tell(came_back("R1"), looked_at("R1"), refund("R1-1", 1200, "R1"))
    assert booked(core) == {("sales tax", "GB20"): -400}
    assert core.one("select approved_minor from core.returns") == 1200
    free = asked_back("R2", msgspec.structs.replace(asked_back("x").lines[0], sku="B2"))
    estate.tell(free)
    assert core.one("select approved_minor from core.returns where return_id = 'R2'") == 1000
    estate.tell(goodwill("G1", 600))
    assert booked(core) == {("sales tax", "GB20"): -345}, "an allowance has its share of the order's tax"
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    assert estate.sound()


def test_tax_that_is_due_with_the_goods_keeps_its_code_through_edits_and_cancellations(
    estate: Estate, core: Core
) -> None:
    estate.tell(goods_in(units={"A1": 9, "B2": 9}))
    basket = line("A1", 4, 1000, tax_code="GB20", tax_minor=800), line("B2", 2, 1000, tax_code="GB5", tax_minor=100)
    for number, channel in (("1", "late"), ("2", "web")):
        estate.tell(order(number, *basket, tax_minor=900, channel=channel), payment(number, 6900))
    assert booked(core) == {
        ("contract:tax", "GB20"): -800, ("contract:tax", "GB5"): -100, ("sales tax", "GB20"): -800,
        ("sales tax", "GB5"): -100,
    }  # fmt: skip
    for number in "12":
        estate.tell(shipment(number, shipment_id=f"S{number}", lines=(units("A1", 2),)))
        estate.tell(edited(number, edited_line(1, "A1", 3), edit_id=f"E{number}"))
        estate.tell(cancellation(number, cancellation_id=f"X{number}", lines=(units("B2", 1),)))
    assert not [one for one in booked(core) if not one[1]]
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    estate.tell(shipment("1", shipment_id="T1"), cancellation("2", cancellation_id="Y2"))
    assert not [account for account, _ in booked(core) if account == "contract:tax"]
    left = Counter({code: -minor for (account, code), minor in booked(core).items() if account == "sales tax"})
    stood = {one: core.one("select tax_minor from core.orders where order_id = %s", one) for one in "12"}
    assert left.total() == sum(stood.values())
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    assert estate.sound()


def product(sku: str, tax_code: str) -> ProductRegistered:
    return ProductRegistered(origin="shop", sku=sku, name=sku, tax_code=tax_code)


def test_the_tax_that_is_stated_of_a_return_goes_to_its_lines_as_they_were_taxed(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 3, "B2": 3}))
    basket = (line("A1", 2, 1000, tax_code="GB20", tax_minor=400), line("B2", 2, 1000, tax_code="GB5", tax_minor=100))
    estate.tell(order("1", *basket, tax_minor=500), payment("1", 4500), shipment("1"))
    estate.tell(goods_back("R1", line("B2"), line("A1"), tax_minor=251))
    assert booked(core) == {
        ("sales tax", "GB20"): -400, ("sales tax", "GB5"): -100,
        ("tax on refunds pending", "GB20"): 201, ("tax on refunds pending", "GB5"): 50,
    }  # fmt: skip
    estate.tell(refund("F1", 2251, "R1", tax_minor=251))
    assert booked(core) == {("sales tax", "GB20"): -199, ("sales tax", "GB5"): -50}
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    assert estate.sound()


def test_units_that_are_cancelled_or_edited_away_take_the_tax_of_their_own_line(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 9, "B2": 9}))
    basket = (line("A1", 2, 1000, tax_code="GB20", tax_minor=400), line("B2", 2, 1000, tax_code="GB0", tax_minor=0),
              line("POST", 1, 400, kind="shipping", tax_code="GB20", tax_minor=80))  # fmt: skip
    for number in "12":
        estate.tell(order(number, *basket, tax_minor=480), payment(number, 4880))
    estate.tell(cancellation("1", lines=(units("B2", 2),)))
    assert core.one("select tax_minor from core.orders where order_id = '1'") == 440, "of the carriage a half"
    estate.tell(edited("2", edited_line(1, "A1", 1)))
    assert core.one("select tax_minor from core.orders where order_id = '2'") == 280
    assert booked(core) == {("sales tax", "GB20"): -720}
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    assert estate.sound()


def test_tax_by_the_codes_of_products_is_booked_under_them(estate: Estate, core: Core) -> None:
    for code, rate in (("GB20", 200_000), ("GB5", 50_000)):
        estate.tell(TaxCodeSet(origin="shop", tax_code=code, rate_ppm=rate))
    estate.tell(product("A1", "GB20"), product("B2", "GB5"), goods_in(units={"A1": 3, "B2": 3}))
    basket = line("A1", 2, 1000), line("B2", 2, 1000), line("POST", 1, 400, kind="shipping")
    estate.tell(order("1", *basket, tax_by_code=True), payment("1", 4950))
    assert booked(core) == {("sales tax", "GB20"): -440, ("sales tax", "GB5"): -110}
    assert dict(core.rows("select sku, tax_minor from core.order_lines")) == {"A1": 400, "B2": 100, "POST": None}
    estate.tell(fact(order_id="1", amounts={"amount": 110}, names={"tax_code": "GB5"}), fact(document_id="2"))
    assert booked(core) == {("sales tax", "GB20"): -440, ("sales tax", "GB-standard"): 1000}, "remitted by code"
    assert {one.unexplained_minor for one in cells(core).values()} == {0}


@pytest.mark.proves(153)
def test_a_sub_ledger_that_differs_is_named_with_its_code_and_order(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(goods_in(), order("1", tax_minor=200), payment("1", 1200))
    core.change("""update core.orders set taxes = '{"GB-standard": 150, "GB5": 50}'""")
    later(core, days=1)
    Reconciler(core.db, core.rules, lambda: core.now).run_once()
    told = http.get("/v1/exceptions", params={"kind": "subledger_differs"}).json()
    assert sorted(one["detail"] for one in told) == [
        "0.50 GBP are owed for 1, the account holds 0.00 GBP", "1.50 GBP are owed for 1, the account holds 2.00 GBP",
    ]  # fmt: skip


def test_what_was_stored_before_tax_had_codes_goes_on_without_one(estate: Estate, core: Core) -> None:
    estate.tell(goods_in(units={"A1": 9}))
    for number in "12":
        estate.tell(order(number, line("A1", 2), tax_minor=400), payment(number, 2400))
    core.change(
        "alter table core.journal_lines drop column tax_code", "alter table core.orders drop column taxes",
        "alter table core.order_lines drop column tax_code, drop column tax_minor",
        "alter table core.returns drop column taxes, drop column pending_taxes",
        "delete from core.migrations where number = 2",
    )  # fmt: skip
    assert core.db.migrate() == ["0002_tax_codes"]
    estate.tell(shipment("1"), asked_back("R1"), came_back("R1"), looked_at("R1"), refund("R1-1", 1200, "R1"))
    estate.tell(cancellation("2"))
    assert booked(core) == {("sales tax", ""): -200}
    assert {one.unexplained_minor for one in cells(core).values()} == {0}
    core.now += dt.timedelta(seconds=1)
    estate.tell(order("3", tax_minor=200), payment("3", 1200))
    assert booked(core)["sales tax", "GB-standard"] == -200
    assert estate.sound()
