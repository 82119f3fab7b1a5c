"""Events go into the core over HTTP, pages come out on real sockets; people answer over HTTP. The clock is given."""

import datetime as dt
import resource
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
from litestar import Litestar

from alerts.acknowledging import form_handlers
from alerts.api import desk_handlers, route_handlers
from alerts.condition import Counted
from alerts.readings import Segment
from alerts.schedule import Evaluator, Report
from alerts.senders.pagerduty import pagerduty
from alerts.store import Store
from lineage import slas
from lineage.model import Money, OverdueItem, Sample
from lineage.queries import Queries
from lineage.service import Lineage
from sync_core.messages import Event, ProductRegistered
from tallytrace import alerting, webserver
from tallytrace.alert_reader import Reader
from tallytrace.settings import Settings
from tests.core import Core
from tests.factories import NOON, cloudevent, order
from tests.receivers import Receiver, receiving

ROUTES = """
fallback = "operations"
[owners.operations]
title = "Operations"
contacts = ["operations_web"]
[owners.finance]
title = "Finance"
zone = "Europe/Berlin"
contacts = ["finance_duty", "finance_mail"]
escalation = "books"
[owners.erp]
title = "ERP team"
contacts = ["erp_chat"]
[owners.middleware]
title = "Middleware team"
contacts = ["middleware_other"]
[owners.partners]
title = "Partner team"
contacts = ["partner_web"]
[owners.commerce]
title = "Commerce team"
contacts = ["commerce_web"]
escalation = "books"
[owners.stewards]
title = "Data stewards"
contacts = ["steward_web"]
[contacts.operations_web]
sender = "webhook"
address = "operations_web"
[contacts.finance_duty]
sender = "pagerduty"
address = "duty_key"
[contacts.finance_mail]
sender = "smtp"
address = "mail"
[contacts.erp_chat]
sender = "slack"
address = "chat"
template = "{items[99]}"
[contacts.middleware_other]
sender = "apprise"
address = "other"
[contacts.partner_web]
sender = "webhook"
address = "partner_web"
[contacts.commerce_web]
sender = "webhook"
address = "commerce_web"
at_most = 2
per_seconds = 60
[contacts.steward_web]
sender = "webhook"
address = "steward_web"
[escalations.books]
steps = [{ after_seconds = 600, owner = "erp" }, { after_seconds = 1200, owner = "middleware" },
         { after_seconds = 1800, owner = "partners" }]
repeat_seconds = 3600
[owns.events]
"tallytrace." = "commerce"
[owns.master_data]
product = "stewards"
[owns.reconciliation]
L1 = "finance"
"""
RULES = """
[[rules]]
name = "conflicts"
kind = "exceptions"
domain = "exception"
kinds = ["identity_conflict"]
open_at_least = 1
severity = "major"
stale_after_seconds = 300
summary = "an event came again with other content"
next_step = "ask the sender"
[[rules]]
name = "days_do_not_reconcile"
kind = "overdue"
sla = "reconciliation_variance"
domain = "settlement"
levels = ["all", "channel"]
overdue_at_least = 3
value_at_least = { GBP = 100000 }
severity = "critical"
about = "reconciliation:L1"
stale_after_seconds = 300
summary = "days do not reconcile"
next_step = "open the cells"
[[rules]]
name = "refund_not_in_ledger"
kind = "overdue"
sla = "refund_to_ledger"
domain = "refund"
levels = ["location"]
overdue_at_least = 1
severity = "minor"
owner = "commerce"
stale_after_seconds = 300
summary = "refunds late in stores"
next_step = "look"
[[rules]]
name = "refunds_stand_still"
kind = "overdue"
sla = "refund_to_ledger"
domain = "refund"
levels = ["all"]
overdue_at_least = 1000000
severity = "critical"
owner = "commerce"
stale_after_seconds = 300
summary = "refunds stand still"
next_step = "look at once"
"""


SLAS = {"refund_to_ledger", "reconciliation_variance"}


def product(name: str) -> ProductRegistered:
    return ProductRegistered(origin="shop", sku="A1", name=name, tax_code="S")


