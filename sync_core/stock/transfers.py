"""Transfers between locations: committed, on their way, received, missing, given up. Decisions only, no I/O."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from collector.semconv import EVENT_LINE, correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import (
    TransferCancelled,
    TransferReceived,
    TransferRequested,
    TransferShipped,
    TransferWrittenOff,
    derived,
)
from sync_core.model import ExceptionKind, Hop, Transfer, TransferLine
from sync_core.unit import DONE, Step, Verdict

VARIANCE_DAYS: Final = 14
"""How long missing goods may still turn up before they are shrinkage."""

OWNER: Final = "warehouse"


def request(step: Step, event: TransferRequested) -> Verdict:
    """Take what is free out of promise; what is not free is not committed, and an owner knows."""
    identity = correlation_id(event.origin, event.transfer_id)
    if identity in step.unit.transfers:
        return Verdict("rejected", f"transfer {event.transfer_id} of {event.origin} exists already")
    if event.from_location == event.to_location:
        return Verdict("rejected", "a transfer goes to another location")
    transfer = Transfer(
        identity, event.origin, event.transfer_id, event.from_location, event.to_location, event.currency,
        "requested", step.message.occurred_at,
    )  # fmt: skip
    step.unit.transfers[identity] = transfer
    short = 0
    for sku, wanted in _units(event).items():
        free = max(0, step.stock(sku, event.from_location).free)
        line = transfer.lines[sku] = TransferLine(requested=wanted, committed=min(wanted, free))
        short += wanted - line.committed
        _move(step, transfer, "request", "transfer_commit", sku, event.from_location, line.committed)
    _changed(step, transfer)
    _tell(step, transfer, "request", "requested", _units(event))
    if short:
        _raise(step, transfer, "transfer_short", f"{short} units of it are not free at {event.from_location}", 0)
    return DONE


def ship(step: Step, event: TransferShipped) -> Verdict:
    """Goods leave the first location and are on their way to the second, at the first one's cost."""
    identity = correlation_id(event.origin, event.transfer_id)
    transfer = step.unit.transfers.get(identity)
    if transfer is None:
        return Verdict("parked", f"transfer {event.transfer_id} has not arrived", identity)
    if transfer.state == "cancelled":
        return _late(step, transfer, "transfer_after_cancellation", f"shipment {event.shipment_id} of it")
    key = f"shipment/{event.shipment_id}"
    value = 0
    for sku, sent in _units(event).items():
        line = transfer.lines.setdefault(sku, TransferLine())
        held = step.stock(sku, transfer.from_location)
        line.unit_cost_minor = held.unit_cost_minor or 0
        _uncommit(step, transfer, key, sku, min(sent, line.committed))
        _move(step, transfer, key, "transfer_out", sku, transfer.from_location, sent)
        _move(step, transfer, key, "transfer_sent", sku, transfer.to_location, sent)
        arriving = step.stock(sku, transfer.to_location)
        if arriving.unit_cost_minor is None:
            arriving.unit_cost_minor, arriving.currency = held.unit_cost_minor, held.currency
        line.shipped += sent
        value += sent * line.unit_cost_minor
    if event.final:
        for sku, line in transfer.lines.items():
            _uncommit(step, transfer, key, sku, line.committed)
        step.resolve_exceptions(identity, transfer.origin, "transfer_short", "the transfer left")
    transfer.state = "shipped"
    _changed(step, transfer)
    _tell(step, transfer, "ship", "shipped", _units(event))
    accounts = step.rules.accounts
    _post(step, transfer, "transfer_shipment", event.shipment_id, transfer.from_location,
          {accounts.in_transit: value, accounts.inventory: -value})  # fmt: skip
    return DONE


def receive(step: Step, event: TransferReceived) -> Verdict:
    """Goods are there: what was on its way, what was missing and turned up, or more than was sent."""
    identity = correlation_id(event.origin, event.transfer_id)
    transfer = step.unit.transfers.get(identity)
    if transfer is None or transfer.state == "requested":
        return Verdict("parked", f"transfer {event.transfer_id} has not left", identity)
    if transfer.state == "cancelled":
        return _late(step, transfer, "transfer_after_cancellation", f"receipt {event.receipt_id} of it")
    key = f"receipt/{event.receipt_id}"
    came = found = short = 0
    for sku, arrived in _units(event).items():
        line = transfer.lines.setdefault(sku, TransferLine())
        expected = min(arrived, line.shipped - line.received - line.missing)
        _move(step, transfer, key, "transfer_in", sku, transfer.to_location, expected)
        _move(step, transfer, key, "transfer_found", sku, transfer.to_location, arrived - expected)
        line.missing -= min(line.missing, arrived - expected)
        line.received += arrived
        came += expected * line.unit_cost_minor
        found += (arrived - expected) * line.unit_cost_minor
    if event.final:
        for sku, line in transfer.lines.items():
            gone = max(0, line.shipped - line.received - line.missing)
            _move(step, transfer, key, "transfer_short", sku, transfer.to_location, gone)
            line.missing += gone
            short += gone * line.unit_cost_minor
    transfer.state = "received"
    _watch_variance(step, transfer)
    _changed(step, transfer)
    _tell(step, transfer, "receive", "received" if any(_missing(transfer).values()) else "closed", _units(event))
    accounts = step.rules.accounts
    _post(step, transfer, "transfer_receipt", event.receipt_id, transfer.to_location,
          {accounts.inventory: came + found, accounts.in_transit: -came - short,
           accounts.transfer_variance: short - found})  # fmt: skip
    return DONE


