"""What our documents are in Tryton: the values of its records. Decisions only; nothing here does I/O."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from sync_core.erp.port import DocumentKind
from sync_core.erp.tryton_rpc import ErpRefusedError, date, decimal, number
from sync_core.money import DECIMALS

PRICE_DECIMALS: Final = Decimal("0.0001")


class JournalLine(Struct, frozen=True):
    account: str
    amount_minor: int
    tax_code: str = ""

    @property
    def description(self) -> str:
        return f"{self.account}, {self.tax_code}" if self.tax_code else self.account


class Journal(Struct, frozen=True):
    """A journal as the outbox holds it for the ERP."""

    idempotency_key: str
    business_date: str
    currency: str
    lines: tuple[JournalLine, ...]


class OrderLine(Struct, frozen=True):
    sku: str
    kind: str
    quantity: int
    amount_minor: int


class SalesOrder(Struct, frozen=True):
    idempotency_key: str
    business_date: str
    currency: str
    lines: tuple[OrderLine, ...]


class Amendment(Struct, frozen=True):
    """What a sales order is from a version on."""

    idempotency_key: str
    sales_order: str
    business_date: str
    currency: str
    lines: tuple[OrderLine, ...]

    @property
    def versions(self) -> str:
        """How the keys of all versions begin; the rest of each sorts as they do."""
        return self.idempotency_key.rpartition("/")[0] + "/"


class Cancellation(Struct, frozen=True):
    """A sales order is given up."""

    idempotency_key: str
    sales_order: str


class MovedLine(Struct, frozen=True):
    sku: str
    quantity: int


class GoodsMovement(Struct, frozen=True):
    idempotency_key: str
    business_date: str
    from_place: str
    to_place: str
    lines: tuple[MovedLine, ...]


Document = Journal | SalesOrder | Amendment | GoodsMovement
FORMS: Final[Mapping[DocumentKind, type[Document]]] = {
    "journal": Journal,
    "sales_order": SalesOrder,
    "goods_movement": GoodsMovement,
}


class Company(Struct, frozen=True):
    """What of Tryton's does not change while it is posted to."""

    company: int
    currency: str
    currency_id: int
    journal: int
    accounts: Mapping[str, int]


class Period(Struct, frozen=True):
    period: int
    name: str
    start: str
    end: str
    state: str


class Product(Struct, frozen=True):
    product: int
    unit: int


class SoldLine(Struct, frozen=True):
    """A line of a sale as it is in Tryton."""

    line: int
    product: int | None
    sku: str
    description: str
    quantity: float
    unit: int | None
    unit_price: Decimal

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "SoldLine":
        return cls(
            row["id"], row["product"], (row["product."] or {}).get("code") or row["description"], row["description"],
            row["quantity"], row["unit"], number(row["unit_price"]),
        )  # fmt: skip


class Sold(Struct, frozen=True):
    """A sale as it stands in Tryton."""

    sale: int
    lines: list[SoldLine]


def sale(
    order: Any, company: Company, products: Mapping[str, Product], customer: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The values of a sale that ships and invoices nothing by itself: that is told by shipments and journals."""
    in_currency(company, order.currency)
    if customer is None:
        raise ErpRefusedError("the ERP lacks the customer of sales orders, or its address")
    lines = []
    for line in order.lines:
        about = {"quantity": line.quantity, "unit_price": decimal(_unit_price(line, order.currency))}
        if line.kind.startswith("goods"):
            product = _known_product(products, line.sku)
            lines.append(about | {"product": product.product, "unit": product.unit})
        else:
            lines.append(about | {"description": line.sku})
    address = customer["addresses"][0]
    return {
        "company": company.company, "currency": company.currency_id, "reference": order.idempotency_key,
        "party": customer["id"], "invoice_address": address, "shipment_address": address,
        "sale_date": date(order.business_date), "invoice_method": "manual", "shipment_method": "manual",
        "lines": [["create", lines]],
    }  # fmt: skip


def amended(one: Any, company: Company, sales: Mapping[str, Sold]) -> dict[str, Any]:
    """The values of an amendment: each line of a sale that is another from now on; a removed one is of nothing."""
    in_currency(company, one.currency)
    sold, wanted = sales[one.sales_order], list(one.lines)
    changed: list[dict[str, Any]] = []
    for line in sold.lines:
        now = next((other for other in wanted if other.sku == line.sku), None)
        if now:
            wanted.remove(now)
        quantity, price = (now.quantity, _unit_price(now, one.currency)) if now else (0, line.unit_price)
        if (quantity, price) != (line.quantity, line.unit_price):
            changed.append({"action": "line", "line": line.line, "product": line.product, "unit": line.unit,
                            "description": line.description, "quantity": quantity,
                            "unit_price": decimal(price)})  # fmt: skip
    if wanted:
        raise ErpRefusedError(f"Tryton adds no line to a sale that it works on: {', '.join(one.sku for one in wanted)}")
    return {
        "sale": sold.sale, "date": date(one.business_date), "description": one.idempotency_key,
        "lines": [["create", changed]],
    }  # fmt: skip


def shipment(
    moved: Any, company: Company, products: Mapping[str, Product], places: Mapping[str, int]
) -> dict[str, Any]:
    ends = []
    for place in (moved.from_place, moved.to_place):
        if place not in places:
            raise ErpRefusedError(f"the ERP lacks a location for {place}")
        ends.append(places[place])
    moves = []
    for line in moved.lines:
        product = _known_product(products, line.sku)
        moves.append({"company": company.company, "product": product.product, "unit": product.unit,
                      "quantity": line.quantity, "from_location": ends[0], "to_location": ends[1]})  # fmt: skip
    return {
        "company": company.company, "reference": moved.idempotency_key, "from_location": ends[0],
        "to_location": ends[1], "effective_date": date(moved.business_date), "moves": [["create", moves]],
    }  # fmt: skip


def _known_product(products: Mapping[str, Product], sku: str) -> Product:
    if sku not in products:
        raise ErpRefusedError(f"the ERP lacks product {sku}")
    return products[sku]


def _unit_price(line: OrderLine, currency: str) -> Decimal:
    return (_amount(line.amount_minor, currency) / line.quantity).quantize(PRICE_DECIMALS)


def in_currency(company: Company, currency: str) -> None:
    if currency != company.currency:
        raise ErpRefusedError(f"the ERP's books are in {company.currency}, the document is in {currency}")


def _amount(amount_minor: int, currency: str) -> Decimal:
    return Decimal(amount_minor).scaleb(-DECIMALS.get(currency, 2))


def major(amount_minor: int, currency: str) -> dict[str, str]:
    return decimal(_amount(amount_minor, currency))


def minor(amount: Decimal, currency: str) -> int:
    return int(amount.scaleb(DECIMALS.get(currency, 2)))
