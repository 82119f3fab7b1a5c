from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from collector.semconv import correlation_id
from lineage import flows, slas
from lineage.deadlines import Calendar
from lineage.journey import Material, tell
from lineage.links import FAN, Linked, related, walk
from lineage.lookup import match
from lineage.model import Journey, Money
from lineage.rows import EventRow, JournalRow, KeyRow, LinkRow, LinksRead, SpanRow, micros
from lineage.standing import Standings

STANDINGS = Standings(flows.load(promises=slas.load()))
T0 = datetime(2010, 12, 7, 15, 28, tzinfo=UTC)
ORDER = correlation_id("uci", "537681").hex()
CREDIT = correlation_id("uci", "C538698").hex()


def after(**length: float) -> datetime:
    return T0 + timedelta(**length)


def span(name: str, at: datetime, entity: str, entity_id: str, milestone: str = "", **also: Any) -> SpanRow:
    """A hop as the core sends it; ``ran_at`` is when the service ran it."""
    ran_at = also.pop("ran_at", at)
    events = tuple(EventRow(micros(at), kind, attrs) for kind, attrs in also.pop("events", ()))
    domain, _, hop = name.partition(".")
    values: dict[str, Any] = {
        "correlation_id": ORDER, "span_id": "", "trace_id": "0" * 32, "name": name, "start_us": micros(ran_at),
        "end_us": micros(ran_at) + 5_000, "status_code": 0, "status_message": "", "service": "core", "origin": "uci",
        "domain": domain, "hop": hop, "stage": "source", "outcome": "ok", "attempt": 1, "reason": "", "entity": entity,
        "entity_id": entity_id, "milestone": milestone, "occurred_us": micros(at), "due_us": 0, "channel": "trade",
        "location": "WH1", "provider": "", "system": "", "quantity": 0, "amount_minor": 0, "currency": "GBP",
        "owner": "", "customer_ref": "", "source": "file", "keys": {}, "attrs": {}, "dropped": 0,
    }  # fmt: skip
    values |= also | {"events": events}
    values["span_id"] = values["span_id"] or f"{name}/{entity_id}/{milestone}/{values['attempt']}/{values['outcome']}"
    return SpanRow(**values)


CAPTURED = span("order.capture", T0, "order", "537681", "captured", amount_minor=30420, keys={"order_id": "537681"})
RESERVED = span("inventory.reserve", T0, "order", "537681", "reserved", stage="transformation", quantity=96)
SHIPPED = span("order.ship", after(hours=2), "fulfilment", "S-1", "shipped", amount_minor=30420)
JOURNALED = span(
    "posting.journal", after(hours=2), "posting", "shipment/S-1", "journaled", stage="transformation",
    amount_minor=30420, keys={"journal_id": "J-1"}, due_us=micros(after(hours=3)), owner="finance",
)  # fmt: skip


def sent(attempt: int, outcome: str, **length: float) -> SpanRow:
    at = after(hours=2, **length)
    milestone = "erp_accepted" if outcome == "ok" else ""
    keys = {"journal_id": "J-1"} | ({"erp_document_id": "ERP-9"} if outcome == "ok" else {})
    return span("posting.send", at, "posting", "shipment/S-1", milestone, stage="erp", attempt=attempt,
                outcome=outcome, keys=keys, reason="" if outcome == "ok" else "503 busy")  # fmt: skip


def told(
    spans: Sequence[SpanRow],
    now: datetime,
    *,
    about: str = ORDER,
    journal: Sequence[JournalRow] = (),
    linked: Sequence[Linked] = (),
) -> Journey:
    by_id: dict[str, list[SpanRow]] = {}
    for one in spans:
        by_id.setdefault(one.correlation_id, []).append(one)
    matched = match(KeyRow("537681", "order_id", "uci", about, micros(T0), micros(T0)))
    material = Material(query="537681", matched=matched, spans=by_id, journal=journal, linked=linked, linked_cut=False)
    return tell(material, STANDINGS, Calendar(), now)


