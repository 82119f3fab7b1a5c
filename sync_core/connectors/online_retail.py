"""The Online Retail file (UCI, D. Chen, doi 10.24432/C5BW33, CC BY 4.0): lines of invoices to events.

One row is one line of an invoice; all rows with one InvoiceNo, wherever they stand, are one document. The kind of a
line comes before the kind of its document. Prices are net of VAT and times are UK local time.

What the file lacks is generated, tagged ``generated`` and documented here: opening stock (the deepest shortfall of
each code over orders and adjustments in file order, two orders that nobody could fill left out, so that the whole year
can be served), unit cost (45 % of a code's first price), VAT on top (17.5 % until 3 January 2011, 20 % after), one
card payment when an order is captured, one shipment 60 minutes and 30 seconds later, and a sign of life of the stock
feed at the first and the last document of a day.
"""

import csv
import datetime as dt
import hashlib
import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from sync_core.errors import UnreadableFileError
from sync_core.messages import (
    ChargeRaised,
    CreditMemoIssued,
    Event,
    FeedReported,
    Line,
    LineKind,
    Message,
    OrderCaptured,
    PaymentCaptured,
    Provenance,
    ReceivableAdjusted,
    ShipmentShipped,
    StockAdjusted,
    StockLine,
    StockReceived,
    message,
)
from sync_core.money import MICROS_PER_MINOR, at_rate, face_value, micros

NAME: Final = "online_retail"
ORIGIN: Final = "online-retail"
LOCATION: Final = "GB-WH1"
CURRENCY: Final = "GBP"
PROVIDER: Final = "stripe"
ZONE: Final = ZoneInfo("Europe/London")
COLUMNS: Final = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
NOT_STOCKED: Final = frozenset({"541431", "581483"})  # 74,215 and 80,995 units, cancelled within minutes
SHIPPED_AFTER: Final = dt.timedelta(minutes=60, seconds=30)
VAT_RISE: Final = dt.date(2011, 1, 4)
COST_PPM: Final = 450_000
MOST_UNITS: Final = 10**9
MOST_MICROS: Final = 10**18
"""What a line may hold: in units, and a price or an amount in millionths of the major unit."""
MOST_LINES: Final = 5_000  # of one document
MOST_CODES: Final = 10_000  # of one receipt
LONGEST_NAME: Final = 200

_KINDS: Final[dict[str, LineKind]] = {
    "POST": "shipping",
    "DOT": "shipping",
    "C2": "shipping",
    "D": "discount",
    "AMAZONFEE": "fee",
    "BANK CHARGES": "fee",
    "CRUK": "fee",
    "S": "sample",
    "M": "manual",
    "B": "bad_debt",
}

_EXPECTED: Final = {
    "InvoiceDate": "a time such as 2010-12-01 08:26:00",
    "UnitPrice": "an amount such as 2.55, of at most six decimals",
    "Quantity": "a whole number",
}

Kind = Literal["order", "charge", "credit", "adjustment", "bad_debt"]


class Row(Struct, frozen=True):
    """One checked row. ``line`` is its place in the file, the header being line 1."""

    line: int
    invoice: str
    code: str
    kind: LineKind
    quantity: int
    at: dt.datetime
    price_micros: int
    customer: str


class Survey(Struct):
    """What has to be known of the whole file before its first document can be told."""

    rows: int
    counts: dict[str, int]
    opening: dict[str, int]
    costs: dict[str, int]
    last_at: dt.datetime
    error: UnreadableFileError | None = None


class _Seen(Struct):
    """What the survey keeps of a document."""

    invoice: str
    count: int = 0
    customer: bool = False
    priced: bool = False
    sold: bool = False
    units: dict[str, int] = {}


def rows(lines: Iterable[str], name: str) -> Iterator[Row]:
    """Checked rows of the file. Raises UnreadableFileError with the line for the first that is not right."""
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise UnreadableFileError(name, 1, f"expected the columns {', '.join(COLUMNS)}, found {', '.join(header)}")
        times: dict[str, dt.datetime] = {}
        prices: dict[str, int] = {}
        counts: defaultdict[str, int] = defaultdict(int)
        for cells in reader:
            row = _row(cells, reader.line_num, name, times, prices)
            counts[row.invoice] += 1
            if counts[row.invoice] > MOST_LINES:
                raise UnreadableFileError(name, row.line, f"invoice {row.invoice} has more than {MOST_LINES} lines")
            yield row
    except csv.Error as error:
        raise UnreadableFileError(name, reader.line_num, f"not CSV: {error}") from error


