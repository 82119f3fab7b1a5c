"""Customers and their accounts across channels, as the system that owns them says. Decisions only, no I/O."""

from typing import Any, Final

from msgspec import Struct, field

from collector.semconv import correlation_id
from sync_core.master_messages import CustomerUpdated
from sync_core.model import Customer, Hop, Link
from sync_core.stock.products import identity_of
from sync_core.unit import DONE, Step, Verdict, link_event

OWNER: Final = "customer service"


class Change(Struct, frozen=True):
    """What an update takes from a customer and gives them."""

    gone: list[tuple[str, str]] = field(default_factory=list)
    new: list[tuple[str, str]] = field(default_factory=list)


def transaction_of(origin: str, customer_id: str) -> bytes:
    """The transaction that a customer is."""
    return correlation_id(origin, f"customer/{customer_id}")


def update(step: Step, event: CustomerUpdated) -> Verdict:
    """Keep a customer; an account that is another customer's already is somebody's to decide, and nothing is kept."""
    customers, key = step.unit.customers, (event.origin, event.customer_id)
    known = customers.get(key)
    if known is not None and known.updated_at > step.message.occurred_at:
        return Verdict("done", f"a later update of customer {event.customer_id} is known")
    heir = (event.origin, event.merged_into)
    if event.merged_into and heir not in customers:
        return Verdict("parked", f"customer {event.merged_into} has not arrived", identity_of("customer", *heir))
    if taken := _taken(step, event, heir):
        return _refuse(step, event, taken)
    customer = customers[key] = Customer(
        *key, event.segment, event.closed, event.merged_into, step.message.occurred_at, known.accounts if known else []
    )
    change = _give(step, customer, [] if event.merged_into else event.numbers)
    if event.merged_into:
        _give(step, customers[heir], [*customers[heir].accounts, *change.gone, *event.numbers])
    step.unit.arrived.add(identity_of("customer", *key))
    identity = transaction_of(*key)
    step.resolve_exceptions(identity, event.origin, "account_claimed", "a later update names it no more")
    step.tell(_told(step, event, change))
    return DONE


def _taken(step: Step, event: CustomerUpdated, heir: tuple[str, str]) -> str:
    """The account that is another customer's, in words."""
    owners = {number: key for key, one in step.unit.customers.items() for number in one.accounts}
    for number in event.numbers:
        owner = owners.get(number)
        if owner not in (None, (event.origin, event.customer_id), heir):
            assert owner is not None
            return f"account {number[1]} of {number[0]} is customer {owner[1]}'s of {owner[0]}"
    return ""


def _refuse(step: Step, event: CustomerUpdated, detail: str) -> Verdict:
    identity = transaction_of(event.origin, event.customer_id)
    if not step.unit.open_exceptions.get((identity, "account_claimed")):
        step.raise_exception(
            "account_claimed", origin=event.origin, correlation_id=identity, entity="master_data",
            entity_id=f"customer/{event.customer_id}", owner=OWNER, detail=detail, severity="minor",
        )  # fmt: skip
    return Verdict("rejected", f"accounts: {detail}")


def _give(step: Step, customer: Customer, accounts: list[tuple[str, str]]) -> Change:
    """Make these all the accounts that a customer has."""
    wanted = list(dict.fromkeys(accounts))
    change = Change(
        [one for one in customer.accounts if one not in wanted], [one for one in wanted if one not in customer.accounts]
    )
    customer.accounts = wanted
    owner: dict[str, Any] = {"origin": customer.origin, "customer_id": customer.customer_id}
    about = {"segment": customer.segment, "closed": customer.closed, "merged_into": customer.merged_into,
             "at": customer.updated_at,
             "identity": identity_of("customer", customer.origin, customer.customer_id)}  # fmt: skip
    gone, new = ([[one[place] for one in some] for place in (0, 1)] for some in (change.gone, change.new))
    step.unit.settings += [
        ("save_customer", owner | about),
        ("drop_accounts", {"systems": gone[0], "account_ids": gone[1]}),
        ("add_accounts", owner | {"systems": new[0], "account_ids": new[1]}),
    ]
    identity = transaction_of(customer.origin, customer.customer_id)
    for some, reason in ((change.gone, "removed"), (change.new, "added")):
        for system, account_id in some:
            step.tell(
                Hop("master_data.account", "transformation", identity, customer.origin, "master_data",
                    f"account/{system}/{account_id}",
                    attributes={"account_id": account_id, "customer_id": customer.customer_id, "system": system,
                                "reason": reason})
            )  # fmt: skip
    return change


def _told(step: Step, event: CustomerUpdated, change: Change) -> Hop:
    identity = transaction_of(event.origin, event.customer_id)
    words = [
        f"{len(change.new)} accounts added" if change.new else "",
        f"{len(change.gone)} removed" if change.gone else "",
        "closed" if event.closed else "",
        f"merged into {event.merged_into}" if event.merged_into else "",
    ]
    link = Link(identity, transaction_of(event.origin, event.merged_into), "same_as", step.message.event_id)
    return Hop(
        "master_data.customer", "source", identity, event.origin, "master_data", f"customer/{event.customer_id}",
        "changed", occurred_at=step.message.occurred_at,
        attributes={"customer_id": event.customer_id, "reason": ", ".join(filter(None, words))},
        events=[link_event(link)] if event.merged_into else [],
    )  # fmt: skip