def test_an_order_that_went_all_the_way() -> None:
    journey = told([sent(1, "ok", minutes=5), SHIPPED, JOURNALED, RESERVED, CAPTURED], after(days=1))
    assert [(hop.title, hop.gap_seconds) for hop in journey.hops] == [
        ("order captured", 0.0),
        ("stock reserved", 0.0),
        ("goods shipped", 7200.0),
        ("journal written", 0.0),
        ("posting accepted by the ERP", 300.0),
    ]
    header = journey.header
    assert (header.kind, header.reference, header.origin, header.state) == ("order", "537681", "uci", "posted")
    assert header.amount == Money(30420, "GBP")
    assert (header.started_at, header.last_at) == (T0, after(hours=2, minutes=5))
    assert journey.expected == ()
    assert journey.notes == ()
    assert [(one.entity, one.entity_id, [r.milestone for r in one.milestones]) for one in journey.objects] == [
        ("order", "537681", ["captured", "reserved"]),
        ("fulfilment", "S-1", ["shipped"]),
        ("posting", "shipment/S-1", ["journaled", "erp_accepted"]),
    ]
    assert [(one.step, one.amount, one.count) for one in journey.money] == [
        ("order captured", Money(30420, "GBP"), 1),
        ("goods shipped", Money(30420, "GBP"), 1),
        ("journal written", Money(30420, "GBP"), 1),
    ]
    assert journey.keys == {"erp_document_id": ("ERP-9",), "journal_id": ("J-1",), "order_id": ("537681",)}


@pytest.mark.parametrize(
    ("spans", "now", "state", "expected"),
    [
        ([CAPTURED], after(minutes=5), "captured",
         [("stock reserved", "order", "537681", after(minutes=15), False, "inventory")]),
        ([CAPTURED], after(minutes=15), "captured",
         [("stock reserved", "order", "537681", after(minutes=15), False, "inventory")]),
        ([CAPTURED], after(minutes=16), "captured",
         [("stock reserved", "order", "537681", after(minutes=15), True, "inventory")]),
        # Tuesday afternoon and three business days: Friday afternoon.
        ([CAPTURED, RESERVED], after(hours=1), "reserved",
         [("goods shipped", "fulfilment", "", after(days=3), False, "warehouse")]),
        ([CAPTURED, RESERVED, SHIPPED], after(hours=2), "shipped",
         [("shipment journaled", "posting", "shipment/S-1", after(hours=3), False, "finance")]),
        # The posting carries its own deadline; the flow's four hours do not count then.
        ([CAPTURED, RESERVED, SHIPPED, JOURNALED], after(hours=3, seconds=1), "shipped",
         [("posting accepted by the ERP", "posting", "shipment/S-1", after(hours=3), True, "finance")]),
    ],
)  # fmt: skip
def test_what_is_expected_next(spans: list[SpanRow], now: datetime, state: str, expected: list[Any]) -> None:
    journey = told(spans, now)
    assert journey.header.state == state
    found = [(e.title, e.entity, e.entity_id, e.due_at, e.overdue, e.owner) for e in journey.expected]
    assert found == expected
    assert journey.header.owner == expected[0][-1]


def test_an_overdue_step_tells_its_age_and_value() -> None:
    (item,) = told([CAPTURED], after(minutes=25)).expected
    assert (item.overdue_seconds, item.amount, item.since) == (600.0, Money(30420, "GBP"), T0)


def test_what_happened_tells_which_deadline_it_had() -> None:
    journey = told([CAPTURED, SHIPPED, JOURNALED, sent(1, "failed"), sent(2, "ok", minutes=70)], after(days=1))
    titles = {hop.span_id: hop.title for hop in journey.hops}
    assert [(titles[one.span_id], one.at, one.due_at, one.promise, one.set_by) for one in journey.held_to] == [
        ("journal written", after(hours=2), after(hours=3), "", ""),
        ("posting accepted by the ERP", after(hours=2, minutes=70), after(hours=3), "", "journal written"),
    ]


@pytest.mark.parametrize(("channel", "due"), [("web", after(hours=4)), ("store", datetime(2010, 12, 8, 6, tzinfo=UTC))])
def test_a_refund_is_held_to_the_promise_and_not_to_what_its_document_says(channel: str, due: datetime) -> None:
    about: dict[str, Any] = {"correlation_id": CREDIT, "channel": channel}
    refund = [
        span("refund.issue", T0, "refund", "R-1", "issued", **about),
        span("posting.journal", T0, "posting", "refund/R-1", "journaled", due_us=micros(after(hours=1)), **about),
        span("posting.send", after(hours=5), "posting", "refund/R-1", "erp_accepted", **about),
    ]
    (held,) = told(refund, after(days=1), about=CREDIT).held_to
    assert (held.at, held.due_at, held.promise, held.set_by) == (after(hours=5), due, "refund_to_ledger", "")
    (awaited,) = (one for one in told(refund[:2], after(hours=2), about=CREDIT).expected if one.entity == "posting")
    assert (awaited.milestone, awaited.due_at) == ("erp_accepted", due)


