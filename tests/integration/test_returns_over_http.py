"""Returns through every state over HTTP: units, money and stock, whose each is, and what stops misuse."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.erp.http import ErpClient
from sync_core.exceptions.deadlines import Deadlines
from sync_core.messages import LocationRegistered, PaymentCaptured, Tender
from sync_core.outbox import ErpRelay
from sync_core.returns.messages import (
    DisposedUnits,
    ReceivedUnits,
    RefundApproved,
    RefundFailed,
    RequestedUnits,
    ReturnMatched,
    ReturnPolicySet,
    ReturnReasonMapped,
    ReturnReviewed,
    ReturnShipped,
    ReturnWithdrawn,
)
from tests.core import Core, later
from tests.erp import Erp
from tests.estate import Estate, Tell, milestones
from tests.factories import (
    NOON,
    asked_back,
    came_back,
    cloudevent,
    credit_memo,
    disposed,
    gift_card,
    goods_back,
    goods_in,
    goodwill,
    line,
    looked_at,
    order,
    payment,
    refund,
    sent_back,
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
    estate.tell(asked_back(exchange_order_id="77"))
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
    assert {one.link for one in told.related} >= {"returns", "exchanges"}
    assert estate.exceptions() == []
    assert core.balance("liabilities:refunds:approved") == core.balance("assets:right to recover goods") == 0
    assert estate.sound()


@pytest.mark.proves(55, 116, 161)
def test_a_channel_asks_whether_goods_may_come_back_and_has_them_authorised_at_once(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    sold(estate)
    asked = msgspec.to_builtins(asked_back("R1", units(2)))
    told = http.post("/v1/returns/eligibility", json=asked).json()
    assert (told["outcome"], told["refund_minor"], told["lines"][0]["tax_minor"]) == ("eligible", 11691, 891)
    assert http.get("/v1/returns/R1").status_code == 404, "a question changes nothing"
    answer = http.post("/v1/returns", json=asked)
    assert (answer.status_code, answer.json()[0]["state"], answer.json()[0]["approved_minor"]) == (
        201,
        "authorised",
        11691,
    )
    assert http.post("/v1/returns", json=asked).json() == answer.json(), "the same again is the same"
    assert http.post("/v1/returns", json=asked | {"channel": "app"}).status_code == 409
    more = http.post("/v1/returns", json=asked | {"return_id": "R2"}).json()[0]
    assert (more["state"], more["reason"], more["approved_minor"]) == (
        "refused", "quantity: 2 of A1 where 0 can come back", 0,
    )  # fmt: skip
    for changed, status, field in (
        ({"order_id": "9"}, 422, "order_id"), ({"currency": "pounds"}, 400, "currency"), ({"lines": []}, 400, "lines"),
        ({"return_id": " "}, 422, "return_id"),
    ):  # fmt: skip
        problem = http.post("/v1/returns", json=asked | {"return_id": "R3"} | changed)
        assert (problem.status_code, problem.json()["field"]) == (status, field)
    estate.tell(ReturnPolicySet(origin="oms", policy_id="web", channel="web", window_days=10))
    later(core, days=11)
    late = http.post("/v1/returns/eligibility", json=asked | {"return_id": "R3"}).json()
    assert late["outcome"] == "refused"
    estate.tell(ReturnWithdrawn(origin="shop", return_id="R1"), at=core.now)
    late = http.post("/v1/returns/eligibility", json=asked | {"return_id": "R3"}).json()
    assert (late["outcome"], late["reasons"]) == ("refused", ["window: A1 could be returned until 2026-03-12"])


@pytest.mark.proves(82, 128, 129)
def test_doubtful_returns_are_held_and_reasons_decide_the_restocking_fee(
    estate: Estate, http: httpx.Client, journey: Tell, posted: Entries
) -> None:
    sold(estate, "1", 3, customer_ref="c7")
    estate.tell(
        ReturnPolicySet(origin="oms", policy_id="1", most_returns=2, within_days=30, fee_ppm=100_000),
        ReturnReasonMapped(origin="shop", code="BROKEN", reason="defective"),
        asked_back("H1", units(reason="BROKEN", serials=("SN1",))), asked_back("H2", units(reason="why not")),
    )  # fmt: skip
    assert [stands(http, one)["lines"][0]["fee_minor"] for one in ("H1", "H2")] == [0, 540]
    assert posted("return_authorisation/H2")["revenue:restocking fees"] == -540
    assert posted("return_authorisation/H2")["liabilities:refunds:approved"] == -5305
    assert estate.exceptions() == [("return_reason_unmapped", "master data", 5305)]
    estate.tell(ReturnReasonMapped(origin="shop", code="why not", reason="changed_mind"))
    assert estate.exceptions() == []
    estate.tell(asked_back("H3", units(reason="why not")))
    assert (stands(http, "H3")["state"], posted("return_authorisation/H3")) == ("requested", {})
    assert estate.exceptions() == [("return_held", "risk", 5306)]
    estate.tell(came_back("H3"))
    estate.tell(ReturnReviewed(origin="shop", return_id="H3", granted=True, by="ann", reason="a good customer"))
    assert (stands(http, "H3")["state"], stands(http, "H3")["lines"][0]["reason"]) == ("received", "changed_mind")
    estate.tell(came_back("H1", ReceivedUnits(sku="A1", quantity=1, serials=("SN9",))))
    assert estate.exceptions() == [("return_item_parked", "risk", 5400)]
    estate.tell(came_back("H1", ReceivedUnits(sku="A1", quantity=1, serials=("SN1",)), receipt_id="2"), looked_at("H1"))
    owners = {hop.milestone: hop.owner for hop in journey("H1").hops if hop.milestone and hop.hop != "journal"}
    assert owners == {
        "requested": "returns", "authorised": "returns", "received": "warehouse", "verified": "warehouse",
        "inspected": "warehouse", "refund_approved": "payments", "instructed": "payments", "opened": "risk",
    }  # fmt: skip
    assert estate.sound()


@pytest.mark.proves(53, 54, 56, 124, 138)
def test_dropped_at_a_store_inspected_at_a_warehouse_partly_accepted_and_refunded_another_way(
    estate: Estate, http: httpx.Client, core: Core, journey: Tell, posted: Entries
) -> None:
    sold(estate)
    estate.tell(ReturnPolicySet(origin="oms", policy_id="1", approval="manual"))
    estate.tell(
        asked_back("DR1", units(2)), ReturnShipped(origin="shop", return_id="DR1", carrier="dhl", tracking_id="T7")
    )
    assert stands(http, "DR1")["stage"] == "physical receipt"
    estate.tell(came_back("DR1", ReceivedUnits(sku="A1", quantity=2)))
    assert (estate.at("ST1")["return_pending"], stands(http, "DR1")["lines"][0]["at"]) == (2, {"ST1": 2})
    estate.tell(looked_at("DR1", 1, 1, location="WH1"))
    assert "return_pending" not in estate.at("ST1")
    assert (estate.at()["return_pending"], worth(stands(http, "DR1"))) == (2, (11691, 5845, 5846, 0))
    assert posted("return_release/DR1/inspection/1") == {
        "revenue:returns": -5400, "liabilities:tax on refunds pending": -445, "liabilities:refunds:approved": 5845,
    }  # fmt: skip
    estate.tell(
        RefundApproved(origin="shop", return_id="DR1", approval_id="1", by="ann", amount_minor=2000, card_id="SC1")
    )
    assert posted("refund/DR1-1") == {
        "liabilities:refunds:approved": 2000, "liabilities:gift cards": -2000, "liabilities:sales tax": 153,
        "liabilities:tax on refunds pending": -153,
    }  # fmt: skip
    estate.tell(RefundApproved(origin="shop", return_id="DR1", approval_id="2", by="ann"))
    estate.tell(refund("DR1-2", 3846, "DR1", provider="stripe"))
    estate.tell(disposed("DR1", location="WH1"), sent_back("DR1", location="WH1"))
    assert posted("return_sent_back/DR1/1") == {
        "expenses:cost of goods": 2200, "assets:inventory:return pending": -2200,
    }  # fmt: skip
    assert (stands(http, "DR1")["state"], worth(stands(http, "DR1"))) == ("closed", (11691, 5845, 5846, 5846))
    assert http.get("/v1/orders/1").json()[0]["lines"][0]["returned"] == 1, "the rejected unit is the customer's"
    assert journey("T7").header.reference == "DR1"
    assert core.balance("assets:right to recover") == core.balance("liabilities:tax on refunds") == 0
    assert core.balance("assets:inventory") == 2200, "of two that were sold one is here again"
    assert (estate.exceptions(), estate.sound()) == ([], True)


@pytest.mark.proves(91, 111, 113, 118, 122)
def test_units_find_their_disposition_and_are_for_sale_again_only_then(
    estate: Estate, http: httpx.Client, core: Core, posted: Entries
) -> None:
    sold(estate, quantity=4)
    estate.tell(asked_back("R1", units(4)), came_back("R1", ReceivedUnits(sku="A1", quantity=4)))
    assert estate.at("ST1") == {"on_hand": 4, "return_pending": 4}
    estate.tell(disposed("R1"))
    assert (core.states()["parked"], estate.at("ST1").get("good", 0)) == (1, 0), "nobody has inspected it"
    estate.tell(looked_at("R1", 4))
    assert estate.at("ST1") == {"on_hand": 4, "good": 1, "free": 1, "sellable": 1, "return_pending": 3}
    chosen: tuple[Any, ...] = (("refurbish", {"worth_minor": 1500}), ("quarantine", {}), ("scrap", {}))
    each = [DisposedUnits(sku="A1", quantity=1, disposition=name, **more) for name, more in chosen]
    estate.tell(disposed("R1", *each, disposition_id="2"))
    assert estate.at("ST1") == {
        "on_hand": 3, "good": 1, "free": 1, "sellable": 1, "refurbish": 1, "quarantine": 1,
    }  # fmt: skip
    assert posted("disposition/R1/2") == {
        "assets:inventory:refurbish": 1500, "expenses:inventory write-down": 700, "assets:inventory:quarantine": 2200,
        "expenses:scrap": 2200, "assets:inventory:return pending": -6600,
    }  # fmt: skip
    again = DisposedUnits(sku="A1", quantity=1, disposition="scrap", taken="quarantine")
    estate.tell(disposed("R1", again, disposition_id="3"))
    assert posted("disposition/R1/3") == {"expenses:scrap": 2200, "assets:inventory:quarantine": -2200}
    assert stands(http)["lines"][0]["disposed"] == {"resell": 1, "refurbish": 1, "quarantine": 0, "scrap": 2}
    estate.tell(disposed("R1", disposition_id="4"))
    assert core.states()["parked"] == 1, "no fifth unit"
    assert (core.balance("assets:inventory:return pending"), estate.sound()) == (0, True)


@pytest.mark.proves(112, 119, 125, 126, 127)
def test_money_goes_back_once_and_after_the_goods_were_seen(
    estate: Estate, http: httpx.Client, core: Core, posted: Entries
) -> None:
    def instructed() -> list[tuple[str, str, int]]:
        told = http.get("/v1/refunds").json()
        return [(one["refund_id"], one["provider"], one["amount_minor"]) for one in told]

    sold(estate)
    estate.tell(ReturnPolicySet(origin="oms", policy_id="1", approval="manual"), asked_back("R1", units(2)))
    estate.tell(RefundApproved(origin="shop", return_id="R1", approval_id="1", by="ann"))
    assert (instructed(), core.states()["parked"]) == ([], 1), "no goods, no refund"
    estate.tell(came_back("R1", ReceivedUnits(sku="A1", quantity=2)))
    assert (instructed(), core.states()["parked"]) == ([], 1), "nobody has inspected them"
    estate.tell(looked_at("R1", 2))
    assert instructed() == [("R1-1", "stripe", 10057)], "the card first, up to what it paid"
    assert posted("refund/R1-2")["liabilities:gift cards"] == -1634, "then the gift card, at once"
    estate.tell(refund("R1-1", 10057, provider="stripe"))
    for event_id in ("again", "once more"):
        estate.tell(msgspec.structs.replace(refund("R1-1", 10057, provider="stripe"), tax_minor=len(event_id)))
    assert worth(stands(http))[3] == 11691
    estate.tell(refund("F9", 100, provider="stripe"))
    assert estate.exceptions() == [("refund_above_approved", "payments", 100)]
    estate.tell(
        RefundFailed(origin="shop", return_id="R1", refund_id="R1-1", provider="stripe", reason="closed account")
    )
    failed = core.one("select journal_id from core.journals where document = 'refund_failure'")
    assert posted(failed.removeprefix("shop:")) == {
        "assets:clearing:stripe": 10057, "liabilities:refunds:approved": -10057,
    }  # fmt: skip
    assert estate.exceptions()[-1] == ("refund_failed", "payments", 10057)
    estate.tell(RefundApproved(origin="shop", return_id="R1", approval_id="2", by="ann", card_id="SC1"))
    assert posted("refund/R1-3") == {"liabilities:refunds:approved": 10057, "liabilities:gift cards": -10057}
    assert [kind for kind, _, _ in estate.exceptions()] == ["refund_above_approved"]

    sold(estate, "2")
    estate.tell(asked_back("R2", order_id="2"), refund("F2", 5846, "R2", provider="stripe"))
    assert estate.exceptions()[-1] == ("refund_without_receipt", "payments", 5846)
    estate.tell(came_back("R2"), looked_at("R2"))
    assert ([one["refund_id"] for one in http.get("/v1/refunds").json()], len(estate.exceptions())) == ([], 1)
    assert core.balance("liabilities:refunds:approved") == 0
    assert estate.sound()


@pytest.mark.proves(117, 143)
def test_what_does_not_come_is_released_exactly_and_what_nobody_expects_is_parked(
    estate: Estate, http: httpx.Client, core: Core, posted: Entries
) -> None:
    sold(estate, quantity=3)
    before = {name: core.balance(name) for name in ("revenue", "liabilities", "expenses", "assets")}
    estate.tell(asked_back("R1"), ReturnWithdrawn(origin="shop", return_id="R1", reason="keeps it"), asked_back("R2"))
    assert {name: -minor for name, minor in posted("return_release/R1/refused/0").items()} == posted(
        "return_authorisation/R1"
    )
    later(core, days=22)
    assert Deadlines(core.db, lambda: core.now).run_once() == 1
    core.work()
    assert (stands(http, "R1")["state"], stands(http, "R2")["state"]) == ("refused", "expired")
    assert {name: core.balance(name) for name in before} == before
    estate.tell(came_back("R2"))
    assert estate.exceptions() == [("return_item_parked", "returns", 5400)]

    estate.tell(asked_back("R3", units(2)), at=NOON)
    parcel = (ReceivedUnits(sku="A1", quantity=1), ReceivedUnits(sku="B9", quantity=2),
              ReceivedUnits(quantity=1, note="a blue one"))  # fmt: skip
    estate.tell(came_back("R3", *parcel, final=True))
    assert sorted(estate.exceptions()[1:]) == [
        ("return_item_parked", "returns", 5400), ("return_item_parked", "returns", 10800),
        ("return_short", "returns", 5845),
    ]  # fmt: skip
    estate.tell(came_back("R3", ReceivedUnits(sku="A1", quantity=3), receipt_id="2"))
    assert (
        sorted(estate.exceptions()[1:])
        == [("return_item_parked", "returns", 5400)] + [("return_item_parked", "returns", 10800)] * 2
    )
    assert stands(http, "R3")["lines"][0]["received"] == 2
    estate.tell(LocationRegistered(origin="erp", location="ST1", kind="store", stock_source="pos"))
    estate.tell(asked_back("R4"), came_back("R4"), came_back("R4", location="nowhere", receipt_id="2"), at=NOON)
    assert estate.exceptions()[-1][:2] == ("wrong_source", "integration")
    assert (core.states()["parked"], stands(http, "R4")["state"]) == (1, "authorised")
    estate.tell(came_back("R4", receipt_id="3"), source="pos")
    assert (stands(http, "R4")["state"], estate.sound()) == ("received", True)


@pytest.mark.proves(57, 58, 62, 133, 142)
def test_goods_that_nobody_announced_come_back_with_a_credit_memo_or_wait_for_their_order(
    estate: Estate, http: httpx.Client, core: Core, journey: Tell, posted: Entries
) -> None:
    estate.tell(goods_in(units={"A1": 6}), order("1", line(quantity=2), customer_ref="100", tax_minor=400))
    estate.tell(payment("1", 2400), shipment("1"), credit_memo("C1"))
    assert posted("credit_memo/C1") == {
        "revenue:returns": 1000, "liabilities:tax on refunds pending": 200, "liabilities:refunds:approved": -1200,
        "assets:inventory:return pending": 400, "expenses:cost of goods": -400,
    }  # fmt: skip
    assert posted("refund/C1")["assets:clearing:card"] == -1200
    estate.tell(looked_at("C1", location="WH1"), disposed("C1", location="WH1"))
    assert (estate.at()["good"], "return_pending" in estate.at()) == (5, False)

    bad = cloudevent(goods_back("M0", line(quantity=-1), order_id="", order_origin=""), "bad")
    assert http.post("/v1/events", json=bad).json()["field"] == "data.lines[0].quantity"
    estate.tell(goods_back("M1", order_id="", order_origin="", tax_minor=200))
    assert estate.exceptions() == [("return_without_sale", "returns", 1200)]
    assert (posted("return/M1"), "return_pending" in estate.at()) == ({}, False)
    found = ReturnMatched(
        origin="shop", return_id="M1", order_origin="shop", order_id="1", by="ann", evidence="receipt"
    )
    estate.tell(found)
    assert posted("return/M1")["liabilities:refunds:approved"] == -1200
    assert (estate.exceptions(), estate.at()["return_pending"]) == ([], 1)
    estate.tell(refund("F1", 1200, "M1"))
    assert {"return.receive", "return.match", "refund.issue"} <= {hop.name for hop in journey("M1").hops}
    assert core.balance("liabilities:refunds:approved") == 0

    estate.tell(order("2"), payment("2"), shipment("2"), goodwill("G2", 200, order_id="2"))
    assert posted("goodwill/G2") == {"revenue:allowances": 200, "liabilities:refunds:approved": -200}
    estate.tell(refund("G2-1", 200, "G2"))
    assert (stands(http, "G2")["state"], core.balance("liabilities:refunds:approved"), estate.sound()) == (
        "closed",
        0,
        True,
    )


@pytest.mark.proves(110, 114, 115)
def test_stages_are_told_and_the_erp_has_every_document_or_it_is_undone(
    estate: Estate, http: httpx.Client, core: Core, journey: Tell
) -> None:
    def stages() -> dict[str, str]:
        return {one["return_id"]: one["stage"] for one in http.get("/v1/returns").json()}

    sold(estate, quantity=4)
    for number in range(1, 5):
        estate.tell(asked_back(f"E{number}"))
    estate.tell(came_back("E2"), came_back("E3"), looked_at("E3"), came_back("E4"), looked_at("E4"), disposed("E4"))
    assert stages() == {
        "E1": "initiation", "E2": "inspection and disposition", "E3": "inspection and disposition",
        "E4": "refund and settlement",
    }  # fmt: skip
    [one] = http.get("/v1/returns", params={"stage": "refund and settlement"}).json()
    assert (one["return_id"], one["cleared_minor"]) == ("E4", 5845)
    assert (stands(http, "E2")["lines"][0]["uninspected"], stands(http, "E3")["lines"][0]["accepted"]) == (1, 1)
    books = Erp()
    books.refused["shop:disposition/E4/1"] = "the period is closed"
    with books.serving() as url:
        client = ErpClient(url, lambda: core.now)
        ErpRelay(core.db, client, lambda: core.now).run_once()
        client.close()
    assert "shop:return_authorisation/E4" in books.documents
    [refused] = http.get("/v1/exceptions", params={"kind": "posting_rejected"}).json()
    act = {"by": "ann", "reason": "the period is closed", "ids": [refused["exception_id"]]}
    assert http.post("/v1/exceptions/compensate", json=act).json()["done"] == 1
    core.work()
    assert (estate.at("ST1").get("good", 0), estate.at("ST1")["return_pending"]) == (0, 3)
    assert (stands(http, "E4")["state"], stands(http, "E4")["lines"][0]["disposed"]) == ("inspected", {"resell": 0})
    estate.tell(disposed("E4", disposition_id="2"))
    assert (stands(http, "E4")["state"], estate.at("ST1")["good"]) == ("dispositioned", 1)
    told = journey("E4")
    assert {"erp_accepted", "reversed"} <= {*milestones(told)}
    assert estate.sound()


def test_of_an_exchange_only_the_difference_goes_through_the_provider(
    estate: Estate, http: httpx.Client, core: Core, posted: Entries, journey: Tell
) -> None:
    def swapped(old: str, new: str, new_minor: int) -> None:
        """A unit at 10.00 comes back, and what it was worth pays for one at another price."""
        back, credit = f"R{old}", min(1000, new_minor)
        estate.tell(order(old), payment(old, provider="stripe"), shipment(old))
        estate.tell(asked_back(back, order_id=old, exchange_order_id=new), came_back(back), looked_at(back))
        approved = RefundApproved(origin="shop", return_id=back, approval_id="1", by="ann", amount_minor=credit,
                                  card_id=f"X{new}")  # fmt: skip
        tenders = [Tender(kind="store_credit", amount_minor=credit, card_id=f"X{new}")]
        if new_minor > credit:
            tenders.append(Tender(kind="card", amount_minor=new_minor - credit, provider="stripe"))
        estate.tell(disposed(back), approved, order(new, line("B2", price_minor=new_minor)))
        estate.tell(payment(new, new_minor, provider="stripe", tenders=tuple(tenders)), shipment(new))

    estate.tell(goods_in(units={"A1": 5, "B2": 5}), ReturnPolicySet(origin="oms", policy_id="1", approval="manual"))
    swapped("1", "2", 1300)
    paid = {"assets:clearing:stripe": 300, "liabilities:gift cards": 1000, "liabilities:contract:goods": -1300}
    assert posted("order/2") == paid
    swapped("3", "4", 700)
    assert posted("order/4") == {"liabilities:gift cards": 700, "liabilities:contract:goods": -700}
    estate.tell(RefundApproved(origin="shop", return_id="R3", approval_id="2", by="ann"))
    [due] = http.get("/v1/refunds", params={"provider": "stripe"}).json()
    assert (due["amount_minor"], due["payment_id"]) == (300, "P3")
    estate.tell(refund(due["refund_id"], 300, "R3", provider="stripe"))
    assert core.balance("assets:clearing:stripe") == 1000 + 300 + 1000 - 300
    assert core.balance("liabilities") == -4000, "what was received and is not invoiced; customers are owed nothing"
    assert {("R1", "exchanges"), ("1", "returns")} <= {(one.reference, one.link) for one in journey("2").related}
    assert (estate.exceptions(), estate.sound()) == ([], True)
