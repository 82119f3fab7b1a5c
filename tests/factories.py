"""Events, messages and rows of the Online Retail file for tests: fields have a plain value until a test says more."""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from sync_core.messages import (
    TYPES,
    BucketLine,
    ChannelTermsSet,
    ChargeRaised,
    ControlDocument,
    ControlTotalStated,
    CountLine,
    CreditMemoIssued,
    EditedLine,
    Event,
    FeedReported,
    FinanceRecorded,
    GiftCardIssued,
    Line,
    Message,
    OrderCancelled,
    OrderCaptured,
    OrderEdited,
    OrderStepped,
    OrderUnits,
    Payment,
    PaymentCaptured,
    Provenance,
    ReceivableAdjusted,
    SettlementReceived,
    SettlementTotal,
    ShipmentShipped,
    StockAdjusted,
    StockCounted,
    StockLine,
    StockReceived,
    StockReclassified,
    TransferReceived,
    TransferRequested,
    TransferShipped,
    UnitsLine,
    message,
)
from sync_core.returns.messages import (
    DisposedUnits,
    GoodwillGranted,
    InspectedUnits,
    ReceivedUnits,
    RefundIssued,
    RequestedUnits,
    ReturnDispositioned,
    ReturnInspected,
    ReturnItemsReceived,
    ReturnReceived,
    ReturnRequested,
    ReturnSentBack,
)

NOON: Final = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)  # a Monday
ONLINE_RETAIL_COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip

PaymentEvent = TypeVar("PaymentEvent", bound=Payment)
_WHERE: Final = {"origin": "shop", "channel": "web", "location": "WH1", "currency": "GBP"}


def line(sku: str = "A1", quantity: int = 1, price_minor: int = 1000, **over: Any) -> Line:
    """A line at ``price_minor`` a unit; a credited line has a negative ``quantity``."""
    given = {"amount_minor": price_minor * quantity, "unit_price_micros": price_minor * 10_000} | over
    return Line(sku=sku, quantity=quantity, **given)


def order(order_id: str = "1", *lines: Line, **over: Any) -> OrderCaptured:
    """An order of ``lines``, or of one A1 at 10.00."""
    return OrderCaptured(**_WHERE | {"order_id": order_id, "lines": lines or (line(),)} | over)


def payment(order_id: str = "1", amount_minor: int = 1000, **over: Any) -> PaymentCaptured:
    given: dict[str, Any] = {"origin": "shop", "payment_id": f"P{order_id}", "provider": "card", "currency": "GBP"}
    return PaymentCaptured(**given | {"order_id": order_id, "amount_minor": amount_minor} | over)


def gift_card(card_id: str = "G1", amount_minor: int = 5000, **over: Any) -> GiftCardIssued:
    """A gift card of 50.00, sold by card."""
    given = {"origin": "shop", "channel": "web", "currency": "GBP", "provider": "stripe", "payment_id": f"P-{card_id}"}
    return GiftCardIssued(**given | {"card_id": card_id, "amount_minor": amount_minor} | over)  # type: ignore[arg-type]


def fact(kind: str = "tax_remitted", document_id: str = "1", **over: Any) -> FinanceRecorded:
    """Tax of 10.00 is remitted."""
    given = {"origin": "erp", "currency": "GBP", "amounts": {"amount": 1000}}
    return FinanceRecorded(**given | {"kind": kind, "document_id": document_id} | over)


def payment_word(kind: type[PaymentEvent], order_id: str = "1", amount_minor: int = 1000, **over: Any) -> PaymentEvent:
    """Anything else that the provider says of that payment."""
    given: dict[str, Any] = {"origin": "shop", "payment_id": f"P{order_id}", "provider": "card", "currency": "GBP"}
    return kind(**given | {"order_id": order_id, "amount_minor": amount_minor} | over)


def settlement(settlement_id: str = "po_1", **over: Any) -> SettlementReceived:
    """A sale of 10.00, paid out."""
    totals = (SettlementTotal(kind="sale", amount_minor=1000, line_count=1),
              SettlementTotal(kind="payout", amount_minor=-1000, line_count=1))  # fmt: skip
    given = {"origin": "stripe", "currency": "GBP", "payout_id": settlement_id, "totals": totals}
    return SettlementReceived(**given | {"settlement_id": settlement_id} | over)