def test_a_branch_or_an_end_closes_the_expectation() -> None:
    short = span("inventory.reserve", T0, "order", "537681", "backordered", outcome="parked", reason="short by 5",
                 owner="inventory", stage="transformation")  # fmt: skip
    waiting = told([CAPTURED, short], after(days=1))
    assert (waiting.header.state, [one.title for one in waiting.expected]) == (
        "backordered", ["back-order supplied or cancelled"],
    )  # fmt: skip
    assert [(one.reason, one.owner) for one in waiting.parked] == [("short by 5", "inventory")]
    cancelled = span("order.cancel", after(days=2), "order", "537681", "cancelled", amount_minor=30420)
    ended = told([CAPTURED, short, cancelled], after(days=30))
    assert (ended.header.state, ended.expected, ended.parked) == ("cancelled", (), ())


def test_a_parked_start_starts_nothing() -> None:
    waiting = span("return.receive", T0, "return", "C1", "received", outcome="parked", amount_minor=106,
                   reason="no sale", owner="returns", correlation_id=CREDIT)  # fmt: skip
    journey = told([waiting], after(days=30), about=CREDIT)
    assert journey.expected == ()
    assert journey.header.state == "parked"
    assert [(one.reason, one.owner, one.amount) for one in journey.parked] == [
        ("no sale", "returns", Money(106, "GBP"))
    ]


@pytest.mark.parametrize("hours", [0, 3])
def test_what_was_parked_and_went_on_since_starts_what_follows(hours: int) -> None:
    about: dict[str, Any] = {"correlation_id": CREDIT, "amount_minor": 106, "owner": "returns"}
    waited = span("return.receive", T0, "return", "C1", "received", outcome="parked", reason="no sale", **about)
    found = span("return.match", after(hours=hours), "return", "C1", "received", **about)
    for hops in ([waited, found], [found, waited]):
        journey = told(hops, after(days=30), about=CREDIT)
        assert [(one.milestone, one.since, one.overdue) for one in journey.expected] == [("issued", T0, True)]
        assert journey.header.state == "received"


def test_retries_and_duplicates_fold_into_their_hop() -> None:
    again = span("order.capture", T0, "order", "537681", "captured", outcome="duplicate", ran_at=after(days=1))
    journey = told(
        [CAPTURED, again, sent(3, "ok", minutes=9), sent(1, "failed", minutes=1), sent(2, "failed", minutes=4)],
        after(days=1),
    )
    captured, posted = journey.hops
    assert (captured.duplicates, captured.outcome, len(captured.attempts)) == (1, "ok", 1)
    assert posted.at == after(hours=2, minutes=9)
    assert [(one.attempt, one.outcome, one.reason) for one in posted.attempts] == [
        (1, "failed", "503 busy"), (2, "failed", "503 busy"), (3, "ok", ""),
    ]  # fmt: skip


def test_what_is_still_tried_has_reached_nothing() -> None:
    journey = told([CAPTURED, RESERVED, SHIPPED, JOURNALED, sent(1, "failed", minutes=1)], after(hours=4))
    assert journey.hops[-1].title == "posting send: failed"
    assert [one.title for one in journey.expected] == ["posting accepted by the ERP"]


def test_a_dead_letter_and_its_replay_are_two_hops() -> None:
    replayed = sent(9, "ok", days=1)._replace(outcome="replayed")
    journey = told([CAPTURED, sent(8, "dead_letter", minutes=30), replayed], after(days=2))
    assert [hop.outcome for hop in journey.hops] == ["ok", "dead_letter", "replayed"]


