"""What a page says, how it is signed, and what follows from the receiver's answer."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from alerts.delivery import GIVE_UP_AFTER, Delivery, Reply, settle
from alerts.incident import Transition
from alerts.page import Alert, Page, in_words, page, worded
from alerts.routing import Contact
from alerts.senders.webhook import retry_after_seconds, webhook
from lineage.model import Money, OverdueItem

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
ALERT = Alert(
    alert_id="refund_not_in_ledger-1", rule="refund_not_in_ledger", sla="refund_to_ledger", domain="refund",
    level="channel", channel="click & collect", location="", provider="", subject="", owner="finance", told="finance",
    told_because="finance owns it", severity="major", summary="refund not in the ledger by its deadline",
    reason="2 overdue and still open", next_step="Look at the last posting attempt.",
    link="http://tally.example/ui/sla/refund_to_ledger?channel=click%20%26%20collect", overdue_open=2,
    at_risk=(Money(123_450, "GBP"), Money(900, "JPY")), oldest_due_at=NOW - timedelta(minutes=3), opened_at=NOW,
)  # fmt: skip
ITEM = OverdueItem(
    flow="refund", step="refund-in-ledger", title="refund RF-1 is not accepted by the ERP", entity="posting",
    entity_id="refund/RF-1", correlation_id="ab" * 16, sla="refund_to_ledger", since=NOW - timedelta(hours=5),
    due_at=NOW - timedelta(minutes=3), overdue_seconds=180, owner="finance", channel="click & collect", location="",
    provider="", amount=Money(1250, "GBP"), reason="",
)  # fmt: skip


def delivery(attempts: int = 1, created_at: datetime = NOW) -> Delivery:
    return Delivery(
        delivery_id=7, dedup_key="refund_not_in_ledger-1", transition="page", ordinal=1, contact="pager", priority=1,
        body='{"what":"x"}',        attempts=attempts, created_at=created_at,
    )  # fmt: skip


def told(transition: Transition, why: str, *items: OverdueItem, zone: str = "UTC", alerts: int = 1) -> Page:
    return page(
        [ALERT] * alerts, transition=transition, owner_title="Finance operations", why=why, items=items,
        public_url="http://tally.example", zone=zone, now=NOW,
    )  # fmt: skip


def test_a_page_says_what_why_since_when_how_much_whose_what_next_and_where() -> None:
    sent = told("page", "2 overdue and still open", ITEM)
    assert sent.text == (
        "refund not in the ledger by its deadline: click & collect. 2 overdue and still open since 2026-03-01 08:57:00"
        " UTC, 1,234.50 GBP + 900 JPY at risk. Owner: Finance operations. Next: Look at the last posting attempt."
        " http://tally.example/ui/sla/refund_to_ledger?channel=click%20%26%20collect"
        " At it? http://tally.example/alerts/refund_not_in_ledger-1/ack"
    )
    assert (sent.since, sent.at, sent.overdue_open) == (NOW - timedelta(minutes=3), NOW, 2)
    assert [(each.title, each.link) for each in sent.items] == [
        ("refund RF-1 is not accepted by the ERP", f"http://tally.example/ui/transaction/{'ab' * 16}")
    ]


def test_a_resolve_says_what_is_over() -> None:
    sent = told("resolve", "0 overdue, fewer than 1", zone="Asia/Tokyo")
    assert sent.text == (
        "RESOLVED refund not in the ledger by its deadline: click & collect. 0 overdue, fewer than 1; it was "
        "1,234.50 GBP + 900 JPY since 2026-03-01 17:57:00 JST. "
        "http://tally.example/ui/sla/refund_to_ledger?channel=click%20%26%20collect"
    )
    assert sent.next_step == "none"


def test_what_is_told_together_is_added_up_and_not_listed_without_end() -> None:
    sent = told("page", "many", alerts=9)
    assert (sent.alerts, sent.overdue_open, sent.at_risk[0]) == (9, 18, Money(9 * 123_450, "GBP"))
    assert sent.what.endswith(", click & collect and 4 more")


def test_a_template_words_the_message_and_one_that_fails_does_not_keep_it_back() -> None:
    sent = told("page", "2 overdue and still open")
    assert worded(sent, "{owner}: {overdue_open} x {rule}") == "finance: 2 x refund_not_in_ledger"
    assert worded(sent, "{items[0].title}") == (
        f"{sent.text} (The template of this contact failed: IndexError: tuple index out of range)"
    )


@pytest.mark.parametrize(
    ("money", "words"),
    [
        ((), "no amount"),
        ((Money(5, "GBP"),), "0.05 GBP"),
        ((Money(-12_345_678_901_234_567, "GBP"),), "-123,456,789,012,345.67 GBP"),
        ((Money(1234567, "KWD"),), "1,234.567 KWD"),
    ],
)
def test_money_in_words(money: tuple[Money, ...], words: str) -> None:
    assert in_words(money) == words


@pytest.mark.parametrize(
    ("reply", "attempts", "state", "wait_seconds"),
    [
        (Reply(status_code=200), 1, "delivered", 0),
        (Reply(status_code=204), 3, "delivered", 0),
        (Reply(status_code=None, error="ConnectError"), 1, "waiting", 2),
        (Reply(status_code=503), 2, "waiting", 4),
        (Reply(status_code=500), 40, "waiting", 300),
        (Reply(status_code=429, retry_after_seconds=30), 1, "waiting", 30),
        (Reply(status_code=408), 1, "waiting", 2),
        (Reply(status_code=400, error="bad"), 1, "refused", 0),
        (Reply(status_code=410), 1, "refused", 0),
        (Reply(status_code=302), 1, "refused", 0),
    ],
)
def test_what_follows_from_an_answer(reply: Reply, attempts: int, state: str, wait_seconds: float) -> None:
    settled = settle(delivery(attempts), reply, NOW)
    assert (settled.state, settled.not_before - NOW) == (state, timedelta(seconds=wait_seconds))
    assert settled.delivered_at == (NOW if state == "delivered" else None)


def test_a_receiver_that_is_silent_for_days_is_given_up() -> None:
    settled = settle(delivery(900, NOW - GIVE_UP_AFTER), Reply(status_code=None, error="ConnectError"), NOW)
    assert (settled.state, settled.error) == ("abandoned", "ConnectError")


def test_a_webhook_is_signed_and_named() -> None:
    seen: list[httpx.Request] = []

    def receiver(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    contact = Contact(name="pager", sender="webhook", address="http://pager.example/hook", secret="s3cret")
    with httpx.Client(transport=httpx.MockTransport(receiver)) as client:
        assert webhook(client)(delivery(), contact, NOW) == Reply(status_code=202)
    (request,) = seen
    assert request.headers["Idempotency-Key"] == "refund_not_in_ledger-1:page"
    seconds, mac = request.headers["Tallytrace-Signature"].removeprefix("t=").split(",v1=")
    assert int(seconds) == NOW.timestamp()
    signed = f"{seconds}.".encode() + request.content
    assert mac == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert request.content == b'{"what":"x"}'


def test_without_a_secret_nothing_is_signed() -> None:
    def receiver(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, headers={"Retry-After": "7"}, text=str("Tallytrace-Signature" in request.headers))

    contact = Contact(name="pager", sender="webhook", address="http://pager.example/hook")
    with httpx.Client(transport=httpx.MockTransport(receiver)) as client:
        reply = webhook(client)(delivery(), contact, NOW)
    assert reply == Reply(status_code=500, error="False", retry_after_seconds=7)


def test_an_address_that_is_none_does_not_raise() -> None:
    with httpx.Client() as client:
        reply = webhook(client)(delivery(), Contact(name="p", sender="webhook", address="pager"), NOW)
    assert reply.status_code is None
    assert reply.error.startswith("UnsupportedProtocol")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("12", 12), ("Sun, 01 Mar 2026 09:00:30 GMT", 30), ("Sun, 01 Mar 2026 08:00:00 GMT", 0), ("soon", 0)],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds
