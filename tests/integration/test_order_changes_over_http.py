"""Orders that leave in parts, are edited and cancelled, told over HTTP and read back there and in lineage."""

import datetime as dt
from typing import Any

import httpx
import pytest

from lineage.model import Journey
from sync_core.messages import PaymentSettled
from tests.core import Core
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    NOON,
    cancellation,
    edited,
    edited_line,
    goods_in,
    line,
    order,
    payment,
    payment_word,
    shipment,
    stepped,
    units,
)


def stands(http: httpx.Client, order_id: str = "1") -> dict[str, Any]:
    [found] = http.get(f"/v1/orders/{order_id}").json()
    kept: dict[str, Any] = found
    return kept


def balances(http: httpx.Client, prefix: str) -> int:
    """Debits less credits, in minor units, of the accounts that begin so, from the exported journal."""
    rows = [row.split(",") for row in http.get("/v1/journal", params={"format": "canonical"}).text.splitlines()]
    head = rows[0]
    account, amount = head.index("account"), head.index("amount_minor")
    return sum(int(row[amount]) for row in rows[1:] if row[account].startswith(prefix))


def hops(told: Journey, name: str) -> list[tuple[str, int]]:
    return [(hop.milestone, hop.amount.amount_minor if hop.amount else 0) for hop in told.hops if hop.name == name]


@pytest.mark.proves(49)
def test_an_order_leaves_in_three_parts(estate: Estate, http: httpx.Client, core: Core, journey: Tell) -> None:
    estate.tell(goods_in(units={"A1": 3, "B2": 2}))
    estate.tell(order("1", line("A1", 3, amount_minor=1000), line("B2", 2), line("POST", 1, 350, kind="shipping")))
    estate.tell(payment("1", 3350), shipment("1", shipment_id="S1", lines=(units("A1", 1),)))
    assert stands(http)["state"] == "partially_shipped"
    assert [(one["shipped"], one["reserved"]) for one in stands(http)["lines"]] == [(1, 2), (0, 2), (0, 0)]
    told = journey("1")
    assert told.header.state == "partially shipped"
    [rest] = [one for one in told.expected if one.milestone == "fulfilled"]
    assert (rest.owner, rest.amount.amount_minor if rest.amount else 0) == ("warehouse", 3350 - 333 - 39)
    estate.tell(shipment("1", shipment_id="S1", lines=(units("A1", 1),)))  # told again, as another event
    estate.tell(shipment("1", shipment_id="S9", lines=(units("A1", 3),)))  # more than there is to leave
    assert estate.exceptions() == [("shipment_not_reserved", "warehouse", 3350)]
    estate.tell(
        shipment("1", shipment_id="S2", lines=(units("B2", 2), units("A1", 1))), shipment("1", shipment_id="S3")
    )
    assert stands(http)["state"] == "shipped"
    assert [one["shipped"] for one in stands(http)["lines"]] == [3, 2, 1]
    assert estate.at() == estate.at(sku="B2") == {}
    assert balances(http, "revenue") == -3350
    assert balances(http, "liabilities:contract") == 0
    assert balances(http, "expenses:cost of goods") == 5 * 400
    told = journey("1")
    assert [milestone for milestone, _ in hops(told, "order.ship")] == ["shipped"] * 3
    assert sum(amount for _, amount in hops(told, "order.ship")) == 3350
    waiting = core.rows("select document_id from core.erp_documents where state = 'waiting' order by 1")
    assert [one for (one,) in waiting if "shipment" in one] == [f"shop:shipment/S{number}" for number in (1, 2, 3)]
    assert told.header.state != "partially shipped"
    assert not [one for one in told.expected if one.milestone == "fulfilled"]
    assert estate.sound()


