"""The six levels of reconciliation over HTTP: what is wrong is named with its transaction, and each run is kept."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from collector.storage import Storage
from lineage import slas
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.reconciliation import route_handlers
from sync_core.erp.http import ErpClient
from sync_core.messages import ControlDocument, FinanceRecorded, GiftCardIssued, LocationRegistered, Tender
from sync_core.outbox import ErpRelay
from sync_core.readback import ReadBack
from sync_core.reconciliation.reconcile import Reconciler
from sync_core.settlements.matching import Matcher
from tallytrace import erp_stub, webserver
from tests.core import Core, later
from tests.estate import Estate, Tell
from tests.factories import (
    NOON,
    adjustment,
    control_total,
    fact,
    goods_back,
    goods_in,
    line,
    order,
    payment,
    shipment,
    terms,
)
from tests.hops import answering
from tests.settlement_files import camt053, stripe

Ask = Callable[..., list[dict[str, Any]]]
Give = Callable[..., None]


@pytest.fixture
def give(http: httpx.Client, core: Core) -> Give:
    """Give a file to a connector and have it booked."""

    def put(connector: str, content: str) -> None:
        path = f"/v1/files/{connector}/file"
        assert http.put(path, content=content).status_code == 202
        deadline = time.monotonic() + 10
        while (told := http.get(path).json())["state"] == "reading":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert told["state"] == "read", told
        core.work()

    return put


@pytest.fixture
def posting_rules() -> str:
    return STORES_HAVE_AN_ERP_OF_THEIR_OWN


@contextmanager
def stand_in(home: Path, name: str, port: int) -> Iterator[httpx.Client]:
    """An ERP, which keeps what it is told to wrongly."""
    with (
        webserver.serving(erp_stub.create_app(home / f"erp-{name}.jsonl"), "127.0.0.1", port, name=f"erp-{name}"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as client,
    ):
        yield client


@pytest.fixture
def erp(home: Path, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    with stand_in(home, "", free_port()) as client:
        yield client


@pytest.fixture
def stores_erp(home: Path, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    with stand_in(home, "stores", free_port()) as client:
        yield client


@pytest.fixture
def reconciled(
    core: Core, estate: Estate, journey: Tell, storage: Storage, erp: httpx.Client, stores_erp: httpx.Client
) -> Iterator[Ask]:
    """What lineage says of cells or entries once all is posted, matched and reconciled."""
    for table in ("recon_items", "recon_entries"):
        storage.execute(f"TRUNCATE TABLE {table}")
    with TestClient(Litestar(route_handlers(storage))) as plane:
        clients = {"": ErpClient(str(erp.base_url), lambda: core.now),
                   "stores": ErpClient(str(stores_erp.base_url), lambda: core.now)}  # fmt: skip
        posting: list[ErpRelay | ReadBack] = []
        for name, client in clients.items():
            posting.append(ErpRelay(core.db, client, lambda: core.now, name=name))
            posting.append(ReadBack(core.db, client, lambda: core.now, name=name))
        told: list[str] = []

        def ask(what: str = "", **wanted: Any) -> list[dict[str, Any]]:
            while sum(one.run_once() for one in posting):
                pass
            while Matcher(core.db, core.rules, lambda: core.now).run_once():
                pass
            Reconciler(core.db, core.rules, lambda: core.now).run_once()
            later(core, seconds=1)
            estate.tell(order(f"asked{len(told)}", origin="other", channel="other"))  # known once all before it is
            told.append("")
            journey(f"asked{len(told) - 1}")
            answer = plane.get(f"/v1/reconciliation{what}", params=wanted)
            assert answer.status_code == 200, answer.text
            found: list[dict[str, Any]] = answer.json()
            return [one for one in found if one["channel"] != "other"]

        yield ask
        for client in clients.values():
            client.close()


STORES_HAVE_AN_ERP_OF_THEIR_OWN: Final = """
[entities.main]
[entities.stores]
locations = ["ST9"]
[erps.stores]
entities = ["stores"]
"""


def cells(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(one[name] for name in ("level", "kind", *names)) for one in rows]


def sold(estate: Estate, *order_ids: str, **over: Any) -> None:
    estate.tell(goods_in(f"D{'/'.join(order_ids)}", {"A1": len(order_ids)}))
    for one in order_ids:
        estate.tell(order(one, tax_minor=200, **over))
        estate.tell(payment(one, 1200, provider="stripe", payment_id=f"ch_{one}"), shipment(one))


@pytest.mark.proves(61, 146, 148, 149, 246)
def test_a_day_is_compared_at_every_level_and_every_penny_drills_down(
    core: Core, estate: Estate, reconciled: Ask, give: Give, storage: Storage, free_port: Callable[[], int]
) -> None:
    sold(estate, "1", "2", "3")
    estate.tell(goods_back("R1", order_id="2"), order("4"), control_total("1", "2", "3", "4", tax_minor=600, documents=[
        *control_total("1", "2", "3").documents, ControlDocument(number="4", amount_minor=1000)]))  # fmt: skip
    give("stripe_payouts", stripe(("charge", "ch_1", "12.00", "0.59"), ("charge", "ch_2", "12.01", "0.59")))
    give("camt053", camt053(("22.83", "po_1", ""), closing="22.83"))
    later(core, days=1)
    figures = ("left_minor", "right_minor", "timing_minor", "fees_minor", "rounding_minor", "unexplained_minor")
    assert sorted(cells(reconciled(until=NOON.date()), *figures)) == [
        ("L0", "order_list", 4000, 4000, 0, 0, 0, 0),
        ("L0", "tax", 600, 600, 0, 0, 0, 0),
        ("L1", "order", 4000, 3000, 1000, 0, 0, 0),
        ("L1", "return", -1000, -1000, 0, 0, 0, 0),
        ("L2", "order", 3600, 3600, 0, 0, 0, 0),
        ("L2", "receipt", 1200, 1200, 0, 0, 0, 0),
        ("L2", "return", 1400, 1400, 0, 0, 0, 0),
        ("L2", "shipment", 4200, 4200, 0, 0, 0, 0),
        ("L3", "sale", 3600, 2401, 1200, 0, -1, 0),
        ("L5", "good", 0, 0, 0, 0, 0, 0),
        ("L5", "refunds", 1000, 1000, 0, 0, 0, 0),
        ("L5", "return_pending", 400, 400, 0, 0, 0, 0),
        ("L5", "tax", 600, 600, 0, 0, 0, 0),
    ]
    entries = reconciled("/entries", until=NOON.date())
    told = [(one["level"], one["entity_id"], one["why"], one["amount_minor"]) for one in entries]
    assert told == [("L1", "4", "timing", 1000), ("L3", "ch_2", "rounding", -1), ("L3", "ch_3", "timing", 1200)]
    later(core, days=4)
    paid_out = [*reconciled(level="L3", since="2026-03-05"), *reconciled(level="L4", since="2026-03-05")]
    assert cells(paid_out, *figures) == [
        ("L3", "net", 2401, 2283, 0, 118, 0, 0), ("L4", "payout", 2283, 2283, 0, 0, 0, 0),
    ]  # fmt: skip
    assert {kind for kind, _, _ in estate.exceptions()} == {"backorder"}
    variance = [one for one in slas.load() if one.name == "reconciliation_variance"]
    Measurer(Queries(storage), variance, lambda: core.now).tick(core.now)
    with answering(storage, lambda: core.now, free_port()) as lineage:
        told = lineage.get("/v1/slas/reconciliation_variance").json()
        items = lineage.get("/v1/slas/reconciliation_variance/items").json()["items"]
    assert "not reconciled" not in {one["reason"] for one in items}, "of a day on which only money moved, too"
    decided = {one["kind"]: one["good"] + one["bad"] for one in told["segments"] if one["kind"]}
    assert set(decided) == {"L0", "L1", "L2", "L3", "L4", "L5"}
    assert sum(decided.values()) == told["tile"]["good"] + told["tile"]["bad"]
    past = NOON - dt.timedelta(days=9)
    estate.tell(goods_in("D-PAST", {"A1": 1}), at=past, provenance="generated")
    days = [one["reconciled_at"][:10] for one in reconciled(until=past.date())]
    assert set(days) == {f"{past.date() + dt.timedelta(days=1)}"}, "a day that is made up is reconciled when it ended"


@pytest.mark.proves(14, 146, 148)
def test_each_legal_entity_has_its_own_erp_close_and_reconciliation(
    http: httpx.Client, core: Core, estate: Estate, reconciled: Ask, erp: httpx.Client, stores_erp: httpx.Client
) -> None:
    def kept() -> list[dict[str, int]]:
        told = [one.get("/v1/stats").json()["by_kind"] for one in (erp, stores_erp)]
        return [{kind: count for kind, count in by_kind.items() if count} for by_kind in told]

    def shipped() -> list[tuple[Any, ...]]:
        figures = ("legal_entity", "left_minor", "right_minor", "timing_minor", "unexplained_minor")
        return sorted(cells(reconciled(level="L2", until=NOON.date()), *figures))[-2:]

    def waiting(entity: str) -> int:
        told = http.get("/v1/periods/2026-03", params={"legal_entity": entity}).json()
        [point] = [one for one in told["points"] if one["name"] == "not in the ERP"]
        count: int = point["count"]
        return count

    estate.tell(*(terms(channel, sales_orders=True) for channel in ("web", "till")))
    for place in ("WH1", "ST9"):
        estate.tell(LocationRegistered(origin="shop", location=place, kind="warehouse", goods_to_erp=True))
    assert stores_erp.post("/v1/chaos", json={"down_seconds": 3600}).status_code == 200
    for number, place, channel in (("1", "WH1", "web"), ("2", "ST9", "till")):
        estate.tell(goods_in(f"D{number}", {"A1": 1}, location=place), order(number, location=place, channel=channel))
        estate.tell(payment(number), shipment(number, location=place))
    later(core, days=1)
    assert shipped() == [
        ("L2", "shipment", "main", 1400, 1400, 0, 0), ("L2", "shipment", "stores", 1400, 0, 1400, 0),
    ]  # fmt: skip
    whole = {"receipt": 1, "order": 1, "shipment": 1, "sales_order": 1, "goods_movement": 2}
    assert kept() == [whole, {}], "the one that is away holds up nothing of the other"
    assert (waiting("main"), waiting("stores")) == (0, 6)
    wrong = {"shop:shipment/S2": "unbalanced"}
    assert stores_erp.post("/v1/chaos", json={"down_seconds": 0, "wrong": wrong}).status_code == 200
    later(core, seconds=120)
    told = shipped()
    assert (told[0], told[1][-1] != 0) == (("L2", "shipment", "main", 1400, 1400, 0, 0), True)
    assert kept() == [whole, whole]
    assert [kind for kind, _, _ in estate.exceptions() if kind.startswith("erp_")] == ["erp_unbalanced"]
    assert waiting("stores") == 0


@pytest.mark.proves(147, 148)
def test_cash_of_stores_is_in_transit_until_the_bank_has_counted_it(
    http: httpx.Client, core: Core, estate: Estate, reconciled: Ask, give: Give
) -> None:
    def collected(slip: str, bag: str, minor: int) -> FinanceRecorded:
        where = {"location": "store 17", "reference": bag, "origin": "pos"}
        return fact("cash_collected", slip, amounts={"amount": minor}, **where)

    def wrong() -> list[tuple[str, str, int]]:
        return sorted(one for one in estate.exceptions() if one[1] == "treasury")

    estate.tell(collected("z-17", "BAG-9", 21600), collected("z-18", "BAG-10", 5000), collected("z-19", "BAG-11", 3000))
    estate.tell(collected("z-20", "BAG-12", 700))
    give("camt053", camt053(("216.00", "", "CASH BAG-9 STORE 17"), ("48.00", "BAG-10", ""), ("7.00", "", "CASH"),
                            closing="271.00"))  # fmt: skip
    later(core, days=1)
    figures = ("left_minor", "right_minor", "timing_minor", "unexplained_minor")
    today = {"level": "L4", "until": NOON.date()}
    assert cells(reconciled(**today), *figures) == [("L4", "cash", 30300, 26400, 3900, 0)]
    assert (core.balance("assets:cash:in transit"), core.balance("assets:bank unidentified")) == (3900, -700)
    later(core, days=6)
    assert cells(reconciled(**today), *figures) == [("L4", "cash", 30300, 26400, 0, 3900)]
    assert wrong() == [
        ("bank_line_unmatched", "treasury", 700), ("deposit_missing", "treasury", 700),
        ("deposit_missing", "treasury", 3000), ("deposit_short", "treasury", 200),
    ]  # fmt: skip
    assert estate.sound()
    sides = http.get("/v1/settlements/open").json()
    [line_of_bank] = [one["id"] for one in sides if one["side"] == "line"]
    [bag] = [one["id"] for one in sides if one["reference"] == "BAG-12"]
    by_hand = {"by": "ann", "reason": "the only one of 7.00", "lines": [line_of_bank], "items": [bag]}
    assert http.post("/v1/settlements/match", json=by_hand).status_code == 200
    give("camt053", camt053(("30.00", "BAG-11", ""), opening="271.00", closing="301.00", number="ST-2"))
    assert cells(reconciled(**today), *figures) == [("L4", "cash", 30300, 30100, 0, 200)]
    assert wrong() == [("deposit_short", "treasury", 200)]
    assert (core.balance("assets:cash:in transit"), core.balance("assets:bank unidentified")) == (200, 0)
    assert estate.sound()


@pytest.mark.proves(152)
def test_what_is_wrong_is_named_until_it_is_right_and_each_run_can_be_asked_for_again(
    core: Core, estate: Estate, erp: httpx.Client, reconciled: Ask, give: Give, journey: Tell
) -> None:
    wrong_ones = {"shop:order/1": "unbalanced", "shop:order/2": "period"}
    assert erp.post("/v1/chaos", json={"wrong": wrong_ones}).status_code == 200
    sold(estate, "1", "2")
    other_tax = ControlDocument(number="1", amount_minor=1000, tax_minor=150)
    estate.tell(control_total(documents=[*control_total("W9").documents, other_tax]))
    later(core, days=1)
    reconciled()
    core.change("alter table core.journal_lines disable trigger all",
                "update core.journal_lines set amount_minor = amount_minor - 5 where kind = 'goods'")  # fmt: skip
    give("stripe_payouts", stripe(("charge", "ch_1", "12.00", "0.59"), ("fee", "ch_1", "-0.59", "0")))
    later(core, days=5)
    wrong = reconciled("/entries", why="unexplained")
    named = {(one["level"], one["cause"], one["entity_id"]): (one["amount_minor"], one["origin"]) for one in wrong}
    assert named == {
        ("L0", "order_missing", "W9"): (1000, "shop"),
        ("L0", "order_not_at_source", "2"): (-1000, "shop"),
        ("L0", "tax_differs", "1"): (-50, "shop"),
        ("L1", "journal_differs", "1"): (-5, "shop"),
        ("L1", "journal_differs", "2"): (-5, "shop"),
        ("L2", "erp_unbalanced", "order/1"): (200, "shop"),
        ("L2", "erp_wrong_period", "order/2"): (1200, "shop"),
        ("L3", "fee_doubled", "ch_1"): (59, "shop"),
    }
    opened = estate.exceptions()
    assert Counter((kind, amount) for kind, _, amount in opened if kind != "backorder") == Counter(
        (cause, abs(amount)) for (_, cause, _), (amount, _) in named.items()
    )
    assert {owner for kind, owner, _ in opened if kind == "fee_doubled"} == {"payments"}
    [missing] = [hop for hop in journey("W9").hops if hop.milestone == "opened"]
    assert "order W9 of 10.00 GBP stands in the channel's list and never came" in missing.reason
    [before] = reconciled(level="L0", unexplained=True, currency="GBP")[:1]
    estate.tell(control_total("1", "2", document_id="L2"), at=NOON + dt.timedelta(hours=1))
    assert reconciled(level="L0", unexplained=True) == []
    assert not {"order_missing", "order_not_at_source", "tax_differs"} & {kind for kind, _, _ in estate.exceptions()}
    again = reconciled(level="L0", unexplained=True, as_of=before["reconciled_at"])
    assert again[0] == before, "what was said then can be asked for again"
    assert [one["run"] for one in reconciled(level="L0", until=NOON.date())] == [2, 2]


@pytest.mark.proves(153)
def test_discounts_taxes_refunds_gift_cards_and_adjusted_stock_each_stand_in_two_books(
    core: Core, estate: Estate, reconciled: Ask
) -> None:
    issued = GiftCardIssued(origin="pos", card_id="G1", amount_minor=5000, currency="GBP", channel="web",
                            location="WH1", provider="stripe", payment_id="ch_g1")  # fmt: skip
    discount = line("PROMO", price_minor=-100, kind="discount")
    tender = Tender(kind="gift_card", amount_minor=1080, card_id="G1", issuer="pos")
    estate.tell(goods_in(), adjustment(), issued, msgspec.structs.replace(issued, card_id="G2", payment_id="ch_g2"))
    estate.tell(order("1", line(), discount, tax_minor=180), payment("1", 1080, tenders=(tender,)), shipment("1"))
    stated = ControlDocument(number="1", amount_minor=900, tax_minor=180)
    estate.tell(goods_back("R1", order_id="1"), control_total(documents=[stated]))
    later(core, days=1)
    figures = ("left_minor", "right_minor", "unexplained_minor")
    both = cells(reconciled(until=NOON.date()), *figures)
    assert {
        ("L0", "tax", 180, 180, 0), ("L1", "order", 900, 900, 0), ("L5", "refunds", 1000, 1000, 0),
        ("L5", "gift_cards", 8920, 8920, 0), ("L5", "good", 1200, 1200, 0),
    } <= set(both)  # fmt: skip
    core.change(
        "alter table core.journal_lines disable trigger all",
        "update core.journal_lines set amount_minor = amount_minor - 3 where kind = 'discount'",
        "update core.gift_cards set balance_minor = balance_minor + 1 where card_id = 'G2'",
        "update core.returns set approved_minor = approved_minor + 7",
        "update core.stock set good = good + 1 where sku = 'A1'",
        "insert into core.touched_days (business_date) values ('2026-03-02')",
    )
    estate.tell(control_total(documents=[msgspec.structs.replace(stated, tax_minor=150)], document_id="L2"))
    later(core, days=1)
    wrong = reconciled("/entries", until=NOON.date(), why="unexplained")
    assert sorted((one["cause"], one["entity_id"], one["amount_minor"]) for one in wrong) == [
        ("journal_differs", "1", -3), ("stock_value_differs", "WH1/good", 400), ("subledger_differs", "R1", 7),
        ("subledger_differs", "pos:G2", 1), ("tax_differs", "1", -30),
    ]  # fmt: skip
    named = Counter(kind for kind, _, _ in estate.exceptions())
    assert (named["subledger_differs"], named["journal_differs"], named["tax_differs"]) == (2, 1, 1)
