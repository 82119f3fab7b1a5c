"""Rules and routes that cannot work are refused when they are loaded, with the reason and the line."""

from datetime import UTC, datetime
from importlib import resources

import pytest

from alerts.explanation import explained
from alerts.register import Owner, owner_of, told_from
from alerts.routing import Contact, Labels, RoutesRefusedError, all_things, load_routes, plan_for, route
from alerts.rule import AnyRule, OpenExceptions, Overdue, SlaRule
from alerts.rulebook import Promise, Refusal, RulesRefusedError, load_rules
from lineage import slas
from tallytrace import alerting
from tallytrace.settings import Settings

SHIPPED_ROUTES = (resources.files("alerts") / "routes.toml").read_text(encoding="utf-8")
ADDRESSES = {"webhook_url": "http://pager.example/hook", "webhook_secret": "s3cret"}
MONTH = 28 * 86_400
LEVELS = frozenset({"all", "channel", "location", "provider"})
PROMISES = {
    "refund_to_ledger": Promise(
        deadline="4 h",
        target=0.99,
        window_seconds=MONTH,
        levels=LEVELS,
        targets=frozenset({0.985}),
        measured_every_seconds=60,
    ),
    "stock_freshness": Promise(deadline="5 min", target=0.99, window_seconds=MONTH, levels=LEVELS),
    "reconciliation_variance": Promise(deadline="1 d", target=0.99, window_seconds=MONTH, levels=LEVELS),
    "order_latency": Promise(deadline="", target=0.9, window_seconds=MONTH, levels=frozenset({"all"})),
}
RULE = """
[[rules]]
name = "refund_not_in_ledger"
kind = "overdue"
sla = "refund_to_ledger"
domain = "refund"
overdue_at_least = 1
stale_after_seconds = 300
severity = "major"
owner = "finance"
summary = "refund not in the ledger by its deadline"
next_step = "look"
"""
BURN = RULE.replace('kind = "overdue"', 'kind = "burn_rate"').replace(
    "overdue_at_least = 1",
    "windows = [{ long_seconds = 3600, short_seconds = 300, factor = 14.4 }]\nmin_decided = 20\nmin_bad = 3",
)


def load(text: str) -> tuple[AnyRule, ...]:
    routes = load_routes(SHIPPED_ROUTES, ADDRESSES)
    return load_rules(text, promises=PROMISES, owners=routes.owners, things=all_things(routes))


def refusals(text: str) -> list[Refusal]:
    with pytest.raises(RulesRefusedError) as caught:
        load(text)
    return list(caught.value.refusals)


