"""What happens in business, told over HTTP, and what it posts to the cent: row by row, as finance expects it."""

import csv
import datetime as dt
import io
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from sync_core.messages import (
    Event,
    ExchangeRateSet,
    FinanceRecorded,
    PaymentSettled,
    StockAdjusted,
    StockLine,
    StockReceived,
    Tender,
    TransferWrittenOff,
)
from sync_core.returns.messages import DisposedUnits, InspectedUnits, ReceivedUnits, RequestedUnits, ReturnInspected
from sync_core.settlements.matching import Matcher
from tests.core import Core
from tests.estate import Estate
from tests.factories import (
    asked_back,
    came_back,
    cancellation,
    disposed,
    gift_card,
    line,
    order,
    payment,
    payment_word,
    refund,
    shipment,
    transfer,
    transfer_in,
    transfer_out,
    units,
)

BEAN_CHECK: Final = Path(sys.prefix) / "beancount" / "bin" / "bean-check"
BOOKS: Final = '[entities.main]\ncurrency = "USD"\n'
COSTS: Final = {"A": 2200, "CHEAP": 800, "BAG": 3000, "AMZ": 4100, "EU": 4000, "B2B": 9000}
BASKET: Final = (line("A", 2, 6000), line("PROMO", 1, -1200, kind="discount"), line("POST", 1, 800, kind="shipping"))
USD: Final[dict[str, Any]] = {"currency": "USD"}

STRIPE, CARDS, TAX = "assets:clearing:stripe", "liabilities:gift cards", "liabilities:sales tax"
AMAZON, ADYEN, PAYPAL = "assets:clearing:amazon", "assets:clearing:adyen", "assets:clearing:paypal"
GOODS, REVENUE, COGS = "liabilities:contract:goods", "revenue:goods", "expenses:cost of goods"
STOCK, TRANSIT, BANK = "assets:inventory:sellable", "assets:payouts in transit", "assets:bank"
APPROVED, PENDING = "liabilities:refunds:approved", "liabilities:tax on refunds pending"
RECOVER = "assets:right to recover goods"
VARIANCE, DISPUTES = "assets:inventory:transfer variance", "assets:disputes receivable"
FX, UNREALISED = "expenses:realised fx", "expenses:unrealised fx"

Row = tuple[str, int, Sequence[Event | str], dict[str, float]]
"""What it is, the day of November 2026 (31 is the first of December), what is told, and what it posts."""


def fact(kind: str, document_id: str, amounts: dict[str, int], **over: Any) -> FinanceRecorded:
    given = {"origin": "erp", "kind": kind, "document_id": document_id, "currency": "USD", "amounts": amounts}
    return FinanceRecorded(**given | over)


def at(provider: str) -> dict[str, Any]:
    return {"names": {"provider": provider}}


def sold(order_id: str, sku: str, minor: int, provider: str, tax: int = 0, **over: Any) -> tuple[Event, ...]:
    """An order of one unit that is paid and leaves."""
    given = USD | over
    paid = {key: given[key] for key in ("currency", "tenders") if key in given}
    kept = {key: one for key, one in given.items() if key != "tenders"}
    lines = (line(sku, 1, minor), *over.pop("more", ()))
    kept.pop("more", None)
    total = sum(one.amount_minor for one in lines) + tax
    place = kept.get("location", "WH1")
    return (order(order_id, *lines, tax_minor=tax, **kept), payment(order_id, total, provider=provider, **paid),
            shipment(order_id, location=place))  # fmt: skip


def rate(day: int, ppm: int) -> ExchangeRateSet:
    return ExchangeRateSet(origin="erp", currency="EUR", into="USD", valid_from=dt.date(2026, 11, day), rate_ppm=ppm)


def split(order_id: str) -> Event:
    tenders = (Tender(kind="gift_card", amount_minor=2500, card_id="G1"),
               Tender(kind="card", amount_minor=10057, provider="stripe"))  # fmt: skip
    return payment(order_id, 12557, provider="stripe", tenders=tenders, **USD)


def goods(sku: str, quantity: int, cost: int | None = None, **over: Any) -> StockReceived:
    lines = (StockLine(sku=sku, quantity=quantity, unit_cost_minor=cost),)
    given = {"origin": "erp", "document_id": f"GR-{sku}-{quantity}", "location": "WH1", "currency": "USD"}
    return StockReceived(**given | {"lines": lines} | over)