class Measured:
    """What the lineage service would answer: overdue items by (SLA, channel, location), and a history."""

    def __init__(self, now: Callable[[], dt.datetime]) -> None:
        self.overdue: dict[tuple[str, str, str], int] = {}
        self._now = now

    def current(self) -> list[Sample]:
        return [one for sla in {of for of, _, _ in self.overdue} | SLAS for one in self._of(sla)]

    def _of(self, sla: str) -> list[Sample]:
        mine = {(channel, location): count for (of, channel, location), count in self.overdue.items() if of == sla}
        found = [sample(sla, self._now(), "", "", sum(mine.values()))]
        for name in {channel for channel, _ in mine}:
            found.append(sample(sla, self._now(), name, "", sum(n for (c, _), n in mine.items() if c == name)))
        found += [sample(sla, self._now(), *where, count) for where, count in mine.items() if where[1]]
        return found

    def overdue_items(self, sla: str, channel: str, limit: int) -> Sequence[OverdueItem]:
        return []


def sample(sla: str, at: dt.datetime, channel: str, location: str, overdue: int, **over: Any) -> Sample:
    figures: dict[str, Any] = {
        "good": 90, "bad": overdue, "overdue_open": overdue, "oldest_due_at": at if overdue else None,
        "at_risk": (Money(1250 * overdue, "GBP"),) if overdue else (),
    } | over  # fmt: skip
    return Sample(
        sla=sla, channel=channel, location=location, provider="", as_of=at, window_start=at, window_end=at, pending=0,
        excused=0, refused=0, target=0.99, value=0.98, state="breached", reason="", watermark=at, definition="d",
        **figures,
    )  # fmt: skip


class History(Reader):
    """Measurements of the past that a test made up."""

    past: Sequence[Sample] = ()

    def history(self, sla: str, since: dt.datetime, until: dt.datetime, /, *, located: bool) -> list[Sample]:
        return [one for one in self.past if since <= one.as_of <= until]

    def counted_at(self, sla: str, instants: Collection[dt.datetime], /) -> dict[Segment, dict[dt.datetime, Counted]]:
        return {}


class Alerting:
    """An evaluator and its API, over the core's HTTP and the receivers' sockets."""

    def __init__(
        self, evaluator: Evaluator, api: httpx.Client, measured: Measured, reader: History, core: Core
    ) -> None:
        self.evaluator, self.api, self.measured, self.reader, self.core = evaluator, api, measured, reader, core

    def at(self, seconds: float) -> Report:
        """Tick so long after noon."""
        self.core.now = NOON + dt.timedelta(seconds=seconds)
        return self.evaluator.tick(self.core.now)

    def alerts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/v1/alerts?limit=1000").json()["open"]
        return found

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.api.post(path, json=body)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@contextmanager
def alerting_of(
    core: Core, core_url: str, postgres_url: str, home: Path, receiver: Receiver, port: int
) -> Iterator[Alerting]:
    web = f"http://127.0.0.1:{receiver.http_port}"
    addresses = {
        name: f"{web}/{name}" for name in ("operations_web", "chat", "partner_web", "commerce_web", "steward_web")
    }
    addresses |= {
        "duty_key": "R0UT1NG",
        "mail": f"smtp://127.0.0.1:{receiver.smtp_port}/?from=t@example.com&to=fin@example.com",
        "other": f"json://127.0.0.1:{receiver.http_port}/other",
    }
    lines = [f'{name} = "{address}"' for name, address in addresses.items()]
    for name, text in (("rules", RULES), ("routes", ROUTES), ("addresses", "\n".join(lines))):
        (home / f"{name}.toml").write_text(text)
    settings = Settings(
        alert_rules=str(home / "rules.toml"), alert_routes=str(home / "routes.toml"),
        alert_addresses=str(home / "addresses.toml"), plane_url="http://tally.example",
        alert_heartbeat_url=f"{web}/alive",
    )  # fmt: skip
    by = alerting.book(settings, slas.load())
    by = msgspec.structs.replace(by, rules=[rule for rule in by.rules if rule.name in RULES])
    with ExitStack() as undo:
        store = undo.enter_context(closing(Store.connect(postgres_url)))
        store.migrate()
        client = undo.enter_context(httpx.Client(timeout=5, trust_env=False, verify=False))
        measured = Measured(lambda: core.now)
        reader = History(cast(Lineage, measured), cast(Queries, None), client, core_url)
        evaluator = alerting.evaluator(settings, by, store, reader, client, lambda: core.now)
        evaluator._senders = {**evaluator._senders, "pagerduty": pagerduty(client, f"{web}/v2/enqueue")}
        undo.callback(evaluator.close)
        clock = lambda: core.now  # noqa: E731
        app = Litestar(
            [
                *route_handlers(store, clock),
                *form_handlers(store, evaluator.teller, clock),
                *desk_handlers(store, reader, by, evaluator.teller, evaluator.audit, clock, clock),
            ]
        )
        undo.enter_context(webserver.serving(app, "127.0.0.1", port, name="alerts"))
        api = undo.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False, timeout=30)
        )
        yield Alerting(evaluator, api, measured, reader, core)


