"""The demo wipes only what is its own; its pager passes each page on once."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from alerts.page import Page
from tallytrace.cli import app
from tallytrace.demo import MARKER, DemoError, Ports, cause, prepare_home, require_free, sla_states
from tallytrace.estate.kinds import KINDS
from tallytrace.pager import Pager, serving


def test_a_demo_of_before_is_wiped(tmp_path: Path) -> None:
    home = tmp_path / "var" / "demo"
    prepare_home(home)
    (home / "erp.jsonl").write_text("old")
    prepare_home(home)
    assert [path.name for path in home.iterdir()] == [MARKER]


def test_what_is_not_a_demos_stays(tmp_path: Path) -> None:
    (tmp_path / "books.txt").write_text("mine")
    with pytest.raises(DemoError, match="holds something that is not a demo's"):
        prepare_home(tmp_path)
    assert (tmp_path / "books.txt").read_text() == "mine"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = Ports(0, 0, 0, 0, taken.getsockname()[1], 0, 0)
        with pytest.raises(DemoError, match=rf"port {ports.pager} \(pager\) is taken"):
            require_free(ports)


def test_a_fault_needs_a_demo_that_runs(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="no demo runs in"):
        cause(tmp_path, "erp-outage", 60)
    told = CliRunner().invoke(app, ["demo", "fault", "erp-crash"])
    assert told.exit_code == 2
    assert all(kind in told.output for kind in KINDS)


def test_states_of_promises() -> None:
    body = b'[{"name":"stock_freshness","state":"meeting","value":1},{"name":"refund_to_ledger","state":"no_data"}]'
    assert sla_states(body) == {"stock_freshness": "meeting", "refund_to_ledger": "no_data"}


def test_a_page_is_passed_on_once_and_kept() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    sent = Page(
        dedup_key="k", transition="page", rule="r", severity="major", owner="finance", owner_title="Finance",
        told_because="", channel="web", what="refund late", why="1 overdue", since=now, at=now, overdue_open=1,
        at_risk=(), items=(), next_step="look", link="http://x", text="all of it",
    )  # fmt: skip
    heard: list[Page] = []
    with serving(Pager(heard.append), 0) as url, httpx.Client() as client:
        body = msgspec.json.encode(sent)
        statuses = [client.post(url, content=body, headers={"Idempotency-Key": "k:page"}).status_code for _ in range(2)]
        statuses.append(client.post(url, json={"what": 1}, headers={"Idempotency-Key": "x"}).status_code)
        assert msgspec.json.decode(client.get(url).content, type=list[Page]) == [sent]
    assert statuses == [202, 200, 400]
    assert heard == [sent]
