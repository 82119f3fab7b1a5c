"""A file of trade goes in; every line of it comes out of the books, once, and any number of it tells its story."""

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tallytrace import postgres
from tests.acceptance import trade
from tests.acceptance.conftest import HTTP, Installation, installation


@pytest.fixture(scope="module")
def replayed(free_port: Callable[[], int]) -> Iterator[Installation]:
    """A product into which the small file was replayed once."""
    with installation(free_port) as one:
        outcome = one.replay(trade.written(one.home / "trade.csv.gz"))
        assert outcome["file"]["error"] == ""
        yield one


@pytest.mark.proves(34, 130, 142, 146, 154)
def test_every_line_of_the_file_is_in_the_books_by_kind(replayed: Installation) -> None:
    report = replayed.json("verify", "--by-kind")
    rows = [(row["name"], row["lines"], row["units"], row["amount_minor"]) for row in report["by_kind"]["rows"]]
    assert rows == list(trade.POSTED)
    assert report["by_kind"]["documents"] == trade.DOCUMENTS
    assert report["by_kind"]["posted_minor"] + report["by_kind"]["parked_minor"] == sum(
        amount for name, _, _, amount in trade.POSTED if not name.startswith("-")
    )
    assert [fault for check in report["checks"] for fault in check["faults"]] == []


@pytest.mark.proves(35, 179)
def test_a_second_replay_is_all_duplicates_and_changes_nothing(replayed: Installation) -> None:
    before = replayed.journal()
    outcome = replayed.replay(trade.written(replayed.home / "trade.csv.gz"))
    assert outcome["file"]["accepted"] == 0
    assert outcome["file"]["duplicates"] == outcome["file"]["messages"] > len(trade.DOCUMENTS)
    assert replayed.journal() == before
    assert replayed.run("verify").returncode == 0


