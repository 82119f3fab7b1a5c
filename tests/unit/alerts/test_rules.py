"""Rules and routes that cannot work are refused when they are loaded, with the reason and the line."""

from importlib import resources

import pytest

from alerts.routing import Contact, RoutesRefusedError, load_routes, route
from alerts.rule import Refusal, RulesRefusedError, load_rules

SHIPPED_RULES = (resources.files("alerts") / "rules.toml").read_text(encoding="utf-8")
SHIPPED_ROUTES = (resources.files("alerts") / "routes.toml").read_text(encoding="utf-8")
DEADLINES = {"refund_to_ledger": "4 h", "stock_accuracy": ""}
ADDRESSES = {"webhook_url": "http://pager.example/hook", "webhook_secret": "s3cret"}


def refusals(text: str) -> list[Refusal]:
    with pytest.raises(RulesRefusedError) as caught:
        load_rules(text, deadlines=DEADLINES, owners={"finance"})
    return list(caught.value.refusals)


def test_the_shipped_rule_loads() -> None:
    (rule,) = load_rules(SHIPPED_RULES, deadlines=DEADLINES, owners={"finance"})
    assert (rule.name, rule.sla, rule.overdue_at_least) == ("refund_not_in_ledger", "refund_to_ledger", 1)
    assert (rule.severity, rule.owner) == ("major", "finance")


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ('"refund_to_ledger"', '"refunds"', "unknown SLA 'refunds'; known: refund_to_ledger, stock_accuracy"),
        ('"refund_to_ledger"', '"stock_accuracy"',
         "SLA 'stock_accuracy' has no deadline, so nothing of it is ever overdue"),
        ('"finance"', '"nobody"', "unknown owner 'nobody'; known: finance"),
        ("overdue_at_least = 1", "overdue_at_least = 0", "Expected `int` >= 1 - at `$.overdue_at_least`"),
        ("for_seconds = 0 ", "for_second = 0 ", "Object contains unknown field `for_second`"),
        ('severity = "major"', 'severity = "bad"', "Invalid enum value 'bad' - at `$.severity`"),
        ('owner = "finance"\n', "", "Object missing required field `owner`"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused(was: str, now: str, why: str) -> None:
    assert was in SHIPPED_RULES
    assert refusals(SHIPPED_RULES.replace(was, now)) == [Refusal(3, "refund_not_in_ledger", why)]


def test_every_reason_is_told_with_its_line() -> None:
    text = SHIPPED_RULES + SHIPPED_RULES.replace('"finance"', '"x"')
    found = refusals(text)
    assert [each.reason for each in found] == ["another rule has this name", "unknown owner 'x'; known: finance"]
    line = text.splitlines().index("[[rules]]", 5) + 1
    assert {str(each).split(":")[0] for each in found} == {f"line {line}, rule refund_not_in_ledger"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[rules]", "not TOML: Expected ']]' at the end of an array declaration"),
        ("[rule]\nname = 'x'", "unknown table 'rule': rules are [[rules]]"),
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
    routed = route("warehouse", load_routes(SHIPPED_ROUTES, ADDRESSES))
    assert (routed.owner, routed.reason) == ("operations", "warehouse has no contact, so operations is told")
    assert [each.name for each in routed.contacts] == ["operations_pager"]


@pytest.mark.parametrize(
    ("was", "now", "why"),
    [
        ('fallback = "operations"', 'fallback = "night"', "fallback 'night' is no owner with a contact"),
        ('contacts = ["finance_pager"]', "contacts = []", "contact 'finance_pager' belongs to no owner"),
        ('["finance_pager"]', '["finance_pager", "phone"]', "contact 'phone' is not declared"),
        ('address = "webhook_url"\n\n', 'address = "pager"\n\n',
         "contact 'finance_pager': unknown setting 'pager'"),
        ('sender = "webhook"', 'sender = "pigeon"', "Invalid enum value 'pigeon' - at `$.contacts[...].sender`"),
    ],
)  # fmt: skip
def test_routes_that_lead_nowhere_are_refused(was: str, now: str, why: str) -> None:
    assert was in SHIPPED_ROUTES
    with pytest.raises(RoutesRefusedError) as caught:
        load_routes(SHIPPED_ROUTES.replace(was, now), ADDRESSES)
    assert str(caught.value) == why


def test_a_contact_does_not_tell_its_address_or_secret_in_logs() -> None:
    contact = Contact(name="pager", sender="webhook", address="http://user:pass@pager.example", secret="s3cret")
    assert repr(contact) == "Contact('pager', sender='webhook')"