def test_every_promise_has_a_shipped_rule_of_a_known_owner() -> None:
    promised = slas.load()
    by = alerting.book(Settings(), promised)
    looked_at = {rule.sla for rule in by.rules if isinstance(rule, SlaRule)}
    assert {sla.name for sla in promised} - looked_at == {"system_health"}
    assert {rule.owner for rule in by.rules if isinstance(rule, SlaRule) and not rule.about} <= set(by.routes.owners)
    floors = [rule for rule in by.rules if isinstance(rule, Overdue) and rule.decided_under]
    assert {floor.decided_under for floor in floors} == {50}


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ('"refund_to_ledger"', '"refunds"',
         "unknown SLA 'refunds'; known: order_latency, reconciliation_variance, refund_to_ledger, stock_freshness"),
        ('"refund_to_ledger"', '"order_latency"', "SLA 'order_latency' is not measured by channel; it is by all"),
        ('owner = "finance"', 'about = "reconciliation:L9"',
         "nothing in the register of owners is named 'reconciliation:L9'"),
        ('owner = "finance"', 'owner = "finance"\nabout = "reconciliation:L1"',
         "it has an owner, or is about a thing of the register, not both"),
        ('owner = "finance"\n', "", "it has no owner, and is about no thing of the register that has one"),
        ("overdue_at_least = 1\n", "oldest_seconds = 60\ndecided_under = 50\n",
         "decided_under says nothing without overdue_at_least"),
        ('owner = "finance"', 'owner = "finance"\nhidden_by = ["another"]', "hidden_by: no rule is named 'another'"),
        ('owner = "finance"', 'owner = "finance"\nhidden_by = ["refund_not_in_ledger"]',
         "it would be hidden by itself"),
        ('kind = "overdue"\nsla = "refund_to_ledger"\ndomain = "refund"\noverdue_at_least = 1',
         'kind = "absence"\nsla = "*"\ndomain = "refund"\nsilent_for_seconds = 60',
         "it would always fire: one is measured every 60 s"),
        ("overdue_at_least = 1\n", "", "it can never fire: give overdue_at_least, value_at_least or oldest_seconds"),
        ("overdue_at_least = 1", "overdue_at_least = 0", "Expected `int` >= 1 - at `$.overdue_at_least`"),
        ("overdue_at_least = 1", "overdue = 1", "Object contains unknown field `overdue`"),
        ('severity = "major"', 'severity = "bad"', "Invalid enum value 'bad' - at `$.severity`"),
        ('kind = "overdue"', 'kind = "magic"', "Invalid value 'magic' - at `$.kind`"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused(was: str, now: str, why: str) -> None:
    assert was in RULE
    assert Refusal(2, "refund_not_in_ledger", why) in refusals(RULE.replace(was, now))


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ("factor = 14.4", "factor = 70",
         "a factor of 70 can never fire: all bad is 66.67 at a target of 98.5000%; use a lower factor, or a "
         "bad_ratio rule"),
        ("short_seconds = 300", "short_seconds = 3600", "the short window, 3600 s, is not shorter than 3600 s"),
        ("long_seconds = 3600", "long_seconds = 2500000", "a window of 2.5e+06 s is longer than that of the SLA"),
        ("min_decided = 20\nmin_bad = 3", "min_decided = 5\nmin_bad = 1",
         "low volume: one bad item of 5 would fire it; set min_decided to 7 or min_bad to 2"),
        ("min_bad = 3", "min_bad = 21", "min_bad is more than min_decided, which then says nothing"),
    ],
)  # fmt: skip
def test_a_burn_rate_that_can_never_fire_or_fires_by_chance_is_refused(was: str, now: str, why: str) -> None:
    assert was in BURN
    assert refusals(BURN.replace(was, now)) == [Refusal(2, "refund_not_in_ledger", why)]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ('kind = "overdue"\noverdue_at_least = 3\ndecided_under = 50\nvalue_at_least = { GBP = 5000000, EUR = 7 }\n'
         "oldest_seconds = 7200\nfor_seconds = 300",
         "3 or more overdue and still open, while fewer than 50 are decided; or what is overdue and still open is "
         "worth 50,000.00 GBP or 0.07 EUR or more; or one is open 2 h after its deadline, for 5 min"),
        ('kind = "bad_count"\nbad_at_least = 2\nwithin_seconds = 86400', "2 or more bad in 1 d"),
        ('kind = "burn_rate"\nwindows = [{ long_seconds = 3600, short_seconds = 300, factor = 14.4 }]\n'
         "min_decided = 20\nmin_bad = 3",
         "more than 14.4% of 1 h and of 5 min is bad, at least 3 of 20 or more (when all is bad after 8.64 min, with "
         "2.14% of the budget spent)"),
        ('kind = "bad_ratio"\nabove = 0.1\nlong_seconds = 86400\nshort_seconds = 7200\nmin_decided = 20\nmin_bad = 5',
         "more than 10% of 1 d and of 2 h is bad, at least 5 of 20 or more (when all is bad after 2.4 h, with "
         "35.71% of the budget spent)"),
        ('kind = "staleness"\nolder_than_seconds = 3600', "nothing new has arrived for more than 1 h"),
        ('kind = "absence"\nsilent_for_seconds = 600', "the promise was not measured for more than 10 min"),
    ],
)  # fmt: skip
def test_a_rule_says_what_it_takes(kind: str, says: str) -> None:
    (rule,) = load(RULE.replace('kind = "overdue"\n', "").replace("overdue_at_least = 1", kind))
    assert explained(rule, PROMISES) == says


def test_a_rule_on_exceptions_says_what_it_takes() -> None:
    rule = OpenExceptions(
        name="duty", domain="exception", severity="major", summary="s", next_step="n", stale_after_seconds=300,
        kinds=("dead_letter", "backorder"), severities=("critical",), open_at_least=2, oldest_seconds=900,
    )  # fmt: skip
    assert explained(rule, {}) == (
        "2 or more critical exceptions of dead letter, backorder are open; or one of the critical exceptions of dead "
        "letter, backorder has been open for 15 min"
    )


def test_each_rule_delivered_says_what_it_takes() -> None:
    by = alerting.book(Settings(), slas.load())
    assert [rule.name for rule in by.rules if not explained(rule, by.promises)] == []


def test_a_rule_that_is_only_recorded_hides_no_other() -> None:
    recorded = RULE.replace('"refund_not_in_ledger"', '"quiet"').replace('"major"', '"record"')
    assert refusals(recorded + RULE.replace('owner = "finance"', 'owner = "finance"\nhidden_by = ["quiet"]')) == [
        Refusal(14, "refund_not_in_ledger", "hidden_by: 'quiet' is only recorded, so nobody would hear")
    ]


def test_every_reason_is_told_with_its_line() -> None:
    text = RULE + RULE.replace('"finance"', '"x"')
    found = refusals(text)
    assert [each.reason.split(";")[0] for each in found] == ["another rule has this name", "unknown owner 'x'"]
    assert {str(each).split(":")[0] for each in found} == {"line 14, rule refund_not_in_ledger"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[rules]", "not TOML: Expected ']]' at the end of an array declaration"),
        ("[rule]\nname = 'x'", "unknown table 'rule': rules are [[rules]]"),
        ("rules = 3", "rules are [[rules]]: Expected `array`, got `int`"),
    ],
)
def test_a_file_that_holds_no_rules_is_refused(text: str, why: str) -> None:
    (refused,) = refusals(text)
    assert (refused.line, refused.reason.split(" (")[0]) == (0, why)


