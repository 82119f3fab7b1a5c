"""Facts of finance and exchange rates. Decisions only; nothing here does I/O."""

from typing import Any

from collector.semconv import correlation_id
from sync_core.ledger import taxes
from sync_core.ledger.facts import lacking
from sync_core.ledger.ledger import JournalLine, PostingRules, reversal
from sync_core.ledger.rates import rate_identity
from sync_core.messages import ExchangeRateSet, FinanceRecorded
from sync_core.model import Hop
from sync_core.unit import DONE, Step, Verdict


def record(step: Step, event: FinanceRecorded) -> Verdict:
    """Post a fact as its rule says, and on the day that it names the reverse of it."""
    identity = correlation_id(event.origin, event.order_id or event.document_id)
    if (field_and_why := fault(step.rules, event)) is not None:
        return _refuse(step, event, identity, ": ".join(field_and_why))
    rule, made, names = step.rules.facts[event.kind], step.message.provenance, names_of(event)
    code = event.names.get("tax_code") or step.rules.tax_code(event.channel, event.location)
    tax = taxes.accounts_of(step.rules)
    lines = [
        JournalLine(account, amount, made, reference=event.reference, functional_minor=functional,
                    tax_code=code if account in tax else "")
        for account, amount, functional in rule.posts(event.amounts, names)
    ]  # fmt: skip
    worth = sum(line.amount_minor for line in lines if line.amount_minor > 0)
    step.tell(_told(step, event, identity, worth, rule.owner))
    about: dict[str, Any] = {
        "origin": event.origin, "correlation_id": identity, "document": event.kind, "channel": event.channel,
        "location": event.location, "currency": event.currency, "owner": rule.owner,
    }  # fmt: skip
    step.post(entity_id=event.document_id, lines=lines, **about)
    if settled := [line.account for line in lines if step.rules.opens(event.kind, line.account)]:
        step.unit.settings += [("lock_matching", {}), ("net_items", {"accounts": settled})]
    if event.reverse_on:
        back = [reversal(line) for line in lines]
        step.post(entity_id=f"{event.document_id}/reversed", lines=back, business_date=event.reverse_on, **about)
    return DONE


def set_rate(step: Step, event: ExchangeRateSet) -> Verdict:
    """From a day on a currency is worth so much; what waited for a first rate is booked."""
    identity = rate_identity(event.currency, event.into)
    step.unit.rates.set(event.currency, event.into, event.valid_from, event.rate_ppm)
    values = {"identity": identity, "currency": event.currency, "into": event.into, "valid_from": event.valid_from,
              "rate_ppm": event.rate_ppm}  # fmt: skip
    step.unit.settings.append(("save_rate", values))
    step.unit.arrived.add(identity)
    return DONE


def wait(step: Step, event: Any) -> Verdict | None:
    """An event in a currency that nobody knows a rate of waits for it."""
    if not step.rules.foreign or not (currency := getattr(event, "currency", "")) or isinstance(event, ExchangeRateSet):
        return None
    named = getattr(event, "order_id", "")
    about = step.unit.orders.get(correlation_id(event.origin, named), event) if named else event
    entity = step.rules.entity(getattr(about, "channel", ""), getattr(about, "location", ""))
    functional = step.rules.functional(entity, currency)
    if step.unit.rates.has(currency, functional):
        return None
    return Verdict("parked", f"no rate of {currency} in {functional} is known", rate_identity(currency, functional))


def fault(rules: PostingRules, event: FinanceRecorded) -> tuple[str, str] | None:
    """The field of a fact that its rule does not allow, and why."""
    if event.kind not in rules.facts:
        return "kind", f"{event.kind!r} is not known; known: {', '.join(sorted(rules.facts))}"
    if (
        rules.facts[event.kind].functional
        and rules.functional(rules.entity(event.channel, event.location), event.currency) == event.currency
    ):
        return "currency", f"the books are in {event.currency} themselves"
    return lacking(rules.facts[event.kind], event.amounts, names_of(event))


def names_of(event: FinanceRecorded) -> dict[str, str]:
    return {"location": event.location, "channel": event.channel, **event.names}


def _told(step: Step, event: FinanceRecorded, identity: bytes, amount_minor: int, owner: str) -> Hop:
    about = {"amount_minor": amount_minor, "currency": event.currency, "channel": event.channel, "owner": owner,
             "location": event.location, "reason": event.reason, "rule_version": step.rules.version,
             "payment_id": event.reference}  # fmt: skip
    return Hop("posting.record", "source", identity, event.origin, "fact", f"{event.kind}/{event.document_id}",
               occurred_at=step.message.occurred_at, attributes=about)  # fmt: skip


def _refuse(step: Step, event: FinanceRecorded, identity: bytes, detail: str) -> Verdict:
    step.raise_exception(
        "fact_refused", origin=event.origin, correlation_id=identity, entity="fact",
        entity_id=f"{event.kind}/{event.document_id}", owner="finance", detail=detail, currency=event.currency,
        amount_minor=max(map(abs, event.amounts.values()), default=0), channel=event.channel,
    )  # fmt: skip
    return Verdict("rejected", detail)
