"""What every ERP is asked for: to take documents, and to say what it holds of them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

DocumentKind = Literal["journal", "sales_order", "sales_order_amendment", "sales_order_cancellation", "goods_movement"]


class Answer(Struct, frozen=True):
    """What the ERP said of one document; ``retry`` asks for another attempt later."""

    idempotency_key: str
    status: Literal["accepted", "rejected", "retry"]
    document: str = ""
    reason: str = ""


class Unavailable(Struct, frozen=True):
    """The ERP took nothing: why, and how long it asked to be left alone."""

    reason: str
    retry_after_seconds: float = 0.0


class Held(Struct, frozen=True, kw_only=True):
    """A journal that the ERP holds under a key of ours: amounts by its own accounts, in minor units, debit positive."""

    idempotency_key: str
    document: str
    business_date: str
    currency: str
    accounts: Mapping[str, int]
    posted: bool = True


class Erp(Protocol):
    """Never raises for what an ERP does. A key that it is offered again makes no second document."""

    def post(self, kind: DocumentKind, bodies: Sequence[bytes]) -> list[Answer] | Unavailable: ...

    def held(self, keys: Sequence[str]) -> list[Held] | Unavailable:
        """Every journal that it has under one of these keys."""
        ...

    def account(self, ours: str) -> str:
        """The ERP's account for one of ours; empty when it has none."""
        ...

    def check(self) -> list[str]:
        """What keeps documents from being posted, in words; each entry is one thing to mend."""
        ...

    def close(self) -> None: ...