def test_further_milestones_of_one_hop() -> None:
    occurred = str(micros(after(hours=3)) * 1000)
    event = ("milestone", {"entity": "order", "entity_id": "537681", "milestone": "closed", "occurred_at": occurred})
    shipped = SHIPPED._replace(events=(EventRow(0, *event),))
    journey = told([CAPTURED, RESERVED, shipped], after(days=1))
    assert [(one.milestone, one.at) for one in journey.objects[0].milestones] == [
        ("captured", T0), ("reserved", T0), ("closed", after(hours=3)),
    ]  # fmt: skip


def journal_line(line_no: int, amount_minor: int, journal_id: str = "J-1") -> JournalRow:
    return JournalRow(journal_id, line_no, f"account {line_no}", amount_minor, "GBP", amount_minor, "GBP", "goods", 1,
                      "file", date(2010, 12, 7), micros(after(hours=2)))  # fmt: skip


def test_journal_entries() -> None:
    rows = [journal_line(2, -500), journal_line(1, 500), journal_line(1, 300, "J-2"), journal_line(3, -200, "J-2")]
    journey = told([CAPTURED, JOURNALED, sent(1, "ok")], after(days=1), journal=rows)
    good, bad = journey.journal
    assert (good.journal_id, good.posting, good.erp_document_id) == ("J-1", "shipment/S-1", "ERP-9")
    assert (good.balanced, good.complete) == (True, True)
    assert [(line.line_no, line.amount, line.functional) for line in good.lines] == [
        (1, Money(500, "GBP"), None), (2, Money(-500, "GBP"), None),
    ]  # fmt: skip
    assert (bad.posting, bad.erp_document_id, bad.balanced, bad.complete) == ("", "", False, False)
    assert journey.notes == ("Journal J-2 does not balance.", "Journal J-2 lacks lines.")


def test_a_journey_without_its_beginning_says_so() -> None:
    journey = told([RESERVED._replace(dropped=3)], after(days=1))
    assert journey.notes == (
        "The hop that began this transaction has not arrived; the first one known is stock reserved.",
        "The senders' limits cut off 3 attributes, events or links.",
    )
    assert journey.header.reference == "537681"


RETURNS = LinkRow(CREDIT, ORDER, "returns", "537681", micros(after(days=6)), "sync_core")
RECEIVED = span(
    "return.receive", after(days=6), "return", "C538698", "received", correlation_id=CREDIT, amount_minor=1426,
    keys={"return_id": "C538698", "order_id": "537681"}, outcome="parked", reason="1 of 2 lines have no open sale",
    events=[
        ("line", {"sku": "22952", "quantity": "24", "amount_minor": "1320", "order_id": "537681", "kind": "goods"}),
        ("line", {"sku": "21668", "quantity": "1", "amount_minor": "106", "parked": "no_earlier_sale"}),
        ("link", {"from": CREDIT, "to": ORDER, "kind": "returns"}),
    ],
)  # fmt: skip
REFUNDED = span("refund.issue", after(days=6), "refund", "C538698", "issued", correlation_id=CREDIT, amount_minor=1320)


def test_an_order_shows_the_part_of_a_return_that_is_its_own() -> None:
    spans = [CAPTURED, RESERVED, SHIPPED, RECEIVED, REFUNDED]
    (item,) = told(spans, after(days=7), linked=[Linked(CREDIT, ORDER, (RETURNS,), 1)]).related
    assert (item.title, item.kind, item.state) == ("return C538698", "return", "refunded")
    assert (item.link, item.direction, item.depth, item.evidence) == ("returns", "in", 1, "537681")
    assert item.amount == Money(-1320, "GBP")
    assert [(line.sku, line.quantity, line.amount) for line in item.lines] == [("22952", 24, Money(-1320, "GBP"))]


def test_a_return_shows_its_orders_and_what_is_parked() -> None:
    spans = [CAPTURED, RESERVED, SHIPPED, RECEIVED, REFUNDED]
    journey = told(spans, after(days=6, hours=1), about=CREDIT, linked=[Linked(ORDER, CREDIT, (RETURNS,), 1)])
    (item,) = journey.related
    assert (item.title, item.direction, item.amount, item.state) == (
        "order 537681", "out", Money(-1320, "GBP"), "shipped",
    )  # fmt: skip
    assert [(one.sku, one.amount, one.reason) for one in journey.parked] == [
        ("21668", Money(-106, "GBP"), "no_earlier_sale")
    ]
    assert [(line.sku, line.order_id, line.parked, line.amount.amount_minor) for line in journey.lines] == [
        ("22952", "537681", "", -1320), ("21668", "", "no_earlier_sale", -106),
    ]  # fmt: skip
    assert journey.header.amount == Money(-1426, "GBP")
    assert [(one.title, one.due_at) for one in journey.expected] == [
        ("refund accepted by the ERP", after(days=6, hours=4))
    ]