def survey(all_rows: Iterator[Row]) -> Survey:
    """Read the file once: rows per invoice, and the stock that must have been there for it to be served."""
    seen: dict[str, _Seen] = {}
    costs: dict[str, int] = {}
    error = None
    count = 0
    last = ""
    last_at = dt.datetime.min.replace(tzinfo=ZONE)
    try:
        for row in all_rows:
            count += 1
            last, last_at = row.invoice, row.at
            held = seen.get(last)
            if held is None:
                held = seen[last] = _Seen(last, units={})
            held.count += 1
            held.customer |= bool(row.customer)
            held.priced |= bool(row.price_micros)
            held.sold |= row.kind in ("goods", "gift")
            if row.kind == "goods":
                held.units[row.code] = held.units.get(row.code, 0) + row.quantity
                if row.price_micros > 0 and row.code not in costs:
                    costs[row.code] = at_rate(row.price_micros, COST_PPM) // MICROS_PER_MINOR
    except UnreadableFileError as stopped:
        error = stopped
        seen.pop(last, None)  # it may have lines beyond the one that cannot be read
    counts = {invoice: held.count for invoice, held in seen.items()}
    return Survey(count, counts, _opening(seen.values()), costs, last_at, error)


def messages(all_rows: Iterator[Row], known: Survey) -> Iterator[Message]:
    """Every event of the file and every generated one, in order of time. Ends where the survey ended."""
    due: list[tuple[dt.datetime, int, Message]] = []
    day: dt.date | None = None
    first = True
    latest: dt.datetime | None = None
    for number, document in enumerate(_documents(all_rows, known)):
        at = min(row.at for row in document)
        if first:
            yield from _opening_stock(known, at)
            first = False
        opens = at.date() != day
        if opens and latest is not None:
            yield from _alive(latest, "close")
        while due and due[0][0] <= at:
            yield heapq.heappop(due)[2]
        if opens:
            yield from _alive(at, "open")
            day = at.date()
        for event in _events(document, at):
            if event.occurred_at > at:
                heapq.heappush(due, (event.occurred_at, number, event))
            else:
                yield event
        latest = at
    if latest is not None:
        yield from _alive(latest, "close")
    while due:
        yield heapq.heappop(due)[2]