def test_an_owner_is_reached_by_its_contacts() -> None:
    routes = load_routes(SHIPPED_ROUTES, ADDRESSES)
    routed = route("finance", routes)
    assert (routed.title, routed.reason) == ("Finance operations", "finance owns it")
    assert [each.address for each in routed.contacts] == ["http://pager.example/hook"]


def test_an_owner_without_a_contact_falls_back_and_says_so() -> None:
    routed = route("cooks", load_routes(SHIPPED_ROUTES, ADDRESSES))
    assert (routed.owner, routed.reason) == ("operations", "cooks is no known owner, so operations is told")
    assert [each.name for each in routed.contacts] == ["operations_pager"]


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ('fallback = "operations"', 'fallback = "night"', "fallback 'night' is no owner with a contact"),
        ('title = "Payments"\ncontacts = ["finance_pager"]', 'title = "Payments"\ncontacts = ["phone"]',
         "contact 'phone' is not declared"),
        ('escalation = "partner"\n\n[owners.delivery]', 'escalation = "night"\n\n[owners.delivery]',
         "owner 'marketplaces': unknown escalation 'night'"),
        ('title = "Payments"', 'title = "Payments"\nzone = "Mars/One"',
         "owner 'payments': unknown time zone 'Mars/One'"),
        ('product = "merchandising"', 'product = "cooks"', "owns 'product': unknown owner 'cooks'"),
        ('address = "webhook_url"\n\n[contacts', 'address = "pager"\n\n[contacts',
         "contact 'finance_pager': unknown address 'pager'"),
        ('sender = "webhook"', 'sender = "pigeon"', "Invalid enum value 'pigeon' - at `$.contacts[...].sender`"),
    ],
)  # fmt: skip
def test_routes_that_lead_nowhere_are_refused(was: str, now: str, why: str) -> None:
    assert was in SHIPPED_ROUTES
    with pytest.raises(RoutesRefusedError) as caught:
        load_routes(SHIPPED_ROUTES.replace(was, now), ADDRESSES)
    assert str(caught.value) == why


ROUTE = """
[[routes]]
match = { severity = ["critical"] }
contacts = ["finance_pager"]

[[routes]]
match = { channel = ["web"] }
contacts = ["operations_pager"]
"""


def test_overlapping_routes_are_refused_unless_one_is_the_narrower() -> None:
    with pytest.raises(RoutesRefusedError) as caught:
        load_routes(SHIPPED_ROUTES + ROUTE, ADDRESSES)
    begin = SHIPPED_ROUTES.count("\n")
    assert str(caught.value) == (
        f"line {begin + 6}, route 2 overlaps with line {begin + 2}, route 1, and neither is the narrower one"
    )
    narrower = ROUTE.replace('channel = ["web"]', 'severity = ["critical"], channel = ["web"]')
    routes = load_routes(SHIPPED_ROUTES + narrower, ADDRESSES)

    def told(severity: str, channel: str) -> tuple[str, ...]:
        named = Labels(rule="r", owner="finance", domain="refund", severity=severity, channel=channel)
        return plan_for(named, routes).contacts

    assert told("critical", "web") == ("operations_pager",)
    assert told("critical", "store") == ("finance_pager",)
    assert told("major", "web") == ()


def test_the_register_knows_whose_a_thing_is() -> None:
    owned = load_routes(SHIPPED_ROUTES, ADDRESSES).owned
    whose = {
        "event:tallytrace.refund.issued.v1": "returns",
        "event:tallytrace.product.registered.v1": "merchandising",
        "event:tallytrace.something.new.v1": "platform",
        "event:acme.loyalty.v1": "",
        "api:/v1/orders/1001": "commerce",
        "master_data:product": "merchandising",
        "reconciliation:L3": "payments",
        "reconciliation:L33": "",
    }
    assert {thing: owner_of(thing, owned) for thing in whose} == whose


@pytest.mark.parametrize(
    ("severity", "at", "from_"),
    [
        ("critical", "2026-03-28T22:00", "2026-03-28T22:00"),
        ("major", "2026-03-28T12:00", "2026-03-28T12:00"),
        ("major", "2026-03-28T22:00", "2026-03-29T07:00"),  # 08:00 in London, where the clocks went forward that night
        ("major", "2026-03-28T03:00", "2026-03-28T08:00"),
    ],
)
def test_outside_its_hours_an_owner_hears_only_what_is_critical(severity: str, at: str, from_: str) -> None:
    owner = Owner(title="Finance", contacts=("x",), zone="Europe/London", hours="08:00-18:00")
    assert told_from(owner, severity, utc(at)) == utc(from_)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_contact_does_not_tell_its_address_or_secret_in_logs() -> None:
    contact = Contact(name="pager", sender="webhook", address="http://user:pass@pager.example", secret="s3cret")
    assert repr(contact) == "Contact('pager', sender='webhook')"
