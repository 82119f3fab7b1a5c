"""One real retail year, every cell of its table (counted beforehand by two other programs, in exact arithmetic)."""

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallytrace.faults import NAMED
from tests.acceptance.conftest import Installation
from tests.factories import cloudevent, line, order

pytestmark = pytest.mark.long

TABLE = [
    ("goods sold", 527_761, 5_577_103, 1_027_143_306),
    ("goods given free in orders", 400, 15_149, 0),
    ("gift vouchers sold", 31, 33, 68_581),
    ("shipping charged", 1_974, 3_999, 29_140_165),
    ("manual charges", 328, 7_231, 7_811_282),
    ("fees, positive", 14, 14, 1_392_609),
    ("samples, positive", 2, 2, 6_305),
    ("bad debt", 3, 3, -1_106_206),
    ("stock adjustment, goods, plus", 762, 52_876, 0),
    ("stock adjustment, goods, minus", 1_336, -206_957, 0),
    ("stock adjustment, not goods", 10, 4_571, 0),
    ("credit, goods, matched", 7_483, -250_677, -45_058_178),
    ("- cancelled before shipment", None, -174_714, -28_236_769),
    ("- returned", None, -75_963, -16_821_409),
    ("credit, shipping", 129, -150, -1_193_953),
    ("credit, discount", 77, -1_194, -569_622),
    ("credit, manual", 244, -4_066, -14_678_446),
    ("credit, fees", 73, -73, -25_055_566),
    ("credit, samples", 61, -61, -311_244),
    ("credit, goods, parked", 1_221, -21_353, -2_814_240),
    ("- parked: no customer", None, -2_546, -432_085),
    ("- parked: no earlier sale", None, -18_198, -2_277_138),
    ("- parked: uncovered rest", None, -609, -105_017),
]
DETAILS = {
    "- cancelled before shipment": "567 pieces, 197 credit notes, 198 orders",
    "- returned": "7077 pieces, 2901 credit notes, 3032 orders",
    "credit, goods, parked": "1272 items",
    "- parked: no customer": "165 items, 165 whole lines",
    "- parked: no earlier sale": "1056 items, 1056 whole lines",
    "- parked: uncovered rest": "51 items, 0 whole lines",
}
DOCUMENTS = {"orders": 19_785, "charges": 178, "stock adjustments": 2_098, "credit notes": 3_836, "bad debt": 3}
GIANTS = {"541431": 7_718_360, "581483": 16_846_960}  # 74,215 and 80,995 units