def control_total(*order_ids: str, **over: Any) -> ControlTotalStated:
    """A channel's list of orders of 10.00 and 2.00 of tax each."""
    documents = tuple(ControlDocument(number=one, amount_minor=1000, tax_minor=200) for one in order_ids)
    documents = over.pop("documents", documents)
    given: dict[str, Any] = {
        "origin": "shop", "document_id": "L1", "kind": "order_list", "channel": "web", "currency": "GBP",
        "business_date": NOON.date(), "count": len(documents), "documents": documents,
        "amount_minor": sum(one.amount_minor for one in documents),
        "tax_minor": sum(one.tax_minor for one in documents),
    }  # fmt: skip
    return ControlTotalStated(**given | over)


def shipment(order_id: str = "1", **over: Any) -> ShipmentShipped:
    given = {"origin": "shop", "shipment_id": f"S{order_id}", "location": "WH1"}
    return ShipmentShipped(**given | {"order_id": order_id} | over)


def cancellation(order_id: str = "1", **over: Any) -> OrderCancelled:
    return OrderCancelled(**{"origin": "shop", "cancellation_id": f"X{order_id}", "order_id": order_id} | over)


def units(sku: str = "A1", quantity: int = 1, line_no: int = 0) -> OrderUnits:
    return OrderUnits(sku=sku, quantity=quantity, line_no=line_no)


def edited(order_id: str = "1", *lines: EditedLine, **over: Any) -> OrderEdited:
    """``lines`` as they are from now on, or the first of two A1 at 10.00 each."""
    given: dict[str, Any] = {"origin": "shop", "edit_id": f"E{order_id}", "currency": "GBP"}
    return OrderEdited(**given | {"order_id": order_id, "lines": lines or (edited_line(quantity=2),)} | over)


def edited_line(
    line_no: int = 1, sku: str = "A1", quantity: int = 1, price_minor: int = 1000, **over: Any
) -> EditedLine:
    given: dict[str, Any] = {"amount_minor": price_minor * quantity, "unit_price_micros": price_minor * 10_000}
    return EditedLine(line_no=line_no, sku=sku, quantity=quantity, **given | over)


def terms(channel: str = "web", **over: Any) -> ChannelTermsSet:
    return ChannelTermsSet(**{"origin": "erp", "channel": channel} | over)


def stepped(step: Any, order_id: str = "1", **over: Any) -> OrderStepped:
    return OrderStepped(**{"origin": "shop", "order_id": order_id, "step": step, "system": "oms"} | over)


def goods_back(return_id: str = "R1", *lines: Line, order_id: str = "1", **over: Any) -> ReturnReceived:
    """``lines``, or one A1 at 10.00, come back from an order."""
    given = _WHERE | {"return_id": return_id, "order_origin": "shop", "order_id": order_id}
    return ReturnReceived(**given | {"lines": lines or (line(),)} | over)


def asked_back(return_id: str = "R1", *lines: RequestedUnits, order_id: str = "1", **over: Any) -> ReturnRequested:
    """A request to give ``lines``, or one A1, of an order back."""
    given: dict[str, Any] = {"origin": "shop", "channel": "web", "currency": "GBP", "order_origin": "shop"}
    wanted = lines or (RequestedUnits(sku="A1", quantity=1),)
    return ReturnRequested(**given | {"return_id": return_id, "order_id": order_id, "lines": wanted} | over)


def came_back(return_id: str = "R1", *lines: ReceivedUnits, receipt_id: str = "1", **over: Any) -> ReturnItemsReceived:
    """``lines``, or one A1, of a request arrive at ST1."""
    given: dict[str, Any] = {"origin": "shop", "location": "ST1", "receipt_id": receipt_id, "return_id": return_id}
    return ReturnItemsReceived(**given | {"lines": lines or (ReceivedUnits(sku="A1", quantity=1),)} | over)


