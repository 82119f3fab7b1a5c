"""What goes wrong and comes right again: queues of exceptions, replay, dead letters, compensation; over HTTP."""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import httpx
import pytest

from sync_core.erp.http import ErpClient
from sync_core.exceptions.deadlines import PATIENCE, Deadlines
from sync_core.exceptions.playbooks import PLAYBOOKS
from sync_core.messages import Event
from sync_core.model import ExceptionKind
from sync_core.outbox import ErpRelay
from tests.core import Core, later, text
from tests.erp import Erp
from tests.estate import Estate
from tests.factories import cloudevent, goods_back, goods_in, order, payment, reclassified, shipment

Acting = Callable[..., dict[str, Any]]


@pytest.fixture
def acting(http: httpx.Client) -> Acting:
    def act(action: str, **wanted: Any) -> dict[str, Any]:
        answer = http.post(f"/v1/exceptions/{action}", json={"by": "ann", "reason": "mended"} | wanted)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    return act


def test_every_kind_of_exception_has_a_playbook() -> None:
    assert set(PLAYBOOKS) == set(get_args(ExceptionKind))
    for kind, one in PLAYBOOKS.items():
        assert one.means.endswith("."), kind
        assert one.first.endswith("."), kind
    assert len({one.means for one in PLAYBOOKS.values()}) == len(PLAYBOOKS)


@pytest.mark.proves(184, 219)
def test_an_event_that_waits_too_long_for_another_is_somebodys_until_that_comes(
    http: httpx.Client, estate: Estate, core: Core, acting: Acting
) -> None:
    estate.tell(payment("1"), goods_back("R1", order_id="2"))
    overseer = Deadlines(core.db, lambda: core.now)
    assert (overseer.run_once(), estate.exceptions()) == (0, [])
    later(core, seconds=PATIENCE.total_seconds() + 1)
    assert (overseer.run_once(), overseer.run_once()) == (2, 0)
    paid, back = http.get("/v1/exceptions", params={"kind": "out_of_sequence"}).json()
    assert [(one["owner"], one["amount_minor"]) for one in (paid, back)] == [("payments", 1000), ("returns", 1000)]
    assert paid["playbook"]["by_itself"].startswith("The missing event comes")
    later(core, hours=1)
    assert http.get("/v1/exceptions").json()[0]["age_seconds"] == 3600
    assert acting("replay", ids=[paid["exception_id"]])["done"] == 1
    core.work()
    assert (core.states(), overseer.run_once()) == ({"parked": 2}, 1)
    estate.tell(goods_in(), order("1"))
    assert estate.exceptions() == [("out_of_sequence", "returns", 1000)]
    resolved, *_ = http.get("/v1/exceptions", params={"state": "resolved"}).json()
    assert (resolved["resolution"], resolved["replays"]) == ("what it waited for has come", 1)
    assert core.balance("assets:clearing:card") == 1000
    behind = {"state": "resolved", "limit": 1, "after": resolved["exception_id"]}
    assert http.get("/v1/exceptions", params=behind).json() == []
    assert acting("resolve", ids=[back["exception_id"]])["done"] == 1
    assert (overseer.run_once(), estate.exceptions()) == (0, []), "what a person resolved is not told again"
    assert len(core.spans()) > 0


@pytest.mark.proves(205)
def test_a_failure_half_way_leaves_nothing_of_an_event(http: httpx.Client, estate: Estate, core: Core) -> None:
    estate.tell(goods_in(), order("0"))
    before = http.get("/v1/journal", params={"format": "canonical"}).text
    core.change("alter table core.span_outbox add constraint room check (size_bytes < 0) not valid")
    events: list[Event] = [order("1"), payment("1"), shipment("1"), payment("0")]
    sent = [cloudevent(one, f"half{number}") for number, one in enumerate(events)]
    assert http.post("/v1/events", json=sent).json()["accepted"] == 4
    core.work()
    assert http.get("/v1/orders/1").status_code == 404
    assert http.get("/v1/orders/0").json()[0]["paid_minor"] == 0
    assert http.get("/v1/journal", params={"format": "canonical"}).text == before
    assert estate.at()["reserved"] == 1
    core.change("alter table core.span_outbox drop constraint room")
    later(core, minutes=1)
    core.work()
    assert [http.get(f"/v1/orders/{number}").json()[0]["paid_minor"] for number in "01"] == [1000, 1000]
    later(core, seconds=1)
    assert (estate.at()["good"], estate.at()["reserved"]) == (4, 1)
    assert estate.sound()


