"""What the payment providers, the marketplaces and the bank state of the estate's money: the files they would send."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from sync_core.connectors import adyen_settlement, amazon_settlement
from sync_core.money import text
from tallytrace import outside
from tallytrace.estate.lives import Life
from tallytrace.estate.retailer import CARDS, CURRENCY, TILLS

AFTER: Final = dt.timedelta(days=2)
"""From the last day of a payout until it is stated."""
PERIOD_DAYS: Final = {"amazon": 14}
"""Days that are paid out at once; other providers do so every day."""
FEE_PPM: Final = {CARDS: 29_000, TILLS: 12_000, "amazon": 150_000, "walmart": 120_000}
MERCHANT: Final = "Estate"

WALMART_MAPPING: Final = b"""
origin = "walmart"
types = { "Sale" = "sale", "Refund" = "refund", "Commission" = "commission" }
[columns]
settlement_id = "Payout"
date = "Date"
type = "Type"
amount = "Amount"
currency = "Currency"
reference = "Reference"
alternate = "Payment"
order_id = "Order"
"""


class Amount(Struct, frozen=True):
    """Money that a provider took (positive) or gave back, by the number under which the estate knows it."""

    on: dt.date
    provider: str
    reference: str
    payment_id: str
    order_id: str
    amount_minor: int


class Payout(Struct):
    """What a provider pays out at once, less its fee."""

    payout_id: str
    provider: str
    on: dt.date
    amounts: list[Amount] = field(default_factory=list)

    @property
    def fee_minor(self) -> int:
        return sum(map(fee_of, self.amounts))

    @property
    def net_minor(self) -> int:
        return sum(one.amount_minor for one in self.amounts) - self.fee_minor


class File(Struct, frozen=True):
    """A file for one of the core's connectors; ``generated``: it tells of days that are over."""

    connector: str
    name: str
    body: bytes
    generated: bool = False


def fee_of(one: Amount) -> int:
    return one.amount_minor * FEE_PPM[one.provider] // 1_000_000 if one.amount_minor > 0 else 0


def amounts_of(life: Life) -> Iterator[Amount]:
    """What its provider took and gave back for an order."""
    numbers = (life.payment_id, life.order_id)
    yield Amount(life.paid_at.date(), life.provider, life.payment_id, *numbers, life.amount_minor)
    if life.cancelled_at:
        yield Amount(life.cancelled_at.date(), life.provider, f"CN-{life.number}", *numbers, -life.amount_minor)
    elif life.returned:
        yield Amount(life.refunded_at.date(), life.provider, life.refund_id, *numbers, -life.refunded_minor)


