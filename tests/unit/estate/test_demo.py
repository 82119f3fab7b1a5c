"""The demo wipes only what is its own; its pager passes each page on once."""

import socket
from pathlib import Path

import httpx
import pytest

from tallytrace.demo import MARKER, DemoError, Ports, prepare_home, require_free, sla_states
from tallytrace.pager import Pager, Received, serving


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
        ports = Ports(0, 0, 0, 0, taken.getsockname()[1])
        with pytest.raises(DemoError, match=rf"port {ports.pager} \(pager\) is taken"):
            require_free(ports)


def test_states_of_promises() -> None:
    body = b'[{"name":"stock_freshness","state":"meeting","value":1},{"name":"refund_to_ledger","state":"no_data"}]'
    assert sla_states(body) == {"stock_freshness": "meeting", "refund_to_ledger": "no_data"}


def test_a_page_is_passed_on_once_and_kept() -> None:
    heard: list[Received] = []
    page = {"dedup_key": "k", "transition": "page", "text": "refund late", "more": [1]}
    with serving(Pager(heard.append), 0) as url, httpx.Client() as client:
        statuses = [client.post(url, json=page, headers={"Idempotency-Key": "k:page"}).status_code for _ in range(2)]
        statuses.append(client.post(url, json={"what": 1}, headers={"Idempotency-Key": "x"}).status_code)
        assert client.get(url).json() == [page]
    assert statuses == [202, 200, 400]
    assert heard == [Received("k", "page", "refund late")]
