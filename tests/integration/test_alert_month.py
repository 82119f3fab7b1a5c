"""The shipped rules over thirty days: every fault of a timetable is paged once, to its owner, and nothing else is.

The clock is fast-forwarded; what the pages should be is worked out from the timetable alone, minute by minute.
"""

import datetime as dt
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from litestar import Litestar, get
from msgspec import Struct
from typer.testing import CliRunner

from alerts.api import desk_handlers, route_handlers
from alerts.condition import Counted
from alerts.delivery import Delivery, Reply
from alerts.page import Page
from alerts.readings import Segment, Undecided
from alerts.routing import Contact
from alerts.schedule import Evaluator
from alerts.store import Store
from dashboards.addresses import Desk
from dashboards.pages import alerts as pages
from dashboards.remote import Remote
from lineage import slas
from lineage.model import Money, OverdueItem, Sample
from lineage.slas import Sla
from tallytrace import alerting, cli, webserver
from tallytrace.settings import Settings
from tests.factories import NOON

HOUR: Final = 60
DAY: Final = 24 * HOUR
LONG_AGO: Final = 2 * 366 * DAY  # since when items are decided
BUSY: Final = ("web", "store")  # an item a minute; the third has one a day
CHANNELS: Final = (*BUSY, "popup")
EVERY: Final = 10  # minutes between two measurements of the history
PROVIDER: Final = "acquirer"


class Bad(Struct, frozen=True):
    """So much of what is decided is bad for so many minutes; without a channel, of every busy one."""

    sla: str
    channel: str
    start: int
    minutes: int
    share: float


class Late(Struct, frozen=True):
    """So many items are overdue and open, since the start."""

    sla: str
    channel: str
    start: int
    minutes: int
    count: int
    value: int = 0


class Silent(Struct, frozen=True):
    """No sign of life of a feed."""

    channel: str
    start: int
    minutes: int


class Unmeasured(Struct, frozen=True):
    sla: str
    start: int
    minutes: int


class Waiting(Struct, frozen=True):
    """Exceptions that nobody decides."""

    kind: str
    severity: str
    start: int
    minutes: int
    count: int
    value: int = 0


class Deserved(Struct, frozen=True):
    """The page that a fault deserves. ``windows``: long, short (minutes) and the share of bad in both that is too much;
    ``least``: bad items that it takes; ``after``: minutes, where only time counts."""

    rule: str
    owner: str
    place: str
    windows: tuple[tuple[int, int, float], ...] = ()
    least: int = 1
    after: float = 0


def burning(target: float) -> tuple[tuple[int, int, float], ...]:
    return (60, 5, 14.4 * (1 - target)), (360, 30, 6 * (1 - target))


def slowly(target: float) -> tuple[tuple[int, int, float], ...]:
    return (1440, 120, 3 * (1 - target)), (4320, 360, 1 - target)


