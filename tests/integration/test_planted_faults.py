"""What others state of a trade settles it to the penny; faults planted into it are each named, and nothing else is."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest

from sync_core.erp.http import ErpClient
from sync_core.outbox import ErpRelay
from sync_core.readback import ReadBack
from sync_core.reconciliation.reconcile import Reconciler, compare
from sync_core.settlements.matching import Matcher
from tallytrace import erp_stub, faults, outside, webserver
from tests.core import Core, later
from tests.estate import Estate
from tests.factories import RetailRow, online_retail_csv


def trade(path: Path) -> Path:
    """Four weeks of four orders a day in two channels, with some of it given back."""
    chance, rows = Random(7), []
    for number in range(112):
        at = dt.datetime(2011, 3, 1, 9, tzinfo=dt.UTC) + dt.timedelta(days=number // 4, minutes=number % 4)
        invoice, customer, when = f"{600_000 + number}", f"{100 + number % 9}.0", f"{at:%Y-%m-%d %H:%M:%S}"
        price, units = f"{chance.randint(200, 900) / 100:.2f}", chance.randint(3, 20)
        rows.append(RetailRow(invoice, f"A{number % 7}", units, when, price, customer))
        if number % 4 == 3:
            rows.append(RetailRow(invoice, "DOT", 1, when, "7.00", customer))
        if number % 10 == 9:
            back = at + dt.timedelta(hours=3)
            rows.append(RetailRow(f"C{invoice}", f"A{number % 7}", -2, f"{back:%Y-%m-%d %H:%M:%S}", price, customer))
    path.write_text(online_retail_csv(rows))
    return path


class Outside:
    """The ERP, the provider, the bank and the channels around a core that is worked by hand."""

    def __init__(self, core: Core, http: httpx.Client, estate: Estate, erp: httpx.Client, file: Path) -> None:
        self.core, self.http, self.estate, self.erp, self.file = core, http, estate, erp, file
        self.sales = outside.sales_of(file)

    def give(self, connector: str, name: str, content: bytes) -> None:
        path = f"/v1/files/{connector}/{name}"
        assert self.http.put(path, content=content).status_code == 202
        deadline = time.monotonic() + 30
        while (told := self.http.get(path).json())["state"] == "reading":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (told["state"], told["error"]) == ("read", "")
        self.core.work()

    def trade(self, wrong: dict[str, Any]) -> None:
        """The file is replayed, and the ERP books what it is sent, some of it wrongly."""
        assert self.erp.post("/v1/chaos", json={"wrong": wrong}).status_code == 200
        self.give("online_retail", "trade.csv", self.file.read_bytes())

    def world(self) -> outside.World:
        journal = self.http.get("/v1/journal", params={"format": "canonical"}).text.splitlines()
        return outside.world_of(self.sales, outside.refunds_of(journal))

    def state(self, world: outside.World, *, bank_is_late: bool = False) -> None:
        """The channels, the provider and the bank state their side."""
        self.estate.tell(*world.totals)
        self.give("stripe_payouts", "payouts", "".join(outside.payout_file(world.payouts)).encode())
        if bank_is_late:
            self.reconcile()
            later(self.core, hours=2)
        for currency in sorted({one.currency for one in world.payouts}):
            told = outside.statement([one for one in world.payouts if one.currency == currency], f"ST-{currency}")
            self.give("camt053", currency, "".join(told).encode())

    def reconcile(self) -> None:
        core = self.core
        client = ErpClient(str(self.erp.base_url), lambda: core.now)
        relay = ErpRelay(core.db, client, lambda: core.now)
        read_back = ReadBack(core.db, client, lambda: core.now, settled_after=dt.timedelta())
        matcher = Matcher(core.db, core.rules, lambda: core.now)
        while relay.run_once() or read_back.run_once() or matcher.run_once():
            pass
        while Reconciler(core.db, core.rules, lambda: core.now).run_once():
            pass
        client.close()

    def raised(self) -> list[faults.Raised]:
        rows = self.http.get("/v1/exceptions", params={"limit": 1000}).content
        return [one for one in msgspec.json.decode(rows, type=list[faults.Raised]) if one.kind in faults.WATCHED]


@pytest.fixture
def around(
    core: Core, http: httpx.Client, estate: Estate, home: Path, free_port: Callable[[], int]
) -> Iterator[Outside]:
    with (
        webserver.serving(erp_stub.create_app(home / "erp.jsonl"), "127.0.0.1", port := free_port(), name="erp"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False) as erp,
    ):
        yield Outside(core, http, estate, erp, trade(home / "trade.csv"))


def test_a_trade_that_everybody_states_rightly_is_settled_to_the_penny(around: Outside) -> None:
    around.trade({})
    around.state(around.world())
    around.reconcile()
    assert around.raised() == []
    assert around.core.balance("assets:clearing:stripe") == 0
    assert around.core.balance("assets:payouts in transit") == 0
    days = [row[0] for row in around.core.rows("select distinct business_date from core.reconciled")]
    with around.core.db.transaction() as session:
        found = compare(session, around.core.rules, days)
    cells = [cell for day in found.values() for cell in day.cells.values()]
    assert {cell.key.level for cell in cells} == {"L0", "L1", "L2", "L3", "L4", "L5"}
    assert [cell for cell in cells if cell.unexplained_minor] == []
    settled = [cell for cell in cells if cell.key.level in ("L3", "L4")]
    assert {why for cell in settled for why, minor in cell.explained.items() if minor} == {"fees"}


@pytest.mark.parametrize(("seed", "bank_is_late"), [(1, False), (2, True)])
def test_each_planted_fault_is_named_with_its_cause_and_transaction_and_nothing_else_is(
    around: Outside, seed: int, bank_is_late: bool
) -> None:
    plan = faults.plan_of(seed, around.sales)
    around.trade(dict(plan.wrong_journals))
    world = around.world()
    planted = faults.plant(plan, world)
    assert Counter(fault.done for fault in planted) == dict.fromkeys(faults.NAMED, faults.EACH)
    around.state(world, bank_is_late=bank_is_late)
    around.reconcile()
    verdict = faults.judge(planted, around.raised())
    assert (verdict.missed, verdict.surplus) == ([], [])