def looked_at(return_id: str = "R1", accepted: int = 1, rejected: int = 0, **over: Any) -> ReturnInspected:
    """So many A1 are inspected at ST1."""
    found = (("accepted", accepted), ("rejected", rejected))
    lines = tuple(InspectedUnits(sku="A1", quantity=n, outcome=what) for what, n in found if n)  # type: ignore[arg-type]
    given: dict[str, Any] = {"origin": "shop", "location": "ST1", "inspection_id": "1", "return_id": return_id}
    return ReturnInspected(**given | {"lines": lines} | over)


def disposed(return_id: str = "R1", *lines: DisposedUnits, **over: Any) -> ReturnDispositioned:
    """``lines``, or one A1 to be sold again, at ST1."""
    given: dict[str, Any] = {"origin": "shop", "location": "ST1", "disposition_id": "1", "return_id": return_id}
    chosen = lines or (DisposedUnits(sku="A1", quantity=1, disposition="resell"),)
    return ReturnDispositioned(**given | {"lines": chosen} | over)


def sent_back(return_id: str = "R1", quantity: int = 1, **over: Any) -> ReturnSentBack:
    """So many rejected A1 leave ST1."""
    given: dict[str, Any] = {"origin": "shop", "location": "ST1", "shipment_id": "1", "return_id": return_id}
    return ReturnSentBack(**given | {"lines": (UnitsLine(sku="A1", quantity=quantity),)} | over)


def goodwill(return_id: str = "R1", amount_minor: int = 1000, **over: Any) -> GoodwillGranted:
    """An allowance on order 1."""
    given: dict[str, Any] = {"origin": "shop", "order_origin": "shop", "order_id": "1", "currency": "GBP", "by": "ann",
                             "reason": "late"}  # fmt: skip
    return GoodwillGranted(**given | {"return_id": return_id, "amount_minor": amount_minor} | over)


def refund(refund_id: str = "F1", amount_minor: int = 1000, return_id: str = "R1", **over: Any) -> RefundIssued:
    given: dict[str, Any] = {"origin": "shop", "return_id": return_id, "provider": "card", "currency": "GBP"}
    return RefundIssued(**given | {"refund_id": refund_id, "amount_minor": amount_minor} | over)


def credit_memo(credit_memo_id: str = "C1", *lines: Line, customer_ref: str = "100", **over: Any) -> CreditMemoIssued:
    """A credit of ``lines``, or of one A1 at 10.00."""
    given = _WHERE | {"credit_memo_id": credit_memo_id, "customer_ref": customer_ref}
    return CreditMemoIssued(**given | {"lines": lines or (line(quantity=-1),)} | over)


def charge(charge_id: str = "1", *lines: Line, **over: Any) -> ChargeRaised:
    """A charge of ``lines``, or of a fee of 10.00."""
    return ChargeRaised(**_WHERE | {"charge_id": charge_id, "lines": lines or (line("FEE", kind="fee"),)} | over)


def write_off(adjustment_id: str = "1", amount_minor: int = -1000, **over: Any) -> ReceivableAdjusted:
    lines = (line("B", 1, amount_minor, kind="bad_debt"),)
    return ReceivableAdjusted(**_WHERE | {"adjustment_id": adjustment_id, "lines": lines} | over)


def goods_in(document_id: str = "D1", units: Mapping[str, int] | None = None, **over: Any) -> StockReceived:
    """A receipt of so many units of each SKU at WH1, by default five A1, at a cost of 4.00 each."""
    counted = (units or {"A1": 5}).items()
    lines = tuple(StockLine(sku=sku, quantity=count, unit_cost_minor=400) for sku, count in counted)
    given: dict[str, Any] = {"origin": "shop", "location": "WH1", "currency": "GBP"}
    return StockReceived(**given | {"document_id": document_id, "lines": lines} | over)


def adjustment(document_id: str = "N1", *lines: StockLine, **over: Any) -> StockAdjusted:
    """A counted difference, or one A1 less."""
    given = _WHERE | {"document_id": document_id}
    return StockAdjusted(**given | {"lines": lines or (StockLine(sku="A1", quantity=-1),)} | over)


