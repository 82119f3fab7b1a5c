"""A message as a post to a Slack incoming webhook."""

from collections.abc import Callable
from datetime import datetime

import httpx
import msgspec

from alerts.delivery import Delivery, Reply
from alerts.page import Page, worded
from alerts.routing import Contact
from alerts.senders.webhook import posted


def slack(client: httpx.Client) -> Callable[[Delivery, Contact, datetime], Reply]:
    """A sender whose contacts' addresses are URLs of incoming webhooks."""

    def send(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        told = msgspec.json.decode(delivery.body, type=Page)
        body = msgspec.json.encode({"text": _text(told, contact)})
        return posted(client, contact.address, body, {"Content-Type": "application/json"}, now)

    return send


def _text(told: Page, contact: Contact) -> str:
    items = "".join(f"\n• <{item.link}|{_escaped(item.title)}>" for item in told.items)
    return _escaped(worded(told, contact.template)) + items


def _escaped(text: str) -> str:
    """Slack's three control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