AMAZON_FILE: Final = """
origin = "amazon"
currency = "USD"
[columns]
settlement_id = "settlement"
date = "posted"
type = "type"
amount = "amount"
order_id = "order"
[types]
Order = "sale"
Refund = "refund"
Commission = "commission"
FBA = "fulfilment_fee"
RefundCommission = "refund_fee"
Reserve = "reserve"
"""
AMAZON_9001: Final = """settlement,posted,type,order,amount
9001,2026-11-20,Order,amz-1,105.00
9001,2026-11-20,Refund,amz-1,-40.00
9001,2026-11-20,Commission,amz-1,-15.00
9001,2026-11-20,Commission,amz-1,6.00
9001,2026-11-20,FBA,amz-1,-3.50
9001,2026-11-20,RefundCommission,amz-1,-1.20
9001,2026-11-20,Reserve,,-10.00
"""

PART: Final = {GOODS: 54.00, "liabilities:contract:shipping": 4.00, "revenue:discounts": 6.00, REVENUE: -60.00,
               "revenue:shipping": -4.00, COGS: 22.00, STOCK: -22.00}  # fmt: skip
ACCOUNT: Final = (Tender(kind="account", amount_minor=21650),)
CASH: Final = (Tender(kind="cash", amount_minor=2165),)
EXPECTED_BACK: Final = {"revenue:expected returns": 150.00, "liabilities:refunds:expected": -150.00,
                        "assets:right to recover expected": 120.00, COGS: -120.00}  # fmt: skip
FIRST: Final = dt.date(2026, 12, 1)