ALL = "all of it"
Fault = Bad | Late | Silent | Unmeasured | Waiting
TIMETABLE: Final[list[tuple[Fault, Deserved | None]]] = [
    (Bad("order_latency", "web", 2 * DAY, 90, 0.5),
     Deserved("orders_released_late", "order management", "web", burning(0.98), 5)),
    (Bad("order_latency", "", 3 * DAY, 60, 0.9),
     Deserved("orders_released_late", "order management", ALL, burning(0.98), 5)),
    (Late("order_latency", "popup", 4 * DAY, 90, 3), Deserved("orders_wait", "order management", "popup")),
    (Late("order_latency", "web", 4 * DAY, 90, 30), None),  # of thousands
    (Late("order_latency", "web", 5 * DAY, 90, 30, 6_000_000), Deserved("orders_wait", "order management", "web")),
    (Bad("order_latency", "web", 6 * DAY, 30, 0.2), None),  # well within the budget
    # The ERP is down for three hours: what waits is late after a minute, and failed after an hour.
    (Bad("integration_latency", "", 7 * DAY, 180, 0.95),
     Deserved("messages_late", "integration", ALL, burning(0.99), 10)),
    (Late("recovery_time", "web", 7 * DAY + 30, 150, 40), None),
    (Bad("integration_failure_rate", "", 7 * DAY + 60, 120, 0.95), None),
    (Bad("order_to_posting", "", 7 * DAY + 60, 120, 0.95),
     Deserved("postings_late", "finance", ALL, burning(0.99), 5)),
    (Bad("integration_failure_rate", "web", 8 * DAY, 120, 0.1),  # as soon of the whole
     Deserved("messages_fail", "integration", ALL, burning(0.999), 5)),
    (Bad("stock_freshness", "web", 9 * DAY, 120, 0.5),  # after a while of the whole: more of the same
     Deserved("stock_budget_burns", "inventory", "web", burning(0.99), 10)),
    (Silent("store", 10 * DAY, 180), Deserved("feed_silent", "platform", "store", after=60.01)),
    (Silent("web", 10 * DAY + 6 * HOUR, 30), None),
    (Bad("stock_propagation", "web", 11 * DAY, 60, 0.9),
     Deserved("stock_changes_arrive_late", "inventory", ALL, burning(0.99), 10)),
    (Bad("inventory_accuracy", "", 12 * DAY, 12 * HOUR, 0.5),
     Deserved("counts_differ", "inventory", ALL, ((1440, 120, 0.1),), 5)),
    (Bad("order_exception_rate", "web", 13 * DAY, 12 * HOUR, 0.2),
     Deserved("orders_have_exceptions", "order management", "web", slowly(0.985), 5)),
    (Bad("duplicate_order_rate", "web", 14 * DAY, 1, 1),
     Deserved("duplicate_order_escaped", "order management", "web", after=1)),
    (Late("marketplace_ack", "web", 15 * DAY, 60, 1), Deserved("order_not_acknowledged", "marketplaces", "web")),
    (Late("settlement_to_erp", "", 15 * DAY, 60, 1), Deserved("settlement_not_in_erp", "finance", PROVIDER)),
    (Late("reconciliation_variance", "web", 16 * DAY, 60, 2), Deserved("days_do_not_reconcile", "finance", "web")),
    (Late("close_duration", "", 16 * DAY, 60, 1), Deserved("period_not_closed", "finance", ALL)),
    (Late("channel_onboarding", "web", 17 * DAY, 60, 1), Deserved("channel_not_live", "integration", ALL)),
    (Late("return_cycle", "web", 17 * DAY, 8 * DAY, 1),
     Deserved("refund_near_legal_limit", "returns", "web", after=7 * DAY)),
    (Bad("return_cycle", "", 18 * DAY, DAY, 0.8),
     Deserved("returns_refunded_late", "returns", ALL, ((1440, 120, 0.3),), 5)),
    (Late("return_closure", "web", 19 * DAY, 60, 50), Deserved("returns_stay_open", "returns", "web")),
    (Bad("refund_exception_rate", "", 20 * DAY, 12 * HOUR, 0.2),
     Deserved("refunds_have_exceptions", "returns", ALL, slowly(0.99), 5)),
    (Late("refund_to_ledger", "store", 20 * DAY, 60, 1), Deserved("refund_not_in_ledger", "finance", "store")),
    (Bad("reconciliation_backlog", "web", 21 * DAY, 1, 1), Deserved("matching_backlog", "finance", ALL, after=1)),
    (Bad("reconciliation_effort", "", 21 * DAY, DAY, 0.6),
     Deserved("matching_by_hand", "finance", ALL, ((10_080, 1440, 0.05),), 10)),
    (Bad("replay_volume", "web", 22 * DAY, 1, 1), None),  # only recorded
    (Late("recovery_time", "web", 22 * DAY, 60, 10), Deserved("messages_do_not_recover", "integration", "web")),
    (Bad("exception_resolution", "", 23 * DAY, DAY, 0.9),
     Deserved("exceptions_decided_late", "operations", ALL, ((1440, 120, 0.5),), 10)),
    (Unmeasured("order_latency", 24 * DAY, 60),
     Deserved("promises_not_measured", "platform", "order_latency", after=22)),  # seen at 20, held for two
    (Waiting("dead_letter", "major", 25 * DAY, 60, 5),
     Deserved("dead_letters", "payments", "event:tallytrace.payment.captured.v1")),
    (Waiting("out_of_sequence", "major", 25 * DAY + 6 * HOUR, 60, 10),
     Deserved("facts_parked", "payments", "event:tallytrace.payment.captured.v1")),
    (Waiting("chargeback", "critical", 25 * DAY + 12 * HOUR, 60, 1),
     Deserved("critical_exceptions", "payments", "exception:chargeback")),
    (Waiting("payment_differs", "major", 26 * DAY, 60, 2, 2_000_000),
     Deserved("exceptions_worth_much", "payments", "exception:payment_differs")),
    (Waiting("oversold", "major", 26 * DAY + 6 * HOUR, 60, 25),
     Deserved("exceptions_pile_up", "payments", "exception:oversold")),
    (Waiting("dead_letter", "major", 26 * DAY + 12 * HOUR, 10, 2), None),
]  # fmt: skip


