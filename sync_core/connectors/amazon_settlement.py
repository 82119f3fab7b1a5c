"""Amazon's settlement flat file V2: tab separated, a summary row first, then one row per component of an amount.

Its traps: amounts with a decimal comma in some marketplaces, dates in several forms within one row, an open
vocabulary, and an order-id that for some rows is a shipment's number, or nothing.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Final

from sync_core.connectors.settlement_lines import Balance, Connector, Row, SettlementLine, table
from sync_core.errors import UnreadableFileError
from sync_core.messages import SettlementKind
from sync_core.money import text

COLUMNS: Final = (
    "settlement-id", "deposit-date", "total-amount", "currency", "transaction-type", "order-id", "adjustment-id",
    "amount-type", "amount-description", "amount", "posted-date", "posted-date-time",
)  # fmt: skip
DATES: Final = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%dT%H:%M:%S%z", "%d.%m.%Y", "%d.%m.%Y %H:%M:%S %Z", "%d/%m/%Y",
    "%d/%m/%Y %H:%M:%S %Z", "%d/%m/%y",
)  # fmt: skip
ORDER: Final = re.compile(r"[0-9A-Z]{3}-\d{7}-\d{7}")
TAXES: Final = frozenset({"Tax", "ShippingTax", "GiftWrapTax"})
FEES: Final[dict[str, SettlementKind]] = {
    "Commission": "commission",
    "VariableClosingFee": "commission",
    "FixedClosingFee": "commission",
    "ShippingChargeback": "commission",
    "GiftwrapChargeback": "commission",
    "ShippingHB": "commission",
    "RefundCommission": "refund_fee",
}
ADJUSTMENTS: Final = frozenset({"Adjustment", "Order_Retrocharge", "Refund_Retrocharge"})


def read(lines: Iterator[str], name: str) -> Iterator[SettlementLine]:
    """Every component; the deposit is what the summary says, and what the components come to."""
    rows = table(lines, name, COLUMNS, delimiter="\t")
    summary = next(rows, None)
    if summary is None or not summary["total-amount"].strip():
        raise UnreadableFileError(name, 2, "the summary row with the total-amount is missing")
    number, currency, on = summary.need("settlement-id"), summary.currency("currency"), _date(summary, "deposit-date")
    decimal = "," if summary["total-amount"].rfind(",") > summary["total-amount"].rfind(".") else "."
    total = summary.amount("total-amount", currency, decimal)
    balance = Balance(name)
    last = summary
    for row in rows:
        last = row
        if row["settlement-id"] != number:
            raise row.wrong(f"settlement-id is {row['settlement-id']!r}, that of the summary {number!r}")
        if amount := row.amount("amount", currency, decimal):
            yield balance.add(_line(row, number, amount, currency, on))
    if (come := balance.sums.get((number, currency), 0)) != total:
        raise last.wrong(
            f"the rows come to {text(come, currency)} {currency}, the summary says {text(total, currency)}"
        )
    yield from balance.payouts()


def _line(row: Row, number: str, amount: int, currency: str, deposited: dt.date) -> SettlementLine:
    posted = row["posted-date-time"].strip() or row["posted-date"].strip()
    on = _date(row, "posted-date-time" if row["posted-date-time"].strip() else "posted-date") if posted else deposited
    order = row["order-id"].strip()
    given = order if ORDER.fullmatch(order) else ""
    reference = row["adjustment-id"].strip() or ("" if given else order)
    words = "/".join(row[column].strip() for column in ("transaction-type", "amount-type", "amount-description"))
    return SettlementLine(number, row.line, _kind(row), amount, currency, on, reference, "", given, words)


def _kind(row: Row) -> SettlementKind:
    transaction, group, what = (row[c].strip() for c in ("transaction-type", "amount-type", "amount-description"))
    if what.startswith(("Current Reserve Amount", "Previous Reserve Amount")):
        return "reserve"
    if group == "ItemWithheldTax" or what in TAXES:
        return "tax"
    if transaction == "Chargeback":
        return "chargeback"
    if transaction in ADJUSTMENTS:
        return "adjustment"
    if group in ("ItemPrice", "Promotion") and transaction in ("Order", "Refund"):
        return "refund" if transaction == "Refund" else "sale"
    if group == "ItemFees" and what.startswith("FBA"):
        return "fulfilment_fee"
    if transaction == "ServiceFee" or group == "FBAFees":
        return "service_fee"
    return FEES.get(what, "unknown")


def _date(row: Row, column: str) -> dt.date:
    return row.date(column, *DATES)


AMAZON: Final = Connector("amazon", "processor", read)