TABLE: Final[tuple[Row, ...]] = (
    ("1 gift card sold", 1, [gift_card(currency="USD")], {STRIPE: 50.00, CARDS: -50.00}),
    ("order 0990 paid and shipped the same hour", 1, sold("0990", "BAG", 7390, "stripe", 610),
     {STRIPE: 80.00, REVENUE: -73.90, TAX: -6.10, COGS: 30.00, STOCK: -30.00}),
    ("2 payment captured, split tender", 2, [order("1001", *BASKET, tax_minor=957, **USD), split("1001")],
     {STRIPE: 100.57, CARDS: 25.00, GOODS: -108.00, "liabilities:contract:shipping": -8.00, TAX: -9.57}),
    ("3 first partial shipment", 3, [shipment("1001", shipment_id="S1", lines=(units("A"),))], PART),
    ("4 second partial shipment", 4, [shipment("1001", shipment_id="S2", lines=(units("A"),))], PART),
    ("5 processor fees", 4, [fact("processor_fee", f"fee-{minor}", {"amount": minor}, **at("stripe"))
                             for minor in (175, 322, 262)],
     {"expenses:processor fees": 7.59, STRIPE: -7.59}),
    ("21 payment captured for the same basket", 5, [order("1002", *BASKET, tax_minor=957, **USD), split("1002")],
     {STRIPE: 100.57, CARDS: 25.00, GOODS: -108.00, "liabilities:contract:shipping": -8.00, TAX: -9.57}),
    ("21 cancelled before shipment, refunded to each tender up to what it paid", 5, [cancellation("1002")],
     {STRIPE: -100.57, CARDS: -25.00, GOODS: 108.00, "liabilities:contract:shipping": 8.00, TAX: 9.57}),
    ("6 return authorised, 1 unit of 1001", 6,
     [asked_back("rma-501", RequestedUnits(sku="A", quantity=1), order_id="1001", currency="USD")],
     {"revenue:returns": 54.00, PENDING: 4.46, APPROVED: -58.46, RECOVER: 22.00, COGS: -22.00}),
    ("7 item received at another store", 9, [came_back("rma-501", ReceivedUnits(sku="A", quantity=1))],
     {"assets:inventory:return pending": 22.00, RECOVER: -22.00}),
    ("8b inspection: refurbish, worth 15.00", 10,
     [ReturnInspected(origin="shop", return_id="rma-501", inspection_id="1", location="ST1",
                      lines=(InspectedUnits(sku="A", quantity=1, outcome="accepted"),)),
      disposed("rma-501", DisposedUnits(sku="A", quantity=1, disposition="refurbish", worth_minor=1500))],
     {"assets:inventory:refurbish": 15.00, "expenses:inventory write-down": 7.00,
      "assets:inventory:return pending": -22.00}),
    ("9 refund issued to card, the tax is reclaimed", 10,
     [refund("rma-501-1", 5846, "rma-501", provider="stripe", currency="USD")],
     {APPROVED: 58.46, STRIPE: -58.46, TAX: 4.46, PENDING: -4.46}),
    ("10 chargeback opened", 11,
     [fact("chargeback_opened", "cb-1", {"amount": 8000, "fee": 1500}, order_id="0990", **at("stripe"))],
     {DISPUTES: 80.00, "expenses:chargeback fees": 15.00, STRIPE: -95.00}),
    ("10b lost: not received, a return of the sale and its tax", 15,
     [fact("chargeback_lost_on_goods", "cb-1", {"amount": 8000, "tax": 610}, order_id="0990")],
     {"revenue:returns": 73.90, TAX: 6.10, DISPUTES: -80.00}),
    ("10b opened and lost: fraud", 15,
     [fact("chargeback_opened", "cb-2", {"amount": 1000, "fee": 0}, **at("stripe")),
      fact("chargeback_lost_on_fraud", "cb-2", {"amount": 1000})],
     {"expenses:chargeback losses": 10.00, STRIPE: -10.00}),
    ("10b opened and won", 15,
     [fact("chargeback_opened", "cb-3", {"amount": 1000, "fee": 0}, **at("stripe")),
      fact("chargeback_won", "cb-3", {"amount": 1000}, **at("stripe"))], {}),
    ("11 payout created", 16, [fact("payout_created", "po_1", {"amount": 5952}, **at("stripe"))],
     {TRANSIT: 59.52, STRIPE: -59.52}),
    ("12 bank deposit", 16, [fact("payout_banked", "po_1", {"amount": 5952})], {BANK: 59.52, TRANSIT: -59.52}),
    ("12b payout created and failed", 16,
     [fact("payout_created", "po_2", {"amount": 100}, **at("stripe")),
      fact("payout_failed", "po_2", {"amount": 100}, **at("stripe"))], {}),
    ("13 Amazon order shipped, principal", 16,
     sold("amz-1", "AMZ", 10000, "amazon", more=(line("POST", 1, 500, kind="shipping"),)),
     {AMAZON: 105.00, REVENUE: -100.00, "revenue:shipping": -5.00, COGS: 41.00, STOCK: -41.00}),
    ("14 Amazon settlement, gross lines", 20,
     [AMAZON_9001],
     {"expenses:marketplace commission": 9.00, "expenses:marketplace fulfilment fees": 3.50,
      "expenses:marketplace refund admin fee": 1.20, "assets:marketplace reserve": 10.00, TRANSIT: 41.30,
      AMAZON: -65.00}),
    ("14 Amazon deposit", 21, [fact("payout_banked", "9001", {"amount": 4130})], {BANK: 41.30, TRANSIT: -41.30}),
    ("15 EUR order at 1.0850", 22, [rate(22, 1_085_000), *sold("eu-1", "EU", 10000, "adyen", currency="EUR")],
     {ADYEN: 108.50, REVENUE: -108.50, COGS: 40.00, STOCK: -40.00}),
    ("15 EUR settlement at 1.0790, fee 3.40", 25,
     [rate(25, 1_079_000),
      payment_word(PaymentSettled, "eu-1", 10000, provider="adyen", currency="EUR", fee_minor=315, payout_id="ad_1"),
      fact("payout_banked", "ad_1", {"amount": 9685}, currency="EUR")],
     {BANK: 104.50, "expenses:processor fees": 3.40, FX: 0.60, ADYEN: -108.50}),
    ("16 rounding: three lines of EUR, converted as one", 24,
     [order("eu-3", line("EU", 1, 3334), line("W", 1, 3333, kind="shipping"), line("M", 1, 3333, kind="manual"),
            currency="EUR"), payment("eu-3", 10000, provider="adyen", currency="EUR")],
     {ADYEN: 108.50, GOODS: -36.18, "liabilities:contract:shipping": -36.16, "liabilities:contract:manual": -36.16}),
    ("17 transfer shipped", 26, [transfer(units={"A": 10}, **USD), transfer_out(units={"A": 10})],
     {"assets:inventory:in transit": 220.00, STOCK: -220.00}),
    ("17 received short by one", 27, [transfer_in(units={"A": 9})],
     {STOCK: 198.00, VARIANCE: 22.00, "assets:inventory:in transit": -220.00}),
    ("18 store cash sale, till counted 0.05 short", 28,
     [goods("CHEAP", 5, 800, location="store 17", document_id="GR-17"),
      *sold("pos-17-0042", "CHEAP", 2000, "till", 165, tenders=CASH, location="store 17"),
      fact("cash_counted", "z-17", {"expected": 2165, "counted": 2160}, location="store 17")],
     {"assets:cash:store 17": 21.60, "expenses:cash over short": 0.05, REVENUE: -20.00, TAX: -1.65, COGS: 8.00,
      STOCK: 32.00, "liabilities:goods received not invoiced": -40.00}),
    ("18 cash collected", 29, [fact("cash_collected", "z-17", {"amount": 2160}, location="store 17")],
     {"assets:cash:in transit": 21.60, "assets:cash:store 17": -21.60}),
    ("18 cash banked", 29, [fact("cash_banked", "z-17", {"amount": 2160})],
     {BANK: 21.60, "assets:cash:in transit": -21.60}),
    ("19 expected returns at period end", 30,
     [fact("expected_returns", "2026-11", {"amount": 15000, "cost": 12000}, reverse_on=FIRST)], EXPECTED_BACK),
    ("20 breakage: 450 redeemed of 900 expected, 100 never used", 30,
     [fact("breakage", "2026-11", {"expected_breakage": 10000, "redeemed": 45000, "expected_redemptions": 90000})],
     {CARDS: 50.00, "revenue:breakage": -50.00}),
    ("26 sale on account, net 30", 29, sold("b2b-9", "B2B", 20000, "account", 1650, tenders=ACCOUNT),
     {"assets:receivable": 216.50, REVENUE: -200.00, TAX: -16.50, COGS: 90.00, STOCK: -90.00}),
    ("26 its receipt in part", 29, [fact("receivable_paid", "b2b-9", {"amount": 10825}, order_id="b2b-9")],
     {BANK: 108.25, "assets:receivable": -108.25}),
    ("27 the rest written off, with relief for its tax", 29,
     [fact("bad_debt", "b2b-9", {"amount": 10825, "tax": 825}, order_id="b2b-9")],
     {"expenses:bad debt": 100.00, TAX: 8.25, "assets:receivable": -108.25}),
    ("27 recovered", 29,
     [fact("bad_debt_recovered", "b2b-9", {"amount": 10825, "tax": 825}),
      fact("receivable_paid", "b2b-9/2", {"amount": 10825})],
     {BANK: 108.25, TAX: -8.25, "expenses:bad debt": -100.00}),
    ("28 goods receipt", 29, [goods("A", 10, 2200)],
     {STOCK: 220.00, "liabilities:goods received not invoiced": -220.00}),
    ("28 supplier invoice above the receipt", 29,
     [fact("supplier_invoice", "INV-1", {"amount": 22500, "received": 22000})],
     {"liabilities:goods received not invoiced": 220.00, "expenses:purchase price variance": 5.00,
      "liabilities:payables": -225.00}),
    ("29 count loss", 29,
     [StockAdjusted(origin="erp", document_id="N1", location="WH1", channel="web", currency="USD",
                    lines=(StockLine(sku="A", quantity=-1),))], {"expenses:shrinkage": 22.00, STOCK: -22.00}),
    ("31 agent sale, commission 15 %", 29,
     [fact("agent_sale", "ag-1", {"amount": 10500, "commission": 1575}, **at("paypal"))],
     {PAYPAL: 105.00, "liabilities:payable to sellers": -89.25, "revenue:commission": -15.75}),
    ("32 sale with loyalty points worth 5.00", 29,
     [*sold("ly-1", "EU", 10000, "paypal"),
      fact("points_granted", "ly-1", {"price": 10000, "points": 500}, order_id="ly-1")],
     {PAYPAL: 100.00, REVENUE: -95.24, "liabilities:contract:points": -4.76, COGS: 40.00, STOCK: -40.00}),
    ("33 open EUR 100.00 revalued from 1.0850 to 1.0820", 30,
     [fact("fx_revaluation", "2026-11", {"balance": 10000, "booked_ppm": 1_085_000, "closing_ppm": 1_082_000},
           currency="EUR", reverse_on=FIRST, **at("adyen"))], {UNREALISED: 0.30, ADYEN: -0.30}),
    ("19 and 33 reversed on the first day", 31, [],
     {account: -amount for account, amount in EXPECTED_BACK.items()} | {UNREALISED: -0.30, ADYEN: 0.30}),
    ("30 Amazon releases the reserve", 32, [fact("reserve_released", "9002", {"amount": 1000})],
     {TRANSIT: 10.00, "assets:marketplace reserve": -10.00}),
    ("17 the variance's own deadline passes", 42, [TransferWrittenOff(origin="shop", transfer_id="T1")],
     {"expenses:shrinkage": 22.00, VARIANCE: -22.00}),
    ("34 tax remitted", 35, [fact("tax_remitted", "2026-11", {"amount": 1000})], {TAX: 10.00, BANK: -10.00}),
    ("35 cost correction by the ERP", 35, [goods("B2B", 0, 9100)],
     {STOCK: 4.00, "expenses:inventory revaluation": -4.00}),
)  # fmt: skip


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=number - 1)


