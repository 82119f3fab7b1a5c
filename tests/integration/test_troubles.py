"""What stands failed in the store is what a plain reading of all its spans says."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.storage import Storage
from lineage.item_params import Window
from lineage.queries import Queries, held_by_hop
from lineage.rows import micros

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = NOW - timedelta(days=30)
GRACE = timedelta(minutes=15)
BAD = ("failed", "parked", "rejected", "dead_letter")
OUTCOMES = (*BAD, "ok", "ok", "compensated", "duplicate", "")
COLUMNS = ("correlation_id", "start_time", "span_id", "name", "entity", "entity_id", "stage", "outcome", "attempt",
           "reason", "status_message", "channel", "amount_minor", "currency", "customer_ref", "sku")  # fmt: skip


def spans(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    told = []
    for number in range(400):
        entity = chance.choice(["order", "order", "posting", "exception", ""])
        attempt = chance.randrange(1, 4)
        told.append({
            "correlation_id": bytes([chance.randrange(12)]) * 16,
            "start_time": NOW - timedelta(minutes=chance.choice([-5, 3, 10, 20, 20, 60, 4000, 43_190, 43_210])),
            "span_id": number.to_bytes(8), "name": chance.choice(["posting.send", "order.ship"]), "entity": entity,
            "entity_id": chance.choice("AB"), "stage": "erp", "outcome": chance.choice(OUTCOMES), "attempt": attempt,
            "reason": chance.choice(["", f"why {number}"]), "status_message": f"status {number}",
            "channel": "web", "amount_minor": 100, "currency": "GBP",
            "customer_ref": chance.choice("xyz"), "sku": chance.choice(["", "S1", "S2", "S3"]),
        })  # fmt: skip
    return told


def troubled(told: list[dict[str, Any]], hop: str, grace: timedelta) -> set[tuple[Any, ...]]:
    """Object, its last hop and outcome, attempts, since when and the last instant."""
    objects = defaultdict(list)
    for span in told:
        if SINCE < span["start_time"] <= NOW and span["outcome"] != "duplicate":
            objects[span["correlation_id"].hex(), span["entity"], span["entity_id"]].append(span)
    found = set()
    for about, own in objects.items():
        bad = [span for span in own if span["outcome"] in BAD]
        stood = max((span["start_time"], span["attempt"]) for span in own)
        last = {span["outcome"] for span in bad if (span["start_time"], span["attempt"]) == stood}
        since = min((span["start_time"] for span in bad), default=NOW)
        refused = last & {"rejected", "dead_letter"}
        if about[1] in ("", "exception") or not last or not (refused or since < NOW - grace):
            continue
        if not hop or any(span["name"] == hop for span in bad):
            found.add((*about, len(bad), micros(since)))
    return found


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage.connect(f"chdb://{tmp_path / 'store'}")
    made.migrate()
    yield made
    made.close()


def test_an_object_is_in_trouble_until_something_good_comes_after(storage: Storage) -> None:
    ask = Queries(storage)
    for seed in range(8):
        told = spans(seed)
        rows = [[span[column] for column in COLUMNS] for span in told]
        for table in ("spans", "failures", "concerns"):
            storage.execute(f"TRUNCATE TABLE {table}")
        for _ in range(2):  # what is sent again changes nothing
            storage.insert("spans", COLUMNS, rows)
        for hop in ("", "posting.send"):
            for grace in (timedelta(0), GRACE):
                found = ask.trouble(hop, Window(NOW, SINCE, SINCE), grace, 1000)
                known = {(one.correlation_id, one.entity, one.entity_id, one.attempts, one.since_us) for one in found}
                assert len(found) == len(known)
                assert known == troubled(told, hop, grace)
        held = {one[0] for one in troubled(told, "order.ship", timedelta(0))}
        concerned = [span for span in told if span["correlation_id"].hex() in held and span["sku"]]
        _, lines, _ = ask.held_by(held_by_hop("order.ship", Window(NOW, SINCE, SINCE)))
        assert (lines.customers, lines.skus) == (
            len({span["customer_ref"] for span in concerned}), tuple(sorted({span["sku"] for span in concerned}))
        )  # fmt: skip
