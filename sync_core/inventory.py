"""Stock documents: receipts and adjustments. Decisions only; nothing here does I/O."""

from collector.semconv import correlation_id
from sync_core.ledger import JournalLine
from sync_core.messages import FeedReported, Provenance, StockAdjusted, StockLine, StockReceived
from sync_core.model import Hop
from sync_core.unit import DONE, Step, Verdict


def receive(step: Step, event: StockReceived) -> Verdict:
    """Goods are on the shelf. An opening receipt brings the opening stock up to a level, so it may come again."""
    identity = correlation_id(event.origin, event.document_id)
    value = units = 0
    for line in event.lines:
        held = step.stock(line.sku, event.location)
        if line.unit_cost_minor is not None:
            held.unit_cost_minor = line.unit_cost_minor
        quantity = line.quantity - held.opening if event.opening else line.quantity
        if quantity <= 0:
            continue
        held.opening += quantity if event.opening else 0
        step.move(f"{event.origin}:receipt/{event.document_id}", "receipt", line.sku, event.location, quantity, identity)
        value += quantity * (held.unit_cost_minor or 0)
        units += quantity
    accounts, made = step.rules.accounts, _made(step)
    other = accounts.opening_balance if event.opening else accounts.received_not_invoiced
    _tell(step, event, identity, "inventory.receive", units, value)
    step.post(
        origin=event.origin, correlation_id=identity, document="receipt", entity_id=event.document_id, channel="",
        location=event.location, currency=event.currency,
        lines=[JournalLine(accounts.inventory, value, made), JournalLine(other, -value, made)],
    )  # fmt: skip
    return DONE


def adjust(step: Step, event: StockAdjusted) -> Verdict:
    """The count differs: goods move by the difference, at the ERP's cost; other kinds are recorded only."""
    identity = correlation_id(event.origin, event.document_id)
    accounts, source, made = step.rules.accounts, step.message.provenance, _made(step)
    lines: list[JournalLine] = []
    value = 0
    for kind, chosen in _by_kind(event.lines).items():
        lines.append(
            JournalLine(accounts.shrinkage, 0, source, kind, sum(line.quantity for line in chosen), len(chosen))
        )
        if kind == "not_goods":
            continue
        for number, line in enumerate(chosen, 1):
            step.move(f"{event.origin}:adjustment/{event.document_id}/{kind}/{number}", "adjustment", line.sku,
                      event.location, line.quantity, identity)  # fmt: skip
            value += line.quantity * (step.stock(line.sku, event.location).unit_cost_minor or 0)
    lines += [JournalLine(accounts.inventory, value, made), JournalLine(accounts.shrinkage, -value, made)]
    _tell(step, event, identity, "inventory.adjust", sum(line.quantity for line in event.lines), value)
    step.post(
        origin=event.origin, correlation_id=identity, document="adjustment", entity_id=event.document_id,
        channel=event.channel, location=event.location, currency=event.currency, lines=lines,
    )  # fmt: skip
    return DONE


def report_feed(step: Step, event: FeedReported) -> Verdict:
    """A sign of life: the channel is subscribed to the feed, and everything up to ``source_at`` has been applied."""
    del step, event  # what it says becomes a watermark when the unit of work is told
    return DONE


def _by_kind(lines: tuple[StockLine, ...]) -> dict[str, list[StockLine]]:
    chosen: dict[str, list[StockLine]] = {}
    for line in lines:
        kind = "not_goods" if line.kind != "goods" else "goods_plus" if line.quantity > 0 else "goods_minus"
        chosen.setdefault(kind, []).append(line)
    return chosen


def _made(step: Step) -> Provenance:
    """Cost is never in a file: what it values is generated there."""
    return "generated" if step.message.provenance == "file" else step.message.provenance


def _tell(
    step: Step, event: StockReceived | StockAdjusted, identity: bytes, name: str, units: int, value: int
) -> None:
    what = "receipt" if isinstance(event, StockReceived) else "adjustment"
    keys = step.known_as(event.origin, identity, count_id=event.document_id) if what == "adjustment" else {}
    skus = {"sku": event.lines[0].sku} if len(event.lines) == 1 else {}
    step.tell(
        Hop(
            name,
            "source",
            identity,
            event.origin,
            "stock",
            f"{what}/{event.document_id}",
            "applied",
            occurred_at=step.message.occurred_at,
            attributes={
                "channel": getattr(event, "channel", ""),
                "location": event.location,
                "quantity": units,
                "amount_minor": value,
                "currency": event.currency,
                **skus,
                **keys,
            },
        )
    )