class Books:
    """What was exported, and what of it has been looked at."""

    def __init__(self, http: httpx.Client) -> None:
        self._http, self._seen = http, set[str]()

    def export(self, form: str) -> str:
        return self._http.get("/v1/journal", params={"format": form}).text

    def rows(self) -> Iterator[dict[str, str]]:
        yield from csv.DictReader(io.StringIO(self.export("canonical")))

    def posted(self, on: dt.date) -> dict[str, float]:
        """What journals of a day that are new come to, in major units of the currency of the books."""
        found, seen = Counter[str](), set[str]()
        for row in self.rows():
            if row["journal_id"] not in self._seen and row["business_date"] == on.isoformat():
                found[row["account"]] += int(row["functional_minor"])
                seen.add(row["journal_id"])
        self._seen |= seen
        return {account: minor / 100 for account, minor in found.items() if minor}


def give(http: httpx.Client, core: Core, content: str) -> None:
    """A settlement's file is read, booked and matched."""
    assert http.put("/v1/mappings/amazon_rows", content=AMAZON_FILE).status_code == 200
    where = "/v1/files/amazon_rows/9001.csv"
    assert http.put(where, content=content).status_code == 202
    deadline = time.monotonic() + 10
    while http.get(where).json()["state"] == "reading":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    core.work()
    Matcher(core.db, core.rules, lambda: core.now).run_once()