def test_a_cancelled_part_is_told_by_the_order() -> None:
    link = LinkRow(CREDIT, ORDER, "refunds", "C538698", micros(after(minutes=30)), "sync_core")
    edited = span("order.cancel", after(minutes=30), "order", "537681", "edited", amount_minor=990,
                  events=[("link", {"from": CREDIT, "to": ORDER, "kind": "refunds"})])  # fmt: skip
    bare = RECEIVED._replace(events=(), outcome="ok", amount_minor=5000)
    (item,) = told([CAPTURED, edited, bare], after(days=7), linked=[Linked(CREDIT, ORDER, (link,), 1)]).related
    assert item.amount == Money(-990, "GBP")


def test_a_linked_transaction_that_has_not_arrived() -> None:
    (item,) = told([RECEIVED], after(days=7), about=CREDIT, linked=[Linked(ORDER, CREDIT, (RETURNS,), 1)]).related
    assert (item.started_at, item.state, item.title) == (None, "not arrived", f"transaction {ORDER[:8]}")
    assert item.amount == Money(-1320, "GBP")


def chain(length: int) -> list[LinkRow]:
    return [LinkRow(f"{n:032x}", f"{n + 1:032x}", "returns", "", n, "") for n in range(length)]


def walked(start: str, links: Collection[LinkRow], more: bool = False) -> tuple[list[Linked], bool]:
    """All levels of a walk over these links, and whether one was cut."""

    def links_of(both: Collection[str], ends_only: Collection[str]) -> LinksRead:
        return LinksRead(
            tuple(one for one in links if {one.from_id, one.to_id} & set(both) or one.to_id in ends_only), more
        )

    levels = list(walk(start, links_of))
    return [one for level in levels for one in level.linked], any(level.cut for level in levels)


def test_links_are_walked_both_ways_to_depth_three() -> None:
    found, cut = walked(f"{4:032x}", chain(9))
    assert [(int(one.other, 16), one.depth, one.direction) for one in found] == [
        (3, 1, "in"), (5, 1, "out"), (2, 2, "in"), (6, 2, "out"), (1, 3, "in"), (7, 3, "out"),
    ]  # fmt: skip
    assert cut
    assert walked(f"{1:032x}", chain(2))[1] is False
    assert walked(f"{1:032x}", chain(2), more=True)[1], "not all its links were read"


def test_the_walk_is_bounded_and_knows_circles() -> None:
    star = [LinkRow(f"{n:032x}", "f" * 32, "settles", "", n, "") for n in range(300)]
    found, cut = walked("f" * 32, star)
    assert (len(found), cut) == (FAN, True)
    circle = [*chain(2), LinkRow(f"{2:032x}", f"{0:032x}", "exchanges", "", 9, "")]
    found, cut = walked(f"{0:032x}", circle)
    assert ([int(one.other, 16) for one in found], cut) == ([1, 2], False)


def test_from_a_shared_settlement_the_way_leads_to_the_bank_and_not_to_strangers() -> None:
    settles = [LinkRow("5" * 32, f"{n:032x}", "settles", part, n, "", minor, "GBP")
               for n, part, minor in ((1, "sale", 1000), (1, "fee", -59), (2, "sale", 3000))]  # fmt: skip
    settles.append(LinkRow("b" * 32, "5" * 32, "settles", "po_1", 9, "", 3941, "GBP"))
    found, cut = walked(f"{1:032x}", settles)
    assert [(one.other[0], one.depth, len(one.links)) for one in found] == [("5", 1, 2), ("b", 2, 1)]
    assert not cut
    (settlement, _) = related(found, {}, STANDINGS)
    assert (settlement.amount, [part.evidence for part in settlement.parts]) == (Money(941, "GBP"), ["fee", "sale"])
    assert {one.other[0] for one in walked("5" * 32, settles)[0]} == {"0", "b"}
