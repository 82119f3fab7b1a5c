"""The demo as a newcomer starts it: promises measured, numbers that open, pages, faults by hand, a clean stop."""

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.demos import PATIENCE_SECONDS, PORTS, Demo, is_free, running


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(2)


def exceptions(demo: Demo, kind: str) -> list[str]:
    """What exceptions of a kind are about, resolved ones too."""
    url, found = f"http://127.0.0.1:{demo.port_base + 1}/v1/exceptions", []
    for state in ("open", "resolved"):
        answer = httpx.get(url, timeout=60, params={"kind": kind, "state": state, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found += [one["entity_id"] for one in answer.json()]
    return found


def told_of_refund(demo: Demo) -> list[dict[str, Any]]:
    """What the product tells of the refund of the first incident, hop by hop."""
    asked = {"id": demo.first_refund().refund_id}
    answer = httpx.get(f"{demo.url}/v1/transactions", timeout=60, params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["hops"]
    return found


@pytest.mark.long
def test_a_newcomer_sees_promises_numbers_and_an_alert() -> None:
    with running(days=4) as demo:
        demo.awaits("RESOLVED refund not in the ledger")
        refunded = told_of_refund(demo)
        parts = [hop["amount"]["amount_minor"] for hop in refunded if hop["name"] == "settlement.match"]
        assert len(parts) == 2, "partly in a settlement, and the rest in another"
        assert [hop["outcome"] for hop in refunded if hop["name"] == "refund.issue"] == ["ok"], "seen in the shop"
        assert any(hop["name"] == "posting.send" and "is held" in str(hop["attempts"]) for hop in refunded), "late"
        segments = httpx.get(f"{demo.url}/v1/slas/order_to_posting", timeout=60).json()["segments"]
        assert len({one["location"] for one in segments if one["channel"] == "store" and one["location"]}) >= 300
        assert {"web", "amazon", "walmart"} <= {one["channel"] for one in segments}
        for kind in ("pickup-still-shown", "promotion-early", "refund-unposted"):
            caused = demo.faults(kind, "--for", "20s")
            assert caused.returncode == 0, caused.stderr
            demo.awaits(f"{kind} for 20 s")
        until(lambda: any(one.startswith("1080") for one in exceptions(demo, "backorder")))
        until(lambda: len(exceptions(demo, "backorder")) > 10)
        until(lambda: len(exceptions(demo, "refund_not_posted")) == 1)
        assert demo.command("verify").returncode == 0
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(120) == 0
        assert not (demo.home / "postgres" / "postmaster.pid").exists()
        assert all(map(is_free, range(demo.port_base, demo.port_base + PORTS)))
        printed = demo.printed
    assert re.search(r"\d+ s +the first page with data; measured:.*refund_to_ledger (?!no_data)", printed), printed
    assert printed.count("/ui/transaction/") == 3, printed
    assert "PAGE for Finance operations: refund not in the ledger by its deadline" in printed
    assert re.search(r"[1-9]\d* pages, [1-9]\d* resolved", printed), printed
