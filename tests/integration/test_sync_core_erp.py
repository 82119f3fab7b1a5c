"""Journals to the ERP: kept while it is away, accepted once, and what it refuses becomes somebody's."""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sync_core.erp.http import ErpClient
from sync_core.erp.port import Answer, DocumentKind, Unavailable
from sync_core.outbox import ErpRelay
from tests.core import Core, later, text
from tests.erp import Erp, Reply
from tests.factories import NOON, goods_in, order, payment, sent, shipment


@pytest.fixture
def erp() -> Erp:
    return Erp()


@pytest.fixture
def url(erp: Erp) -> Iterator[str]:
    with erp.serving() as url:
        yield url


@pytest.fixture
def client(core: Core, url: str) -> Iterator[ErpClient]:
    one = ErpClient(url, lambda: core.now, timeout_seconds=5)
    yield one
    one.close()


def relay(core: Core, client: ErpClient, **over: Any) -> ErpRelay:
    return ErpRelay(core.db, client, lambda: core.now, **over)


def postings(core: Core) -> list[tuple[str, str, int, str]]:
    """Journal, state, attempts and ERP document."""
    rows = core.rows("select document_id, state, attempts, erp_document from core.erp_documents order by document_id")
    return [(journal, state, attempts, document) for journal, state, attempts, document in rows]


def attempts(core: Core) -> list[Span]:
    return [span for span in core.spans() if span.name == "posting.send"]


def paid(core: Core) -> None:
    core.take(sent(goods_in()))
    later(core, seconds=1)
    core.take(sent(order()), sent(payment()))
    later(core, seconds=1)


def test_journals_are_accepted_in_order_and_known_by_their_document(core: Core, client: ErpClient, erp: Erp) -> None:
    paid(core)
    core.take(sent(shipment()))
    assert relay(core, client).run_once() == 3
    assert erp.offered == [["shop:order/1", "shop:shipment/S1", "shop:receipt/D1"]]
    assert postings(core) == [
        ("shop:order/1", "accepted", 1, "ERP-1"),
        ("shop:receipt/D1", "accepted", 1, "ERP-3"),
        ("shop:shipment/S1", "accepted", 1, "ERP-2"),
    ]
    assert core.one("select count(*) from core.erp_documents where body is not null") == 0
    assert [text(span, "erp_document_id") for span in attempts(core)] == ["ERP-1", "ERP-2", "ERP-3"]
    assert [(text(span, "milestone"), text(span, "outcome")) for span in attempts(core)] == [("erp_accepted", "ok")] * 3
    parents = {span.span_id for span in core.spans() if span.name == "posting.journal"}
    assert {span.parent_span_id for span in attempts(core)} == parents
    assert relay(core, client).run_once() == 0
    assert len(erp.offered) == 1


def test_an_erp_that_is_away_is_left_alone_and_then_takes_everything_once(
    core: Core, client: ErpClient, erp: Erp
) -> None:
    paid(core)
    erp.replies.extend([(429, {"Retry-After": "7"}, b""), (503, {}, b"later")])
    one = relay(core, client, base_seconds=1.0)
    assert (one.run_once(), one.up) == (0, False)
    later(core, seconds=6.9)
    assert one.run_once() == 0
    assert len(erp.offered) == 1, "the ERP asked for seven seconds"
    later(core, seconds=0.1)
    assert one.run_once() == 0
    later(core, seconds=1.9)
    assert (one.run_once(), len(erp.offered)) == (0, 2), "the second pause is twice the first"
    later(core, seconds=0.1)
    assert (one.run_once(), one.up) == (2, True)
    assert [(state, tries) for _, state, tries, _ in postings(core)] == [("accepted", 3), ("accepted", 3)]
    assert len(erp.documents) == 2
    order_attempts = [span for span in attempts(core) if text(span, "entity_id") == "order/1"]
    assert [(text(span, "outcome"), text(span, "reason")) for span in order_attempts] == [
        ("failed", "HTTP 429"),
        ("failed", "HTTP 503"),
        ("ok", ""),
    ]
    assert core.exceptions() == []


def test_an_outage_of_hours_gives_no_journal_up(core: Core, client: ErpClient, erp: Erp) -> None:
    paid(core)
    one = relay(core, client, attempts=3)
    erp.replies.extend([(503, {}, b"")] * 12)
    for _ in range(12):
        one.run_once()
        later(core, minutes=10)
    assert [(state, tries) for _, state, tries, _ in postings(core)] == [("waiting", 12), ("waiting", 12)]
    assert one.run_once() == 2


def test_what_the_erp_rejects_is_an_exception_of_finance(core: Core, client: ErpClient, erp: Erp) -> None:
    paid(core)
    erp.refused["shop:order/1"] = "the period is closed"
    assert relay(core, client).run_once() == 2
    assert postings(core)[0] == ("shop:order/1", "rejected", 1, "")
    assert core.exceptions() == [("shop:order/1:posting_rejected", "finance", "open")]
    assert core.one("select detail from core.exceptions") == "the period is closed"
    rejected = [text(span, "milestone") for span in attempts(core) if text(span, "outcome") == "rejected"]
    assert rejected == ["erp_rejected"]
    later(core, hours=9)
    assert relay(core, client).run_once() == 0
    assert len(erp.offered) == 1, "what was rejected is not offered again"