def over(fault: Fault) -> int:
    return fault.start + fault.minutes


def moments() -> list[int]:
    """Every four hours, and closely where something begins or ends."""
    found = set(range(0, 30 * DAY, 4 * HOUR))
    for fault, deserved in TIMETABLE:
        found |= {*range(fault.start, fault.start + 41, 10), *range(over(fault), over(fault) + 41, 10)}
        found |= {*range(fault.start, min(over(fault), fault.start + DAY), 2 * HOUR)}
        found |= {*range(over(fault), over(fault) + 8 * HOUR, 2 * HOUR)}
        if deserved and deserved.after:
            found.add(fault.start + math.ceil(deserved.after))
    return sorted(one for one in found if one < 30 * DAY)


# --- what it should come to, from the timetable ---------------------------------------------------------------------


def onset(fault: Fault, deserved: Deserved) -> float:
    """The minute at which the fault is too much."""
    if not isinstance(fault, Bad) or not deserved.windows:
        return fault.start + deserved.after
    channels = 1 if deserved.place in BUSY or fault.channel == "" else 2  # of which it is one
    for minute in range(1, fault.minutes + 1):
        for long, short, share in deserved.windows:
            recently = int(fault.share * minute) - int(fault.share * max(0, minute - short))
            of_busy = len(BUSY) if fault.channel == "" and deserved.place == ALL else 1
            bad = of_busy * int(fault.share * minute)
            if (
                bad > share * long * channels * of_busy
                and of_busy * recently > share * short * channels * of_busy
                and bad >= deserved.least
            ):
                return fault.start + minute
    raise AssertionError(f"{fault} deserves no page")


def oracle() -> list[tuple[int, str, str, str]]:
    """(minute, rule, owner, place) of every page."""
    looked = moments()
    found = []
    for fault, deserved in TIMETABLE:
        if deserved:
            at = next(each for each in looked if each >= onset(fault, deserved))
            found.append((at, deserved.rule, deserved.owner, deserved.place))
    return sorted(found)


# --- what was measured ----------------------------------------------------------------------------------------------


