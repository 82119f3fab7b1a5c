from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from dashboards.pages import books, promise, promises, story, transaction
from dashboards.wording import MINUS, State
from lineage.brands import NONE
from lineage.model import (
    WHOLE,
    Choice,
    Expected,
    Hop,
    JournalEntry,
    JournalLine,
    Journey,
    Match,
    Money,
    Overdue,
    OverdueByOwner,
    Parked,
    Segment,
    SlaDetail,
    SlaTile,
    Suggestion,
    Unknown,
)

Read = Callable[[Any], list[str]]


def overdue(now: datetime, *groups: tuple[str, int, Money]) -> Overdue:
    owners = tuple(
        OverdueByOwner(owner=owner, count=count, at_risk=(worth,), oldest_due_at=now) for owner, count, worth in groups
    )
    return Overdue(as_of=now, items=(), by_owner=owners, cut=False)


def test_promises_stand_worst_first(make_tile: Callable[..., SlaTile], read: Read, now: datetime) -> None:
    tiles = [
        make_tile("kept"), make_tile("few", state="low_volume"), make_tile("silent", state="no_data"),
        make_tile("old", state="stale"), make_tile("near", state="at_risk"),
        make_tile("broken", state="breached", budget_left=-0.2), make_tile("worst", state="breached", budget_left=-2.0),
    ]  # fmt: skip
    page = promises.page(WHOLE, promises.Found(tiles=tiles, places=(), brands=NONE, overdue=overdue(now)), now)
    names = {tile.title for tile in tiles}

    drawn = [text for text in read(page.body) if text in names]
    assert drawn == ["worst", "broken", "near", "old", "few", "kept", "silent"]  # of which nothing is known comes last


def test_the_summary_of_all_promises(make_tile: Callable[..., SlaTile], now: datetime) -> None:
    tiles = [make_tile("a", state="breached"), make_tile("b"), make_tile("c")]
    late = overdue(now, ("finance", 3, Money(1000, "GBP")), ("shop", 1, Money(50, "EUR")))

    assert promises.summary(tiles, late) == "1 breached, 2 kept. 4 items overdue, worth €0.50 + £10.00."
    assert promises.summary(tiles[1:], overdue(now)) == "2 kept. Nothing is overdue."
    assert promises.summary([], overdue(now)) == "No promises are declared. Nothing is overdue."


def test_a_tile_can_be_heard(make_tile: Callable[..., SlaTile]) -> None:
    tile = make_tile(
        "Refund to ledger", state="breached", value=0.9712, unit="refunds", overdue_open=3,
        at_risk=(Money(129_390, "GBP"),), owner="finance-ops",
    )  # fmt: skip
    assert promises.described(tile) == (
        "Refund to ledger: breached. 97.12% of refunds, target 99%. £1,293.90 at risk, 3 overdue. Owner finance-ops."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "as of 12:00 (data under 1 min old)"),
        ({"watermark": None}, "as of 12:00 (no data seen)"),
        ({"as_of": None}, "not measured yet"),
    ],
)
def test_freshness_is_told(
    make_tile: Callable[..., SlaTile], read: Read, now: datetime, changes: dict[str, Any], said: str
) -> None:
    assert "".join(read(promises.freshness(make_tile("a", **changes), now))) == said


def test_nothing_measured_is_not_drawn_as_if_it_were(
    make_tile: Callable[..., SlaTile], read: Read, now: datetime
) -> None:
    page = promise.page(
        WHOLE, SlaDetail(tile=make_tile("a", value=None, state="no_data"), segments=(), rule="r"), None, (), now
    )
    said = read(page.body)
    assert "Nothing has been measured yet." in said
    assert "No data" in said
    assert "Meeting target" not in said


def test_a_promise_nobody_made(make_tile: Callable[..., SlaTile], read: Read) -> None:
    page = promise.unknown("punctuality", [make_tile("Stock freshness")])
    assert read(page.body) == [
        "There is no such promise", "punctuality", " is not declared. These are:", "Stock freshness",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("channel", "location", "said"), [("web", "WH1", "web · WH1"), ("", "WH1", "WH1"), ("", "", "Everywhere")]
)
def test_an_empty_part_of_a_segment_means_all(now: datetime, channel: str, location: str, said: str) -> None:
    segment = Segment(
        channel=channel, location=location, provider="", value=None, target=0.99, state="no_data", reason="", good=0,
        bad=0, pending=0, excused=0, overdue_open=0, at_risk=(), budget_left=None, as_of=now,
    )  # fmt: skip
    assert promise.place(segment) == said


def missing(now: datetime, *, overdue: bool) -> Expected:
    return Expected(
        flow="order", step="erp", title="accepted by the ERP", entity="posting", entity_id="order/1",
        milestone="erp_accepted", since=now, due_at=now, overdue=overdue, overdue_seconds=7_200.0 if overdue else 0.0,
        owner="finance-ops", amount=None,
    )  # fmt: skip


