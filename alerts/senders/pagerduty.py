"""A message as an event of PagerDuty's Events API v2: trigger, acknowledge, resolve, under the incident's dedup key."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import httpx
import msgspec

from alerts.delivery import Delivery, Reply
from alerts.page import Page, worded
from alerts.routing import Contact
from alerts.senders.webhook import posted

URL: Final = "https://events.pagerduty.com/v2/enqueue"
ACTIONS: Final = {"acknowledge": "acknowledge", "resolve": "resolve"}  # anything else triggers
SEVERITIES: Final = {"critical": "critical", "major": "error", "minor": "warning"}
LONGEST_SUMMARY: Final = 1024
JSON: Final = {"Content-Type": "application/json"}


def pagerduty(client: httpx.Client, url: str = URL) -> Callable[[Delivery, Contact, datetime], Reply]:
    """A sender whose contacts' addresses are routing keys."""

    def send(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        told = msgspec.json.decode(delivery.body, type=Page)
        return posted(client, url, msgspec.json.encode(event(told, contact)), JSON, now)

    return send


def event(told: Page, contact: Contact) -> dict[str, Any]:
    action = ACTIONS.get(told.transition, "trigger")
    head: dict[str, Any] = {"routing_key": contact.address, "event_action": action, "dedup_key": told.dedup_key}
    if action != "trigger":
        return head
    return head | {
        "client": "Tallytrace",
        "client_url": told.link,
        "links": [
            {"href": told.link, "text": "the items"},
            {"href": told.acknowledge, "text": "acknowledge"},
            *({"href": it.link, "text": it.title} for it in told.items),
        ],
        "payload": {
            "summary": worded(told, contact.template)[:LONGEST_SUMMARY],
            "source": told.channel or told.rule,
            "severity": SEVERITIES.get(told.severity, "info"),
            "timestamp": told.since.isoformat(),
            "component": told.rule,
            "group": told.owner,
            "class": told.rule,
            "custom_details": {
                "why": told.why,
                "since": told.since.isoformat(),
                "at_risk": [str(money) for money in told.at_risk],
                "overdue_open": told.overdue_open,
                "owner": told.owner_title,
                "told_because": told.told_because,
                "next_step": told.next_step,
            },
        },
    }
