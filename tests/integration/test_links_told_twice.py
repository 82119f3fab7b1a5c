"""Links that came twice, and of which the engine has not merged the copies yet."""

from pathlib import Path

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage.queries import Queries
from tests.hops import Hops


def test_what_is_summed_up_of_links_counts_each_once(storage: Storage, tmp_path: Path) -> None:
    storage.execute("SYSTEM STOP MERGES links")
    payout = correlation_id("uci", "po_twice")
    links = [
        ("link", {"from": payout.hex(), "to": correlation_id("uci", f"T{number}").hex(), "kind": "settles",
                  "evidence": f"sale {number}", "by": "matching", "amount_minor": f"{100 + number}", "currency": "GBP"})
        for number in range(3)
    ]  # fmt: skip
    hops = Hops()
    hops.hop(payout, "settlement.match", "2026-03-30 09:00:00", "settlement", "po_twice", "matched", events=links)
    for _ in range(2):
        hops.store(storage, tmp_path)
    ((stored,),) = storage.query("SELECT count() FROM links WHERE of_id = unhex({id:String})", {"id": payout.hex()})
    assert stored == 6, "both copies are there"
    (sums,) = Queries(storage).linked_sums(payout.hex())
    assert (sums.transactions, dict(sums.amounts)) == (3, {"GBP": 303})
