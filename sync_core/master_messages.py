"""Events about reference data: customers and what their accounts are called elsewhere, tax codes."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from sync_core.fields import Origin

Opaque = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^@\s]+$")]
"""A number that says nothing of a person by itself: no address, no name."""


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number under which a system knows a customer: what its orders call ``customer_ref``."""

    system: Origin
    account_id: Opaque


class CustomerUpdated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer as known from now on, with all accounts that are theirs; no account is two customers'.

    ``merged_into`` is the customer of the same origin who they turned out to be: the accounts are that one's.
    """

    origin: Origin
    customer_id: Opaque
    accounts: Annotated[tuple[Account, ...], Meta(max_length=100)] = ()
    segment: Annotated[str, Meta(max_length=50)] = ""
    closed: bool = False
    merged_into: Annotated[str, Meta(max_length=200, pattern=r"^[^@\s]*$")] = ""

    def __post_init__(self) -> None:
        if self.merged_into == self.customer_id:
            raise ValueError("`merged_into` is the customer itself")
        if len(set(self.numbers)) < len(self.accounts):
            raise ValueError("an account is in `accounts` twice")

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """System and number of each account."""
        return [(one.system, one.account_id) for one in self.accounts]


class TaxCodeSet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tax code of products takes from the event's time on, in millionths of the net amount."""

    origin: Origin
    tax_code: Annotated[str, Meta(min_length=1, max_length=50)]
    rate_ppm: Annotated[int, Meta(ge=0, le=10**6)]
    name: Annotated[str, Meta(max_length=200)] = ""


MASTER_TYPES: Final[dict[str, type[Struct]]] = {
    "tallytrace.customer.updated.v1": CustomerUpdated,
    "tallytrace.tax_code.set.v1": TaxCodeSet,
}
