"""One message to one contact: what the receiver answered, and what follows from it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from alerts.incident import Transition
from alerts.routing import Contact

FIRST_RETRY: Final = timedelta(seconds=2)
LONGEST_RETRY: Final = timedelta(minutes=5)
GIVE_UP_AFTER: Final = timedelta(days=3)
RETRIED: Final = frozenset({408, 429})

DeliveryState = Literal["waiting", "delivered", "refused", "abandoned", "overtaken"]
ONCE: Final = frozenset({"page", "resolve"})  # of an incident; anything else may be told again


class Delivery(Struct, frozen=True, kw_only=True):
    delivery_id: int
    dedup_key: str
    transition: Transition
    ordinal: int  # of the notice among those of its incident
    contact: str
    priority: int
    body: str
    attempts: int  # the one under way included
    created_at: datetime

    @property
    def idempotency_key(self) -> str:
        return f"{self.dedup_key}:{self.transition}" + ("" if self.transition in ONCE else f":{self.ordinal}")


class Reply(Struct, frozen=True, kw_only=True):
    """``status_code`` is None when nothing came back; then ``error`` says why."""

    status_code: int | None
    error: str = ""
    retry_after_seconds: float = 0


Sender = Callable[[Delivery, Contact, datetime], Reply]


class Settlement(Struct, frozen=True, kw_only=True):
    delivery_id: int
    state: DeliveryState
    not_before: datetime
    delivered_at: datetime | None
    status_code: int | None
    error: str


def settle(delivery: Delivery, reply: Reply, now: datetime) -> Settlement:
    state = _state(delivery, reply, now)
    return Settlement(
        delivery_id=delivery.delivery_id,
        state=state,
        not_before=now + _pause(delivery.attempts, reply.retry_after_seconds) if state == "waiting" else now,
        delivered_at=now if state == "delivered" else None,
        status_code=reply.status_code,
        error=reply.error,
    )


def _state(delivery: Delivery, reply: Reply, now: datetime) -> DeliveryState:
    code = reply.status_code
    if code is not None and 200 <= code < 300:
        return "delivered"
    if code is not None and code < 500 and code not in RETRIED:
        return "refused"
    return "abandoned" if now - delivery.created_at >= GIVE_UP_AFTER else "waiting"


def _pause(attempts: int, retry_after_seconds: float) -> timedelta:
    doubled = FIRST_RETRY * (1 << min(attempts - 1, 16))
    return max(min(doubled, LONGEST_RETRY), timedelta(seconds=retry_after_seconds))