class Month:
    """The measurements of thirty days as a reader of them; ``minute`` is now."""

    def __init__(self, promised: Sequence[Sla]) -> None:
        self.minute = 0
        self._slas = {sla.name: sla for sla in promised}
        self._bad: dict[str, list[Bad]] = {name: [] for name in self._slas}
        self._late: dict[str, list[Late]] = {name: [] for name in self._slas}
        self._history: dict[str, list[list[Sample]]] = {}
        self._faults = [fault for fault, _ in TIMETABLE]
        for one in self._faults:
            if isinstance(one, Bad):
                self._bad[one.sla].append(one)
            elif isinstance(one, Late):
                self._late[one.sla].append(one)

    def newest_samples(self) -> Mapping[str, Sequence[Sample]]:
        return {name: self._samples(sla) for name, sla in self._slas.items()}

    def counted_at(
        self, sla: str, instants: Collection[dt.datetime], /
    ) -> Mapping[Segment, Mapping[dt.datetime, Counted]]:
        minutes = {instant: int((instant - NOON).total_seconds() // 60) for instant in instants}
        return {
            segment: {instant: self._in_all(sla, segment, minute) for instant, minute in minutes.items()}
            for segment in self._segments(self._slas[sla])
        }

    def undecided(self) -> Sequence[Undecided]:
        return [
            Undecided(
                kind=one.kind, severity=one.severity, owner="payments", event_type="tallytrace.payment.captured.v1",
                channel="", currency="GBP", open=one.count, amount_minor=one.value, oldest_at=at(one.start),
            )
            for one in self._faults
            if isinstance(one, Waiting) and one.start <= self.minute < over(one)
        ]  # fmt: skip

    def overdue_items(self, sla: str, channel: str, limit: int, /) -> Sequence[OverdueItem]:
        return ()

    def history(self, sla: str, since: dt.datetime, until: dt.datetime, /, *, located: bool) -> Sequence[Sample]:
        of = self._slas[sla]
        if sla not in self._history:
            measured = range(-2 * DAY, 30 * DAY + 1, EVERY)
            self._history[sla] = [
                [self._sample(of, each, minute) for each in self._segments(of)] for minute in measured
            ]
        return [one for together in self._history[sla] for one in together if since <= one.as_of <= until]

    def _segments(self, sla: Sla) -> list[Segment]:
        channels = CHANNELS if ("channel",) in sla.segments else ()
        providers = (PROVIDER,) if ("provider",) in sla.segments else ()
        return [("", "", ""), *((one, "", "") for one in channels), *(("", "", one) for one in providers)]

    def _samples(self, sla: Sla) -> list[Sample]:
        stuck = [
            one.start for one in self._faults if isinstance(one, Unmeasured) and one.sla == sla.name and self._now(one)
        ]
        return [self._sample(sla, segment, min([self.minute, *stuck])) for segment in self._segments(sla)]

    def _sample(self, sla: Sla, segment: Segment, minute: int) -> Sample:
        channel, location, provider = segment
        in_all = self._in_all(sla.name, segment, minute)
        before = self._in_all(sla.name, segment, minute - sla.window_days * DAY)
        late = [one for one in self._late[sla.name] if one.start <= minute < over(one) and channel in ("", one.channel)]
        silent = [
            one.start for one in self._faults if isinstance(one, Silent) and self._now(one) and one.channel == channel
        ]
        value = sum(one.value for one in late)
        return Sample(
            sla=sla.name, channel=channel, location=location, provider=provider, as_of=at(minute), window_start=at(0),
            window_end=at(minute), good=in_all.good - before.good, bad=in_all.bad - before.bad,
            all_good=in_all.good, all_bad=in_all.bad, pending=0, excused=0, refused=0,
            overdue_open=sum(one.count for one in late), at_risk=(Money(value, "GBP"),) if value else (),
            oldest_due_at=at(min(one.start for one in late)) if late else None,
            target=sla.thresholds_of(channel, location, provider, "").target_ppm / 1_000_000, value=None,
            state="meeting", reason="", watermark=at(min([minute, *silent])), definition="d",
        )  # fmt: skip

    def _now(self, fault: Fault) -> bool:
        return fault.start <= self.minute < over(fault)

    def _in_all(self, sla: str, segment: Segment, minute: int) -> Counted:
        channels = [segment[0]] if segment[0] else list(CHANNELS)
        decided = sum((minute + LONG_AGO) // (1 if one in BUSY else DAY) for one in channels)
        bad = sum(self._were_bad(sla, one, minute) for one in channels)
        return Counted(decided - bad, bad)

    def _were_bad(self, sla: str, channel: str, minute: int) -> int:
        """Up to a minute."""
        return sum(
            int(one.share * max(0, min(minute - one.start, one.minutes)))
            for one in self._bad[sla]
            if channel in ((one.channel,) if one.channel else BUSY)
        )


def at(minute: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minute)


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    with closing(Store.connect(postgres_url)) as opened:
        opened.migrate()
        yield opened


def test_every_fault_of_a_month_is_paged_once_and_nothing_else(store: Store) -> None:
    promised = slas.load()
    by = alerting.book(Settings(webhook_url="http://pager.example"), promised)
    month = Month(promised)
    told: list[tuple[int, Page]] = []
    resolved: list[tuple[str, str]] = []

    def pager(delivery: Delivery, contact: Contact, now: dt.datetime) -> Reply:
        told.append((month.minute, msgspec.json.decode(delivery.body, type=Page)))
        if delivery.transition == "resolve":
            resolved.append((delivery.dedup_key, contact.name))
        return Reply(status_code=200)

    evaluator = Evaluator(
        store, month, by.rules, by.routes, {"webhook": pager}, lambda: at(month.minute),
        promises=by.promises, interval_seconds=4 * 3600,
    )  # fmt: skip
    with closing(evaluator):
        for minute in moments():
            month.minute = minute
            report = evaluator.tick(at(minute))
            assert (report.failed, report.skipped) == (0, 0)
    paged = [
        (minute, one.rule, one.owner, one.what.rpartition(": ")[2]) for minute, one in told if one.transition == "page"
    ]
    assert sorted(paged) == oracle()
    assert len(resolved) == len(set(resolved))  # each that was told of it is told once that it is over
    assert_each_is_over(told)


def assert_each_is_over(told: Sequence[tuple[int, Any]]) -> None:
    """And not before the fault is."""
    paged = {one.dedup_key: one for _, one in told if one.transition == "page"}
    over_at = {one.dedup_key: minute for minute, one in told if one.transition == "resolve"}
    assert over_at.keys() == paged.keys()
    ends = {deserved.rule: over(fault) for fault, deserved in reversed(TIMETABLE) if deserved}
    assert [one.rule for key, one in paged.items() if over_at[key] < ends[one.rule]] == []


OWN: Final = """
[[rules]]
name = "third_of_the_orders_late"
kind = "bad_ratio"
sla = "order_latency"
domain = "order"
above = 0.3
long_seconds = 3600
short_seconds = 300
min_decided = 20
min_bad = 5
keep_firing_for_seconds = 300
stale_after_seconds = 900
severity = "major"
summary = "a third of the orders is late"
next_step = "look"
"""


@pytest.fixture
def plane(store: Store, free_port: Callable[[], int]) -> Iterator[str]:
    """The API of a month that is over."""
    promised = slas.load()
    by = alerting.book(Settings(), promised)
    month = Month(promised)
    month.minute = 30 * DAY
    now = lambda: at(month.minute)  # noqa: E731
    evaluator = Evaluator(store, month, by.rules, by.routes, {}, now)
    handlers = route_handlers(store, now) + desk_handlers(store, month, by, evaluator.teller, evaluator.audit, now, now)
    port = free_port()
    with closing(evaluator), webserver.serving(Litestar([*handlers, healthz]), "127.0.0.1", port, name="alerts"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def tallytrace(plane: str, home: Path) -> Callable[..., Any]:
    """The command line before it."""
    environment = {"TALLYTRACE_HOME": str(home), "TALLYTRACE_PLANE_URL": plane, "TALLYTRACE_CORE_URL": plane}
    return lambda *words: CliRunner().invoke(cli.app, ["alerts", *words], env=environment)


@get("/healthz")
async def healthz() -> None:
    return None


def test_the_command_line_says_when_a_rule_would_have_fired(tallytrace: Callable[..., Any], home: Path) -> None:
    shipped = msgspec.json.decode(tallytrace("test", "orders_released_late", "--since", "30d", "--json").stdout)
    wanted = [
        (onset(fault, deserved), deserved.place)
        for fault, deserved in TIMETABLE
        if deserved and deserved.rule == shipped["rule"]
    ]
    whole = {(minutes_of(one["at"]), one["place"]) for one in shipped["fired"]}
    for minute, place in wanted:
        assert any(place == where and minute <= fired < minute + EVERY for fired, where in whole), (minute, place)
    assert {fired // DAY for fired, _ in whole} == {2, 3}
    assert "more than 28.8% of 1 h and of 5 min is bad" in shipped["explained"]
    assert shipped["pages"] == len(wanted) < len(shipped["fired"]), "what has spread is no page of its own"
    assert all(one["until"] for one in shipped["fired"])
    (home / "mine.toml").write_text(OWN)
    own = tallytrace("test", str(home / "mine.toml"), "--since", "30d")
    assert (own.exit_code, own.stdout.count("more than 0.3")) == (0, 3)  # web; both
    recently = msgspec.json.decode(tallytrace("test", "orders_released_late", "--since", "12h", "--json").stdout)
    assert recently["fired"] == []
    (home / "mine.toml").write_text(OWN.replace("order_latency", "orders"))
    refused = tallytrace("test", str(home / "mine.toml"))
    assert refused.exit_code == 2
    assert "line 2, rule third_of_the_orders_late: unknown SLA 'orders'" in " ".join(refused.output.split())


def minutes_of(text: str) -> int:
    return int((dt.datetime.fromisoformat(text) - NOON).total_seconds() // 60)


def test_the_page_replays_a_rule_as_the_command_line_does(plane: str, tallytrace: Callable[..., Any]) -> None:
    with httpx.Client() as client:
        remote = Remote(client, plane, "the alerts")

        def shown(**asked: str) -> str:
            desk = Desk("alerts", {"view": "rules"} | asked)
            return repr(pages.page(desk, pages.ask(desk, remote), at(30 * DAY)).body)

        told = msgspec.json.decode(tallytrace("test", "orders_released_late", "--since", "30d", "--json").stdout)
        page = shown(rule="orders_released_late", days="30")
        times, pages_sent = len(told["fired"]), told["pages"]
        assert f"It would have fired {times} times and paged {pages_sent} times" in page
        assert all(one["why"] in page for one in told["fired"])
        assert "It would have fired 0 times and paged 0 times" in shown(rule="orders_released_late", days="1")
        assert "Only a rule on one promise has measurements to replay" in shown(rule="dead_letters")
        assert "fired" not in shown()
