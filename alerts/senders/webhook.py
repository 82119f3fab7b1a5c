"""A message as a signed HTTP POST."""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from alerts.delivery import Delivery, Reply
from alerts.routing import Contact

SIGNATURE: Final = "Tallytrace-Signature"
KEPT_OF_AN_ANSWER: Final = 200


def webhook(client: httpx.Client) -> Callable[[Delivery, Contact, datetime], Reply]:
    """A sender over ``client``, whose time-outs bound how long a receiver may take."""

    def send(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        body = delivery.body.encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": delivery.idempotency_key}
        if contact.secret:
            headers[SIGNATURE] = signature(contact.secret, body, now)
        return posted(client, contact.address, body, headers, now)

    return send


def posted(client: httpx.Client, url: str, body: bytes, headers: dict[str, str], now: datetime) -> Reply:
    try:
        answer = client.post(url, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Reply(status_code=None, error=f"{type(error).__name__}: {error}")
    return Reply(
        status_code=answer.status_code,
        error="" if answer.is_success else answer.text[:KEPT_OF_AN_ANSWER],
        retry_after_seconds=retry_after_seconds(answer.headers.get("Retry-After", ""), now),
    )


def signature(secret: str, body: bytes, now: datetime) -> str:
    """``t=<seconds>,v1=<hex>``: HMAC-SHA256 of "<seconds>.<body>", so that an old message cannot be sent again."""
    seconds = int(now.timestamp())
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={mac.hexdigest()}"


def retry_after_seconds(header: str, now: datetime) -> float:
    """Seconds or an HTTP date; 0 when there is none or it cannot be read."""
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
