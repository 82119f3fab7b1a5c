"""Every event once, by its permanent identity; the same identity with other content is an exception."""

import threading

import pytest

from tests.core import Core
from tests.factories import charge, line, order, payment, sent


def test_an_event_delivered_again_is_a_duplicate_and_changes_nothing(core: Core) -> None:
    event = sent(charge(), "1")
    assert core.accept(event) == ["accepted"]
    before = core.rows("select * from core.inbox")
    assert core.accept(event) == ["duplicate"]
    assert core.rows("select * from core.inbox") == before
    core.work()
    assert core.accept(event) == ["duplicate"], "identities never expire"
    assert core.rows("select * from core.deliveries") == [("shop", 1, 2, 0)]
    assert core.exceptions() == []


def test_the_same_identity_with_other_content_opens_one_exception(core: Core) -> None:
    other = sent(order("1", line("A1", 2)), "1")
    assert core.accept(sent(order(), "1")) == ["accepted"]
    assert core.accept(other) == ["conflict"]
    assert core.accept(other) == ["conflict"]
    ((exception_id, owner, state),) = core.exceptions()
    assert (exception_id, owner, state) == (
        f"shop:identity_conflict/1/{other.payload_hash.hex()[:12]}",
        "integration",
        "open",
    )
    assert core.accept(sent(order("1", line("A1", 3)), "1")) == ["conflict"]
    assert len(core.exceptions()) == 2, "a third content is another conflict"
    assert core.rows("select * from core.deliveries") == [("shop", 1, 0, 3)]
    core.work()
    assert core.rows("select quantity from core.order_lines") == [(1,)], "what came first stays"
    assert [span.name for span in core.spans()].count("exception.open") == 2 + 1  # the order has no stock


@pytest.mark.parametrize("units", [1, 2])
def test_one_identity_twice_in_a_batch_is_accepted_once(core: Core, units: int) -> None:
    first, second = sent(order(), "1"), sent(order("1", line("A1", units)), "1")
    assert core.accept(first, second, sent(payment(), "2")) == [
        "accepted",
        "duplicate" if units == 1 else "conflict",
        "accepted",
    ]
    assert core.one("select count(*) from core.inbox") == 2
    assert len(core.exceptions()) == units - 1


def test_the_same_number_from_another_source_is_another_event(core: Core) -> None:
    assert core.accept(sent(order(), "1"), sent(charge(), "1", source="till")) == ["accepted", "accepted"]


def test_two_deliveries_at_the_same_moment_are_accepted_once(core: Core) -> None:
    events = [sent(order(str(number)), str(number)) for number in range(50)]
    receipts: list[list[str]] = []
    together = threading.Barrier(4)

    def deliver() -> None:
        together.wait()
        receipts.append([str(one) for one in core.accept(*events)])

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(each) for each in zip(*receipts, strict=True)] == [["accepted", *["duplicate"] * 3]] * 50
    assert core.rows("select * from core.deliveries") == [("shop", 50, 150, 0)]


def test_what_a_document_is_worth_is_counted_at_the_door(core: Core) -> None:
    core.accept(sent(order("1", line("A1", 2), tax_minor=400), "1"), sent(payment(), "2"), sent(charge(), "3"))
    rows = core.rows("select event_id, document, channel, currency, gross_minor from core.inbox order by seq")
    assert rows == [("1", "order", "web", "GBP", 2000), ("2", "", "", "", 0), ("3", "charge", "web", "GBP", 1000)]


def test_nothing_in_gives_nothing_out(core: Core) -> None:
    assert core.accept() == []
