"""Replenishment: what falls under its reorder point is asked for once, up to its target. Decisions only, no I/O."""

from typing import Final

from collector.semconv import correlation_id
from sync_core.model import Hop, Signal, Stock
from sync_core.stock.availability import Rule, kept_for_safety
from sync_core.unit import Step

OWNER: Final = "procurement"
KIND: Final = "replenishment"


def watch(step: Step) -> None:
    """Answer signals with what this event brought, and signal what it took below its point."""
    for key, held in step.touched.items():
        rule = step.unit.stock_rules.reorder(*key)
        if rule is None:
            continue
        signal = step.unit.signals.get(key) or Signal(*key)
        supplied = min(signal.units, step.supplied.get(key, 0))
        if not rule.quantity:
            supplied = signal.units  # the point is no more
        signal.units -= supplied
        if supplied:
            _answered(step, held, signal)
        sellable = max(0, held.free - kept_for_safety(held.sku, held.location, held.free, step.unit.stock_rules))
        below = sellable < rule.quantity
        if below and not signal.below:
            _signal(step, rule, held, signal, sellable)
        if supplied or below != signal.below:
            signal.below = below
            step.unit.signals[key] = step.unit.changed_signals[key] = signal


def _signal(step: Step, rule: Rule, held: Stock, signal: Signal, sellable: int) -> None:
    """Ask for what is missing to the target beside what is there, on its way and asked for."""
    wanted = rule.target - (sellable + held.in_transit + signal.units)
    if wanted <= 0:
        return
    signal.units += wanted
    signal.raised_at = step.message.occurred_at
    about = f"{held.sku}@{held.location}"
    detail = f"{sellable} of {about} are for sale, under {rule.quantity}"
    step.tell(
        Hop(
            "inventory.replenish", "transformation", correlation_id("stock", about), "stock", "stock", about,
            attributes={"sku": held.sku, "location": held.location, "quantity": wanted, "reason": detail,
                        "owner": OWNER},
        )
    )  # fmt: skip
    if signal.exception_id:
        _revalue(step, held, signal)
        return
    signal.exception_id = f"stock:{KIND}/{about}/{step.message.event_id}"
    step.raise_exception(
        KIND, origin="stock", correlation_id=correlation_id("stock", about), entity="stock",
        entity_id=f"{about}/{step.message.event_id}", owner=OWNER, detail=_detail(held, signal),
        amount_minor=_value(held, signal), currency=held.currency, severity="minor",
    )  # fmt: skip


def _answered(step: Step, held: Stock, signal: Signal) -> None:
    if signal.units:
        _revalue(step, held, signal)
    else:
        identity = correlation_id("stock", f"{held.sku}@{held.location}")
        step.resolve_exception(
            signal.exception_id, identity, "stock", "it is there, on its way, or not wanted any more"
        )
        signal.exception_id = ""


def _revalue(step: Step, held: Stock, signal: Signal) -> None:
    step.unit.revalued[signal.exception_id] = (_value(held, signal), _detail(held, signal))


def _detail(held: Stock, signal: Signal) -> str:
    return f"{signal.units} of {held.sku} are to be brought to {held.location}"


def _value(held: Stock, signal: Signal) -> int:
    return signal.units * (held.unit_cost_minor or 0)