@pytest.mark.proves(155, 287)
def test_an_outside_auditor_agrees(replayed: Installation) -> None:
    exported = replayed.run("export", "journal", "--format", "hledger").stdout
    checked = subprocess.run(
        ["hledger", "-f", "-", "check"], input=exported, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    balance = subprocess.run(
        ["hledger", "-f", "-", "balance", "liabilities:refunds:approved", "-N", "--flat"],
        input=exported, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert balance.stdout.strip() == "", "every approved refund was paid"


@pytest.mark.proves(207, 208, 209, 73)
def test_a_number_tells_the_whole_story_in_the_terminal_and_over_http(replayed: Installation) -> None:
    told = replayed.run("trace", "600001")
    assert told.returncode == 0, told.stderr
    for words in ("order 600001", "C600008", "-13.75", "Nothing more is expected"):
        assert words in told.stdout, told.stdout
    journey = httpx.get(f"{replayed.plane}/v1/transactions/C600008").json()
    assert journey["header"]["reference"] == "C600008"
    assert [hop["name"] for hop in journey["hops"]].count("posting.send") == 2
    related = {one["reference"]: one["link"] for one in journey["related"]}
    assert related == {"600001": "returns"}
    assert [(one["sku"], one["amount"]["amount_minor"]) for one in journey["parked"]] == [("Z9", -800)]


def test_an_unknown_number_is_answered_with_near_ones(replayed: Installation) -> None:
    answer = httpx.get(f"{replayed.plane}/v1/transactions/60001")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "600001" in {one["key_value"] for one in answer.json()["suggestions"]}
    told = replayed.run("trace", "c600008 ")
    assert "C600008" in told.stdout


@pytest.mark.proves(262, 204)
def test_a_malformed_event_is_refused_with_the_field_named(replayed: Installation) -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "shop", "type": "tallytrace.order.captured.v1",
        "time": "2026-01-01T10:00:00Z",
        "data": {
            "origin": "shop", "order_id": "1", "channel": "web", "location": "WH1", "currency": "GBP",
            "lines": [{"sku": "A1", "quantity": "two", "amount_minor": 100}],
        },
    }  # fmt: skip
    answer = httpx.post(f"{replayed.core}/v1/events", json=event)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "data.lines[0].quantity"
    assert "int" in answer.json()["detail"]


@pytest.mark.proves(246, 247, 234, 215)
def test_three_promises_are_measured_and_agree_with_the_books(replayed: Installation) -> None:
    names = ("refund_to_ledger", "reconciliation_variance", "stock_freshness")

    def measured() -> bool:
        if replayed.status()["days_to_reconcile"]:
            return False
        tiles = {tile["name"]: tile for tile in HTTP.get(f"{replayed.plane}/v1/slas").json()}
        if any(tiles[name]["state"] == "no_data" for name in names):
            return False
        # a day counts as not reconciled until it was, and is measured again within a minute
        agreed, cells = tiles["reconciliation_variance"], HTTP.get(f"{replayed.plane}/v1/reconciliation").json()
        return (agreed["good"], agreed["bad"]) == (len(cells), 0) and not any(one["unexplained_minor"] for one in cells)

    replayed.wait_for(measured, 90)
    tiles = {tile["name"]: tile for tile in replayed.json("sla")}
    assert (tiles["refund_to_ledger"]["good"], tiles["refund_to_ledger"]["bad"]) == (3, 0)
    assert tiles["reconciliation_variance"]["good"] >= 2 * trade.DAYS
    posted = tiles["order_to_posting"]  # the order that is vouchers alone has nothing to post when it leaves
    assert (posted["good"], posted["bad"], posted["excused"], posted["overdue_open"]) == (3, 0, 1, 0)


def test_exceptions_are_tried_dry_and_assigned_together_on_record(replayed: Installation) -> None:
    chosen = ("--kind", "return_without_sale", "--by", "ann", "--reason", "the receipts are with bob", "--to", "bob")
    tried = replayed.json("act", "assign", *chosen, "--dry-run")
    assert (tried["dry_run"], tried["done"], tried["worth"]) == (True, 2, {"GBP": 1300})
    assert "2 done, 13.00 GBP" in replayed.run("act", "assign", *chosen).stdout
    [one, _] = tried["outcomes"]
    [record] = replayed.json("exceptions", "--history", one["exception_id"])
    assert (record["by"], record["action"], record["to"]) == ("ann", "assign", "bob")
    refused = replayed.run("act", "resolve", "--by", "ann", "--reason", "all")
    assert refused.returncode == 2
    assert "field where" in refused.stderr


BROKEN = {
    "malformed.csv": (8, "600099,A1,X,many,2011-03-02 08:40:00,1.00,,UK", 9, "many"),
    "columns.csv": (0, "InvoiceNo,StockCode,Colour", 1, "columns"),
}
"""Before which row of the file a bad one is put, the row, the line that must be named, and a word of the reason."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_line_is_named_and_what_stands_before_it_is_kept(
    name: str, replayed: Installation, tmp_path: Path
) -> None:
    at, row, line, words = BROKEN[name]
    rows = trade.text().splitlines()
    path = tmp_path / name
    path.write_text("\n".join([*rows[:at], row, *rows[at:]]) + "\n")
    done = replayed.run("replay", str(path))
    assert done.returncode == 1
    assert f"{name}, line {line}" in done.stderr
    assert words in done.stderr
    assert replayed.run("verify").returncode == 0


@pytest.mark.long
def test_a_counter_that_drifted_is_shown_repaired_on_record_and_verified(replayed: Installation) -> None:
    with postgres.serving(replayed.home) as url, psycopg.connect(url, autocommit=True) as tampered:
        [(sku, location, good)] = tampered.execute(
            "update core.stock set good = good + 7 where good > 0 and (sku, location) in"
            " (select sku, location from core.stock where good > 0 order by 1, 2 limit 1)"
            " returning sku, location, good - 7"
        ).fetchall()
        found = replayed.run("verify")
        assert (found.returncode, f"stock {sku} at {location}: good {good + 7}" in found.stdout) == (1, True)
        assert replayed.run("verify", "--repair", "--yes").returncode == 2
        why = ("--by", "ann", "--reason", "restored from a backup")
        unasked = replayed.run("verify", "--repair", *why)
        shown = f"{sku} at {location}: good {good + 7} to {good}"
        assert (unasked.returncode, f"would set {shown}" in unasked.stderr) == (1, True)
        repaired = replayed.run("verify", "--repair", "--yes", *why)
        assert (repaired.returncode, f"repaired  {shown}" in repaired.stderr) == (0, True), repaired.stderr
        [kept] = httpx.get(f"{replayed.core}/v1/audit/repairs").json()
        assert (kept["by"], kept["reason"], kept["before"]["good"]) == ("ann", "restored from a backup", good + 7)

        tampered.execute("update core.movement_lines set quantity = quantity + 1 where (movement_id, sku) in"
                         " (select movement_id, sku from core.movement_lines order by 1, 2 limit 1)")  # fmt: skip
        refused = replayed.run("verify", "--repair", "--yes", *why)
        assert refused.returncode == 1
        assert "is damaged" in refused.stdout
        assert "not repaired" in refused.stderr
        tampered.execute("update core.movement_lines set quantity = quantity - 1 where (movement_id, sku) in"
                         " (select movement_id, sku from core.movement_lines order by 1, 2 limit 1)")  # fmt: skip


@pytest.mark.proves(203)
def test_a_cut_file_is_kept_as_far_as_it_goes_and_taken_up_again(product: Installation, tmp_path: Path) -> None:
    whole = gzip.compress(trade.text().encode(), compresslevel=0)
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    done = product.run("replay", str(cut))
    assert done.returncode == 1
    assert "cut.csv.gz, line 1" in done.stderr
    assert "the gzip data ends or breaks here" in done.stderr
    kept = product.json("verify", "--by-kind")["by_kind"]["documents"]
    assert 0 < sum(kept.values()) < sum(trade.DOCUMENTS.values())

    latin = tmp_path / "latin.csv"
    latin.write_bytes(trade.text().replace("SOMETHING,-3", "S\u00d6METHING,-3").encode("latin-1"))
    done = product.run("replay", str(latin))
    assert done.returncode == 1
    assert "latin.csv, line 11: not UTF-8" in done.stderr

    outcome = product.replay(trade.written(tmp_path / "trade.csv.gz"))
    assert outcome["file"]["duplicates"] > 0
    report = product.json("verify", "--by-kind")
    rows = [(row["name"], row["lines"], row["units"], row["amount_minor"]) for row in report["by_kind"]["rows"]]
    assert rows == list(trade.POSTED)
    assert [fault for check in report["checks"] for fault in check["faults"]] == []