def test_a_journal_that_the_erp_never_answers_for_is_given_up_after_its_attempts(
    core: Core, client: ErpClient, erp: Erp
) -> None:
    paid(core)
    erp.silent.add("shop:order/1")
    one = relay(core, client, attempts=3, base_seconds=1.0)
    assert one.run_once() == 1, "its neighbour is accepted"
    assert one.run_once() == 0
    assert len(erp.offered) == 1
    later(core, seconds=1)
    assert one.run_once() == 0
    later(core, seconds=2)
    assert one.run_once() == 1
    assert postings(core)[0] == ("shop:order/1", "dead", 3, "")
    assert core.exceptions() == [("shop:order/1:posting_dead", "finance", "open")]
    outcomes = [text(span, "outcome") for span in attempts(core) if text(span, "entity_id") == "order/1"]
    assert outcomes == ["failed", "failed", "dead_letter"]


class Killed(BaseException):
    """The process ended here."""


class KilledAfterPosting(ErpClient):
    def post(self, kind: DocumentKind, bodies: Sequence[bytes]) -> list[Answer] | Unavailable:
        super().post(kind, bodies)
        raise Killed


def test_a_process_killed_between_post_and_commit_leaves_one_document(core: Core, url: str, erp: Erp) -> None:
    paid(core)
    dying = KilledAfterPosting(url, lambda: core.now)
    with pytest.raises(Killed):
        relay(core, dying).run_once()
    dying.close()
    assert len(erp.documents) == 2
    assert [(state, tries) for _, state, tries, _ in postings(core)] == [("waiting", 0), ("waiting", 0)]
    living = ErpClient(url, lambda: core.now)
    assert relay(core, living).run_once() == 2
    living.close()
    assert erp.offered[0] == erp.offered[1]
    assert [document for *_, document in postings(core)] == ["ERP-1", "ERP-2"]
    assert len(erp.documents) == 2


def test_two_relays_never_offer_at_once(core: Core, client: ErpClient, erp: Erp) -> None:
    paid(core)
    with core.db.transaction() as session:
        assert session.one("lock_slot", erp="", slot=0)[0]
        assert relay(core, client).run_once() == 0
    assert erp.offered == []
    assert relay(core, client).run_once() == 2


ANSWERS: dict[str, tuple[Reply, float, str]] = {
    "seconds": ((503, {"Retry-After": "12"}, b""), 12.0, "HTTP 503"),
    "date": ((429, {"Retry-After": "Mon, 02 Mar 2026 12:00:30 GMT"}, b""), 30.0, "HTTP 429"),
    "past": ((429, {"Retry-After": "Mon, 02 Mar 2026 11:00:00 GMT"}, b""), 0.0, "HTTP 429"),
    "no zone": ((429, {"Retry-After": "Mon, 02 Mar 2026 12:00:30 -0000"}, b""), 30.0, "HTTP 429"),
    "for ever": ((503, {"Retry-After": "9" * 30}, b""), 3600.0, "HTTP 503"),
    "nonsense": ((500, {"Retry-After": "soon"}, b""), 0.0, "HTTP 500"),
    "nothing": ((404, {}, b""), 0.0, "HTTP 404"),
    "unreadable": ((200, {}, b'{"results": [{}]}'), 0.0, "an answer that cannot be read"),
    "not JSON": ((200, {}, b"<html>"), 0.0, "an answer that cannot be read"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_takes_nothing_says_why_and_for_how_long(name: str, url: str, erp: Erp) -> None:
    reply, seconds, reason = ANSWERS[name]
    erp.replies.append(reply)
    client = ErpClient(url, lambda: NOON)
    answer = client.post("journal", [b'{"idempotency_key": "1"}'])
    client.close()
    assert isinstance(answer, Unavailable)
    assert answer.retry_after_seconds == seconds
    assert answer.reason.startswith(reason)


def test_an_erp_that_cannot_be_reached_says_so(free_port: Callable[[], int]) -> None:
    client = ErpClient(f"http://127.0.0.1:{free_port()}", lambda: NOON)
    answer = client.post("journal", [b"{}"])
    client.close()
    assert isinstance(answer, Unavailable)
    assert answer.reason.startswith("ConnectError")


def test_a_file_of_the_past_is_accepted_at_its_own_time(core: Core, client: ErpClient) -> None:
    past = NOON - dt.timedelta(days=1000)
    core.take(sent(goods_in(), at=past, provenance="generated"))
    later(core, seconds=5)
    relay(core, client).run_once()
    assert core.one("select accepted_at from core.erp_documents") == past + dt.timedelta(seconds=5)