def cancel(step: Step, event: TransferCancelled) -> Verdict:
    """Give up what has not left."""
    identity = correlation_id(event.origin, event.transfer_id)
    transfer = step.unit.transfers.get(identity)
    if transfer is None:
        return Verdict("parked", f"transfer {event.transfer_id} has not arrived", identity)
    for sku, line in transfer.lines.items():
        _uncommit(step, transfer, "cancellation", sku, line.committed)
    if transfer.state == "requested":
        transfer.state = "cancelled"
    _changed(step, transfer)
    _tell(step, transfer, "cancel", "closed" if transfer.state == "cancelled" else "", {})
    step.resolve_exceptions(identity, transfer.origin, "transfer_short", "the transfer was cancelled")
    return DONE


def write_off(step: Step, event: TransferWrittenOff) -> Verdict:
    """What is still missing at its deadline is shrinkage."""
    transfer = step.unit.transfers.get(correlation_id(event.origin, event.transfer_id))
    if transfer is None or transfer.variance_due_at is None or transfer.variance_due_at > step.message.occurred_at:
        return Verdict("done", "nothing of it is missing any more")
    value = sum(line.missing * line.unit_cost_minor for line in transfer.lines.values())
    gone = _missing(transfer)
    for line in transfer.lines.values():
        line.missing = 0
    transfer.variance_due_at = None
    _changed(step, transfer)
    _tell(step, transfer, "write_off", "closed", gone)
    step.resolve_exceptions(transfer.correlation_id, transfer.origin, "transfer_variance", "given up at its deadline")
    accounts = step.rules.accounts
    _post(step, transfer, "transfer_write_off", transfer.transfer_id, transfer.to_location,
          {accounts.shrinkage: value, accounts.transfer_variance: -value})  # fmt: skip
    return DONE


def _units(event: TransferRequested | TransferShipped | TransferReceived) -> dict[str, int]:
    units: dict[str, int] = {}
    for line in event.lines:
        units[line.sku] = units.get(line.sku, 0) + line.quantity
    return units


def _missing(transfer: Transfer) -> dict[str, int]:
    return {sku: line.missing for sku, line in transfer.lines.items() if line.missing}


def _uncommit(step: Step, transfer: Transfer, key: str, sku: str, quantity: int) -> None:
    _move(step, transfer, key, "transfer_uncommit", sku, transfer.from_location, quantity)
    transfer.lines[sku].committed -= quantity


def _watch_variance(step: Step, transfer: Transfer) -> None:
    missing = _missing(transfer)
    if missing and transfer.variance_due_at is None:
        transfer.variance_due_at = step.message.occurred_at + dt.timedelta(days=VARIANCE_DAYS)
        value = sum(line.missing * line.unit_cost_minor for line in transfer.lines.values())
        worst = ", ".join(f"{units} of {sku}" for sku, units in sorted(missing.items()))
        _raise(step, transfer, "transfer_variance", f"sent and not there: {worst[:200]}", value)
    elif not missing and transfer.variance_due_at is not None:
        transfer.variance_due_at = None
        step.resolve_exceptions(transfer.correlation_id, transfer.origin, "transfer_variance", "it turned up")


def _changed(step: Step, transfer: Transfer) -> None:
    step.unit.changed_transfers[transfer.correlation_id] = transfer
    step.unit.arrived.add(transfer.correlation_id)


def _late(step: Step, transfer: Transfer, kind: ExceptionKind, detail: str) -> Verdict:
    _raise(step, transfer, kind, f"{detail} comes after the transfer was cancelled", 0)
    return Verdict("rejected", f"{kind}: {detail}")


def _move(step: Step, transfer: Transfer, key: str, kind: str, sku: str, location: str, quantity: int) -> None:
    if quantity:
        document = f"{transfer.origin}:transfer/{transfer.transfer_id}/{key}"
        step.move(document, kind, sku, location, quantity, transfer.correlation_id)


def _tell(step: Step, transfer: Transfer, hop: str, milestone: str, units: Mapping[str, int]) -> None:
    about: dict[str, Any] = {
        "location": transfer.from_location if hop in ("request", "ship", "cancel") else transfer.to_location,
        "quantity": sum(units.values()),
        "transfer_id": transfer.transfer_id,
        "currency": transfer.currency,
        "amount_minor": sum(count * transfer.lines[sku].unit_cost_minor for sku, count in units.items()),
    }
    step.tell(
        Hop(
            f"inventory.transfer_{hop}", "source", transfer.correlation_id, transfer.origin, "transfer",
            transfer.transfer_id, milestone, occurred_at=step.message.occurred_at, attributes=about,
            events=[(EVENT_LINE, {"sku": sku, "quantity": count, "amount_minor": 0}) for sku, count in units.items()],
        )
    )  # fmt: skip


def _raise(step: Step, transfer: Transfer, kind: ExceptionKind, detail: str, amount_minor: int) -> None:
    step.raise_exception(
        kind, origin=transfer.origin, correlation_id=transfer.correlation_id, entity="transfer",
        entity_id=transfer.transfer_id, owner=OWNER, detail=detail, amount_minor=amount_minor,
        currency=transfer.currency,
    )  # fmt: skip


def _post(
    step: Step, transfer: Transfer, document: str, number: str, location: str, amounts: Mapping[str, int]
) -> None:
    made = derived(step.message.provenance)
    step.post(
        origin=transfer.origin,
        correlation_id=transfer.correlation_id,
        document=document,
        entity_id=f"{transfer.transfer_id}/{number}" if number != transfer.transfer_id else number,
        channel="",
        location=location,
        currency=transfer.currency,
        lines=[JournalLine(account, amount, made) for account, amount in amounts.items()],
        owner="finance",
    )