@pytest.fixture
def alerts(
    core: Core, http: httpx.Client, postgres_url: str, home: Path, receiver: Receiver, free_port: Callable[[], int]
) -> Iterator[Alerting]:
    with alerting_of(core, str(http.base_url), postgres_url, home, receiver, free_port()) as one:
        yield one


@pytest.mark.proves(265, 266, 267)
def test_whose_an_event_a_product_or_a_reconciliation_rule_is_hears_of_it(
    alerts: Alerting, http: httpx.Client, receiver: Receiver
) -> None:
    conflicting: list[tuple[str, Event]] = [
        ("order", order("1")), ("order", order("1", channel="store")),
        ("product", product("the A1")), ("product", product("another")),
    ]  # fmt: skip
    for kind, event in conflicting:
        assert http.post("/v1/events", json=cloudevent(event, f"{kind}-1")).status_code in (200, 202, 409)
    alerts.measured.overdue = {("reconciliation_variance", "web", ""): 3}
    alerts.at(1)
    [of_order], [of_product] = receiver.of("/commerce_web"), receiver.of("/steward_web")
    assert (of_order["owner"], of_order["what"]) == (
        "commerce", "an event came again with other content: event:tallytrace.order.captured.v1/web"
    )  # fmt: skip
    assert (of_product["owner"], of_product["owner_title"]) == ("stewards", "Data stewards")
    [of_day] = receiver.of("/v2/enqueue")
    assert of_day["payload"]["group"] == "finance"
    assert of_day["payload"]["custom_details"]["told_because"] == "finance owns it"
    told = alerts.api.get("/v1/owners", params={"thing": ["event:tallytrace.order.captured.v1", "event:acme.x"]}).json()
    assert told["owns"]["event:tallytrace.order.captured.v1"] == "commerce"
    assert told["owns"]["reconciliation:L1"] == "finance"
    assert told["owners"]["finance"]["zone"] == "Europe/Berlin"
    assert told["unowned"] == ["event:acme.x"]


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # apprise loads it, on old Pythons
@pytest.mark.proves(216, 217)
def test_a_page_by_priority_and_worth_goes_from_team_to_team_until_somebody_acknowledges_it(
    alerts: Alerting, receiver: Receiver
) -> None:
    receiver.answers["/chat"] = 500  # one receiver that is down holds up no other
    alerts.measured.overdue = {("reconciliation_variance", "web", ""): 2, ("refund_to_ledger", "store", "LON"): 1}
    alerts.at(1)
    assert receiver.of("/v2/enqueue") == []  # neither three cells nor 1,000 pounds
    assert [page["severity"] for page in receiver.of("/commerce_web")] == ["minor"]
    alerts.measured.overdue = {("reconciliation_variance", "web", ""): 90}
    alerts.at(10)
    [event] = receiver.of("/v2/enqueue")
    payload = event["payload"]
    assert (event["event_action"], event["routing_key"], payload["severity"]) == ("trigger", "R0UT1NG", "critical")
    assert payload["custom_details"]["at_risk"] == ["1,125.00 GBP"]
    assert payload["custom_details"]["next_step"] == "open the cells"
    assert event["links"][0]["href"] == "http://tally.example/ui/sla/reconciliation_variance"
    assert "2026-03-02 13:00:10 CET" in payload["summary"]
    [mail] = receiver.mails
    assert "Subject: critical: days do not reconcile: all of it" in mail
    alerts.at(600)
    assert len(receiver.of("/v2/enqueue")) == 1
    alerts.at(611)
    assert (receiver.of("/chat"), receiver.of("/other")) == ([], [])
    receiver.answers.clear()
    alerts.at(1215)
    [chat], [other] = receiver.of("/chat"), receiver.of("/other")
    assert chat["text"].startswith("ESCALATED days do not reconcile: all of it. nobody acknowledged it for 601 s")
    assert "The template of this contact failed: IndexError" in chat["text"]
    assert other["title"] == "days do not reconcile: all of it"
    [view] = [one for one in alerts.alerts() if one["alert"]["level"] == "all"]
    key = event["dedup_key"]
    answer = alerts.post(
        f"/v1/alerts/{view['alert']['alert_id']}/ack", by="ann", note="on it", remind_after_seconds=900
    )
    assert answer.json()["incident"]["acknowledged_by"] == "ann"
    alerts.at(1820)
    assert receiver.of("/partner_web") == []
    acknowledged = receiver.of("/v2/enqueue")[1]
    assert acknowledged == {"routing_key": "R0UT1NG", "event_action": "acknowledge", "dedup_key": key}
    alerts.at(2120)
    assert "ann acknowledged it, and it still fires" in receiver.of("/v2/enqueue")[2]["payload"]["summary"]
    alerts.measured.overdue = {}
    alerts.at(2130)
    assert [one["event_action"] for one in receiver.of("/v2/enqueue")] == [
        "trigger",
        "acknowledge",
        "trigger",
        "resolve",
    ]
    assert {one["dedup_key"] for one in receiver.of("/v2/enqueue")} == {key}
    assert receiver.of("/chat")[-1]["text"].startswith("RESOLVED")
    assert alerts.post(f"/v1/alerts/{view['alert']['alert_id']}/ack", by="ann", note="late").status_code == 409
    log = [(one["contact"], one["state"]) for one in view["deliveries"]]
    assert log.count(("finance_duty", "delivered")) == 1


