"""A real ERP: what a retailer's systems say becomes documents of a Tryton, once each, and is read back from it."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.erp.port import Answer, Unavailable
from sync_core.erp.tryton import Tryton as TrytonErp
from sync_core.erp.tryton import load_map
from sync_core.erp.tryton_rpc import Rpc
from sync_core.messages import TYPE_OF, Event, LocationRegistered
from tests.acceptance.conftest import Installation, installation
from tests.factories import (
    NOON,
    adjustment,
    cancellation,
    cloudevent,
    edited,
    edited_line,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    refund,
    shipment,
    terms,
    units,
)
from tests.tryton.server import PASSWORD, Between, Tryton, running

ACCOUNTS = Path(__file__).parents[1] / "tryton" / "accounts.toml"

pytestmark = pytest.mark.tryton


class Retailer:
    """A product that posts to a Tryton, what stands between them, and the Tryton as its clerk sees it."""

    def __init__(self, product: Installation, tryton: Tryton, between: Between) -> None:
        self.product = product
        self.tryton = tryton
        self.between = between
        self._sent = 0

    def tell(self, *events: Event) -> None:
        """Give events to the core; returns when all that follows is through."""
        self.give(*events)
        self.product.wait_until_drained()

    def give(self, *events: Event) -> None:
        for event in events:
            self._sent += 1
            envelope = cloudevent(event, f"{self._sent}", source="shop", type=TYPE_OF[type(event)])
            answer = httpx.post(f"{self.product.core}/v1/events", json=envelope, timeout=30)
            assert answer.json()["accepted"] == 1, answer.text

    def moves(self, key: str) -> list[dict[str, Any]]:
        return self.tryton.found("account.move", [["description", "=", key]], "number", "state")

    def posted(self, key: str) -> dict[str, str]:
        """The amounts of the one posted move that has a key, by the ERP's account."""
        [move] = self.moves(key)
        assert (move["state"], bool(move["number"])) == ("posted", True)
        return self.balance([["move", "=", move["id"]]])

    def balance(self, domain: list[Any]) -> dict[str, str]:
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for one in self.tryton.found("account.move.line", domain, "account.code", "debit", "credit"):
            sums[one["account."]["code"]] += Decimal(one["debit"]["decimal"]) - Decimal(one["credit"]["decimal"])
        return {code: f"{amount:.2f}" for code, amount in sorted(sums.items())}

    def ledger(self) -> dict[str, str]:
        """The balances of our own journal, by the ERP's account."""
        named = load_map(ACCOUNTS).accounts
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in csv.DictReader(io.StringIO(self.product.journal())):
            account = max((one for one in named if row["account"].startswith(one)), key=len)
            sums[named[account]] += Decimal(row["amount_minor"]) / 100
        return {code: f"{amount:.2f}" for code, amount in sorted(sums.items())}

    def stock(self, code: str) -> float:
        """How many of a product are in the ERP's store at the end of the day."""
        [place] = self.tryton.found("stock.location", [["code", "=", "STORE"]], "code")
        [product] = self.tryton.found("product.product", [["code", "=", code]], "code")
        [told] = self.tryton.call(
            "model.product.product.read", [product["id"]], ["quantity"], locations=[place["id"]],
            stock_date_end={"__class__": "date", "year": NOON.year, "month": NOON.month, "day": NOON.day},
        )  # fmt: skip
        found: float = told["quantity"]
        return found

    def exceptions(self) -> list[dict[str, Any]]:
        """About what the ERP has; payments of these days were never settled either."""
        told = httpx.get(f"{self.product.core}/v1/exceptions", timeout=30).json()
        return [one for one in told if one["kind"] != "settlement_missing"]

    def exception(self, kind: str) -> dict[str, Any]:
        """The one open exception of a kind, as soon as it is there."""
        self.product.wait_for(lambda: any(one["kind"] == kind for one in self.exceptions()), 60)
        [found] = [one for one in self.exceptions() if one["kind"] == kind]
        return found

    def erp(self) -> TrytonErp:
        """One of our own, beside the core's."""
        return TrytonErp(Rpc(self.tryton.url, "retail", "admin", PASSWORD, lambda: NOON), load_map(ACCOUNTS))


def answered(answer: list[Answer] | Unavailable) -> list[Answer]:
    assert not isinstance(answer, Unavailable), answer
    return answer


@pytest.fixture(scope="module")
def retailer(free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retailer]:
    home = tmp_path_factory.mktemp("tryton")
    port = free_port()
    between = Between(f"http://127.0.0.1:{port}")
    with (
        running(home, port) as tryton,
        between.serving(free_port()) as url,
        installation(
            free_port, TALLYTRACE_ERP_URL=url, TALLYTRACE_ERP_KIND="tryton", TALLYTRACE_ERP_DATABASE="retail",
            TALLYTRACE_ERP_USER="admin", TALLYTRACE_ERP_PASSWORD=PASSWORD, TALLYTRACE_ERP_MAP=str(ACCOUNTS),
            TALLYTRACE_ERP_READ_BACK_SECONDS="0", TALLYTRACE_CLOCK="wall", TALLYTRACE_CANARY_SECONDS="0",
        ) as product,
    ):  # fmt: skip
        yield Retailer(product, tryton, between)


