"""What is known of locations, channels and rules of availability: data that events set. Decisions only, no I/O."""

from sync_core.messages import ChannelServed, LocationRegistered, StockRuleSet
from sync_core.unit import DONE, Step, Verdict


def register_location(step: Step, event: LocationRegistered) -> Verdict:
    """A location, and whose word counts there from now on."""
    step.unit.settings.append(
        (
            "save_location",
            {
                "location": event.location,
                "kind": event.kind,
                "stock_source": event.stock_source,
                "cost_source": event.cost_source,
                "near": list(event.near),
            },
        )
    )
    return DONE


def serve_channel(step: Step, event: ChannelServed) -> Verdict:
    """The locations that a channel sells from."""
    step.unit.settings.append(("save_channel", {"channel": event.channel, "locations": list(event.locations)}))
    return DONE


def set_rule(step: Step, event: StockRuleSet) -> Verdict:
    """A rule of availability; one for a channel names it, one for a location does not."""
    if (event.kind in ("quota", "cap")) != bool(event.channel):
        return Verdict("rejected", f"a {event.kind} {'needs' if not event.channel else 'has no'} channel")
    step.unit.settings.append(
        (
            "save_stock_rule",
            {
                "rule_id": f"{event.origin}:{event.rule_id}",
                "kind": event.kind,
                "sku": event.sku,
                "location": event.location,
                "channel": event.channel,
                "quantity": event.quantity,
                "percent": event.percent,
                "priority": event.priority,
                "set_at": step.message.occurred_at,
            },
        )
    )
    return DONE
