"""A message through any of the services that apprise knows; one attempt, since the outbox does the repeating."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

import apprise
import msgspec

from alerts.delivery import Delivery, Reply
from alerts.page import Page, worded
from alerts.routing import Contact

FAILED: Final = 503
KINDS: Final = {
    "resolve": apprise.NotifyType.SUCCESS,
    "acknowledge": apprise.NotifyType.INFO,
    "update": apprise.NotifyType.WARNING,
}

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it writes addresses, which hold secrets


def through_apprise() -> Callable[[Delivery, Contact, datetime], Reply]:
    """A sender whose contacts' addresses are apprise URLs. It tells whether a message was taken, and nothing more."""

    def send(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        told = msgspec.json.decode(delivery.body, type=Page)
        service = apprise.Apprise()
        if not service.add(contact.address):
            return Reply(status_code=400, error="apprise knows no such service")
        kind = KINDS.get(told.transition, apprise.NotifyType.FAILURE)
        taken = service.notify(body=worded(told, contact.template), title=told.what, notify_type=kind)
        return Reply(status_code=200) if taken else Reply(status_code=FAILED, error="the service did not take it")

    return send
