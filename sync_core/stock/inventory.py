"""Stock documents: receipts and adjustments. Decisions only; nothing here does I/O."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import json

from collector.semconv import EVENT_LINE, EVENT_MILESTONE, correlation_id
from sync_core.ledger.ledger import JournalLine
from sync_core.messages import (
    FeedReported,
    StockAdjusted,
    StockCounted,
    StockLine,
    StockReceived,
    StockReclassified,
    StockRepaired,
    derived,
)
from sync_core.model import ExceptionKind, Hop, Stock
from sync_core.stock.buckets import COUNTERS, EFFECTS
from sync_core.telemetry import nanoseconds
from sync_core.unit import DONE, Step, Verdict

COMPARED_WITHIN: Final = dt.timedelta(minutes=15)
"""So soon after it has come a count is to be compared."""

DEAR_MINOR: Final = 5000
"""Cost of a unit from which on a count tolerates no difference."""

StockDocument = StockReceived | StockAdjusted | StockReclassified | StockCounted
"""Documents that say what is there."""


def receive(step: Step, event: StockReceived) -> Verdict:
    """Goods are on the shelf. An opening receipt brings the opening stock up to a level, so it may come again."""
    if refusal := wrong_source(step, event):
        return refusal
    identity = correlation_id(event.origin, event.document_id)
    key = f"{event.origin}:receipt/{event.document_id}"
    arrived: dict[str, int] = {}
    corrected: dict[str, int] = defaultdict(int)
    value = 0
    for line in event.lines:
        held = step.stock(line.sku, event.location)
        if line.unit_cost_minor is not None:
            for account, worth in _revalued(step, held, line.unit_cost_minor).items():
                corrected[account] += worth
            held.unit_cost_minor, held.currency = line.unit_cost_minor, event.currency
            step.unit.changed_stock[(line.sku, event.location)] = held
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
    revalued = [JournalLine(account, worth, made) for account, worth in sorted(corrected.items())]
    _post(
        step, event, "revaluation", "", [*revalued, JournalLine(accounts.revaluation, -sum(corrected.values()), made)]
    )
    return DONE


def _revalued(step: Step, held: Stock, unit_cost_minor: int) -> dict[str, int]:
    """By how much what is there is worth more at another cost, by account; never what has left."""
    more = unit_cost_minor - (held.unit_cost_minor or 0)
    return {account: more * units for bucket, account in _accounts(step).items()
            if more and bucket != "scrap" and (units := getattr(held, bucket))}  # fmt: skip


def adjust(step: Step, event: StockAdjusted) -> Verdict:
    """The count differs: goods move by the difference, at the ERP's cost; other kinds are recorded only."""
    if refusal := wrong_source(step, event):
        return refusal
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


def reclassify(step: Step, event: StockReclassified) -> Verdict:
    """Goods change their bucket at their cost; all lines or none, as no bucket may hold less than nothing."""
    if refusal := wrong_source(step, event):
        return refusal
    taken: dict[tuple[str, str], int] = {}
    for line in event.lines:
        taken[(line.sku, line.taken)] = taken.get((line.sku, line.taken), 0) + line.quantity
    for (sku, bucket), wanted in taken.items():
        if (there := getattr(step.stock(sku, event.location), bucket)) < wanted:
            detail = f"{wanted} of {sku} are to leave {bucket.replace('_', ' ')}, {there} are there"
            return _refuse(step, event, "stock_shortfall", "warehouse", detail)
    made, accounts = derived(step.message.provenance), _accounts(step)
    identity = correlation_id(event.origin, event.document_id)
    lines: list[JournalLine] = []
    for number, line in enumerate(event.lines, 1):
        key = f"{event.origin}:reclassification/{event.document_id}/{number}"
        step.move(key, f"{line.taken}_to_{line.put}", line.sku, event.location, line.quantity, identity)
        value = line.quantity * (step.stock(line.sku, event.location).unit_cost_minor or 0)
        lines += [JournalLine(accounts[line.put], value, made), JournalLine(accounts[line.taken], -value, made)]
    about = _about(event, sum(line.quantity for line in event.lines), 0) | {"reason": event.reason}
    step.tell(_applied(step, event, "inventory.reclassify", f"reclassification/{event.document_id}", about))
    _post(step, event, "reclassification", "", lines)
    return DONE