@pytest.mark.proves(48, 186)
def test_orders_are_cancelled_in_part_and_whole_and_the_books_are_even(
    estate: Estate, http: httpx.Client, core: Core, journey: Tell
) -> None:
    estate.tell(goods_in(units={"A1": 9}))
    estate.tell(order("1", line("A1", 4), tax_minor=800), payment("1", 4800))
    estate.tell(cancellation("1", lines=(units("A1", 1),)), cancellation("1", lines=(units("A1", 1),)))
    assert estate.at()["reserved"] == 3
    assert balances(http, "assets:clearing:card") == 3600
    estate.tell(shipment("1", lines=(units("A1", 2),)), cancellation("1", cancellation_id="X2"))
    assert (stands(http)["state"], stands(http)["lines"][0]["cancelled"]) == ("shipped", 2)
    assert balances(http, "assets:clearing:card") == 2400 == -balances(http, "revenue") + 400
    assert balances(http, "liabilities:contract") == 0
    assert estate.at() == {"on_hand": 7, "good": 7, "free": 7, "sellable": 7}
    assert estate.exceptions() == []
    estate.tell(cancellation("1", cancellation_id="X3"))
    assert estate.exceptions() == [("cancellation_too_late", "customer service", 2000)]
    # before anything is known of it, and before the ERP was offered its journal
    estate.tell(cancellation("2"), order("2", line("A1", 2)), order("3", line("A1", 2)), payment("3", 2000))
    assert stands(http, "2")["state"] == "cancelled"
    assert [one.step for one in journey("3").expected if one.flow == "posting"] == ["erp-accepted"]
    estate.tell(cancellation("3"))
    withdrawn = core.rows("select document_id from core.erp_documents where state = 'withdrawn' order by 1")
    assert withdrawn == [("shop:cancellation/X3",), ("shop:cancellation_refund/X3",), ("shop:order/3",)]
    told = journey("3")
    reversed_ = [hop.entity_id for hop in told.hops if hop.milestone == "reversed"]
    assert reversed_ == ["cancellation/X3", "cancellation_refund/X3", "order/3"]
    assert (told.header.state, told.expected) == ("cancelled", ())
    assert balances(http, "assets:clearing:card") == 2400
    assert estate.sound()


@pytest.mark.proves(47)
def test_an_order_is_edited_before_and_after_it_ships(estate: Estate, http: httpx.Client, journey: Tell) -> None:
    estate.tell(edited("1", edited_line(1, "A1", 3)), at=NOON + dt.timedelta(minutes=1))  # before its order
    estate.tell(goods_in(units={"A1": 5, "B2": 5}))
    estate.tell(order("1", line("A1", 2)))
    assert (estate.at()["reserved"], stands(http)["due_minor"]) == (3, 3000)
    estate.tell(payment("1", 3000))
    estate.tell(
        edited("1", edited_line(2, "B2", 2, 500), edit_id="E2", address="2 New Street"),
        at=NOON + dt.timedelta(minutes=3),
    )
    estate.tell(edited("1", edited_line(2, "B2", 5, 700), edit_id="E0"), at=NOON + dt.timedelta(minutes=2))  # late
    assert (stands(http)["due_minor"], estate.at(sku="B2")["reserved"]) == (1000, 2)
    estate.tell(payment("1", 1000, payment_id="P2"), shipment("1", lines=(units("A1", 2),)))
    estate.tell(edited("1", edited_line(1, "A1", 2), edit_id="E4"), at=NOON + dt.timedelta(minutes=5))
    assert balances(http, "assets:clearing:card") == 3000
    for payment_id, amount_minor in (("P1", 3000), ("P2", 1000)):
        estate.tell(payment_word(PaymentSettled, "1", amount_minor, payment_id=payment_id, payout_id="PO1"))
    assert balances(http, "assets:payouts in transit") == 4000, "each payment is settled by itself"
    estate.tell(edited("1", edited_line(1, "A1", 1), edit_id="E5"), at=NOON + dt.timedelta(minutes=6))
    assert estate.exceptions() == [("edit_not_possible", "customer service", 3000)]
    estate.tell(shipment("1", shipment_id="S2"))
    told = journey("1")
    assert [amount for _, amount in hops(told, "order.edit")] == [1000, 0, 1000, -1000]
    assert not any("New Street" in str(hop) for hop in told.hops)
    assert (balances(http, "revenue"), balances(http, "liabilities:contract")) == (-3000, 0)
    assert estate.at() == {"on_hand": 3, "good": 3, "free": 3, "sellable": 3}
    assert estate.sound()


