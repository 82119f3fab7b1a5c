"""Timetables: what the lineage service measured at which second, and when the owner's pager must hear of it.

The clock is given; PostgreSQL, the socket of the pager and the threads are real.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from msgspec import Struct

from alerts.api import route_handlers
from alerts.condition import Counted
from alerts.delivery import Delivery, Reply
from alerts.readings import Segment, Undecided
from alerts.routing import Contact, load_routes
from alerts.rule import AnyRule, Overdue
from alerts.rulebook import Promise, load_rules
from alerts.schedule import Evaluator
from alerts.senders.webhook import webhook
from alerts.store import Store, StoreUnavailableError, migrations
from lineage.model import Money, OverdueItem, Sample
from tallytrace.postgres import revive, serving

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
TEXTS = resources.files("alerts")
TICK = 0.25
MONTH = 28 * 86_400.0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="alerts-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[str]:
    with serving(home) as url:
        yield url


@pytest.fixture
def store(server: str) -> Iterator[Store]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("drop schema if exists alerts cascade")
    with closing(Store.connect(server, patience_seconds=1.5)) as opened:
        opened.migrate()
        yield opened


class Clock:
    """Seconds since the start of the timetable."""

    def __init__(self) -> None:
        self.second = 0.0

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self.second)


class Heard(Struct, frozen=True):
    second: float
    transition: str
    channel: str
    key: str


class Pager:
    """The owner's receiver on a real socket; ``answers`` are given first, then 200."""

    def __init__(self, clock: Clock) -> None:
        self.heard: list[Heard] = []
        self.bodies: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None
        self.port = 0

    def up(self) -> None:
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = pager.answer(body, self.headers["Idempotency-Key"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silent: what was heard is in the list."""

        self._http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        if self._http:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def answer(self, body: bytes, key: str) -> tuple[int, dict[str, str]]:
        page = msgspec.json.decode(body)
        with self._lock:
            status, headers = self.answers.pop(0) if self.answers else (200, {})
            if status == 200:
                self.heard.append(Heard(self._clock.second, page["transition"], page["channel"], key))
                self.bodies.append(page)
        return status, headers


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pager(clock: Clock) -> Iterator[Pager]:
    receiver = Pager(clock)
    receiver.up()
    yield receiver
    receiver.down()


class Measured:
    """The stored measurements of refund_to_ledger, as the lineage service would answer, and what people must decide."""

    def __init__(self, clock: Clock) -> None:
        self.overdue: dict[str, int] = {}
        self.open: list[Undecided] = []
        self.broken = False
        self._clock = clock

    def newest_samples(self) -> Mapping[str, Sequence[Sample]]:
        if self.broken:
            raise ConnectionError("ClickHouse is away")
        total = _sample("", sum(self.overdue.values()), self._clock())
        channels = (_sample(channel, count, self._clock()) for channel, count in self.overdue.items())
        return {"refund_to_ledger": [total, *channels]}

    def overdue_items(self, sla: str, channel: str, limit: int) -> Sequence[OverdueItem]:
        return [_item(channel, number, self._clock()) for number in range(min(self.overdue[channel], limit))]

    def counted_at(self, sla: str, instants: Collection[datetime]) -> dict[Segment, dict[datetime, Counted]]:
        return {}

    def history(self, sla: str, since: datetime, until: datetime, *, located: bool) -> Sequence[Sample]:
        return []

    def undecided(self) -> Sequence[Undecided]:
        return self.open


def _sample(channel: str, overdue: int, now: datetime) -> Sample:
    return Sample(
        sla="refund_to_ledger", channel=channel, location="", provider="", as_of=now, window_start=START,
        window_end=now, good=90, bad=overdue, pending=0, excused=0, refused=0, overdue_open=overdue,
        at_risk=(Money(1250 * overdue, "GBP"),) if overdue else (), oldest_due_at=START if overdue else None,
        target=0.99, value=0.98, state="breached", reason="", watermark=now, definition="d",
    )  # fmt: skip


def _item(channel: str, number: int, now: datetime) -> OverdueItem:
    return OverdueItem(
        flow="refund", step="refund-in-ledger", title=f"refund {number} is not accepted by the ERP", entity="posting",
        entity_id=f"refund/{number}", correlation_id="ab" * 16, sla="refund_to_ledger", since=START, due_at=START,
        overdue_seconds=(now - START).total_seconds(), owner="finance", channel=channel, location="", provider="",
        amount=Money(1250, "GBP"), reason="",
    )  # fmt: skip


@pytest.fixture
def measured(clock: Clock) -> Measured:
    return Measured(clock)


class Estate:
    """Evaluators over one store, ticked together along the clock."""

    def __init__(self, store: Store, measured: Measured, clock: Clock, pager: Pager, rules: Sequence[AnyRule]) -> None:
        self.client = httpx.Client(timeout=2)
        self._made = (store, measured, clock, pager, rules)
        self._clock = clock
        self.running = [self.evaluator()]
        self._threads = ThreadPoolExecutor(4)

    def evaluator(self) -> Evaluator:
        store, measured, clock, pager, rules = self._made
        addresses = {"webhook_url": f"http://127.0.0.1:{pager.port}/hook", "webhook_secret": ""}
        routes = load_routes((TEXTS / "routes.toml").read_text(encoding="utf-8"), addresses)
        senders = {"webhook": webhook(self.client)}
        return Evaluator(store, measured, rules, routes, senders, clock, public_url="http://tally.example")

    def until(self, second: float) -> None:
        """All evaluators tick at once, four times a second."""
        while self._clock.second < second:
            self._clock.second += TICK
            list(self._threads.map(Evaluator.tick, self.running, [self._clock()] * len(self.running)))

    def close(self) -> None:
        for evaluator in self.running:
            evaluator.close()
        self._threads.shutdown()
        self.client.close()


def the_rule(**changed: Any) -> Overdue:
    _, _, text = (TEXTS / "rules.toml").read_text(encoding="utf-8").partition("\n[[rules]]")
    promise = Promise(
        deadline="4 h", target=0.99, window_seconds=MONTH, levels=frozenset({"all", "channel"}), owner="finance"
    )
    (rule,) = load_rules(
        "[[rules]]" + text.partition("[[rules]]")[0], promises={"refund_to_ledger": promise}, owners={"finance"}
    )
    assert isinstance(rule, Overdue)
    return msgspec.structs.replace(rule, **changed)


@pytest.fixture
def estate(store: Store, measured: Measured, clock: Clock, pager: Pager) -> Iterator[Estate]:
    with closing(Estate(store, measured, clock, pager, [the_rule(for_seconds=1, keep_firing_for_seconds=2)])) as made:
        yield made


def assert_heard(pager: Pager, *wanted: tuple[float, float, str, str]) -> None:
    """Each of (from second, to second, transition, channel) once, in this order, and nothing else."""
    assert [(each.transition, each.channel) for each in pager.heard] == [want[2:] for want in wanted]
    for each, (earliest, latest, *_) in zip(pager.heard, wanted, strict=True):
        assert earliest <= each.second <= latest, each


def test_one_page_and_one_resolve(estate: Estate, measured: Measured, pager: Pager) -> None:
    estate.until(1)
    measured.overdue = {"web": 2}
    estate.until(8)
    measured.overdue = {"web": 3}
    estate.until(10)
    measured.overdue = {"web": 0}
    estate.until(30)
    assert_heard(pager, (2, 2.5, "page", "web"), (12, 12.5, "resolve", "web"))
    page, resolve = pager.bodies
    assert page["dedup_key"] == resolve["dedup_key"]
    assert pager.heard[0].key == f"{page['dedup_key']}:page"
    assert page["why"] == "2 overdue and still open for 1 s"
    assert (page["overdue_open"], page["at_risk"]) == (2, [{"amount_minor": 2500, "currency": "GBP"}])
    assert [item["entity_id"] for item in page["items"]] == ["refund/0", "refund/1"]
    assert page["link"] == "http://tally.example/ui/sla/refund_to_ledger?channel=web"
    assert resolve["at_risk"] == [{"amount_minor": 3750, "currency": "GBP"}]


def test_each_channel_is_judged_apart_and_fires_again_later(estate: Estate, measured: Measured, pager: Pager) -> None:
    measured.overdue = {"web": 1, "store": 0}
    estate.until(3)
    measured.overdue = {"store": 1}  # the newest measurement does not mention the web shop any more
    estate.until(10)
    measured.overdue = {"web": 1, "store": 1}
    estate.until(15)
    assert_heard(
        pager, (1, 1.5, "page", "web"), (4, 4.5, "page", "store"), (5, 5.5, "resolve", "web"),
        (11, 11.5, "page", "web"),
    )  # fmt: skip
    assert len({each.key for each in pager.heard}) == 4


def test_two_evaluators_send_what_one_would(estate: Estate, measured: Measured, pager: Pager) -> None:
    estate.running += [estate.evaluator(), estate.evaluator()]
    measured.overdue = {"web": 1, "store": 2, "marketplace": 1}
    estate.until(4)
    measured.overdue = {}
    estate.until(10)
    assert sorted((each.transition, each.channel) for each in pager.heard) == sorted(
        (transition, channel) for transition in ("page", "resolve") for channel in ("web", "store", "marketplace")
    )


def test_a_pager_that_was_down_hears_one_page_then_one_resolve(
    estate: Estate, measured: Measured, pager: Pager
) -> None:
    pager.down()
    measured.overdue = {"web": 1}
    estate.until(6)
    measured.overdue = {}
    estate.until(15)
    assert pager.heard == []
    pager.up()
    estate.until(60)
    assert_heard(pager, (15, 32, "page", "web"), (15, 60, "resolve", "web"))


def test_the_receivers_wish_to_wait_is_kept(estate: Estate, measured: Measured, pager: Pager) -> None:
    pager.answers = [(429, {"Retry-After": "9"}), (503, {})]
    measured.overdue = {"web": 1}
    estate.until(30)
    assert_heard(pager, (14.25, 14.75, "page", "web"))  # refused at 1.25, again after 9 s, then after another 4 s


def test_a_refused_page_is_not_sent_again(estate: Estate, measured: Measured, pager: Pager, store: Store) -> None:
    pager.answers = [(400, {})] * 99
    measured.overdue = {"web": 1}
    estate.until(30)
    assert len(pager.answers) == 98
    (alert,) = store.open_alerts(limit=10)
    (record,) = store.deliveries_of([alert.incident_id])
    assert (record.state, record.status_code, record.attempts) == ("refused", 400, 1)


def test_killed_between_commit_and_delivery(
    estate: Estate, measured: Measured, pager: Pager, store: Store, clock: Clock
) -> None:
    """The evaluator took the page from the outbox and died before it sent it: the next one sends it after the lease."""
    pager.down()
    measured.overdue = {"web": 1}
    estate.until(1.25)
    pager.up()
    clock.second = 5
    (taken,) = store.claim(
        clock(), clock() + timedelta(seconds=60), [Contact(name="finance_pager", sender="webhook", address="x")]
    )
    assert taken.transition == "page"
    estate.running.pop().close()
    estate.running.append(estate.evaluator())
    estate.until(80)
    assert_heard(pager, (65, 65.5, "page", "web"))


def test_a_slow_receiver_does_not_keep_the_rules_from_being_judged(
    store: Store, measured: Measured, clock: Clock, pager: Pager
) -> None:
    """Six pages of 9 s each: three in the first tick, then the next tick judges again before it sends the rest."""
    told: list[tuple[float, str]] = []

    def slow(delivery: Delivery, contact: Contact, now: datetime) -> Reply:
        clock.second += 9
        told.append((clock.second, delivery.transition))
        return Reply(status_code=200)

    routes = load_routes((TEXTS / "routes.toml").read_text(encoding="utf-8"), {"webhook_url": "http://slow.example"})
    measured.overdue = {f"channel {number}": 1 for number in range(6)}
    with closing(Evaluator(store, measured, [the_rule()], routes, {"webhook": slow}, clock)) as evaluator:
        assert evaluator.tick(clock()).delivered == 3
        assert clock.second == 27
        assert evaluator.tick(clock()).delivered == 3
        assert evaluator.tick(clock()).delivered == 0
    assert [transition for _, transition in told] == ["page"] * 6


def test_measurements_away(estate: Estate, measured: Measured, pager: Pager, store: Store) -> None:
    """Without measurements nothing is decided and the run says why; what was firing resolves when they are back."""
    measured.overdue = {"web": 1}
    estate.until(2)
    measured.broken, measured.overdue = True, {}
    estate.until(20)
    (run,) = [each for each in store.last_runs() if each.rule == "refund_not_in_ledger"]
    assert (run.outcome, run.reason) == ("failed", "ConnectionError: ClickHouse is away")
    measured.broken = False
    estate.until(25)
    assert_heard(pager, (1, 1.5, "page", "web"), (20, 20.5, "resolve", "web"))


def test_a_page_goes_out_when_its_items_cannot_be_read(estate: Estate, measured: Measured, pager: Pager) -> None:
    measured.overdue = {"web": 1}
    measured.overdue_items = lambda sla, channel, limit: measured.overdue["away"]  # type: ignore[method-assign, assignment, return-value]
    estate.until(3)
    assert_heard(pager, (1, 1.5, "page", "web"))
    assert pager.bodies[0]["items"] == []


def test_without_an_address_the_alert_is_kept_and_told_when_there_is_one(
    store: Store, measured: Measured, clock: Clock, pager: Pager
) -> None:
    routes = load_routes((TEXTS / "routes.toml").read_text(encoding="utf-8"), {"webhook_url": ""})
    with (
        httpx.Client() as client,
        closing(Evaluator(store, measured, [the_rule()], routes, {"webhook": webhook(client)}, clock)) as without,
    ):
        measured.overdue = {"web": 1}
        without.tick(clock())
    assert (len(store.open_alerts(limit=10)), pager.heard) == (1, [])
    with closing(Estate(store, measured, clock, pager, [the_rule()])) as estate:
        estate.until(1)
    assert_heard(pager, (0, 0.5, "page", "web"))


def test_the_api_tells_alerts_and_who_was_told(
    estate: Estate, measured: Measured, store: Store, clock: Clock, pager: Pager
) -> None:
    measured.overdue = {"web": 1, "store": 1}
    estate.until(3)
    measured.overdue = {"web": 4}
    estate.until(8)
    with TestClient(Litestar(route_handlers(store, clock))) as api:
        answer = api.get("/v1/alerts").json()
        assert [each["alert"]["channel"] for each in answer["open"]] == ["web"]
        assert [each["alert"]["channel"] for each in answer["recent"]] == ["store"]
        web = answer["open"][0]
        assert (web["alert"]["overdue_open"], web["alert"]["owner"]) == (4, "finance")
        assert web["alert"]["at_risk"] == [{"amount_minor": 5000, "currency": "GBP"}]
        assert [(each["transition"], each["state"]) for each in web["deliveries"]] == [("page", "delivered")]
        told = [(each["transition"], each["contact"]) for each in answer["recent"][0]["deliveries"]]
        assert told == [("page", "finance_pager"), ("resolve", "finance_pager")]
        assert [run["outcome"] for run in answer["runs"]] == ["ok", "ok"]
        assert api.get(f"/v1/alerts/{web['alert']['alert_id']}").json() == web
        for path, status in (("/v1/alerts/none", 404), ("/v1/alerts?limit=0", 400)):
            refused = api.get(path)
            assert (refused.status_code, refused.headers["Content-Type"]) == (status, "application/problem+json")
            assert refused.json()["status"] == status


def test_migrations_are_applied_once_by_many(server: str, store: Store) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("drop schema alerts cascade")
    with ThreadPoolExecutor(4) as threads:
        applied = [name for names in threads.map(lambda _: store.migrate(), range(4)) for name in names]
    assert applied == [name for _, name, _ in migrations()]
    assert store.migrate() == ()


def test_the_store_away(estate: Estate, measured: Measured, pager: Pager, store: Store, home: Path) -> None:
    """While PostgreSQL is away nothing is decided and the API says so; afterwards all goes on."""
    estate.until(1)
    pid = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    while (home / "postgres" / "postmaster.pid").exists():
        time.sleep(0.01)
    with TestClient(Litestar(route_handlers(store, lambda: START))) as api:
        answer = api.get("/v1/alerts")
        assert (answer.status_code, answer.json()["title"]) == (503, "The store of alerts does not answer")
        with pytest.raises(StoreUnavailableError):
            estate.running[0].tick(START)
        revive(home)
        back_by = time.monotonic() + 20
        while api.get("/v1/alerts").status_code != 200:
            assert time.monotonic() < back_by
    measured.overdue = {"web": 1}
    estate.until(5)
    assert_heard(pager, (2, 2.5, "page", "web"))
