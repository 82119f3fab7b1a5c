"""Stripe's payout reconciliation, itemised (payout_reconciliation.itemized.5): amounts in major units."""

from collections.abc import Iterator
from typing import Final

from sync_core.connectors.settlement_lines import Balance, Connector, Row, SettlementLine, table
from sync_core.messages import SettlementKind

COLUMNS: Final = (
    "automatic_payout_id", "automatic_payout_effective_at", "balance_transaction_id", "currency", "gross", "fee", "net",
    "reporting_category", "source_id", "charge_id", "payment_intent_id", "order_id",
)  # fmt: skip
KINDS: Final[dict[str, SettlementKind]] = {
    "charge": "sale",
    "charge_failure": "sale",
    "partial_capture_reversal": "sale",
    "refund": "refund",
    "refund_failure": "refund",
    "dispute": "chargeback",
    "dispute_reversal": "chargeback",
    "fee": "fee",
    "network_cost": "fee",
    "tax": "fee",
    "risk_reserved_funds": "reserve",
    "other_adjustment": "adjustment",
    "payout": "payout",
    "payout_reversal": "payout",
}


def read(lines: Iterator[str], name: str) -> Iterator[SettlementLine]:
    """Each row's gross amount and, apart, its fee; what a payout is, where no row states it, at the end."""
    balance = Balance(name)
    seen: set[str] = set()
    stated: set[str] = set()
    for row in table(lines, name, COLUMNS):
        identity = row.need("balance_transaction_id")
        if identity in seen:
            raise row.wrong(f"balance_transaction_id {identity} comes twice")
        seen.add(identity)
        for line in _lines(row):
            if line.kind == "payout":
                stated.add(line.settlement_id)
            yield balance.add(line)
    for line in balance.payouts():
        if line.settlement_id in stated:
            balance.require_zero()
        yield line


def _lines(row: Row) -> Iterator[SettlementLine]:
    currency, payout, category = row.currency("currency"), row.need("automatic_payout_id"), row["reporting_category"]
    gross, fee, net = (row.amount(column, currency) for column in ("gross", "fee", "net"))
    if gross - fee != net:
        raise row.wrong(f"gross {row['gross']} less fee {row['fee']} is not net {row['net']}")
    on = row.date("automatic_payout_effective_at", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
    kind = KINDS.get(category, "unknown")
    source, charge = row["source_id"], row["charge_id"]
    other = row["payment_intent_id"] if kind == "sale" else charge
    if gross:
        reference = payout if kind == "payout" else source
        yield SettlementLine(payout, row.line, kind, gross, currency, on, reference, other, row["order_id"], category)
    if fee:
        of: SettlementKind = "chargeback_fee" if kind == "chargeback" else "fee"
        yield SettlementLine(payout, row.line, of, -fee, currency, on, source, charge, row["order_id"], category)


STRIPE: Final = Connector("stripe", "processor", read)
