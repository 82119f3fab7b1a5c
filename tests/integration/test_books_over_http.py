"""Periods and their close, statements of accounts, and how much of the journal the ERP is given: over HTTP."""

import datetime as dt
from typing import Any

import httpx
import psycopg
import pytest

from sync_core.ledger.summaries import Summaries
from sync_core.messages import LocationRegistered, PaymentSettled, StockLine
from tests.core import Core, later
from tests.estate import Estate, Tell
from tests.factories import (
    NOON,
    fact,
    gift_card,
    goods_in,
    line,
    order,
    payment,
    payment_word,
    reclassified,
    shipment,
)

DAY = dt.timedelta(days=1)
RULES = """
[summaries]
locations = ["ST1"]
below_minor = 50000
[entities.main]
[entities.de]
channels = ["web-de"]
"""


@pytest.fixture
def posting_rules() -> str:
    return RULES


def journal(http: httpx.Client, journal_id: str) -> dict[str, Any]:
    answer = http.get("/v1/journals", params={"id": journal_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def change(http: httpx.Client, action: str, period: str = "2026-03", **over: Any) -> httpx.Response:
    return http.post(f"/v1/periods/{period}/{action}", json={"by": "ann", "reason": "all is in"} | over)


@pytest.mark.proves(70)
def test_a_period_is_closed_with_what_is_open_on_record_and_takes_no_entry(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(goods_in(), order("1"), payment("1"), shipment("1"), order("2", line("B", 9)))
    core.now = dt.datetime(2026, 4, 3, 12, tzinfo=dt.UTC)
    refused = change(http, "close")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "still open: 1 exceptions, 3 not in the ERP, 1 not settled in time, 1 accounts that should hold nothing",
    )
    told = http.get("/v1/periods/2026-03").json()
    assert (told["state"], [(one["name"], one["largest"]) for one in told["points"] if "settled" in one["name"]]) == (
        "open", [("not settled in time", [["assets:clearing:card P1", 1000, "GBP"]])],
    )  # fmt: skip
    assert change(http, "close", dry_run=True, accept_open=True).json()["state"] == "open"
    assert change(http, "begin").json()["state"] == "closing"
    estate.tell(fact(document_id="late"), order("3"), payment("3"), at=NOON)
    assert journal(http, "erp:tax_remitted/late")["business_date"] == "2026-03-02", "finance may still post"
    assert journal(http, "shop:order/3")["business_date"] == "2026-04-01"

    closed = change(http, "close", accept_open=True).json()
    assert (closed["state"], closed["days_to_close"]) == ("closed", 3)
    assert [(one["by"], one["action"], one["open_points"].get("exceptions")) for one in closed["record"]] == [
        ("ann", "begin", 1), ("ann", "close", 1),
    ]  # fmt: skip
    estate.tell(fact(document_id="later"), at=NOON)
    late = journal(http, "erp:tax_remitted/later")
    assert (late["business_date"], late["original_date"], late["occurred_at"][:10]) == (
        "2026-04-01", "2026-03-02", "2026-03-02",
    )  # fmt: skip
    with pytest.raises(psycopg.errors.RaiseException, match="a closed period takes no entry"):
        core.change(
            "insert into core.journals select 'x', correlation_id, document, entity_id, occurred_at, '2026-03-31',"
            " channel, location, currency, rule_version, event_source, event_id, provenance, clock_offset, due_at,"
            " legal_entity, functional_currency, null from core.journals limit 1"
        )
    assert change(http, "close", legal_entity="de", accept_open=True).json()["state"] == "closed", (
        "each legal entity by itself"
    )
    assert change(http, "reopen").json()["state"] == "open"
    estate.tell(fact(document_id="reopened"), at=NOON)
    assert journal(http, "erp:tax_remitted/reopened")["business_date"] == "2026-03-02"
    assert [change(http, "close", "2026-04").status_code, change(http, "close", "x").status_code] == [409, 400]
    assert change(http, "close", legal_entity="fr").json()["field"] == "legal_entity"


def test_a_store_has_one_journal_a_day_in_the_erp_and_links_lead_both_ways(
    estate: Estate, http: httpx.Client, core: Core, journey: Tell
) -> None:
    estate.tell(goods_in(), goods_in("D2", location="ST1"))
    for one, price in (("1", 1000), ("2", 2000), ("3", 60_000)):
        where = {"location": "ST1", "channel": "pos"}
        estate.tell(order(one, line(price_minor=price), **where), payment(one, price), shipment(one, location="ST1"))
    estate.tell(order("4"), payment("4"))
    waiting = [row[0] for row in core.rows("select document_id from core.erp_documents order by 1")]
    assert {"shop:order/3", "shop:order/4"} < set(waiting), "a large amount, and what is no store's, go by themselves"
    assert "shop:order/1" not in waiting
    summaries = Summaries(core.db, core.rules, lambda: core.now)
    assert summaries.run_once() == 0, "the day is not over"
    later(core, days=1)
    assert (summaries.run_once(), summaries.run_once()) == (1, 0)
    number = journal(http, "shop:order/1")["summary_id"]
    assert number == "tallytrace.summaries:summary/main/ST1/2026-03-02/GBP/1"
    assert http.get("/v1/summaries", params={"id": number}).json() == [
        "shop:order/1", "shop:order/2", "shop:shipment/S1", "shop:shipment/S2",
    ]  # fmt: skip
    lines = core.one("select body from core.erp_documents where document_id = %s", number)
    assert b'{"account":"assets:clearing:card","amount_minor":3000}' in bytes(lines)
    linked = [one.reference for one in journey("1").related if one.link == "part_of" and one.depth == 1]
    assert linked == ["main/ST1/2026-03-02/GBP/1"]


def test_a_statement_of_an_account_is_by_age_and_each_journal_has_its_dimensions(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(goods_in(), order("1"), payment("1"))
    core.now = NOON + 21 * DAY
    estate.tell(order("2", line(price_minor=500)), payment("2", 500), at=NOON + 20 * DAY)
    told = http.get("/v1/statement", params={"account": "assets:clearing:card"}).json()
    assert told["totals"] == [{
        "currency": "GBP", "balance_minor": 1500, "lines": 2, "open_minor": 1500, "to_7_days_minor": 500,
        "to_30_days_minor": 1000, "to_90_days_minor": 0, "older_minor": 0,
    }]  # fmt: skip
    assert [(one["order_id"], one["open_minor"], one["age_days"]) for one in told["entries"]] == [
        ("1", 1000, 21), ("2", 500, 1),
    ]  # fmt: skip
    booked = journal(http, "shop:order/1")
    kept = {
        key: booked[key] for key in ("legal_entity", "business_date", "channel", "location", "event_source", "source")
    }
    assert kept == {
        "legal_entity": "main", "business_date": "2026-03-02", "channel": "web", "location": "WH1",
        "event_source": "shop", "source": "live",
    }  # fmt: skip
    assert (booked["event_id"], booked["rule_version"], len(booked["correlation_id"])) == ("3", core.rules.version, 32)


@pytest.mark.proves(153)
def test_the_auditor_names_a_gift_card_and_an_order_that_differ_from_their_accounts(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(goods_in(), gift_card(), order("1"), payment("1"))
    assert estate.sound()
    wrong = "update core.orders set contract = '{\"goods\": 900}'"
    core.change("update core.gift_cards set balance_minor = 4000", wrong)
    assert [fault for check in http.get("/v1/audit").json()["checks"] for fault in check["faults"]] == [
        "gift card shop:G1 holds 40.00, its account says 50.00",
        "liabilities:contract:goods holds 10.00, orders are owed 9.00",
    ]


@pytest.mark.proves(145)
def test_each_channel_has_its_margin(estate: Estate, http: httpx.Client) -> None:
    estate.tell(goods_in())
    for one, channel in (("1", "web"), ("2", "web-de")):
        lines = (line(price_minor=1000), line("PROMO", 1, -100, kind="discount"))
        estate.tell(order(one, *lines, channel=channel), payment(one, 900), shipment(one))
    estate.tell(payment_word(PaymentSettled, "2", 900, fee_minor=40, payout_id="po_1"))
    assert http.get("/v1/margin", params={"since": "2026-03-01", "until": "2026-03-31"}).json() == [
        {"legal_entity": entity, "channel": channel, "currency": "GBP", "sales_minor": 900, "cost_minor": 400,
         "expenses_minor": fees, "margin_minor": 500 - fees}
        for entity, channel, fees in (("de", "web-de", 40), ("main", "web", 0))
    ]  # fmt: skip
    assert http.get("/v1/margin", params={"since": "2026-04-01", "until": "2026-04-30"}).json() == []


@pytest.mark.proves(103)
def test_the_erp_says_what_goods_are_worth_and_where_they_go_writes_them_down(
    estate: Estate, http: httpx.Client, core: Core
) -> None:
    estate.tell(LocationRegistered(origin="erp", location="WH1", kind="warehouse", cost_source="erp"))
    estate.tell(goods_in(), source="erp")
    estate.tell(reclassified("B1", ("A1", 1, "good", "damaged")))
    estate.tell(
        goods_in("cheaper", {"A1": 0}, lines=(StockLine(sku="A1", quantity=0, unit_cost_minor=350),)), source="wms"
    )
    assert core.balance("assets:inventory") == 2000, "whoever counts goods does not say what they cost"
    estate.tell(
        goods_in("cheaper", {"A1": 0}, lines=(StockLine(sku="A1", quantity=0, unit_cost_minor=350),)), source="erp"
    )
    told = {one["account"]: one["amount_minor"] for one in journal(http, "shop:revaluation/cheaper")["lines"]}
    assert told == {"assets:inventory:sellable": -200, "assets:inventory:damaged": -50,
                    "expenses:inventory revaluation": 250}  # fmt: skip
    estate.tell(reclassified("B2", ("A1", 1, "damaged", "scrap")))
    assert (core.balance("assets:inventory:damaged"), core.balance("assets:inventory:sellable")) == (0, 4 * 350)
    assert core.balance("expenses:shrinkage") == 350
    assert estate.sound()