def test_a_message_links_to_a_form_that_acknowledges(alerts: Alerting, receiver: Receiver) -> None:
    alerts.measured.overdue = {("refund_to_ledger", "store", "LON"): 1}
    alerts.at(1)
    [page] = receiver.of("/commerce_web")
    assert page["text"].endswith(f" At it? {page['acknowledge']}")
    path = page["acknowledge"].removeprefix("http://tally.example")
    shown = alerts.api.get(path)
    assert "store/LON: 1 overdue and still open" in shown.text
    assert '<form method="post" action="at-it">' in shown.text
    alerts.at(5)
    assert len(receiver.of("/commerce_web")) == 1  # looking at it changes nothing
    answer = {"by": "<ann>", "note": "on it", "remind_after_seconds": "1800"}
    to = path.removesuffix("ack") + "at-it"
    elsewhere = alerts.api.post(to, data=answer, headers={"Sec-Fetch-Site": "cross-site"})
    assert (elsewhere.status_code, alerts.api.post(to, data={"by": "ann"}).status_code) == (403, 400)
    assert alerts.alerts()[0]["incident"]["acknowledged_by"] == ""
    assert "Everyone is reminded at 2026-03-02 12:30 UTC" in alerts.api.post(to, data=answer).text
    assert "&lt;ann&gt; is at it" in alerts.api.get(path).text
    alerts.at(10)
    assert receiver.of("/commerce_web")[1]["transition"] == "acknowledge"
    alerts.measured.overdue = {}
    alerts.at(20)
    assert (alerts.api.get("/alerts/none/ack").status_code, alerts.api.post(to, data=answer).status_code) == (
        404,
        409,
    )
    assert "It is over" in alerts.api.get(path).text


