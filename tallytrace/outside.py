"""The provider, the bank and the channels of a trade that a file tells of: what they would state of it, made up.

Sales are what the file says; what was given back is what the core told the provider, as its journal has it.
"""

import csv
import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from sync_core.connectors import online_retail
from sync_core.connectors.stripe_payouts import COLUMNS
from sync_core.messages import ControlDocument, ControlTotalStated, OrderCaptured, PaymentCaptured
from sync_core.money import text
from sync_core.reading import text_lines

PAID_OUT_AFTER: Final = dt.timedelta(days=2)
BANKED_AFTER: Final = dt.timedelta(days=2)
FEE_PPM: Final = 29_000
FEE_MINOR: Final = 30


class Sale(Struct, frozen=True):
    """An order as its channel and its provider know it."""

    order_id: str
    charge_id: str
    channel: str
    on: dt.date
    net_minor: int
    tax_minor: int

    @property
    def amount_minor(self) -> int:
        return self.net_minor + self.tax_minor


class Refund(Struct, frozen=True):
    """Money that was given back."""

    refund_id: str
    on: dt.date
    amount_minor: int


class Row(Struct, frozen=True):
    """A row of a payout: what Stripe calls it, its number, of which charge, gross and fee in minor units."""

    category: str
    source_id: str
    gross_minor: int
    fee_minor: int = 0
    charge_id: str = ""


class Payout(Struct):
    """What a provider pays out of one day, and what the bank gets of it."""

    payout_id: str
    on: dt.date
    currency: str
    rows: list[Row] = field(default_factory=list)
    short_minor: int = 0  # that the bank gets less

    @property
    def net_minor(self) -> int:
        return sum(row.gross_minor - row.fee_minor for row in self.rows)


class World(Struct):
    """Everything that is stated about a trade by others."""

    payouts: list[Payout]
    totals: list[ControlTotalStated]


def sales_of(path: Path) -> list[Sale]:
    """The orders of an Online Retail file with their payments."""
    known = online_retail.survey(online_retail.rows(text_lines(path, path.name), path.name))
    sold: dict[str, tuple[str, dt.date, int, int]] = {}
    found = []
    for message in online_retail.messages(online_retail.rows(text_lines(path, path.name), path.name), known):
        match message.event:
            case OrderCaptured() as order:
                net = sum(line.amount_minor for line in order.lines)
                sold[order.order_id] = (order.channel, message.business_date, net, order.tax_minor)
            case PaymentCaptured() as paid:
                found.append(Sale(paid.order_id, paid.payment_id, *sold[paid.order_id]))
            case _:
                pass
    return found


def refunds_of(journal: Iterable[str]) -> list[Refund]:
    """What was given back, of the canonical export of the journal."""
    account = f"assets:clearing:{online_retail.PROVIDER}"
    return [
        Refund(row["entity_id"], dt.date.fromisoformat(row["business_date"]), -int(row["amount_minor"]))
        for row in csv.DictReader(journal)
        if row["document"] == "refund" and row["account"] == account
    ]


def world_of(sales: Sequence[Sale], refunds: Sequence[Refund]) -> World:
    """A payout for each day, less fees; and each channel's list of the orders of each day."""
    days: defaultdict[dt.date, list[Row]] = defaultdict(list)
    lists: defaultdict[tuple[dt.date, str], list[Sale]] = defaultdict(list)
    for sale in sales:
        lists[sale.on, sale.channel].append(sale)
        if sale.amount_minor:
            fee = sale.amount_minor * FEE_PPM // 1_000_000 + FEE_MINOR
            days[sale.on].append(Row("charge", sale.charge_id, sale.amount_minor, fee, sale.charge_id))
    for back in refunds:
        days[back.on].append(Row("refund", back.refund_id, -back.amount_minor))
    payouts = [Payout(f"po_{on:%Y%m%d}", on + PAID_OUT_AFTER, "GBP", rows) for on, rows in sorted(days.items())]
    totals = [
        list_of(on, channel, [
            ControlDocument(number=one.order_id, amount_minor=one.net_minor, tax_minor=one.tax_minor) for one in some
        ])
        for (on, channel), some in sorted(lists.items())
    ]  # fmt: skip
    return World(payouts, totals)


def list_of(on: dt.date, channel: str, documents: Sequence[ControlDocument]) -> ControlTotalStated:
    """A channel's list of the orders of a day."""
    return ControlTotalStated(
        origin=online_retail.ORIGIN, document_id=f"{channel}-{on}", kind="order_list", business_date=on,
        channel=channel, currency=online_retail.CURRENCY, count=len(documents), documents=tuple(documents),
        amount_minor=sum(one.amount_minor for one in documents), tax_minor=sum(one.tax_minor for one in documents),
    )  # fmt: skip


def payout_file(payouts: Iterable[Payout]) -> Iterator[str]:
    """A payout reconciliation, itemised, as Stripe writes it."""
    yield ",".join(COLUMNS) + "\n"
    for payout in payouts:
        for number, row in enumerate(payout.rows, 1):
            cells: dict[str, Any] = {
                "automatic_payout_id": payout.payout_id, "automatic_payout_effective_at": payout.on,
                "balance_transaction_id": f"txn_{payout.payout_id}_{number}", "currency": payout.currency.lower(),
                "gross": text(row.gross_minor), "fee": text(row.fee_minor),
                "net": text(row.gross_minor - row.fee_minor), "reporting_category": row.category,
                "source_id": row.source_id, "charge_id": row.charge_id,
            }  # fmt: skip
            yield ",".join(str(cells.get(column, "")) for column in COLUMNS) + "\n"


def statement(payouts: Sequence[Payout], number: str) -> Iterator[str]:
    """A bank's statement of one currency as camt.053, with an entry for each payout."""
    currency, payouts = payouts[0].currency, [one for one in payouts if one.net_minor != one.short_minor]
    total = sum(one.net_minor - one.short_minor for one in payouts)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt>\n'
    yield f"<Id>{number}</Id><Acct><Id><IBAN>GB33BUKB20201555555555</IBAN></Id></Acct>\n"
    for code, amount in (("OPBD", 0), ("CLBD", total)):
        yield f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount, currency)}</Bal>\n"
    for place, one in enumerate(payouts, 1):
        yield (
            f"<Ntry>{_amount(one.net_minor - one.short_minor, currency)}<Sts><Cd>BOOK</Cd></Sts>"
            f"<BookgDt><Dt>{one.on + BANKED_AFTER}</Dt></BookgDt><AcctSvcrRef>{number}-{place}</AcctSvcrRef>"
            f"<NtryDtls><TxDtls><Refs><EndToEndId>{one.payout_id}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>\n"
        )
    yield "</Stmt></BkToCstmrStmt></Document>\n"


def _amount(minor: int, currency: str) -> str:
    side = "DBIT" if minor < 0 else "CRDT"
    return f'<Amt Ccy="{currency}">{text(abs(minor), currency)}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
