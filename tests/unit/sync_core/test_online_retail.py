"""Rows of the Online Retail file become documents by the rules of the data, and what cannot be read names its line."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from sync_core.connectors import online_retail
from sync_core.errors import UnreadableFileError
from sync_core.messages import (
    ChargeRaised,
    CreditMemoIssued,
    FeedReported,
    Message,
    OrderCaptured,
    PaymentCaptured,
    ReceivableAdjusted,
    ShipmentShipped,
    StockAdjusted,
    StockReceived,
    decode_event,
)
from tests.factories import RetailRow, online_retail_csv

LONDON = ZoneInfo("Europe/London")
T = TypeVar("T")


def read_text(text: str) -> list[Message]:
    lines = text.splitlines(keepends=True)
    known = online_retail.survey(online_retail.rows(iter(lines), "trade.csv"))
    return list(online_retail.messages(online_retail.rows(iter(lines), "trade.csv"), known))


def read(*rows: RetailRow) -> list[Message]:
    return read_text(online_retail_csv(rows))


def events(messages: Iterable[Message], kind: type[T]) -> list[T]:
    return [one.event for one in messages if isinstance(one.event, kind)]


def document(*rows: RetailRow) -> Any:
    """The one event that a file states."""
    (stated,) = [one.event for one in read(*rows) if one.provenance == "file"]
    return stated


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([RetailRow("A1", "B", price="-50.00")], ReceivableAdjusted),
        ([RetailRow("A1", "A1", price="0", customer="")], ReceivableAdjusted),
        ([RetailRow("C1", quantity=-1)], CreditMemoIssued),
        ([RetailRow("C1", "D", -1, price="0", customer="")], CreditMemoIssued),
        ([RetailRow("1", price="0.0", customer="")], StockAdjusted),
        ([RetailRow("1", "POST", price="0.0", customer="")], StockAdjusted),
        ([RetailRow("1", price="0.0")], OrderCaptured),  # a customer: given free
        ([RetailRow("1", price="0.0", customer=""), RetailRow("1", "M", price="9.00", customer="")], OrderCaptured),
        ([RetailRow("1", "gift_0001_20", customer="")], OrderCaptured),
        ([RetailRow("1", "POST"), RetailRow("1", "M")], ChargeRaised),
        ([RetailRow("1", "AMAZONFEE", customer="")], ChargeRaised),
    ],
)
def test_a_document_is_what_its_number_and_its_lines_make_it(rows: list[RetailRow], kind: type) -> None:
    assert type(document(*rows)) is kind


CODES = {
    "post": "shipping", "DOT": "shipping", "C2": "shipping", "D": "discount", "amazonfee": "fee",
    "Bank Charges": "fee", "CRUK": "fee", "s": "sample", "M": "manual", "B": "bad_debt",
    "gift_0001_20": "gift", "GIFT_0002_20": "goods", "85123a": "goods", "PADS": "goods",
}  # fmt: skip


def test_the_kind_of_a_line_comes_from_its_code_in_upper_case() -> None:
    lines = document(RetailRow("1"), *(RetailRow("1", code) for code in CODES)).lines[1:]
    assert [(line.sku, line.kind) for line in lines] == [(code.upper(), kind) for code, kind in CODES.items()]


def test_rows_of_one_number_are_one_document_wherever_they_stand() -> None:
    rows = (
        RetailRow("5", "A1", 2, "2011-03-01 09:01:00"),
        RetailRow("C6", "B2", -1, "2011-03-01 09:01:00", customer="200.0"),
        RetailRow("5", "A1", 3, "2011-03-01 09:00:00", "2.555"),
        RetailRow("7", "C3"),
    )
    stated = [one for one in read(*rows) if one.provenance == "file"]
    assert [one.event_id for one in stated] == ["5", "C6", "7"]
    order = stated[0].event
    assert isinstance(order, OrderCaptured)
    assert [(one.sku, one.quantity, one.position) for one in order.lines] == [("A1", 2, 2), ("A1", 3, 4)]
    assert [(one.amount_minor, one.unit_price_micros, one.residue_micros) for one in order.lines] == [
        (2000, 10_000_000, 0),
        (766, 2_555_000, 5_000),  # 7.665, to the even neighbour
    ]
    assert stated[0].occurred_at == dt.datetime(2011, 3, 1, 9, 0, tzinfo=LONDON), "the earliest of its rows"


def test_equal_rows_are_lines_of_their_own() -> None:
    order = document(RetailRow("1"), RetailRow("1"))
    assert [(line.sku, line.position) for line in order.lines] == [("A1", 2), ("A1", 3)]


def test_customers_lose_the_point_of_the_original_and_nobody_stays_nobody() -> None:
    assert document(RetailRow("1", customer="17850.0")).customer_ref == "17850"
    assert document(RetailRow("1", customer="17850")).customer_ref == "17850"
    assert document(RetailRow("1", customer="")).customer_ref == ""


def test_times_are_of_london_and_the_business_date_is_the_local_one() -> None:
    summer = next(one for one in read(RetailRow("1", at="2011-07-01 00:30:00")) if one.event_id == "1")
    assert summer.occurred_at == dt.datetime(2011, 6, 30, 23, 30, tzinfo=dt.UTC)
    assert summer.business_date == dt.date(2011, 7, 1)


def test_a_line_of_carriage_makes_the_channel() -> None:
    assert document(RetailRow("1"), RetailRow("1", "DOT")).channel == "dotcom"
    assert document(RetailRow("1"), RetailRow("1", "POST")).channel == "trade"


@pytest.mark.parametrize(
    ("at", "tax"),
    [
        ("2010-12-01 08:00:00", 175),
        ("2011-01-03 23:59:00", 175),
        ("2011-01-04 00:00:00", 200),
        ("2011-12-09 12:00:00", 200),
    ],
)
def test_vat_rose_on_the_fourth_of_january(at: str, tax: int) -> None:
    (order,) = events(read(RetailRow("1", at=at)), OrderCaptured)
    assert (order.tax_minor, order.lines[0].amount_minor) == (tax, 1000)


def test_an_order_is_paid_at_once_and_shipped_an_hour_and_a_half_minute_later() -> None:
    messages = read(RetailRow("1"), RetailRow("2", at="2011-03-01 10:00:00"), RetailRow("3", at="2011-03-01 10:01:00"))
    order = [one.event_id for one in messages if not isinstance(one.event, FeedReported | StockReceived)]
    assert order == [
        "1", "generated/payment/1", "2", "generated/payment/2", "generated/shipment/1", "3", "generated/payment/3",
        "generated/shipment/2", "generated/shipment/3",
    ]  # fmt: skip
    assert {one.provenance for one in messages if one.event_id.startswith("generated")} == {"generated"}
    payments = [
        (one.order_id, one.payment_id, one.amount_minor, one.provider) for one in events(messages, PaymentCaptured)
    ]
    assert payments[0] == ("1", "1-P", 1200, "stripe")
    shipped = next(one for one in messages if one.event_id == "generated/shipment/1")
    assert shipped.occurred_at == dt.datetime(2011, 3, 1, 10, 0, 30, tzinfo=LONDON)
    assert events(messages, ShipmentShipped)[0].shipment_id == "1-1"
    assert {one.partition_key for one in messages} == {"online-retail"}, "one sequence keeps the order of the file"


def test_opening_stock_is_the_deepest_shortfall_of_orders_and_counts_in_file_order() -> None:
    rows = (
        RetailRow("1", "A1", 10),
        RetailRow("2", "A1", 4, price="0", customer=""),  # found: +4
        RetailRow("3", "A1", 7),
        RetailRow("C4", "A1", -9),  # credits do not count: goods that come back wait for inspection
        RetailRow("5", "A1", -6, price="0", customer=""),  # lost
        RetailRow("6", "b2", 2, price="0.0"),
        RetailRow("7", "B2", 1, price="2.05"),
        RetailRow("8", "POST", 50),
        RetailRow("9", "C3", 4, price="0", customer=""),
        RetailRow("541431", "A1", 74_215),
        RetailRow("581483", "A1", 80_995),
    )
    messages = read(*rows)
    (opening,) = events(messages, StockReceived)
    assert opening.opening
    assert [(one.sku, one.quantity, one.unit_cost_minor) for one in opening.lines] == [("A1", 19, 450), ("B2", 3, 92)]
    assert messages[0].event is opening
    assert messages[0].occurred_at == dt.datetime(2011, 3, 1, 8, 0, tzinfo=LONDON)


def test_more_codes_than_a_receipt_may_name_are_opened_by_several() -> None:
    messages = read(*(RetailRow(str(number // 4_000), f"N{number}") for number in range(10_001)))
    openings = events(messages, StockReceived)
    assert [len(one.lines) for one in openings] == [10_000, 1]
    assert all(decode_event(one.type, one.body) == one.event for one in messages)


def test_the_feed_gives_a_sign_of_life_at_the_first_and_the_last_document_of_a_day() -> None:
    rows = [RetailRow(str(n), at=f"2011-03-0{day} {9 + n:02d}:00:00") for n, day in enumerate((1, 1, 1, 4), 1)]
    alive = [(one.event_id, one.occurred_at.hour) for one in read(*rows) if isinstance(one.event, FeedReported)]
    assert alive == [
        (f"generated/feed/{channel}/2011-03-0{day}/{what}", hour)
        for day, what, hour in ((1, "open", 10), (1, "close", 12), (4, "open", 13), (4, "close", 13))
        for channel in ("trade", "dotcom")
    ]


def test_reading_twice_gives_the_same_messages() -> None:
    rows = (RetailRow("1"), RetailRow("C2", quantity=-1), RetailRow("3", price="0", customer=""))
    assert read(*rows) == read(*rows)


HEADER = online_retail_csv([])
GOOD = "1,A1,X,1,2011-03-01 09:00:00,10.00,100.0,UK\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "expected the columns InvoiceNo, StockCode"),
        ("a,b\n" + GOOD, 1, "found a, b"),
        (HEADER.replace("InvoiceNo", "Invoice"), 1, "found Invoice, StockCode"),
        (HEADER + GOOD + "2,A1,X,1\n", 3, "expected 8 columns, found 4"),
        (HEADER + GOOD + "\n" + GOOD, 3, "expected 8 columns, found 0"),
        (HEADER + GOOD.replace(",1,", ",many,"), 2, "Quantity is 'many'; expected a whole number"),
        (HEADER + GOOD.replace(",1,", ",1.5,"), 2, "Quantity is '1.5'; expected a whole number"),
        (HEADER + GOOD.replace("10.00", "ten"), 2, "UnitPrice is 'ten'"),
        (HEADER + GOOD.replace("10.00", "NaN"), 2, "UnitPrice is 'NaN'"),
        (
            HEADER + GOOD.replace("10.00", "1.0000001"),
            2,
            "UnitPrice is '1.0000001'; expected an amount",
        ),
        (
            HEADER + GOOD.replace("2011-03-01", "01/03/2011"),
            2,
            "InvoiceDate is '01/03/2011 09:00:00'; expected",
        ),
        (HEADER + GOOD.replace("2011-03-01", "2011-02-30"), 2, "InvoiceDate is '2011-02-30 09:00:00'"),
        (HEADER + GOOD.replace("1,A1", ",A1", 1), 2, "InvoiceNo '', StockCode 'A1'"),
        (HEADER + GOOD.replace("A1", "", 1), 2, "StockCode ''"),
        (HEADER + GOOD.replace("100.0", "Smith"), 2, "CustomerID 'Smith' is not valid"),
        (HEADER + GOOD.replace(",1,", ",1000000001,"), 2, "quantity 1000000001 or price 10.00 is too large"),
        (HEADER + GOOD.replace("10.00", "1e12").replace(",1,", ",-2,"), 2, "or price 1e12 is too large"),
        (HEADER + GOOD.replace("10.00", "1e13").replace(",1,", ",0,"), 2, "or price 1e13 is too large"),
        (HEADER + GOOD.replace("1,A1", "1" * 201 + ",A1", 1), 2, "is not valid"),
        (HEADER + GOOD.replace("A1", "A" * 201), 2, "is not valid"),
        (HEADER + GOOD * 5_001, 5_002, "invoice 1 has more than 5000 lines"),
        (HEADER + GOOD + '2,A1,"X"Y,1,2011-03-01 09:00:00,1,,UK\n', 3, "not CSV"),
        (HEADER + GOOD + '2,A1,"X,1,2011-03-01 09:00:00,1,,UK\n', 3, "not CSV: unexpected end of data"),
    ],
    ids=lambda value: value if len(str(value)) < 60 else "",
)
def test_a_line_that_cannot_be_read_is_named(text: str, line: int, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=re.escape(reason)) as stopped:
        list(online_retail.rows(iter(text.splitlines(keepends=True)), "trade.csv"))
    assert (stopped.value.name, stopped.value.line) == ("trade.csv", line)
    assert str(stopped.value).startswith(f"trade.csv, line {line}: ")


def test_what_stands_before_a_bad_line_is_kept_but_not_a_document_that_may_go_on_beyond_it() -> None:
    text = online_retail_csv([RetailRow("1"), RetailRow("2"), RetailRow("2", quantity="many"), RetailRow("3")])
    known = online_retail.survey(online_retail.rows(iter(text.splitlines()), "trade.csv"))
    assert known.error is not None
    assert (known.error.line, known.rows, known.counts) == (4, 2, {"1": 1})
    assert [one.event_id for one in read_text(text) if one.provenance == "file"] == ["1"]


def test_a_file_without_rows_says_nothing() -> None:
    assert read_text(HEADER) == []
