"""One real retail year, every cell of its table (counted beforehand by two other programs, in exact arithmetic)."""

import subprocess
from pathlib import Path

import httpx
import pytest

from tallytrace.faults import NAMED
from tests.acceptance.conftest import Installation

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
    before = product.journal()
    again = product.replay(real_year)
    assert (again["file"]["accepted"], again["file"]["duplicates"]) == (0, outcome["file"]["messages"])
    assert product.journal() == before
    exported = product.run("export", "journal", "--format", "hledger").stdout
    checked = subprocess.run(
        ["hledger", "-f", "-", "check"], input=exported, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


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
