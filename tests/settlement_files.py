"""Files of settlements as providers and banks write them, made up."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

STRIPE: Final = (
    "automatic_payout_id", "automatic_payout_effective_at", "balance_transaction_id", "created_utc", "created",
    "available_on_utc", "available_on", "currency", "gross", "fee", "net", "reporting_category", "source_id",
    "description", "customer_facing_amount", "customer_facing_currency", "customer_id", "customer_email", "charge_id",
    "payment_intent_id", "charge_created_utc", "invoice_id", "order_id", "payment_method_type", "connected_account_id",
    "connected_account_name",
)  # fmt: skip
ADYEN: Final = (
    "Company Account", "Merchant Account", "Psp Reference", "Merchant Reference", "Payment Method", "Creation Date",
    "TimeZone", "Type", "Modification Reference", "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)",
    "Exchange Rate", "Net Currency", "Net Debit (NC)", "Net Credit (NC)", "Commission (NC)", "Markup (NC)",
    "Scheme Fees (NC)", "Interchange (NC)", "Payment Method Variant", "Modification Merchant Reference", "Batch Number",
)  # fmt: skip
AMAZON: Final = (
    "settlement-id", "settlement-start-date", "settlement-end-date", "deposit-date", "total-amount", "currency",
    "transaction-type", "order-id", "merchant-order-id", "adjustment-id", "shipment-id", "marketplace-name",
    "amount-type", "amount-description", "amount", "fulfillment-id", "posted-date", "posted-date-time",
    "order-item-code", "merchant-order-item-id", "merchant-adjustment-item-id", "sku", "quantity-purchased",
    "promotion-id",
)  # fmt: skip


def delimited(columns: Sequence[str], rows: Iterable[Mapping[str, str]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def stripe(*rows: tuple[str, str, str, str], payout: str = "po_1", on: str = "2026-03-05") -> str:
    """Rows of category, source, gross and fee; a refund or a dispute may name its charge after a slash."""
    told = []
    for number, (category, source, gross, fee) in enumerate(rows, 1):
        identity, _, charge = source.partition("/")
        cents = round(float(gross) * 100) - round(float(fee) * 100)
        told.append({
            "automatic_payout_id": payout, "automatic_payout_effective_at": on, "currency": "gbp", "gross": gross,
            "balance_transaction_id": f"txn_{payout}_{number}", "fee": fee, "net": f"{cents / 100:.2f}",
            "reporting_category": category, "source_id": identity, "charge_id": charge or identity,
        })  # fmt: skip
    return delimited(STRIPE, told)


def adyen(*rows: tuple[str, str, str, str, str], batch: str = "16") -> str:
    """Rows of type, PSP and modification reference, net amount (signed) and commission."""
    told = []
    for kind, psp, change, net, commission in rows:
        gross = float(net) + float(commission or 0)
        side, amount = ("Credit" if float(net) > 0 else "Debit"), f"{abs(float(net)):.2f}"
        about = {
            "Merchant Account": "ShopGB", "Psp Reference": psp, "Modification Reference": change, "Type": kind,
            "Creation Date": "2026-03-05 01:02:03", "Net Currency": "GBP", "Gross Currency": "GBP",
            f"Net {side} (NC)": amount, "Commission (NC)": commission, "Batch Number": batch,
        }  # fmt: skip
        if psp:
            about[f"Gross {'Credit' if gross > 0 else 'Debit'} (GC)"] = f"{abs(gross):.2f}"
        told.append(about)
    return delimited(ADYEN, told)


def amazon(*rows: tuple[str, str, str, str, str], total: str, number: str = "9001", posted: str = "") -> str:
    """The summary row, then rows of transaction, order, amount type, description and amount."""
    whole = {"settlement-id": number, "deposit-date": "2026-03-20 10:00:00 UTC", "total-amount": total}
    told = [whole | {"currency": "GBP"}]
    for transaction, order, group, what, amount in rows:
        reference, _, adjustment = order.partition("/")
        told.append({
            "settlement-id": number, "transaction-type": transaction, "order-id": reference, "amount": amount,
            "adjustment-id": adjustment, "amount-type": group, "amount-description": what, "posted-date": posted,
            "posted-date-time": "2026-03-09 05:23:19 UTC",
        })  # fmt: skip
    return delimited(AMAZON, told, "\t")


def camt053(
    *entries: tuple[str, str, str], opening: str = "0.00", closing: str, number: str = "ST-1", currency: str = "GBP"
) -> str:
    """Entries of amount (signed), the payer's number and text."""
    told = "\n".join(
        f"""<Ntry><Amt Ccy="{currency}">{amount.lstrip("-")}</Amt>
<CdtDbtInd>{"DBIT" if amount.startswith("-") else "CRDT"}</CdtDbtInd>
<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-06</Dt></BookgDt><AcctSvcrRef>{number}-{place}</AcctSvcrRef>
<NtryDtls><TxDtls><Refs><EndToEndId>{end_to_end or "NOTPROVIDED"}</EndToEndId></Refs>
<RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"""
        for place, (amount, end_to_end, text) in enumerate(entries, 1)
    )

    def balance(code: str, amount: str) -> str:
        side = "DBIT" if amount.startswith("-") else "CRDT"
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
            f'<Amt Ccy="{currency}">{amount.lstrip("-")}</Amt><CdtDbtInd>{side}</CdtDbtInd></Bal>'
        )

    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>{number}</Id>
<Acct><Id><IBAN>GB33BUKB20201555555555</IBAN></Id></Acct>
{balance("OPBD", opening)}
{balance("CLBD", closing)}
{told}
</Stmt></BkToCstmrStmt></Document>
"""