def test_the_whole_year(product: Installation, real_year: Path) -> None:
    outcome = product.replay(real_year)
    assert (outcome["file"]["lines"], outcome["file"]["error"]) == (541_909, "")
    report = product.json("verify", "--by-kind")
    rows = report["by_kind"]["rows"]
    assert [(row["name"], row["lines"], row["units"], row["amount_minor"]) for row in rows] == TABLE
    assert {row["name"]: row["detail"] for row in rows if row["detail"]} == DETAILS
    assert report["by_kind"]["documents"] == DOCUMENTS
    assert (report["by_kind"]["posted_minor"], report["by_kind"]["parked_minor"]) == (977_589_033, -2_814_240)
    assert report["by_kind"]["residue_micros"] == 4_000
    assert [fault for check in report["checks"] for fault in check["faults"]] == []
    for number, amount in GIANTS.items():
        journey = httpx.get(f"{product.plane}/v1/transactions/{number}", timeout=30).json()
        told = [(hop["name"], hop["milestone"], hop["owner"]) for hop in journey["hops"]]
        assert ("inventory.reserve", "backordered", "inventory") in told, told
        assert any(name == "order.cancel" and milestone == "cancelled" for name, milestone, _ in told), told
        assert journey["header"]["amount"]["amount_minor"] == amount
    promises_agree(product)
    before = product.journal()
    again = product.replay(real_year)
    assert (again["file"]["accepted"], again["file"]["duplicates"]) == (0, outcome["file"]["messages"])
    assert product.journal() == before
    exported = product.run("export", "journal", "--format", "hledger").stdout
    checked = subprocess.run(
        ["hledger", "-f", "-", "check"], input=exported, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


FIGURES = ("value", "good", "bad", "pending", "excused", "overdue_open", "state")
PLACE = ("channel", "location", "provider", "kind")
DAY = "2011-11-30"


def promises_agree(product: Installation) -> None:
    """API, command line, report and OpenSLO say the same to the digit; a report stands when a late fact has come."""
    product.wait_for(lambda: not product.status()["days_to_reconcile"], 120)
    product.wait_for(lambda: len(whole(product, "sla", "--day", DAY)) > 10, 120)
    product.wait_for(lambda: settled(product), 180)
    tiles = {one["name"]: one for one in httpx.get(f"{product.plane}/v1/slas", timeout=30).json()}
    decided = [name for name, one in tiles.items() if one["good"] or one["bad"]]
    assert len(decided) > 10, decided
    assert {one["name"]: one for one in product.json("sla")} == tiles
    for document in map(json.loads, product.run("sla", "--openslo").stdout.split("---\n")[1:]):
        tile, told = tiles[document["metadata"]["name"].replace("-", "_")], document["metadata"]["annotations"]
        assert document["spec"]["objectives"][0]["target"] == tile["target"]
        for figure in ("good", "bad", "pending", "overdue_open", "state"):
            assert told[f"tallytrace/{figure}"] == str(tile[figure]), tile["name"]
    asked = httpx.get(f"{product.plane}/v1/slas", params={"until": DAY}, timeout=30).json()
    report = whole(product, "sla", "--day", DAY)
    assert {one["name"]: pick(one) for one in asked if one["as_of"]} == report
    known_at = datetime.now(UTC).isoformat()
    late = order("LATE-1", line(sku="22423", quantity=1), origin="late", channel="trade", location="GB-WH1")
    at = datetime(2011, 11, 30, 12, tzinfo=UTC)
    body = cloudevent(late, "late/1", at=at, provenance="generated")  # on its own clock, as all of the file
    assert httpx.post(f"{product.core}/v1/events", json=[body], timeout=30).status_code == 202
    product.wait_for(lambda: whole(product, "sla", "--day", DAY) != report, 180)
    assert whole(product, "sla", "--day", DAY, "--known-at", known_at) == report


def whole(product: Installation, *asked: str) -> dict[str, dict[str, Any]]:
    """What a report says of each promise, of all segments together."""
    return {one["sla"]: pick(one) for one in product.json(*asked) if not any(one[by] for by in PLACE)}


def pick(of: dict[str, Any]) -> dict[str, Any]:
    return {name: of[name] for name in FIGURES}


def settled(product: Installation) -> bool:
    """Whether a minute passed in which no promise was found otherwise, now or at a past midnight."""
    seen = [(product.json("sla"), product.json("sla", "--day", DAY))]
    time.sleep(65)
    return seen == [(product.json("sla"), product.json("sla", "--day", DAY))]


def test_the_year_agrees_with_what_others_state_and_each_planted_fault_is_named(
    product: Installation, real_year: Path
) -> None:
    done = product.run("faults", str(real_year), "--seed", "11", "--json", timeout=3600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    wrong = product.json("reconcile", "--unexplained", "--entries")
    named = {one["cause"] for one in wrong}
    assert named <= set(NAMED.values()), "and nothing else differs"


def test_the_year_settles_without_an_unexplained_penny(product: Installation, real_year: Path) -> None:
    done = product.run("faults", str(real_year), "--clean", "--json", timeout=3600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    cells = product.json("reconcile", "--limit", "20000")
    assert {one["level"] for one in cells} == {"L0", "L1", "L2", "L3", "L4", "L5"}
    assert [one for one in cells if one["unexplained_minor"]] == []
