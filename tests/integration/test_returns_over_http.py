"""Returns through every state over HTTP: units, money and stock, whose each is, and what stops misuse."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.messages import PaymentCaptured, Tender
from sync_core.return_messages import (
    DisposedUnits,
    RequestedUnits,
)
from tests.core import Core
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    asked_back,
    came_back,
    disposed,
    gift_card,
    goods_in,
    line,
    looked_at,
    order,
    payment,
    refund,
    shipment,
)

Entries = Callable[[str], dict[str, int]]


def units(quantity: int = 1, **over: Any) -> RequestedUnits:
    return RequestedUnits(sku="A1", quantity=quantity, **over)


def split(order_id: str, total_minor: int, gift_minor: int) -> PaymentCaptured:
    tenders = (
        Tender(kind="gift_card", amount_minor=gift_minor, card_id="G1"),
        Tender(kind="card", amount_minor=total_minor - gift_minor, provider="stripe"),
    )
    return payment(order_id, total_minor, provider="stripe", tenders=tenders)


@pytest.fixture
def posted(http: httpx.Client) -> Entries:
    """Minor units by account of one journal of the shop, as exported."""

    def entry(document: str) -> dict[str, int]:
        rows = [row.split(",") for row in http.get("/v1/journal", params={"format": "canonical"}).text.splitlines()]
        number, account, amount = (rows[0].index(name) for name in ("journal_id", "account", "amount_minor"))
        found: dict[str, int] = {}
        for row in rows[1:]:
            if row[number] == f"shop:{document}":
                found[row[account]] = found.get(row[account], 0) + int(row[amount])
        return {name: minor for name, minor in found.items() if minor}

    return entry


def sold(estate: Estate, order_id: str = "1", quantity: int = 2, **over: Any) -> None:
    """The basket of the worked postings: units at 60.00, 10 % off, carriage 8.00, tax 8.25 %; cost 22.00 each."""
    goods = 6000 * quantity
    net = goods - goods // 10 + 800
    tax = (net * 825 + 5000) // 10000
    basket = (line("A1", quantity, 6000), line("PROMO", 1, -goods // 10, kind="discount"),
              line("POST", 1, 800, kind="shipping"))  # fmt: skip
    stock = goods_in(f"D{order_id}", {"A1": quantity})
    dear = tuple(msgspec.structs.replace(one, unit_cost_minor=2200) for one in stock.lines)
    estate.tell(msgspec.structs.replace(stock, lines=dear), gift_card(card_id="G1", payment_id=f"G{order_id}"))
    estate.tell(order(order_id, *basket, tax_minor=tax, **over), split(order_id, net + tax, 2500), shipment(order_id))


def stands(http: httpx.Client, return_id: str = "R1") -> dict[str, Any]:
    [told] = http.get(f"/v1/returns/{return_id}").json()
    return dict(told)


def worth(told: dict[str, Any]) -> tuple[int, int, int, int]:
    """Approved, released, cleared, refunded."""
    approved, released, cleared, refunded = (
        told[f"{name}_minor"] for name in ("approved", "released", "cleared", "refunded")
    )
    return approved, released, cleared, refunded


@pytest.mark.proves(108, 109, 120, 121, 123)
def test_a_return_is_authorised_received_and_refunded_as_the_worked_postings_say(
    estate: Estate, http: httpx.Client, core: Core, posted: Entries, journey: Tell
) -> None:
    sold(estate)
    estate.tell(asked_back())
    assert posted("return_authorisation/R1") == {
        "revenue:returns": 5400, "liabilities:tax on refunds pending": 446, "liabilities:refunds:approved": -5846,
        "assets:right to recover goods": 2200, "expenses:cost of goods": -2200,
    }  # fmt: skip
    assert (stands(http)["state"], worth(stands(http))) == ("authorised", (5846, 0, 0, 0))
    estate.tell(came_back())
    assert posted("return_receipt/R1/1") == {
        "assets:inventory:return pending": 2200, "assets:right to recover goods": -2200,
    }  # fmt: skip
    assert estate.at("ST1") == {"on_hand": 1, "return_pending": 1}
    estate.tell(
        looked_at(), disposed("R1", DisposedUnits(sku="A1", quantity=1, disposition="refurbish", worth_minor=1500))
    )
    assert posted("disposition/R1/1") == {
        "assets:inventory:refurbish": 1500, "expenses:inventory write-down": 700,
        "assets:inventory:return pending": -2200,
    }  # fmt: skip
    assert (stands(http)["state"], stands(http)["stage"]) == ("dispositioned", "refund and settlement")
    [due] = http.get("/v1/refunds", params={"provider": "stripe"}).json()
    assert (due["refund_id"], due["amount_minor"], due["payment_id"]) == ("R1-1", 5846, "P1")
    estate.tell(refund("R1-1", 5846, provider="stripe"))
    assert posted("refund/R1-1") == {
        "liabilities:refunds:approved": 5846, "assets:clearing:stripe": -5846, "liabilities:sales tax": 446,
        "liabilities:tax on refunds pending": -446,
    }  # fmt: skip
    assert (stands(http)["state"], worth(stands(http))) == ("closed", (5846, 0, 5846, 5846))
    told = journey("R1")
    assert {*milestones(told)} - {"journaled"} == {
        "requested", "authorised", "received", "verified", "inspected", "refund_approved", "instructed",
        "dispositioned", "restocked", "issued", "refunded", "closed",
    }  # fmt: skip
    assert {one.entity for one in told.expected} == {"posting"}, "the ERP has not answered yet"
    assert estate.exceptions() == []
    assert core.balance("liabilities:refunds:approved") == core.balance("assets:right to recover goods") == 0
    assert estate.sound()
