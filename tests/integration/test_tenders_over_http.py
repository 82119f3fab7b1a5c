"""What orders are paid with, when tax and revenue are due, and what gift cards hold: over HTTP and in the books."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.ledger.ledger import load_rules
from sync_core.messages import PaymentCaptured, PaymentSettled, StockLine, StockReceived, Tender
from tests.core import Core
from tests.estate import Estate, Tell
from tests.factories import cancellation, gift_card, line, order, payment, payment_word, shipment, stepped, units

CARD = "liabilities:gift cards"
BASKET = (line("A1", 2, 6000), line("PROMO", 1, -1200, kind="discount"), line("POST", 1, 800, kind="shipping"))


def split(order_id: str = "1", gift_minor: int = 2500, total_minor: int = 12557, **over: Any) -> PaymentCaptured:
    tenders = (
        Tender(kind="gift_card", amount_minor=gift_minor, card_id="G1"),
        Tender(kind="card", amount_minor=total_minor - gift_minor, provider="stripe"),
    )
    return payment(order_id, total_minor, provider="stripe", tenders=tenders, **over)


@pytest.fixture
def costed(estate: Estate) -> Estate:
    """Ten A1 that cost 22.00 each."""
    lines = (StockLine(sku="A1", quantity=10, unit_cost_minor=2200),)
    estate.tell(StockReceived(origin="shop", document_id="D", location="WH1", currency="GBP", lines=lines))
    return estate


def entry(http: httpx.Client, document: str) -> dict[str, int]:
    """Minor units by account of one journal, as exported."""
    rows = [row.split(",") for row in http.get("/v1/journal", params={"format": "canonical"}).text.splitlines()]
    head = rows[0]
    number, account, amount = (head.index(name) for name in ("journal_id", "account", "amount_minor"))
    found: dict[str, int] = {}
    for row in rows[1:]:
        if row[number] == document:
            found[row[account]] = found.get(row[account], 0) + int(row[amount])
    return {name: minor for name, minor in found.items() if minor}


@pytest.mark.proves(134, 135, 136, 137)
def test_an_order_is_paid_by_gift_card_and_card_and_earned_in_two_parts(
    costed: Estate, http: httpx.Client, core: Core, journey: Tell
) -> None:
    costed.tell(gift_card(), order("1", *BASKET, tax_minor=957), split())
    assert entry(http, "shop:gift_card/G1/P-G1") == {"assets:clearing:stripe": 5000, CARD: -5000}
    assert entry(http, "shop:order/1") == {
        "assets:clearing:stripe": 10057, CARD: 2500, "liabilities:contract:goods": -10800,
        "liabilities:contract:shipping": -800, "liabilities:sales tax": -957,
    }  # fmt: skip
    for part in ("S1", "S2"):
        costed.tell(shipment("1", shipment_id=part, lines=(units("A1", 1),)))
        assert entry(http, f"shop:shipment/{part}") == {
            "liabilities:contract:goods": 5400, "liabilities:contract:shipping": 400, "revenue:discounts": 600,
            "revenue:goods": -6000, "revenue:shipping": -400, "expenses:cost of goods": 2200,
            "assets:inventory:sellable": -2200,
        }  # fmt: skip
    assert core.balance("liabilities:contract") == 0
    assert core.balance(CARD) == -2500
    assert [hop.name for hop in journey("G1").hops if hop.name.startswith("payment.")] == [
        "payment.issue_card", "payment.redeem_card",
    ]  # fmt: skip
    assert costed.sound()


def test_a_gift_card_pays_no_more_than_it_holds(costed: Estate, http: httpx.Client, core: Core) -> None:
    costed.tell(order("1", line("A1", 1, 6000)), split(total_minor=6000))
    assert core.states()["parked"] == 1, "the card has not been issued"
    costed.tell(gift_card(amount_minor=2600))
    assert ("parked" in core.states(), core.balance(CARD)) == (False, -100)
    costed.tell(order("2", line("A1", 1, 6000)), split("2", total_minor=6000, payment_id="P2"))
    assert costed.exceptions() == [("gift_card_overdrawn", "payments", 6000)]
    assert (http.get("/v1/orders/2").json()[0]["paid_minor"], core.balance(CARD)) == (0, -100)
    costed.tell(gift_card("G1", 2400))
    wrong = payment("3", 100, tenders=(Tender(kind="card", amount_minor=100),))
    body = {"specversion": "1.0", "id": "w", "source": "shop", "type": "tallytrace.payment.captured.v1",
            "time": "2026-03-02T12:00:00Z", "data": msgspec.to_builtins(wrong) | {"amount_minor": 99}}  # fmt: skip
    refused = http.post("/v1/events", json=body)
    assert (refused.status_code, "`tenders` come to 100" in refused.json()["detail"]) == (400, True)
    assert costed.sound()


def test_each_tender_gets_back_up_to_what_it_paid(costed: Estate, core: Core) -> None:
    costed.tell(gift_card(), order("1", *BASKET, tax_minor=957), split())
    costed.tell(cancellation("1"))
    assert (core.balance(CARD), core.balance("assets:clearing:stripe")) == (-5000, 5000)
    assert core.balance("liabilities:contract") == core.balance("liabilities:sales tax") == 0
    costed.tell(order("2", *BASKET, tax_minor=957), split("2"))
    costed.tell(payment_word(PaymentSettled, "2", 10057, provider="stripe", fee_minor=322, payout_id="po_1"))
    assert (core.balance("assets:clearing:stripe"), core.balance("assets:payouts in transit")) == (5000, 9735)
    assert costed.sound()


@pytest.mark.proves(132, 156)
def test_tax_and_revenue_wait_for_the_point_that_the_rule_of_the_channel_names(
    costed: Estate, core: Core, http: httpx.Client, tmp_path: Path
) -> None:
    over = tmp_path / "rules.toml"
    over.write_text('[channels.web]\ntax_point = "shipment"\nrevenue_on = "delivered"\n')
    core.rules = load_rules(override=str(over))
    costed.tell(order("1", *BASKET, tax_minor=957), payment("1", 12557), shipment("1", lines=(units("A1", 1),)))
    assert entry(http, "shop:order/1")["liabilities:contract:tax"] == -957
    assert entry(http, "shop:shipment/S1") == {
        "assets:inventory:with carriers": 2200, "assets:inventory:sellable": -2200,
    }  # fmt: skip
    costed.tell(stepped("delivered"), shipment("1", shipment_id="S2"))
    first = entry(http, "shop:delivery/S1")
    assert (first["revenue:goods"], first["liabilities:sales tax"], first["expenses:cost of goods"]) == (
        -6000, -479, 2200,
    )  # fmt: skip
    costed.tell(order("2", *BASKET, tax_minor=957), payment("2", 12557), cancellation("2"))
    assert core.balance("liabilities:contract") == 0
    assert core.balance("liabilities:sales tax") == -957
    assert core.balance("assets:inventory:with carriers") == 0
    assert costed.sound()
