"""What is known of locations, channels and rules of availability: data that events set. Decisions only, no I/O."""

from sync_core.messages import ChannelConnected, ChannelServed, ChannelTermsSet, LocationRegistered, StockRuleSet
from sync_core.model import Hop, location_identity
from sync_core.stock.availability import Rule
from sync_core.stock.products import identity_of
from sync_core.unit import DONE, Step, Verdict


def register_location(step: Step, event: LocationRegistered) -> Verdict:
    """A location, and whose word counts there from now on."""
    identity = location_identity(event.location)
    step.unit.arrived.update([identity, *(location_identity(one.name) for one in event.names)])
    about = {
        "location": event.location,
        "identity": identity,
        "kind": event.kind,
        "stock_source": event.stock_source,
        "cost_source": event.cost_source,
        "near": list(event.near),
        "goods_to_erp": event.goods_to_erp,
    }
    called = {
        "location": event.location,
        "systems": [one.system for one in event.names],
        "names": [one.name for one in event.names],
    }
    step.unit.settings += [("save_location", about), ("save_location_names", called)]
    return DONE


def serve_channel(step: Step, event: ChannelServed) -> Verdict:
    """The locations that a channel sells from."""
    identity = identity_of("channel", event.channel)
    step.unit.arrived.add(identity)
    if event.channel not in step.unit.channels:
        step.unit.channels.add(event.channel)
        about = {"channel": event.channel, "provider": event.origin, "owner": "integration"}
        step.tell(
            Hop("master_data.register_channel", "source", identity, "channel", "channel", event.channel, "registered",
                occurred_at=step.message.occurred_at, attributes=about)
        )  # fmt: skip
    step.unit.settings += [
        ("lock_channels", {}),
        (
            "save_channel",
            {
                "channel": event.channel,
                "origin": event.origin,
                "locations": list(event.locations),
                "identity": identity,
            },
        ),
        ("publish_channel", {"channel": event.channel, "now": step.wall}),
    ]
    return DONE


def connect_channel(step: Step, event: ChannelConnected) -> Verdict:
    """Where a channel is told what it may sell: everything, and from now on what changes."""
    endpoint = {
        "channel": event.channel,
        "url": event.url,
        "by_location": event.by_location,
        "batch": event.batch,
        "requests_per_second": event.requests_per_second,
        "priority": event.priority,
        "now": step.wall,
    }
    step.unit.settings += [
        ("lock_channels", {}),
        ("save_endpoint", endpoint),
        ("forget_publications", {"channel": event.channel}),
        ("publish_channel", {"channel": event.channel, "now": step.wall}),
    ]
    return DONE


def set_terms(step: Step, event: ChannelTermsSet) -> Verdict:
    """What is agreed with a channel from now on."""
    agreed = {
        name: getattr(event, name)
        for name in ("channel", "acknowledge_seconds", "confirm_shipment_seconds", "reservation_seconds",
                     "duplicate_seconds", "sales_orders")
    }  # fmt: skip
    step.unit.settings.append(("save_channel_terms", agreed | {"set_at": step.message.occurred_at}))
    return DONE


def set_rule(step: Step, event: StockRuleSet) -> Verdict:
    """A rule of availability; a reorder point of one SKU at one location counts at once."""
    rule = {
        "rule_id": f"{event.origin}:{event.rule_id}",
        "kind": event.kind,
        "sku": event.sku,
        "location": event.location,
        "channel": event.channel,
        "quantity": event.quantity,
        "percent": event.percent,
        "priority": event.priority,
        "target": event.target,
        "set_at": step.message.occurred_at,
    }
    about = {"rule_id": rule["rule_id"], "now": step.wall}  # what it was about, and what it is about now
    step.unit.settings += [("publish_under_rule", about), ("save_stock_rule", rule), ("publish_under_rule", about)]
    key = (event.sku, event.location)
    if event.kind == "reorder" and all(key):
        step.unit.stock_rules.add(Rule(event.kind, *key, "", event.quantity, 0, event.priority, event.target))
        step.touched[key] = step.stock(*key)
    return DONE
