"""The demo as a newcomer starts it: promises measured, numbers that open, pages, faults by hand, a clean stop."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.demos import PATIENCE_SECONDS, PORTS, Demo, is_free, running

pytestmark = pytest.mark.long


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(2)


def cause(demo: Demo, *kinds: str) -> None:
    for kind in kinds:
        caused = demo.faults(kind, "--for", "20s")
        assert caused.returncode == 0, caused.stderr
        demo.awaits(f"{kind} for 20 s")


def exceptions(demo: Demo, kind: str) -> list[str]:
    """What exceptions of a kind are about, resolved ones too."""
    url, found = f"http://127.0.0.1:{demo.port_base + 1}/v1/exceptions", []
    for state in ("open", "resolved"):
        answer = httpx.get(url, timeout=60, params={"kind": kind, "state": state, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found += [one["entity_id"] for one in answer.json()]
    return found


def told_of(demo: Demo, number: str) -> list[dict[str, Any]]:
    """What the product tells of a number, hop by hop."""
    asked = {"id": number}
    answer = httpx.get(f"{demo.url}/v1/transactions", timeout=60, params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["hops"]
    return found


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running(days=4) as one:
        one.awaits("the first page with data")
        yield one


@pytest.mark.proves(297)
def test_a_refund_is_seen_in_the_shop_partly_in_the_settlement_and_late_in_the_erp(demo: Demo) -> None:
    refunded = told_of(demo, demo.refund_in_parts().refund_id)
    assert [hop["outcome"] for hop in refunded if hop["name"] == "refund.issue"] == ["ok"], "seen in the shop"
    parts = [hop["amount"]["amount_minor"] for hop in refunded if hop["name"] == "settlement.match"]
    assert len(parts) == 2, "partly in a settlement, and the rest in another"
    assert any(hop["name"] == "posting.send" and "is held" in str(hop["attempts"]) for hop in refunded), "late"


@pytest.mark.proves(298)
def test_what_is_sold_before_its_stock_is_there_or_after_it_was_picked_up_is_somebodys(demo: Demo) -> None:
    before = set(exceptions(demo, "backorder"))
    cause(demo, "pickup-still-shown", "promotion-early")
    until(lambda: any(one.startswith("1080") for one in set(exceptions(demo, "backorder")) - before))
    until(lambda: len(set(exceptions(demo, "backorder")) - before) > 10)


def test_a_newcomer_sees_promises_numbers_and_an_alert(demo: Demo) -> None:
    segments = httpx.get(f"{demo.url}/v1/slas/order_to_posting", timeout=60).json()["segments"]
    assert len({one["location"] for one in segments if one["channel"] == "store" and one["location"]}) >= 300
    assert {"web", "amazon", "walmart"} <= {one["channel"] for one in segments}
    cause(demo, "refund-unposted")
    until(lambda: len(exceptions(demo, "refund_not_posted")) >= 1)
    assert demo.command("verify").returncode == 0
    assert re.search(r"\d+ s +the first page with data; measured:.*refund_to_ledger (?!no_data)", demo.printed)
    assert demo.printed.count("/ui/transaction/") == 3, demo.printed
    assert "PAGE for Finance operations: refund not in the ledger by its deadline" in demo.printed


def test_it_stops_clean_and_counts_its_pages(demo: Demo) -> None:
    """The last: it ends the demo."""
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(120) == 0
    assert not (demo.home / "postgres" / "postmaster.pid").exists()
    assert all(map(is_free, range(demo.port_base, demo.port_base + PORTS)))
    assert re.search(r"[1-9]\d* pages, [1-9]\d* resolved", demo.printed), demo.printed
