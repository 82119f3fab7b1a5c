"""A message as an e-mail; all messages of one incident are one thread."""

import smtplib
import ssl
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from alerts.delivery import Delivery, Reply
from alerts.page import Page, worded
from alerts.routing import Contact

TIMEOUT_SECONDS: Final = 10.0
PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
LATER: Final = 503
NEVER: Final = 400


def smtp(timeout_seconds: float = TIMEOUT_SECONDS) -> Callable[[Delivery, Contact, datetime], Reply]:
    """A sender whose contacts' addresses are ``smtp[s|+starttls]://[user:password@]host[:port]/?from=…&to=…``.

    SMTP's answers are told as those of HTTP: 5xx is a refusal (400), 4xx is to be tried again (503).
    """

    def send(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        told = msgspec.json.decode(delivery.body, type=Page)
        try:
            _send(_mail(told, delivery, contact, now), contact.address, timeout_seconds)
        except smtplib.SMTPResponseException as error:
            return Reply(status_code=NEVER if error.smtp_code >= 500 else LATER, error=_said(error.smtp_error))
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            return Reply(status_code=NEVER if min(codes) >= 500 else LATER, error=str(error)[:200])
        except (OSError, smtplib.SMTPException, ValueError, KeyError) as error:
            return Reply(status_code=None, error=f"{type(error).__name__}: {error}")
        return Reply(status_code=250)

    return send


def _mail(told: Page, delivery: Delivery, contact: Contact, now: datetime) -> EmailMessage:
    query = parse_qs(urlsplit(contact.address).query)
    mail = EmailMessage()
    mail["From"], mail["To"] = query["from"][0], ", ".join(query["to"])
    mark = "RESOLVED: " if told.transition == "resolve" else f"{told.severity}: "
    mail["Subject"] = " ".join((mark + told.what).split())
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{delivery.idempotency_key.replace(':', '.')}@tallytrace>"
    if delivery.transition != "page":
        mail["In-Reply-To"] = mail["References"] = f"<{told.dedup_key}.page@tallytrace>"
    items = "".join(f"\n- {item.title} {item.amount or ''} {item.link}" for item in told.items)
    mail.set_content(worded(told, contact.template) + "\n" + items)
    return mail


def _send(mail: EmailMessage, address: str, timeout_seconds: float) -> None:
    url = urlsplit(address)
    host, port = url.hostname or "", url.port or PORTS[url.scheme]
    context = ssl.create_default_context()
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=timeout_seconds, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=timeout_seconds)
    with server:
        if url.scheme == "smtp+starttls":
            server.starttls(context=context)
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(mail)


def _said(answer: bytes | str) -> str:
    return (answer.decode(errors="replace") if isinstance(answer, bytes) else answer)[:200]
