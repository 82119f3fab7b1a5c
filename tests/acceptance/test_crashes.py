"""Processes die, the ERP goes away, rows are tampered with: nothing is lost or counted twice, and faults are named."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from tallytrace import postgres, synthetic_trade
from tests.acceptance import trade
from tests.acceptance.conftest import HTTP, Installation, installation

DROP_SPAN = "DELETE FROM tallytrace.spans WHERE span_id = unhex('{}')"
DOUBLE_SPAN = """
    INSERT INTO tallytrace.spans
    SELECT * REPLACE (start_time + INTERVAL 1 SECOND AS start_time) FROM tallytrace.spans WHERE span_id = unhex('{}')
"""
ENGINE = "import chdb, sys; chdb.connect(sys.argv[1]).query(sys.argv[2])"


def disturbed(product: Installation, file: Path, kills: list[str]) -> str:
    """The journal after a replay during which processes were killed, one after the other."""
    done: list[subprocess.CompletedProcess[str]] = []
    replay = threading.Thread(target=lambda: done.append(product.run("replay", str(file), timeout=900)))
    replay.start()
    for number, role in enumerate(kills, 1):
        product.wait_for(lambda share=number: progress(product, file) >= share / (len(kills) + 1), 600)  # type: ignore[misc]
        product.kill(role)
    replay.join()
    assert done[0].returncode == 0, done[0].stderr
    assert progress(product, file) == 1
    return product.journal()


def progress(product: Installation, file: Path) -> float:
    try:
        status = HTTP.get(f"{product.core}/v1/files/online_retail/{file.name}", timeout=30).json()
        return float(status["lines"] / status["lines_total"])
    except (httpx.HTTPError, KeyError, ZeroDivisionError):
        return 0.0


def check_kills(free_port: Callable[[], int], file: Path, kills: list[str]) -> None:
    with installation(free_port) as quiet:
        quiet.replay(file)
        expected = quiet.journal()
    with installation(free_port) as product:
        assert disturbed(product, file, kills) == expected
        verified = product.run("verify")
        assert verified.returncode == 0, verified.stdout


@pytest.mark.proves(202, 205)
def test_killed_processes_leave_the_same_books(free_port: Callable[[], int], tmp_path: Path) -> None:
    check_kills(free_port, synthetic_trade.write(tmp_path / "trade.csv", 8_000, seed=7), ["core", "plane"])


@pytest.mark.long
def test_killed_processes_leave_the_same_year(free_port: Callable[[], int], real_year: Path) -> None:
    check_kills(free_port, real_year, ["core", "plane", "core", "plane", "core", "plane"])


@pytest.mark.proves(189, 190, 193, 196)
def test_the_erp_is_away_and_orders_go_on(product: Installation, tmp_path: Path) -> None:
    product.stop_erp()
    path = trade.written(tmp_path / "trade.csv")
    sent = httpx.put(f"{product.core}/v1/files/online_retail/{path.name}", content=path.read_bytes(), timeout=60)
    assert sent.status_code == 202

    def waiting() -> bool:
        now = product.status()
        return bool(now["inbox_queued"] == 0 and now["outbox_waiting"] > 10 and now["erp"] == "down")

    product.wait_for(waiting, 60)
    assert [order["state"] for order in httpx.get(f"{product.core}/v1/orders/600001").json()] == ["shipped"]

    def lag_shows() -> bool:
        told = httpx.get(f"{product.plane}/v1/transactions/600001", timeout=30).json()
        return any(one["milestone"] == "erp_accepted" for one in told.get("expected", ()))

    product.wait_for(lag_shows, 30)
    product.start_erp()
    product.wait_until_drained()
    assert product.status()["outbox_refused"] == 0
    assert product.run("verify").returncode == 0


@pytest.mark.proves(214)
def test_one_corruption_of_each_kind_is_named(product: Installation, tmp_path: Path) -> None:
    product.replay(trade.written(tmp_path / "trade.csv"))
    product.stop()
    with postgres.serving(product.home) as url, psycopg.connect(url) as tampered:
        tampered.execute("set session_replication_role = replica")  # past the append-only trigger
        tampered.execute("update core.stock set good = good + 1 where sku = 'A1'")
        tampered.execute(
            "update core.journal_lines set amount_minor = amount_minor + 1"
            " where journal_id = 'online-retail:order/600002' and line_no = 1"
        )
        ids = [row[0] for row in tampered.execute("select span_ids from core.span_batches order by batch")]
    missing, doubled = ids[0][:8].hex(), ids[0][8:16].hex()
    for sql in (DROP_SPAN.format(missing), DOUBLE_SPAN.format(doubled)):
        subprocess.run([sys.executable, "-c", ENGINE, str(product.home / "clickhouse"), sql], check=True)
    verified = product.run("verify")
    assert verified.returncode == 1
    for fault in (
        "stock A1 at GB-WH1: good",
        "journal online-retail:order/600002 is off by 0.01",
        f"span {missing} was committed and is not stored",
        f"span {doubled} was committed 1 times and is stored 2 times",
    ):
        assert fault in verified.stdout, verified.stdout
