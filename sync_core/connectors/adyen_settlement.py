"""Adyen's settlement detail report: a batch nets to nothing with its payout, or with the balance it hands on."""

from collections.abc import Iterator
from typing import Final

from sync_core.connectors.settlement_lines import Balance, Connector, Row, SettlementLine, table
from sync_core.messages import SettlementKind

FEES: Final = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)")
COLUMNS: Final = (
    "Merchant Account", "Psp Reference", "Merchant Reference", "Creation Date", "Type", "Modification Reference",
    "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)", "Net Currency", "Net Debit (NC)", "Net Credit (NC)",
    *FEES, "Batch Number",
)  # fmt: skip
KINDS: Final[dict[str, SettlementKind]] = {
    "Settled": "sale",
    "SettledReversed": "sale",
    "Refunded": "refund",
    "RefundedReversed": "refund",
    "Chargeback": "chargeback",
    "SecondChargeback": "chargeback",
    "ChargebackReversed": "chargeback",
    "Fee": "fee",
    "MiscCosts": "fee",
    "PaymentCost": "fee",
    "InvoiceDeduction": "fee",
    "DepositCorrection": "reserve",
    "Balancetransfer": "carried",
    "ManualCorrected": "adjustment",
    "MerchantPayout": "payout",
    "BankInstructionReturned": "payout",
}


def read(lines: Iterator[str], name: str) -> Iterator[SettlementLine]:
    """Each row's gross amount in the currency of the settlement and, apart, each of its fees."""
    balance = Balance(name)
    seen: set[tuple[str, str, str]] = set()
    for row in table(lines, name, COLUMNS):
        identity = (row["Psp Reference"], row["Modification Reference"], row["Type"])
        if row["Psp Reference"] and identity in seen:
            raise row.wrong(f"{row['Type']} {row['Psp Reference']} {row['Modification Reference']} comes twice")
        seen.add(identity)
        for line in _lines(row):
            yield balance.add(line)
    balance.require_zero()


def _lines(row: Row) -> Iterator[SettlementLine]:
    currency, batch = row.currency("Net Currency"), f"{row.need('Merchant Account')}-{row.need('Batch Number')}"
    net = row.amount("Net Credit (NC)", currency) - row.amount("Net Debit (NC)", currency)
    fees = {column: row.amount(column, currency) for column in FEES}
    gross = net + sum(fees.values())
    stated = row["Gross Credit (GC)"].strip() or row["Gross Debit (GC)"].strip()
    if stated and row["Gross Currency"].strip().upper() == currency:
        said = row.amount("Gross Credit (GC)", currency) - row.amount("Gross Debit (GC)", currency)
        if said != gross:
            raise row.wrong("gross less fees is not net")
    on = row.date("Creation Date", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
    kind = KINDS.get(row["Type"], "unknown")
    psp, change, order = row["Psp Reference"], row["Modification Reference"], row["Merchant Reference"]
    if kind == "payout":
        psp, change = change or batch, ""
    elif kind != "sale":
        psp, change = change or psp, psp
    if gross:
        yield SettlementLine(batch, row.line, kind, gross, currency, on, psp, change, order, row["Type"])
    for column, fee in fees.items():
        if fee:
            yield SettlementLine(batch, row.line, "fee", -fee, currency, on, psp, change, order, column)


ADYEN: Final = Connector("adyen", "processor", read, currencies=True)
