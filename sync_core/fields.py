"""What the fields of events are made of: names, amounts, and lines of documents."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Origin = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.:-]*$")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Amount = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Moment = Annotated[dt.datetime, Meta(tz=True)]
Positive = Annotated[int, Meta(ge=1, le=10**9)]
TenderKind = Literal["card", "cash", "account", "gift_card", "store_credit"]
LineKind = Literal["goods", "gift", "shipping", "discount", "fee", "sample", "manual", "bad_debt"]


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a document. ``unit_price_micros`` is in millionths of the currency's major unit.

    ``tax_minor`` is its own tax, part of the document's; ``tax_code`` the rate and jurisdiction that this is of.
    """

    sku: Name
    quantity: Annotated[int, Meta(ge=-(10**9), le=10**9)]
    amount_minor: Amount
    kind: LineKind = "goods"
    unit_price_micros: int | None = None
    residue_micros: int = 0  # exact value less amount_minor, in millionths of the major unit
    position: int = 0  # place in the file it came from; 0 when it came alone
    tax_code: Annotated[str, Meta(max_length=50)] = ""
    tax_minor: Amount | None = None


class UnitsLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Units of one SKU."""

    sku: Name
    quantity: Positive