def count(step: Step, event: StockCounted) -> Verdict:
    """What was counted against what was good at that time: the difference is a correction of that date."""
    if refusal := wrong_source(step, event):
        return refusal
    made, accounts = derived(step.message.provenance), step.rules.accounts
    identity, key = correlation_id(event.origin, event.document_id), f"{event.origin}:count/{event.document_id}"
    drifted: dict[str, int] = {}
    value = accurate = 0
    lines_counted = {line.sku: line.quantity for line in event.lines}
    for sku, counted in lines_counted.items():
        held = step.stock(sku, event.location)
        drift = counted - (held.good - _moved_since(step, sku, event.location))
        accurate += abs(drift) <= tolerated(counted, held.unit_cost_minor)
        if drift:
            drifted[sku] = drift
            step.move(key, "count", sku, event.location, drift, identity)
            value += drift * (held.unit_cost_minor or 0)
    found = {"channel": event.channel, "location": event.location, "day": step.message.business_date,
             "lines": len(lines_counted), "equal": len(lines_counted) - len(drifted), "accurate": accurate}  # fmt: skip
    step.unit.settings.append(("add_count", found))
    about = _about(event, sum(line.quantity for line in event.lines), value) | {
        "count_id": event.document_id,
        "reason": event.reason or ("differs" if drifted else ""),
        "owner": "inventory" if drifted else "",
    }
    step.tell(
        Hop(
            "inventory.count", "source", identity, event.origin, "count", event.document_id, "compared",
            attributes=about | {"due_at": _compare_by(step)},
            events=[
                *((EVENT_LINE, {"sku": sku, "quantity": drift, "amount_minor": 0}) for sku, drift in drifted.items()),
                _counted(step, event, "taken", len(lines_counted)),
                *([_counted(step, event, "drifted", wrong)] if (wrong := len(lines_counted) - accurate) else ()),
            ],
        )
    )  # fmt: skip
    if drifted:
        corrected = {"quantity": sum(map(abs, drifted.values())), "amount_minor": value, "currency": event.currency}
        where = {"location": event.location, "channel": event.channel}
        step.tell(
            Hop("inventory.correct", "transformation", identity, event.origin, "count", event.document_id, "corrected",
                attributes=corrected | where)
        )  # fmt: skip
    lines = [JournalLine(accounts.inventory, value, made), JournalLine(accounts.shrinkage, -value, made)]
    _post(step, event, "count", event.channel, lines)
    return DONE


def await_count(step: Step, event: StockCounted) -> None:
    """A count was taken that cannot be compared yet."""
    about = _about(event, 0, 0) | {"count_id": event.document_id, "due_at": _compare_by(step), "owner": "inventory"}
    step.tell(
        Hop(
            "inventory.count", "source", correlation_id(event.origin, event.document_id), event.origin, "count",
            event.document_id, outcome="parked", occurred_at=step.message.occurred_at, attributes=about,
            events=[_counted(step, event, "taken", len({line.sku for line in event.lines}))],
        )
    )  # fmt: skip


def _counted(step: Step, event: StockCounted, milestone: str, lines: int) -> tuple[str, dict[str, Any]]:
    """Of how many lines of a count what is true, and since when."""
    at = step.message.occurred_at if milestone == "taken" else step.now
    told = {"entity": "count", "entity_id": event.document_id, "milestone": milestone, "quantity": lines}
    return EVENT_MILESTONE, told | {"occurred_at": nanoseconds(at)}


def _compare_by(step: Step) -> dt.datetime:
    return step.accepted_at + COMPARED_WITHIN


