from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import Console

from lineage import slas, text
from lineage.judge import Tally
from lineage.model import (
    Choice,
    Expected,
    Header,
    Hop,
    JournalEntry,
    JournalLine,
    Journey,
    LineItem,
    Match,
    Money,
    Parked,
    Problem,
    Related,
    Suggestion,
    Unknown,
)
from lineage.rolling import ALL, Measure
from lineage.rows import micros
from lineage.samples import sample, tile

AT = datetime(2010, 12, 7, 15, 28, tzinfo=UTC)
ID = "4e2c7aac5cf7bfabcfdbf0c1cae00086"
MATCH = Match(key_value="1001", key_name="order_id", origin="web", correlation_id=ID, first_seen=AT, last_seen=AT)


def hop(title: str, at: datetime, gap_seconds: float = 0.0, outcome: str = "ok", reason: str = "") -> Hop:
    return Hop(
        name="order.capture", title=title, domain="order", hop="capture", stage="source", outcome=outcome,
        entity="order", entity_id="1001", milestone="", at=at, recorded_at=at, duration_us=0, gap_seconds=gap_seconds,
        attempts=(), duplicates=0, reason=reason, owner="", service="core", system="", channel="", location="",
        provider="", amount=Money(123456, "GBP"), quantity=0, due_at=None, lines=2, source="file", trace_id="",
        span_id="", keys={}, attrs={},
    )  # fmt: skip


LINE = LineItem(
    hop="return.receive", line_no=1, sku="22952", kind="goods", quantity=24, amount=Money(-1320, "GBP"), location="",
    order_id="1001", parked="", attrs={},
)  # fmt: skip
JOURNEY = Journey(
    query="1001",
    as_of=AT,
    matched=MATCH,
    header=Header(
        correlation_id=ID, origin="web", reference="1001", kind="order", channel="trade", location="WH1",
        state="shipped", amount=Money(123456, "GBP"), started_at=AT, last_at=datetime(2010, 12, 9, tzinfo=UTC),
        owner="finance", customer_ref="", source="file",
    ),
    hops=(
        hop("order captured", AT),
        hop("posting send: failed", datetime(2010, 12, 9, tzinfo=UTC), 117120.0, "failed", "503 busy"),
    ),
    lines=(),
    objects=(),
    money=(),
    journal=(
        JournalEntry(
            journal_id="J-1", posting="shipment/S-1", business_date=None, at=AT, source="file", erp_document_id="",
            lines=(
                JournalLine(line_no=1, account="revenue:goods", amount=Money(-5, "GBP"), functional=None,
                            kind="goods", quantity=1),
            ),
            complete=True, balanced=False,
        ),
    ),
    related=(
        Related(
            correlation_id=ID, origin="web", reference="C1", kind="return", state="refunded", title="return C1",
            link="returns", direction="in", via=ID, depth=1, evidence="", by="", at=AT, amount=Money(-1320, "GBP"),
            lines=(LINE,), started_at=AT,
        ),
    ),
    related_cut=False,
    expected=(
        Expected(
            flow="posting", step="erp-accepted", title="posting accepted by the ERP", entity="posting",
            entity_id="shipment/S-1", milestone="erp_accepted", since=AT, due_at=AT, overdue=True,
            overdue_seconds=93784.0, owner="finance", amount=Money(123456, "GBP"),
        ),
    ),
    parked=(
        Parked(hop="return.receive", sku="21668", quantity=1, amount=Money(-106, "GBP"), reason="no_earlier_sale",
               owner="returns", at=AT),
    ),
    keys={},
    notes=("Journal J-1 does not balance.",),
)  # fmt: skip


def printed(found: Journey | Choice | Unknown) -> list[str]:
    console = Console(width=120, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(text.answer(found))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_journey_survives_the_wire_and_is_told_whole() -> None:
    found = text.read_answer("1001", 200, msgspec.json.encode(JOURNEY))
    assert found == JOURNEY
    assert isinstance(found, Journey)
    assert printed(found) == [
        "order 1001 shipped web · trade · WH1 · 1,234.56 GBP · file",
        f"2010-12-07 15:28:00 to 2010-12-09 00:00:00 UTC (1 d 8 h) correlation {ID}",
        "",
        "2010-12-07",
        "15:28:00 ● order captured 1001 1,234.56 GBP 2 lines",
        "┊ 1 d 8 h",
        "2010-12-09",
        "00:00:00 ✗ posting send: failed 1001 1,234.56 GBP failed, 2 lines, 503 busy",
        "",
        "Parked, outside the books",
        "21668 1 -1.06 GBP no_earlier_sale returns",
        "",
        "Related",
        "return C1 -13.20 GBP returns ← refunded 24 x 22952 -13.20 GBP",
        "",
        "Journal",
        "shipment/S-1 2010-12-07 15:28:00 not accepted by the ERP yet, does not balance",
        "revenue:goods -0.05 GBP goods",
        "",
        "Still expected",
        "posting accepted by the ERP posting shipment/S-1 1,234.56 GBP"
        " due 2010-12-07 15:28:00, overdue by 1 d 2 h finance",
        "Note: Journal J-1 does not balance.",
    ]


def test_a_choice_is_a_choice() -> None:
    found = text.read_answer("1001", 300, msgspec.json.encode(Choice(query="1001", matches=(MATCH,))))
    assert printed(found)[1] == f"order_id 1001 web 2010-12-07 15:28:00 {ID}"


def test_near_ids_come_from_the_problem_document() -> None:
    near = Suggestion(key_value="1001", key_name="order_id", origin="web", correlation_id=ID, why="1 character differs",
                      distance=1)  # fmt: skip
    problem = Problem(type="x", title="Not found", status=404, detail="", instance="/", suggestions=(near,))
    found = text.read_answer("1010", 404, msgspec.json.encode(problem))
    assert found == Unknown(query="1010", suggestions=(near,))
    assert printed(found) == [
        "No transaction is known by 1010.",
        "Perhaps one of these:",
        "order_id 1001 web 1 character differs",
    ]
    assert printed(Unknown(query="1010", suggestions=())) == ["No transaction is known by 1010."]


def test_promises() -> None:
    refunds = slas.load()[1]
    measure = Measure(ALL, micros(AT), Tally(good=990, bad=10, overdue_open=2), (Money(1320, "GBP"),), 0)
    found = [tile(refunds, sample(refunds, measure, micros(AT)), [], None), tile(refunds, None, [], None)]
    console = Console(width=100)
    with console.capture() as capture:
        console.print(text.tiles(found))
    assert [" ".join(line.split()) for line in capture.get().splitlines()] == [
        "promise state value target decided overdue at risk",
        "Refund to ledger at risk 99.00% 99.00% 1000 2 13.20 GBP",
        "Refund to ledger no data 99.00% 0 0",
        "",
        "Refund to ledger: 0% of the budget is left (as of 2010-12-07 15:28:00 UTC)",
        "Refund to ledger: not measured yet",
    ]


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Money(-1320, "GBP"), "-13.20 GBP"),
        (Money(5, "EUR"), "0.05 EUR"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(977589033, "GBP"), "9,775,890.33 GBP"),
        (Money(1500, "JPY"), "1,500 JPY"),
        (Money(1234, "KWD"), "1.234 KWD"),
        (None, ""),
    ],
)
def test_money(amount: Money | None, words: str) -> None:
    assert text.money(amount) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.03, "30 ms"), (5, "5 s"), (60, "1 min"), (3725, "1 h 2 min"), (93784, "1 d 2 h"), (86400, "1 d")],
)
def test_span_of(seconds: float, words: str) -> None:
    assert text.span_of(seconds) == words