def test_what_keeps_the_erp_from_taking_documents_is_said(retailer: Retailer) -> None:
    run = retailer.product.run
    missing = run("erp")
    assert (missing.returncode, missing.stdout.strip()) == (
        1, "account 6100 for expenses:shrinkage is not in Tryton, is closed, is a view or needs a party",
    )  # fmt: skip
    refused = run("erp", TALLYTRACE_ERP_PASSWORD="wrong")
    assert (refused.returncode, refused.stdout.strip()) == (
        1, "the ERP refuses to log admin in: is the password right?",
    )  # fmt: skip
    assert "the ERP has no database other" in run("erp", TALLYTRACE_ERP_DATABASE="other").stdout
    assert "ConnectError" in run("erp", TALLYTRACE_ERP_URL="http://127.0.0.1:1").stdout
    unset = run("erp", TALLYTRACE_ERP_MAP="")
    assert (unset.returncode, "erp_map" in unset.stderr) == (2, True)


@pytest.mark.proves(11, 61, 73)
def test_an_order_and_its_return_are_posted_and_read_back(retailer: Retailer) -> None:
    store = LocationRegistered(origin="shop", location="WH1", kind="warehouse", goods_to_erp=True)
    retailer.tell(store, terms(sales_orders=True))
    retailer.tell(goods_in(units={"A1": 5}))
    retailer.tell(order("1"), payment("1"), shipment("1"))
    retailer.tell(goods_back(), refund(), terms())
    assert retailer.posted("shop:order/1") == {"1200": "10.00", "2100": "-10.00"}
    assert retailer.posted("shop:refund/F1")["1200"] == "-10.00"
    assert retailer.ledger() == retailer.balance([]), "their books are ours, account by account"
    [sale] = retailer.tryton.found(
        "sale.sale", [["reference", "=", "shop:sales_order/1"]], "state", "number", "untaxed_amount"
    )
    assert (sale["state"], sale["untaxed_amount"]["decimal"]) == ("processing", "10.00")
    moved = retailer.tryton.found("stock.shipment.internal", [], "reference", "state")
    assert {(one["reference"], one["state"]) for one in moved} == {
        ("shop:receipt/D1@WH1/receipt", "done"), ("shop:shipment/S1/1@WH1/shipment", "done"),
        ("shop:return/R1@WH1/return_receipt", "done"),
    }  # fmt: skip
    assert retailer.stock("A1") == 5
    assert retailer.exceptions() == [], "all that was read back is as it was sent"
    [move] = retailer.moves("shop:order/1")
    told = httpx.get(f"{retailer.product.plane}/v1/transactions/1", timeout=30).json()
    assert {one["journal_id"]: one["erp_document_id"] for one in told["journal"]}["shop:order/1"] == move["number"]
    assert httpx.get(f"{retailer.product.core}/v1/orders/1", timeout=30).json()[0]["sales_order"] == sale["number"]


@pytest.mark.proves(196)
def test_a_journal_whose_answer_was_lost_is_posted_once(retailer: Retailer) -> None:
    retailer.between.lose += ["model.account.move.create", "model.account.move.post"]
    retailer.tell(order("2"), payment("2"))
    assert retailer.between.lost == ["model.account.move.create", "model.account.move.post"]
    assert retailer.posted("shop:order/2") == {"1200": "10.00", "2100": "-10.00"}


def test_an_account_that_the_erp_lacks_is_somebody_s_until_it_is_there(retailer: Retailer) -> None:
    retailer.tell(adjustment())
    found = retailer.exception("posting_rejected")
    assert (found["owner"], found["detail"]) == ("finance", "the ERP lacks an account for expenses:shrinkage")
    [expenses] = retailer.tryton.found("account.account.type", [["name", "=", "income"]], "name")
    account = {"name": "6100", "code": "6100", "type": expenses["id"], "company": 1}
    erp = retailer.erp()
    assert erp.check() != [], "read before the account is there, as the comparison may do at any time"
    retailer.tryton.call("model.account.account.create", [account])
    lines = [{"account": name, "amount_minor": amount} for name, amount in
             (("assets:inventory:A1", -100), ("expenses:shrinkage", 100))]  # fmt: skip
    body = {"idempotency_key": "shop:adjustment/N0", "business_date": NOON.date(), "currency": "GBP", "lines": lines}
    [told] = answered(erp.post("journal", [msgspec.json.encode(body)]))
    erp.close()
    assert (told.status, told.reason) == ("accepted", "")
    done = retailer.product.run("act", "replay", found["exception_id"], "--by", "ann", "--reason", "6100 is there now")
    assert done.returncode == 0, done.stderr
    retailer.product.wait_until_drained()
    assert set(retailer.posted("shop:adjustment/N1")) == {"1300", "6100"}
    assert retailer.exceptions() == []