def payouts_of(told: Iterable[Life], since: dt.date, until: dt.date) -> list[Payout]:
    """Every payout of these orders that has been stated ``until`` a day, oldest first."""
    found: defaultdict[tuple[dt.date, str], list[Amount]] = defaultdict(list)
    for life in told:
        for one in amounts_of(life):
            days = PERIOD_DAYS.get(one.provider, 1)
            last = since + dt.timedelta(days=((one.on - since).days // days + 1) * days - 1)
            found[last + AFTER, one.provider].append(one)
    return [
        Payout(f"po_{provider}_{on:%Y%m%d}", provider, on, sorted(some, key=lambda one: one.reference))
        for (on, provider), some in sorted(found.items())
        if on <= until
    ]


def files(payouts: Sequence[Payout], name: str, *, generated: bool = False) -> list[File]:
    """The payouts as their providers write them."""
    made = []
    for provider in FEE_PPM:
        some = [one for one in payouts if one.provider == provider]
        if provider == "amazon":
            made += [File("amazon_settlement_v2", f"{one.payout_id}-{name}", _amazon(one), generated) for one in some]
        elif some:
            connector, write = _WRITERS[provider]
            made.append(File(connector, f"{provider}-{name}", "".join(write(some)).encode(), generated))
    return made


def statement(payouts: Sequence[Payout], until: dt.date, name: str) -> list[File]:
    """The bank's statement of the payouts that are on the account by then."""
    banked = [_outside(one) for one in payouts if one.on + outside.BANKED_AFTER <= until]
    body = "".join(outside.statement(banked, f"ST-{name}")).encode() if banked else b""
    return [File("camt053", name, body, generated=True)] if banked else []


def _outside(payout: Payout) -> outside.Payout:
    rows = [
        outside.Row("charge" if one.amount_minor > 0 else "refund", one.reference, one.amount_minor, fee_of(one),
                    one.payment_id)
        for one in payout.amounts
    ]  # fmt: skip
    return outside.Payout(payout.payout_id, payout.on, CURRENCY, rows)


def _stripe(payouts: Sequence[Payout]) -> Iterator[str]:
    return outside.payout_file(map(_outside, payouts))


def _adyen(payouts: Sequence[Payout]) -> Iterator[str]:
    columns = adyen_settlement.COLUMNS
    yield ",".join(columns) + "\n"
    for payout in payouts:
        same = {"Merchant Account": MERCHANT, "Creation Date": f"{payout.on}", "Net Currency": CURRENCY,
                "Batch Number": payout.payout_id}  # fmt: skip
        rows = [
            {"Psp Reference": one.payment_id, "Merchant Reference": one.order_id,
             "Type": "Settled" if one.amount_minor > 0 else "Refunded",
             "Modification Reference": "" if one.amount_minor > 0 else one.reference, **_side(one.amount_minor)}
            for one in payout.amounts
        ]  # fmt: skip
        rows.append({"Type": "Fee", "Modification Reference": f"fee_{payout.payout_id}", **_side(-payout.fee_minor)})
        rows.append({"Type": "MerchantPayout", "Modification Reference": payout.payout_id,
                     **_side(-payout.net_minor)})  # fmt: skip
        for row in rows:
            yield ",".join((same | row).get(column, "") for column in columns) + "\n"


def _side(amount_minor: int) -> dict[str, str]:
    return {f"Net {'Credit' if amount_minor > 0 else 'Debit'} (NC)": text(abs(amount_minor))}


def _walmart(payouts: Sequence[Payout]) -> Iterator[str]:
    yield "Payout,Date,Type,Amount,Currency,Reference,Payment,Order\n"
    for payout in payouts:
        for one in payout.amounts:
            kind = "Sale" if one.amount_minor > 0 else "Refund"
            yield (
                f"{payout.payout_id},{payout.on},{kind},{text(one.amount_minor)},{CURRENCY},"
                f"{one.reference},{one.payment_id},{one.order_id}\n"
            )
        yield f"{payout.payout_id},{payout.on},Commission,{text(-payout.fee_minor)},{CURRENCY},,,\n"


def _amazon(payout: Payout) -> bytes:
    columns = amazon_settlement.COLUMNS
    same = {"settlement-id": payout.payout_id, "posted-date": f"{payout.on}"}
    rows = [{"deposit-date": f"{payout.on}", "total-amount": text(payout.net_minor), "currency": CURRENCY}]
    for one in payout.amounts:
        sold = one.amount_minor > 0
        rows.append({
            "transaction-type": "Order" if sold else "Refund", "order-id": one.order_id,
            "adjustment-id": "" if sold else one.reference, "amount-type": "ItemPrice",
            "amount-description": "Principal", "amount": text(one.amount_minor),
        })  # fmt: skip
    rows.append({"transaction-type": "Order", "amount-type": "ItemFees", "amount-description": "Commission",
                 "amount": text(-payout.fee_minor)})  # fmt: skip
    lines = [columns, *([(same | row).get(column, "") for column in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines).encode()


_WRITERS: Final = {
    CARDS: ("stripe_payouts", _stripe),
    TILLS: ("adyen_settlement", _adyen),
    "walmart": ("walmart", _walmart),
}