@pytest.mark.proves(185, 181, 218)
def test_dead_letters_are_seen_and_replayed_together_once_their_cause_is_mended(
    http: httpx.Client, estate: Estate, core: Core, acting: Acting
) -> None:
    core.change(
        "create function core.broken() returns trigger language plpgsql as"
        " $$ begin raise exception 'disk is full'; end $$",
        "create trigger broken before insert on core.order_documents for each row execute function core.broken()",
    )
    estate.tell(goods_in(), *(order(number) for number in "123"), *(payment(number) for number in "123"))
    estate.tell(*(shipment(number) for number in "123"))
    for _ in range(6):
        later(core, minutes=2)
        core.work()
    assert core.states() == {"done": 7, "dead": 3}
    assert http.get("/v1/status").json()["inbox_dead"] == 3
    found = http.get("/v1/exceptions", params={"severity": "critical"}).json()
    assert {(one["kind"], one["owner"]) for one in found} == {("dead_letter", "integration")}
    assert "disk is full" in found[0]["detail"]

    letters = {"where": {"kind": "dead_letter", "owner": "integration"}}
    tried = acting("replay", **letters, dry_run=True)
    assert (tried["dry_run"], tried["done"], tried["left"]) == (True, 3, 0)
    assert (core.states()["dead"], len(estate.exceptions())) == (3, 3)
    one = found[0]["exception_id"]
    assert http.get("/v1/exceptions/history", params={"id": one}).json() == []

    acting("replay", ids=[one])
    for _ in range(6):
        core.work()
        later(core, minutes=2)
    [again] = [each for each in http.get("/v1/exceptions").json() if each["replays"]]
    assert again["exception_id"] == one
    core.change("drop trigger broken on core.order_documents")
    assert acting("replay", **letters)["done"] == 3
    core.work()
    assert (core.states(), estate.exceptions()) == ({"done": 10}, [])
    assert acting("replay", **letters)["done"] == 0
    assert {each["outcome"] for each in acting("replay", ids=[one])["outcomes"]} == {"not open"}
    told = http.get("/v1/exceptions/history", params={"id": one}).json()
    assert [(each["by"], each["action"], each["reason"]) for each in told] == [("ann", "replay", "mended")] * 2
    assert estate.at()["good"] == 2
    assert len([span for span in core.spans() if text(span, "outcome") == "replayed"]) == 4
    assert estate.sound()


@pytest.fixture
def erp() -> Iterator[tuple[Erp, str]]:
    books = Erp()
    with books.serving() as url:
        yield books, url


@pytest.mark.proves(186, 196)
def test_what_the_erp_refuses_after_the_restock_is_posted_again_or_undone(
    http: httpx.Client, estate: Estate, core: Core, acting: Acting, erp: tuple[Erp, str]
) -> None:
    books, url = erp
    client = ErpClient(url, lambda: core.now)
    relay = ErpRelay(core.db, client, lambda: core.now)
    estate.tell(goods_in(), order("1"), payment("1"), shipment("1"), goods_back())
    restocked = ("A1", 1, "return_pending", "good")
    books.refused |= {"shop:reclassification/B1": "period closed", "shop:order/1": "no such account"}
    estate.tell(reclassified("B1", restocked))
    relay.run_once()
    assert sorted(estate.exceptions()) == [("posting_rejected", "finance", 400), ("posting_rejected", "finance", 1000)]
    assert http.get("/v1/orders/1").json()[0]["state"] == "shipped", "the customer's side goes on"

    books.refused.clear()
    assert acting("replay", ids=["shop:order/1:posting_rejected"])["worth"] == {"GBP": 1000}
    relay.run_once()
    assert estate.exceptions() == [("posting_rejected", "finance", 400)]

    assert estate.at() == {"on_hand": 5, "good": 5, "free": 5, "sellable": 5}
    refused = {"ids": ["shop:reclassification/B1:posting_rejected"]}
    assert acting("compensate", **refused, dry_run=True)["done"] == 1
    assert core.work() == 0
    assert acting("compensate", **refused)["done"] == 1
    core.work()
    later(core, seconds=1)
    assert estate.at() == {"on_hand": 5, "good": 4, "return_pending": 1, "free": 4, "sellable": 4}
    assert estate.exceptions() == []
    assert core.balance("assets:inventory:return pending") == 400
    relay.run_once()
    client.close()
    assert "shop:reclassification/B1" not in books.documents
    assert not [key for key in books.documents if "compensation" in key]
    assert sum(books.amounts["assets:inventory:return pending"]) == 400, "the ERP and we say the same"
    assert [text(span, "milestone") for span in core.spans() if text(span, "outcome") == "compensated"] == ["reversed"]
    assert {one["outcome"] for one in acting("compensate", **refused)["outcomes"]} == {"not open"}
    assert estate.sound()


def test_goods_that_are_gone_again_cannot_be_taken_back(
    estate: Estate, core: Core, acting: Acting, erp: tuple[Erp, str]
) -> None:
    books, url = erp
    client = ErpClient(url, lambda: core.now)
    books.refused["shop:reclassification/B1"] = "period closed"
    estate.tell(goods_in(units={"A1": 1}), reclassified("B0"), reclassified("B1", ("A1", 1, "damaged", "good")))
    estate.tell(order("1"), payment("1"), shipment("1"))
    ErpRelay(core.db, client, lambda: core.now).run_once()
    client.close()
    assert acting("compensate", where={"kind": "posting_rejected"})["done"] == 1
    core.work()
    assert sorted(kind for kind, _, _ in estate.exceptions()) == ["posting_rejected", "stock_shortfall"]
    assert core.faults() == []
    older = {"owner": "finance", "opened_before": later(core, hours=1).isoformat()}
    assert acting("resolve", where=older)["worth"] == {"GBP": 400}