def _row(cells: list[str], line: int, name: str, times: dict[str, dt.datetime], prices: dict[str, int]) -> Row:
    if len(cells) != len(COLUMNS):
        raise UnreadableFileError(name, line, f"expected {len(COLUMNS)} columns, found {len(cells)}")
    invoice, code, _, quantity, at, price, customer, _ = cells
    try:
        column, value = "InvoiceDate", at
        when = times.get(at)
        if when is None:
            when = times[at] = dt.datetime.strptime(at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
        column, value = "UnitPrice", price
        cost = prices.get(price)
        if cost is None:
            cost = prices[price] = micros(price)
        column, value = "Quantity", quantity
        units = int(quantity)
    except ValueError as error:
        raise UnreadableFileError(name, line, f"{column} is {value!r}; expected {_EXPECTED[column]}") from error
    if abs(units) > MOST_UNITS or abs(cost * (units or 1)) > MOST_MICROS:
        raise UnreadableFileError(name, line, f"quantity {quantity} or price {price} is too large")
    number = customer.removesuffix(".0")
    named = 0 < len(invoice) <= LONGEST_NAME and 0 < len(code) <= LONGEST_NAME
    if not named or (number and not number.isdigit()):
        told = f"InvoiceNo {invoice!r}, StockCode {code!r} or CustomerID {customer!r}"
        raise UnreadableFileError(name, line, f"{told} is not valid")
    code = code.upper()
    kind = _KINDS.get(code) or ("gift" if code.startswith("GIFT_0001_") else "goods")
    return Row(line, invoice, code, kind, units, when, cost, number)


def _opening(seen: Iterable[_Seen]) -> dict[str, int]:
    balance: dict[str, int] = {}
    deepest: dict[str, int] = {}
    for document in seen:
        kind = _kind(document.invoice, document.customer, document.priced, document.sold)
        if kind not in ("order", "adjustment") or document.invoice in NOT_STOCKED:
            continue
        sign = -1 if kind == "order" else 1
        for code, units in document.units.items():
            now = balance.get(code, 0) + sign * units
            balance[code] = now
            if now < deepest.get(code, 0):
                deepest[code] = now
    return {code: -short for code, short in sorted(deepest.items())}


def _kind(invoice: str, customer: bool, priced: bool, sold: bool) -> Kind:
    if invoice.startswith("A"):
        return "bad_debt"
    if invoice.startswith("C"):
        return "credit"
    if not customer and not priced:
        return "adjustment"
    return "order" if sold else "charge"


def _documents(all_rows: Iterator[Row], known: Survey) -> Iterator[list[Row]]:
    """Documents in order of their first row, each as soon as it and all before it are complete."""
    waiting: dict[str, list[Row]] = {}
    for row in itertools.islice(all_rows, known.rows):
        if row.invoice not in known.counts:
            continue
        waiting.setdefault(row.invoice, []).append(row)
        while waiting:
            invoice, held = next(iter(waiting.items()))
            if len(held) < known.counts[invoice]:
                break
            yield waiting.pop(invoice)


def _events(document: list[Row], at: dt.datetime) -> Iterator[Message]:
    invoice, customer = document[0].invoice, document[0].customer
    priced = any(row.price_micros for row in document)
    sold = any(row.kind in ("goods", "gift") for row in document)
    kind = _kind(invoice, bool(customer), priced, sold)
    channel = "dotcom" if any(row.code == "DOT" for row in document) else "trade"
    common = {"origin": ORIGIN, "channel": channel, "location": LOCATION, "currency": CURRENCY}
    if kind == "adjustment":
        moved = tuple(StockLine(sku=row.code, quantity=row.quantity, kind=row.kind) for row in document)
        yield _told(StockAdjusted(document_id=invoice, lines=moved, reason="stock adjustment", **common), invoice, at)
        return
    lines = tuple(_line(row) for row in document)
    match kind:
        case "bad_debt":
            yield _told(ReceivableAdjusted(adjustment_id=invoice, lines=lines, **common), invoice, at)
        case "charge":
            yield _told(ChargeRaised(charge_id=invoice, lines=lines, customer_ref=customer, **common), invoice, at)
        case "credit":
            credit = CreditMemoIssued(
                credit_memo_id=invoice, lines=lines, customer_ref=customer, provider=PROVIDER, **common
            )
            yield _told(credit, invoice, at)
        case _:
            yield from _order(invoice, at, lines, customer, common)


def _order(
    invoice: str, at: dt.datetime, lines: tuple[Line, ...], customer: str, common: dict[str, Any]
) -> Iterator[Message]:
    net = sum(line.amount_minor for line in lines)
    tax = at_rate(net, 175_000 if at.date() < VAT_RISE else 200_000)
    captured = OrderCaptured(order_id=invoice, lines=lines, tax_minor=tax, customer_ref=customer, **common)
    yield _told(captured, invoice, at)
    payment = PaymentCaptured(
        origin=ORIGIN,
        order_id=invoice,
        payment_id=f"{invoice}-P",
        provider=PROVIDER,
        amount_minor=net + tax,
        currency=CURRENCY,
    )
    yield _told(payment, f"generated/payment/{invoice}", at, "generated")
    shipment = ShipmentShipped(origin=ORIGIN, order_id=invoice, shipment_id=f"{invoice}-1", location=LOCATION)
    yield _told(shipment, f"generated/shipment/{invoice}", at + SHIPPED_AFTER, "generated")


def _line(row: Row) -> Line:
    amount, residue = face_value(row.price_micros, row.quantity)
    return Line(
        sku=row.code,
        quantity=row.quantity,
        amount_minor=amount,
        kind=row.kind,
        unit_price_micros=row.price_micros,
        residue_micros=residue,
        position=row.line,
    )


def _opening_stock(known: Survey, at: dt.datetime) -> Iterator[Message]:
    lines = tuple(
        StockLine(sku=code, quantity=units, unit_cost_minor=known.costs.get(code, 0))
        for code, units in known.opening.items()
    )
    for first in range(0, len(lines), MOST_CODES):
        part = lines[first : first + MOST_CODES]
        digest = hashlib.sha256(repr(part).encode()).hexdigest()[:8]
        event = StockReceived(
            origin=ORIGIN,
            document_id=f"opening-{digest}",
            location=LOCATION,
            currency=CURRENCY,
            lines=part,
            opening=True,
        )
        yield _told(event, f"generated/opening/{digest}", at - dt.timedelta(hours=1), "generated")


def _alive(at: dt.datetime, what: str) -> Iterator[Message]:
    for channel in ("trade", "dotcom"):
        event = FeedReported(feed=ORIGIN, channel=channel, location=LOCATION)
        yield _told(event, f"generated/feed/{channel}/{at.date()}/{what}", at, "generated")


def _told(event: Event, event_id: str, at: dt.datetime, provenance: Provenance = "file") -> Message:
    return message(
        event,
        source=ORIGIN,
        event_id=event_id,
        occurred_at=at,
        provenance=provenance,
        partition_key=ORIGIN,
    )
