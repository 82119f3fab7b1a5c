"""An evaluator is killed while it delivers: no page is lost, and only what had no answer yet comes twice."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from alerts.store import Store
from tests.evaluator_process import evaluating
from tests.receivers import receiving

CHANNELS = ("web", "store", "marketplace", "trade", "dotcom", "outlet")
LEASE_SECONDS = 61
PATIENCE_SECONDS = 120


def until(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_in_mid_delivery_no_page_is_lost_and_each_is_resolved_once(postgres_url: str, home: Path) -> None:
    with closing(Store.connect(postgres_url)) as store:
        store.migrate()
    overdue = home / "overdue.json"
    overdue.write_bytes(msgspec.json.encode(dict.fromkeys(CHANNELS, 1)))
    with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.http_port}/pages"
        with evaluating(postgres_url, overdue, url) as killed:
            receiver.took = lambda: killed.kill() if len(receiver.keys) == 3 else None
            assert killed.wait(PATIENCE_SECONDS) == -9
        assert len(receiver.keys) == 3
        with (
            evaluating(postgres_url, overdue, url, LEASE_SECONDS) as one,
            evaluating(postgres_url, overdue, url, LEASE_SECONDS) as other,
        ):
            until(lambda: len(set(receiver.keys)) == len(CHANNELS))
            overdue.write_bytes(b"{}")
            until(lambda: sum(key.endswith(":resolve") for key in receiver.keys) >= len(CHANNELS))
            time.sleep(1)
            assert (one.poll(), other.poll()) == (None, None)
    came = Counter(receiver.keys)
    assert Counter(key.rpartition(":")[2] for key in came) == {"page": len(CHANNELS), "resolve": len(CHANNELS)}
    twice = [key for key, times in came.items() if times > 1]
    assert twice == [receiver.keys[2]]  # it was taken, and nobody lived to hear so
    assert came[receiver.keys[2]] == 2
    assert {body["channel"] for _, body in receiver.heard if body["transition"] == "page"} == set(CHANNELS)