def parked(now: datetime) -> Parked:
    worth = Money(-106, "GBP")
    return Parked(hop="return.receive", sku="21212", quantity=-1, amount=worth, reason="", owner="", at=now)


def test_how_a_transaction_stands(make_journey: Callable[..., Journey], now: datetime) -> None:
    late, coming = missing(now, overdue=True), missing(now, overdue=False)

    assert transaction.standing(make_journey()) == State("Posted", "check", "good")
    assert transaction.standing(make_journey(expected=(coming,))) == State("Posted, 1 step to come", "clock", "quiet")
    assert transaction.standing(make_journey(parked=(parked(now),))) == State("Posted, 1 item parked", "pause", "warn")
    assert transaction.standing(make_journey(expected=(late, coming), parked=(parked(now),))) == State(
        "Posted, 1 step overdue", "cross", "bad"
    )


def test_a_transaction_in_one_breath(
    make_journey: Callable[..., Journey], make_hop: Callable[..., Hop], now: datetime
) -> None:
    hops = (make_hop("a.b", now), make_hop("a.c", now))
    assert transaction.summary(make_journey(hops=hops)) == (
        "Began 2026-11-20 12:00:00 UTC in web. 2 steps recorded. Nothing more is expected."
    )
    assert transaction.summary(make_journey(hops=hops, parked=(parked(now),))) == (
        "Began 2026-11-20 12:00:00 UTC in web. 2 steps recorded. 1 item parked outside the books."
    )
    assert transaction.summary(make_journey(hops=hops, expected=(missing(now, overdue=True),))) == (
        "Began 2026-11-20 12:00:00 UTC in web. 2 steps recorded. "
        "Accepted by the ERP is 2 h overdue and belongs to finance-ops."
    )


def test_a_number_that_is_not_known_leads_to_those_near_it(read: Read) -> None:
    near = Suggestion(key_value="C538698", key_name="credit_memo_id", origin="web", correlation_id="ab" * 16,
                      why="differs in case", distance=0)  # fmt: skip
    page = transaction.page(Unknown(query="c538698", suggestions=(near,)))
    assert page.title == "c538698 is not known"
    assert read(page.body)[-3:] == ["Numbers near it", "Credit note C538698", " web · differs in case"]


def test_a_number_of_two_transactions_is_never_one(read: Read, now: datetime) -> None:
    matches = tuple(
        Match(key_value="77", key_name="order_id", origin=origin, correlation_id="ab" * 16, first_seen=now,
              last_seen=now)
        for origin in ("web", "pos:s17")
    )  # fmt: skip
    said = read(transaction.page(Choice(query="77", matches=matches)).body)
    assert ("77 in web" in said, "77 in pos:s17" in said) == (True, True)


def test_a_step_says_only_what_the_head_of_the_page_does_not(
    make_hop: Callable[..., Hop], make_journey: Callable[..., Journey], now: datetime
) -> None:
    hop = make_hop(
        "a.b", now, system="web", provider="cardco", lines=3, owner="shop", location="WH2", source="generated"
    )
    assert story.detail(hop, make_journey().header) == "order 1 · WH2 · cardco · 3 lines · with shop · generated"


def entry(now: datetime, *amounts: int, complete: bool = True) -> JournalEntry:
    lines = tuple(
        JournalLine(line_no=n, account=f"{n}000", amount=Money(minor, "GBP"), functional=None, kind="", quantity=0)
        for n, minor in enumerate(amounts)
    )
    return JournalEntry(journal_id="J1", posting="refund/1", business_date=date(2026, 11, 20), at=now, source="live",
                        erp_document_id="", lines=lines, complete=complete, balanced=sum(amounts) == 0)  # fmt: skip


def test_debits_and_credits_stand_apart_and_the_balance_is_told(read: Read, now: datetime) -> None:
    said = read(books.journal([entry(now, 1_320, -1_300, -20)]))
    assert [text for text in said if text.startswith("£")] == ["£13.20", "£13.00", "£0.20"]
    assert "Every entry balances" in said
    assert "journal J1 · not in the ERP yet" in said

    assert "1 entry out of balance" in read(books.journal([entry(now, 1_320, -1_300)]))
    assert "lines still arriving" in read(books.journal([entry(now, 1_320, complete=False)]))


def test_what_waits_outside_the_books_has_its_value(
    make_journey: Callable[..., Journey], read: Read, now: datetime
) -> None:
    said = read(transaction.page(make_journey(parked=(parked(now), parked(now - timedelta(days=1))))).body)
    assert f"2 items, {MINUS}£2.12" in said
