"""The stand-in ERP keeps what it accepted, gives a key one number for ever, and fails as it is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from tallytrace.erp_stub import Chaos, create_app


@contextmanager
def erp(path: Path, chaos: Chaos | None = None, clock: Callable[[], float] = lambda: 0.0) -> Iterator[TestClient[Any]]:
    with TestClient(create_app(path, chaos=chaos, seed=7, clock=clock)) as client:
        yield client


def journal(key: str, *amounts: int, kind: str = "shipment", currency: str = "GBP") -> dict[str, Any]:
    lines = [{"account": f"account-{place}", "amount_minor": amount} for place, amount in enumerate(amounts)]
    return {
        "idempotency_key": key, "journal_id": f"J-{key}", "kind": kind, "business_date": "2026-03-01",
        "currency": currency, "lines": lines,
    }  # fmt: skip


def results(client: TestClient[Any], *journals: dict[str, Any]) -> list[tuple[str, str]]:
    answer = client.post("/v1/journals", json=list(journals))
    assert answer.status_code == 200
    return [(each["status"], each["document"] or each["reason"]) for each in answer.json()["results"]]


def test_a_key_keeps_its_number_within_a_batch_and_over_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "erp.jsonl"
    first, second = journal("shipment/1", 500, -500), journal("shipment/2", 700, -700)
    with erp(state) as client:
        assert results(client, first, second, first) == [
            ("accepted", "ERP-0000001"), ("accepted", "ERP-0000002"), ("accepted", "ERP-0000001"),
        ]  # fmt: skip
    with erp(state) as client:
        assert results(client, second, journal("shipment/3", 1, -1)) == [
            ("accepted", "ERP-0000002"), ("accepted", "ERP-0000003"),
        ]  # fmt: skip
        assert client.get("/v1/journals/shipment/1").json() == {"document": "ERP-0000001", "journal": first}
        stats = client.get("/v1/stats").json()
        assert stats["documents"] == 3
        assert stats["accounts"] == {"GBP": {"account-0": 1201, "account-1": -1201}}
        assert client.get("/v1/journals/shipment/9").status_code == 404


def test_wrong_journals_are_rejected_with_the_reason_and_leave_nothing(tmp_path: Path) -> None:
    with erp(tmp_path / "erp.jsonl") as client:
        assert results(client, journal("a", 500, -499), journal("b"), journal("c", 2, -2)) == [
            ("rejected", "debits and credits differ by 1 minor units of GBP"),
            ("rejected", "the document has no lines"),
            ("accepted", "ERP-0000001"),
        ]
        assert results(client, journal("c", 3, -3)) == [
            ("rejected", "the key already belongs to another document, ERP-0000001")
        ]
        assert client.get("/v1/stats").json()["documents"] == 1


def test_held_kinds_wait_and_are_accepted_when_released(tmp_path: Path) -> None:
    with erp(tmp_path / "erp.jsonl") as client:
        client.post("/v1/chaos", json={"hold_kinds": ["refund"]})
        refund = journal("refund/1", 5, -5, kind="refund")
        assert results(client, refund, journal("order/1", 9, -9)) == [
            ("retry", "posting of refund documents is held"), ("accepted", "ERP-0000001"),
        ]  # fmt: skip
        client.post("/v1/chaos", json={"hold_kinds": []})
        assert results(client, refund) == [("accepted", "ERP-0000002")]


def test_down_until_its_time_is_over(tmp_path: Path) -> None:
    now = [100.0]
    with erp(tmp_path / "erp.jsonl", clock=lambda: now[0]) as client:
        client.post("/v1/chaos", json={"down_seconds": 30, "retry_after_seconds": 4})
        now[0] = 129.9
        answer = client.post("/v1/journals", json=[journal("a", 1, -1)])
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "4")
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        now[0] = 130.0
        assert results(client, journal("a", 1, -1)) == [("accepted", "ERP-0000001")]


def test_a_share_fails_the_same_way_for_the_same_seed(tmp_path: Path) -> None:
    def statuses(name: str) -> list[int]:
        with erp(tmp_path / name, Chaos(fail_share=0.4)) as client:
            return [client.post("/v1/journals", json=[journal(str(n), 1, -1)]).status_code for n in range(60)]

    first = statuses("one")
    assert first == statuses("two")
    assert set(first) == {200, 429, 503}


def test_a_lost_answer_is_answered_again_with_the_same_number(tmp_path: Path) -> None:
    with erp(tmp_path / "erp.jsonl", Chaos(lost_share=1)) as client:
        assert client.post("/v1/journals", json=[journal("a", 1, -1)]).status_code == 503
        client.post("/v1/chaos", json={"lost_share": 0})
        assert results(client, journal("b", 1, -1), journal("a", 1, -1)) == [
            ("accepted", "ERP-0000002"), ("accepted", "ERP-0000001"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/v1/journals", [journal("a", 1, -1)] * 501, "501 documents in one request, at most 500"),
        ("/v1/journals", [{"idempotency_key": "a"}], "Object missing required field `journal_id` - at `$[0]`"),
        ("/v1/chaos", {"fail_share": 2}, "Expected `float` <= 1.0 - at `$.fail_share`"),
        ("/v1/chaos", {"fail": 1}, "Object contains unknown field `fail`"),
    ],
)
def test_bad_requests_say_why(tmp_path: Path, path: str, body: Any, why: str) -> None:
    with erp(tmp_path / "erp.jsonl") as client:
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["detail"]) == (400, why)


def test_a_line_cut_off_by_a_crash_was_never_told_and_is_dropped(tmp_path: Path) -> None:
    state = tmp_path / "erp.jsonl"
    with erp(state) as client:
        results(client, journal("a", 1, -1), journal("b", 2, -2))
    state.write_bytes(state.read_bytes()[:-5])
    with erp(state) as client:
        assert results(client, journal("c", 3, -3), journal("b", 2, -2)) == [
            ("accepted", "ERP-0000002"), ("accepted", "ERP-0000003"),
        ]  # fmt: skip
    entries = [msgspec.json.decode(line) for line in state.read_bytes().splitlines()]
    assert [entry["document"] for entry in entries] == [1, 2, 3]