def tolerated(counted: int, unit_cost_minor: int | None) -> int:
    """By how many units a count may differ and stock still counts as right; not at all where a unit is dear."""
    return 0 if (unit_cost_minor or 0) >= DEAR_MINOR else max(1, counted // 100)


def repair(step: Step, event: StockRepaired) -> Verdict:
    """Set counters to what their movements say, on record; where these are not whole, nobody knows what is right."""
    identity = correlation_id(event.origin, event.document_id)
    for place in event.places:
        held, told = step.stock(place.sku, place.location), step.unit.told_counters[place.sku, place.location]
        before: dict[str, int] = {counter: getattr(held, counter) for counter in COUNTERS}
        after: dict[str, int] = {counter: told.get(counter, 0) for counter in COUNTERS}
        if before == after:
            continue
        about = f"{place.sku}@{place.location}"
        if problem := step.unit.damaged.get(place.location) or _impossible(after):
            step.raise_exception(
                "movements_damaged", origin=event.origin, correlation_id=identity, entity="stock",
                entity_id=f"{event.document_id}/{about}", owner="integration", severity="critical",
                detail=f"counters of {about} cannot be repaired: {problem}",
            )  # fmt: skip
            continue
        for counter, units in after.items():
            setattr(held, counter, units)
        step.recount(held)
        record = {"document_id": event.document_id, "sku": place.sku, "location": place.location, "at": step.now,
                  "by": event.by, "reason": event.reason, "before": json.encode(before).decode(),
                  "after": json.encode(after).decode()}  # fmt: skip
        step.unit.settings.append(("save_repair", record))
        differs = ", ".join(
            f"{name} {before[name]} to {after[name]}" for name in COUNTERS if before[name] != after[name]
        )
        step.tell(
            Hop("inventory.repair", "transformation", identity, event.origin, "stock", f"{event.document_id}/{about}",
                attributes={"sku": place.sku, "location": place.location, "owner": event.by,
                            "reason": f"{event.by}: {event.reason}; {differs}"})
        )  # fmt: skip
    return DONE


def _impossible(counters: Mapping[str, int]) -> str:
    """Why counters cannot be so: promises and what is on its way are never less than nothing."""
    wrong = [f"{name} {counters[name]}" for name in ("reserved", "committed", "in_transit") if counters[name] < 0]
    return f"its movements say {', '.join(wrong)}" if wrong else ""


def _moved_since(step: Step, sku: str, location: str) -> int:
    """By how much later movements changed what is good: committed ones, and those of this unit of work."""
    since = step.message.occurred_at
    moved = step.unit.moved_since.get((sku, location, since), 0)
    for movement in step.unit.movements.values():
        if movement.location == location and movement.occurred_at > since and sku in movement.units:
            factor = dict(EFFECTS[movement.kind]).get("good", 0)
            moved += factor * movement.units[sku]
    return moved


def _accounts(step: Step) -> dict[str, str]:
    accounts = step.rules.accounts
    return {
        "good": accounts.inventory,
        "damaged": accounts.damaged,
        "return_pending": accounts.return_pending,
        "quarantine": accounts.quarantine,
        "refurbish": accounts.refurbish,
        "scrap": accounts.shrinkage,
    }


def wrong_source(step: Step, event: StockDocument) -> Verdict | None:
    """The refusal of a document whose sender has no say there; None when it has."""
    known = step.unit.locations.get(event.location)
    if known is None:
        return None
    sender = step.message.source
    if known.stock_source not in ("", sender):
        return _refuse(step, event, "wrong_source", "integration",
                       f"{known.stock_source} says what is at {event.location}, not {sender}")  # fmt: skip
    costed = isinstance(event, StockReceived) and any(line.unit_cost_minor is not None for line in event.lines)
    if costed and known.cost_source not in ("", sender):
        return _refuse(step, event, "wrong_source", "integration",
                       f"{known.cost_source} says what goods cost at {event.location}, not {sender}")  # fmt: skip
    return None


def _refuse(step: Step, event: StockDocument, kind: ExceptionKind, owner: str, detail: str) -> Verdict:
    step.raise_exception(
        kind, origin=event.origin, correlation_id=correlation_id(event.origin, event.document_id), entity="stock",
        entity_id=event.document_id, owner=owner, detail=detail, currency=event.currency,
    )  # fmt: skip
    return Verdict("rejected", f"{kind}: {detail}")


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


def _about(event: StockDocument, units: int, value_minor: int) -> dict[str, Any]:
    about = {
        "channel": event.channel if isinstance(event, StockAdjusted | StockCounted) else "",
        "location": event.location,
        "quantity": units,
        "amount_minor": value_minor,
        "currency": event.currency,
    }
    return about | ({"sku": event.lines[0].sku} if len(event.lines) == 1 else {})


def _applied(step: Step, event: StockDocument, name: str, entity_id: str, about: dict[str, Any]) -> Hop:
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


def _post(step: Step, event: StockDocument, document: str, channel: str, lines: list[JournalLine]) -> None:
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