def reclassified(document_id: str = "B1", *moves: tuple[str, int, str, str], **over: Any) -> StockReclassified:
    """SKU, units, from where and to where; or one A1 from good to damaged."""
    chosen = moves or (("A1", 1, "good", "damaged"),)
    lines = tuple(BucketLine(sku=sku, quantity=n, taken=taken, put=put) for sku, n, taken, put in chosen)  # type: ignore[arg-type]
    given: dict[str, Any] = {"origin": "shop", "location": "WH1", "currency": "GBP"}
    return StockReclassified(**given | {"document_id": document_id, "lines": lines} | over)


def counted(document_id: str = "K1", units: Mapping[str, int] | None = None, **over: Any) -> StockCounted:
    lines = tuple(CountLine(sku=sku, quantity=count) for sku, count in (units or {"A1": 5}).items())
    return StockCounted(**_WHERE | {"document_id": document_id, "lines": lines} | over)


def _units(units: Mapping[str, int] | None) -> tuple[UnitsLine, ...]:
    return tuple(UnitsLine(sku=sku, quantity=count) for sku, count in (units or {"A1": 2}).items())


def transfer(transfer_id: str = "T1", units: Mapping[str, int] | None = None, **over: Any) -> TransferRequested:
    """From WH1 to ST1, by default two A1."""
    given: dict[str, Any] = {"origin": "shop", "from_location": "WH1", "to_location": "ST1", "currency": "GBP"}
    return TransferRequested(**given | {"transfer_id": transfer_id, "lines": _units(units)} | over)


def transfer_out(transfer_id: str = "T1", units: Mapping[str, int] | None = None, **over: Any) -> TransferShipped:
    given: dict[str, Any] = {"origin": "shop", "shipment_id": f"TS{transfer_id}"}
    return TransferShipped(**given | {"transfer_id": transfer_id, "lines": _units(units)} | over)


def transfer_in(transfer_id: str = "T1", units: Mapping[str, int] | None = None, **over: Any) -> TransferReceived:
    given: dict[str, Any] = {"origin": "shop", "receipt_id": f"TR{transfer_id}"}
    return TransferReceived(**given | {"transfer_id": transfer_id, "lines": _units(units)} | over)


def feed_report(**over: Any) -> FeedReported:
    return FeedReported(**{"feed": "shop", "channel": "web", "location": "WH1"} | over)


def sent(
    event: Event,
    event_id: str = "",
    *,
    at: dt.datetime = NOON,
    provenance: Provenance = "live",
    source: str = "shop",
    partition_key: str = "",
) -> Message:
    """The message that carries an event; without ``event_id`` it is named for the document in it."""
    numbers = [str(value) for name, value in msgspec.structs.asdict(event).items() if name.endswith("_id") and value]
    return message(
        event,
        source=source,
        event_id=event_id or f"{type(event).__name__}/{'/'.join(numbers)}",
        occurred_at=at,
        provenance=provenance,
        partition_key=partition_key,
    )


def cloudevent(event: Event, event_id: str = "1", *, at: dt.datetime = NOON, **over: Any) -> dict[str, Any]:
    """The CloudEvents form of an event, ready for a JSON body."""
    names = {struct: name for name, struct in TYPES.items()}
    envelope = {"specversion": "1.0", "id": event_id, "source": "shop", "type": names[type(event)]}
    return envelope | {"time": at.isoformat(), "data": msgspec.to_builtins(event)} | over


class RetailRow(NamedTuple):
    """One line of the Online Retail file; ``at`` is London time."""

    invoice: str
    code: str = "A1"
    quantity: int | str = 1
    at: str = "2011-03-01 09:00:00"
    price: str = "10.00"
    customer: str = "100.0"


def online_retail_csv(rows: Iterable[RetailRow]) -> str:
    """The rows as the file has them, with its header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(ONLINE_RETAIL_COLUMNS)
    for row in rows:
        writer.writerow((row.invoice, row.code, "SOMETHING", *row[2:], "United Kingdom"))
    return buffer.getvalue()