@pytest.fixture
def posting_rules() -> str:
    return BOOKS


@pytest.mark.proves(130, 131, 141, 144)
def test_each_row_posts_what_finance_expects(estate: Estate, core: Core, http: httpx.Client, home: Path) -> None:
    core.now = day(43)
    estate.tell(*(goods(sku, 20 if sku == "A" else 5, cost) for sku, cost in COSTS.items()), at=day(0))
    books = Books(http)
    for what, number, events, expected in TABLE:
        for one in events:
            if isinstance(one, str):
                give(http, core, one)
            else:
                estate.tell(one, at=day(number))
        assert books.posted(day(number).date()) == expected, what
    owed = {row["document"]: row["amount_minor"] for row in books.rows()
            if row["account"] == APPROVED and row["entity_id"] == "X1002"}  # fmt: skip
    assert owed == {"cancellation": "-12557", "cancellation_refund": "12557"}, "row 21: approved, then refunded"
    assert core.states().keys() == {"done"}
    check = ["hledger", "-f", "-", "check", "balancednoautoconversion"]
    audited = subprocess.run(check, input=books.export("hledger"), text=True, capture_output=True)
    assert (audited.returncode, audited.stderr) == (0, "")
    if BEAN_CHECK.exists():
        (home / "books.beancount").write_text(books.export("beancount"))
        audited = subprocess.run([BEAN_CHECK, home / "books.beancount"], text=True, capture_output=True)
        assert (audited.returncode, audited.stderr) == (0, "")
    assert core.faults() == []
    assert estate.sound()