def test_a_change_after_the_release_has_an_owner(estate: Estate) -> None:
    estate.tell(goods_in(), order("1"), stepped("released"), edited("1", edited_line(1, "A1", 2)))
    assert estate.exceptions() == [("changed_after_release", "warehouse", 2000)]


def test_orders_that_share_numbers_have_books_of_their_own(estate: Estate, http: httpx.Client, journey: Tell) -> None:
    estate.tell(goods_in(units={"A1": 9}))
    for number in "123":
        estate.tell(order(number, line("A1", 2)), payment(number, 2000, payment_id="P"))
        estate.tell(cancellation(number, cancellation_id="X", lines=(units("A1", 1),)))
        estate.tell(shipment(number, shipment_id="PARCEL"))
        estate.tell(payment_word(PaymentSettled, number, 2000, payment_id="P", payout_id=f"PO{number}"))
    assert {stands(http, number)["state"] for number in "123"} == {"shipped"}
    assert (balances(http, "revenue"), balances(http, "expenses:cost of goods")) == (-3000, 3 * 400)
    assert balances(http, "assets:payouts in transit") == 6000
    assert estate.at()["good"] == 6
    told = {number: journey(number) for number in "123"}
    assert [entry.posting for entry in told["2"].journal if "PARCEL" in entry.posting] == ["shipment/PARCEL/2"]
    assert "shipment-journaled" not in {one.step for number in "123" for one in told[number].expected}
    assert estate.exceptions() == []
    assert estate.sound()


def test_a_payment_before_its_edit_is_taken_when_the_edit_comes(
    estate: Estate, http: httpx.Client, journey: Tell
) -> None:
    estate.tell(goods_in(units={"A1": 9}), order("early", line("A1", 2)), payment("early", 2000))
    estate.tell(payment("early", 1000, payment_id="EXTRA"), payment("early", 7, payment_id="P3"))
    estate.tell(order("unpaid"), payment("unpaid", 3000))
    early = [
        ("second_payment", "payments", 1000),
        ("second_payment", "payments", 7),
        ("payment_differs", "payments", 3000),
    ]
    assert estate.exceptions() == early
    changed = edited("early", edited_line(1, "A1", 3)), edited("unpaid", edited_line(1, "A1", 3))
    estate.tell(*changed, at=NOON + dt.timedelta(minutes=1))
    assert estate.exceptions() == early[1:2], "what no edit asks for stays somebody's"
    for number in ("early", "unpaid"):
        assert (stands(http, number)["paid_minor"], stands(http, number)["due_minor"]) == (3000, 0)
    assert milestones(journey("EXTRA")).count("captured") == 3, "the order and both its payments"
    [double] = http.get("/v1/exceptions").json()
    decided = {"ids": [double["exception_id"]], "by": "ann", "reason": "given back by hand"}
    assert http.post("/v1/exceptions/resolve", json=decided).json()["done"] == 1
    more = edited("early", edited_line(2, "A1", 1, price_minor=7), edit_id="E2")
    estate.tell(more, at=NOON + dt.timedelta(minutes=2))
    due_minor = stands(http, "early")["due_minor"]
    assert (due_minor, estate.exceptions()) == (7, []), "what was decided is not taken after all"
    assert estate.sound()


def test_an_order_tells_what_holds_its_goods_and_whose_that_is(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in(units={"A1": 9}), order(), stepped("routed", failed=True))
    assert stands(http)["holds"] == []
    estate.tell(stepped("fraud_cleared", system="risk", failed=True, reason="stolen card"))
    [held] = stands(http)["holds"]
    since = dt.datetime.fromisoformat(held.pop("since"))
    assert held == {"kind": "fraud_cleared_failed", "owner": "risk", "detail": "risk: stolen card"}
    assert NOON <= since < NOON + dt.timedelta(minutes=1)
    estate.tell(stepped("fraud_cleared", system="risk"), at=NOON + dt.timedelta(minutes=1))
    assert stands(http)["holds"] == []