def test_a_move_that_the_erp_accepts_although_it_does_not_balance_is_found(retailer: Retailer) -> None:
    def wrong(call: dict[str, Any]) -> None:
        if call["method"] == "model.account.move.create":
            [debit] = [one for one in call["params"][0][0]["lines"][0][1] if one["debit"]["decimal"] != "0.00"]
            debit["debit"]["decimal"] = "9.00"

    retailer.between.alter = wrong
    retailer.tell(order("3"), payment("3"))
    retailer.between.alter = lambda call: None
    assert retailer.posted("shop:order/3") == {"1200": "9.00", "2100": "-10.00"}, "Tryton has numbered it"
    found = retailer.exception("erp_unbalanced")
    assert (found["exception_id"], found["owner"], found["amount_minor"]) == (
        "shop:order/3:erp_unbalanced", "finance", 100,
    )  # fmt: skip
    assert found["detail"] == "it does not balance there by -100 minor units; accounts differ there: 1200 by -100"


def test_an_erp_that_is_away_is_told_and_gets_everything_later(retailer: Retailer) -> None:
    retailer.tryton.stop()
    retailer.give(order("4"), payment("4"))
    retailer.product.wait_for(lambda: retailer.product.status()["erp"] == "down", 60)
    assert retailer.product.status()["erp_problem"]
    retailer.tryton.start()
    retailer.product.wait_until_drained()
    assert retailer.posted("shop:order/4") == {"1200": "10.00", "2100": "-10.00"}


@pytest.mark.proves(40)
def test_a_sale_is_amended_by_the_newest_of_what_became_of_its_order(retailer: Retailer) -> None:
    retailer.tell(terms(sales_orders=True), goods_in("D5", units={"A1": 9, "B2": 9}))
    retailer.tell(order("5", line(quantity=5), line("B2"), line("POST", kind="shipping")))

    def sold() -> list[tuple[str, float, str]]:
        lines = retailer.tryton.found(
            "sale.line", [["sale.reference", "=", "shop:sales_order/5"]],
            "product", "product.code", "description", "quantity", "unit_price",
        )  # fmt: skip
        return [(one["product."]["code"] if one["product"] else one["description"], one["quantity"],
                 one["unit_price"]["decimal"]) for one in lines]  # fmt: skip

    assert sold() == [("A1", 5, "10.0000"), ("B2", 1, "10.0000"), ("POST", 1, "10.0000")]
    retailer.between.lose += ["model.sale.amendment.create", "model.sale.amendment.validate_amendment"]
    retailer.tell(edited("5", edited_line(1, "A1", 4, price_minor=900)))
    assert retailer.between.lost[-2:] == ["model.sale.amendment.create", "model.sale.amendment.validate_amendment"]
    retailer.tell(cancellation("5", lines=(units("A1", 1), units("B2", 1))))
    assert sold() == [("A1", 3, "9.0000"), ("B2", 0, "10.0000"), ("POST", 1, "10.0000")]
    amendments = retailer.tryton.found("sale.amendment", [], "description", "state")
    assert [(one["description"][-6:], one["state"]) for one in amendments] == [
        ("000001", "validated"), ("000002", "validated"),
    ]  # fmt: skip
    retailer.tell(edited("5", edited_line(4, "A1", 1), edit_id="E6"))
    found = retailer.exception("sales_order_amendment_rejected")
    assert (found["owner"], found["detail"]) == ("integration", "Tryton adds no line to a sale that it works on: A1")


def test_an_older_version_that_comes_late_changes_nothing(retailer: Retailer) -> None:
    retailer.tell(terms(sales_orders=True))
    retailer.tell(order("6", line(quantity=9)))
    erp = retailer.erp()

    def amend(*versions: int) -> list[str]:
        bodies = [
            msgspec.json.encode(
                {"idempotency_key": f"shop:sales_order_amendment/6/{version:06}", "sales_order": "shop:sales_order/6",
                 "business_date": NOON.date(), "currency": "GBP",
                 "lines": [{"sku": "A1", "kind": "goods", "quantity": version, "amount_minor": 1000 * version}]}
            )
            for version in versions
        ]  # fmt: skip
        answers = answered(erp.post("sales_order_amendment", bodies))
        assert [one.idempotency_key[-1] for one in answers] == [f"{version}" for version in versions]
        return [one.status for one in answers]

    def sold() -> float:
        [found] = retailer.tryton.found("sale.line", [["sale.reference", "=", "shop:sales_order/6"]], "quantity")
        quantity: float = found["quantity"]
        return quantity

    assert (amend(3), amend(2), sold()) == (["accepted"], ["accepted"], 3)
    assert (amend(5, 4), amend(5), sold()) == (["accepted", "accepted"], ["accepted"], 5)
    erp.close()
