"""Stock documents: receipts and adjustments. Decisions only; nothing here does I/O."""

from collections.abc import Iterable
from typing import Any

from collector.semconv import correlation_id
from sync_core.ledger import JournalLine
from sync_core.messages import FeedReported, StockAdjusted, StockLine, StockReceived, derived
from sync_core.model import Hop
from sync_core.unit import DONE, Step, Verdict


def receive(step: Step, event: StockReceived) -> Verdict:
    """Goods are on the shelf. An opening receipt brings the opening stock up to a level, so it may come again."""
    identity = correlation_id(event.origin, event.document_id)
    key = f"{event.origin}:receipt/{event.document_id}"
    arrived: dict[str, int] = {}
    value = 0
    for line in event.lines:
        held = step.stock(line.sku, event.location)
        if line.unit_cost_minor is not None:
            held.unit_cost_minor = line.unit_cost_minor
        quantity = line.quantity - held.opening if event.opening else line.quantity
        if quantity <= 0:
            continue
        held.opening += quantity if event.opening else 0
        arrived[line.sku] = arrived.get(line.sku, 0) + quantity
        value += quantity * (held.unit_cost_minor or 0)
    for sku, quantity in arrived.items():
        step.move(key, "receipt", sku, event.location, quantity, identity)
    accounts, made = step.rules.accounts, derived(step.message.provenance)
    other = accounts.opening_balance if event.opening else accounts.received_not_invoiced
    about = _about(event, sum(arrived.values()), value)
    step.tell(_applied(step, event, "inventory.receive", f"receipt/{event.document_id}", about))
    lines = [JournalLine(accounts.inventory, value, made), JournalLine(other, -value, made)]
    _post(step, event, "receipt", "", lines)
    return DONE


def adjust(step: Step, event: StockAdjusted) -> Verdict:
    """The count differs: goods move by the difference, at the ERP's cost; other kinds are recorded only."""
    accounts, stated = step.rules.accounts, step.message.provenance
    lines: list[JournalLine] = []
    value = 0
    for kind, chosen in _by_kind(event.lines).items():
        units = sum(line.quantity for line in chosen)
        lines.append(JournalLine(accounts.shrinkage, 0, stated, kind, units, len(chosen)))
        if kind != "not_goods":
            value += _move(step, event, f"{event.origin}:adjustment/{event.document_id}/{kind}", chosen)
    made = derived(stated)
    lines += [JournalLine(accounts.inventory, value, made), JournalLine(accounts.shrinkage, -value, made)]
    about = _about(event, sum(line.quantity for line in event.lines), value)
    about["count_id"] = event.document_id
    step.tell(_applied(step, event, "inventory.adjust", f"adjustment/{event.document_id}", about))
    _post(step, event, "adjustment", event.channel, lines)
    return DONE


def report_feed(step: Step, event: FeedReported) -> Verdict:
    """A sign of life: the channel is subscribed to the feed, and everything up to ``source_at`` has been applied."""
    del step, event  # what it says becomes a watermark when the unit of work is told
    return DONE


def _by_kind(lines: Iterable[StockLine]) -> dict[str, list[StockLine]]:
    chosen: dict[str, list[StockLine]] = {}
    for line in lines:
        kind = "not_goods" if line.kind != "goods" else "goods_plus" if line.quantity > 0 else "goods_minus"
        chosen.setdefault(kind, []).append(line)
    return chosen


def _move(step: Step, event: StockAdjusted, key: str, lines: Iterable[StockLine]) -> int:
    """Move every line by its difference; returns what that is worth in minor units."""
    identity = correlation_id(event.origin, event.document_id)
    value = 0
    for number, line in enumerate(lines, 1):
        step.move(f"{key}/{number}", "adjustment", line.sku, event.location, line.quantity, identity)
        value += line.quantity * (step.stock(line.sku, event.location).unit_cost_minor or 0)
    return value


def _about(event: StockReceived | StockAdjusted, units: int, value_minor: int) -> dict[str, Any]:
    about = {
        "channel": event.channel if isinstance(event, StockAdjusted) else "",
        "location": event.location,
        "quantity": units,
        "amount_minor": value_minor,
        "currency": event.currency,
    }
    return about | ({"sku": event.lines[0].sku} if len(event.lines) == 1 else {})


def _applied(step: Step, event: StockReceived | StockAdjusted, name: str, entity_id: str, about: dict[str, Any]) -> Hop:
    return Hop(
        name=name,
        stage="source",
        correlation_id=correlation_id(event.origin, event.document_id),
        origin=event.origin,
        entity="stock",
        entity_id=entity_id,
        milestone="applied",
        occurred_at=step.message.occurred_at,
        attributes=about,
    )


def _post(
    step: Step, event: StockReceived | StockAdjusted, document: str, channel: str, lines: list[JournalLine]
) -> None:
    step.post(
        origin=event.origin,
        correlation_id=correlation_id(event.origin, event.document_id),
        document=document,
        entity_id=event.document_id,
        channel=channel,
        location=event.location,
        currency=event.currency,
        lines=lines,
    )