def test_a_silence_hides_with_a_preview_and_the_whole_hides_its_parts(alerts: Alerting, receiver: Receiver) -> None:
    wanted: dict[str, Any] = {
        "match": {"rule": ["days_do_not_reconcile"]}, "by": "ann", "reason": "stocktaking",
        "ends_at": (NOON + dt.timedelta(seconds=100)).isoformat(),
    }  # fmt: skip
    long_ago, far = (NOON + dt.timedelta(days=days) for days in (-1, 31))
    for field, value in (("ends_at", long_ago.isoformat()), ("ends_at", far.isoformat()), ("match", {})):
        refused = alerts.post("/v1/silences", **wanted | {field: value})
        assert (refused.status_code, refused.json()["detail"].split(":")[0]) == (400, field)
    assert alerts.post("/v1/silences", **wanted).json() == {"silence_id": 1, "hides": []}
    alerts.measured.overdue = {("reconciliation_variance", "web", ""): 5, ("reconciliation_variance", "store", ""): 4}
    alerts.at(1)
    assert receiver.of("/v2/enqueue") == []
    preview = alerts.post("/v1/silences", **wanted, dry_run=True).json()
    assert (preview["silence_id"], len(preview["hides"])) == (None, 3)
    [silence] = alerts.api.get("/v1/silences").json()
    assert (silence["author"], silence["reason"], silence["hid"]) == ("ann", "stocktaking", 3)
    assert alerts.api.get("/v1/alerts/audit").json()["faults"] == []
    alerts.at(101)
    assert [one["payload"]["component"] for one in receiver.of("/v2/enqueue")] == ["days_do_not_reconcile"]
    hidden = {one["alert"]["channel"]: one["alert"]["hidden"] for one in alerts.alerts()}
    assert hidden == {"": "", "web": "the same rule fires for all of it", "store": "the same rule fires for all of it"}


FIRST_PAGE_SECONDS = 5.0
MOST_KILOBYTES = 400_000


@pytest.mark.proves(216)
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_alerts_at_once_are_a_few_messages_and_the_first_comes_soon(
    alerts: Alerting, receiver: Receiver, count: int
) -> None:
    channels = ("store", "outlet", "kiosk", "popup")
    alerts.measured.overdue = {
        ("refund_to_ledger", channels[number % 4], f"S{number:05}"): 1 for number in range(count)
    } | {("reconciliation_variance", f"C{number}", ""): 3 for number in range(count // 10)}
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    first_after: list[float] = []
    receiver.took = lambda: first_after.append(time.process_time() - began)
    report = alerts.at(1)
    assert first_after[0] < FIRST_PAGE_SECONDS  # of CPU: other work on the machine does not count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES
    assert (report.paged, report.delivered) == (5, 4)  # commerce takes two in a minute; the rest are finance's
    first, _ = receiver.of("/commerce_web")
    assert (first["alerts"], first["overdue_open"]) == (count // 4, count // 4)
    assert first["what"].endswith(f" and {count // 4 - 5} more")
    [whole] = receiver.of("/v2/enqueue")  # each of its parts fires as well, and is hidden by it
    assert whole["payload"]["summary"].startswith("days do not reconcile: all of it. ")
    alerts.measured.overdue["refund_to_ledger", "store", "S00000"] = 1_000_000
    alerts.at(30)
    alerts.at(62)  # what is critical goes before what has waited longer
    assert [page["severity"] for page in receiver.of("/commerce_web")] == ["minor", "minor", "critical", "minor"]
    assert len(receiver.of("/v2/enqueue")) == 1
    assert len(receiver.of("/alive")) == 3
    assert alerts.api.get("/v1/alerts/audit").json()["faults"] == []
    alerts.at(123)
    alerts.measured.overdue = {}
    for seconds in (130, 190, 250, 310):
        alerts.at(seconds)
    over = Counter(page["transition"] for page in receiver.of("/commerce_web"))
    assert over == {"page": 5, "resolve": 5}
    assert [one["event_action"] for one in receiver.of("/v2/enqueue")] == ["trigger", "resolve"]


def test_a_run_that_was_missed_is_kept_and_an_unowned_alert_is_itself_one(
    alerts: Alerting, http: httpx.Client, receiver: Receiver
) -> None:
    alerts.at(1)
    alerts.at(300)
    missed = alerts.api.get("/v1/alerts/missed").json()
    assert {one["reason"] for one in missed} == {"not judged for 299 s, until 2026-03-02 12:05:00 UTC"}
    owned = alerts.evaluator._routes.owned
    owned.events.clear()
    for channel in ("web", "store"):
        http.post("/v1/events", json=cloudevent(order("1", channel=channel), "order-1"))
    alerts.at(310)
    alerts.at(320)
    whats = {page["rule"]: page["what"] for page in receiver.of("/operations_web")}
    assert "conflicts" in whats
    assert whats["alerts_without_owner"].startswith("alerts have no owner who can be reached: ")
