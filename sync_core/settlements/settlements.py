"""Settlements of providers and statements of banks, as they are booked. Decisions only; nothing here does I/O."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from collector.semconv import correlation_id
from sync_core.ledger.ledger import JournalLine, reversal
from sync_core.messages import SettlementReceived, SettlementTotal
from sync_core.model import BookedMatches, Hop
from sync_core.unit import DONE, Step, Verdict

OWNER: Final = "finance"


def receive(step: Step, event: SettlementReceived) -> Verdict:
    """Book what a settlement says beside sales and refunds, which the order side has booked; gross, by kind.

    A later version reverses what the one before it booked.
    """
    identity = correlation_id(event.origin, event.settlement_id)
    named = {"origin": event.origin, "settlement_id": event.settlement_id}
    if event.version > 1:
        before = _before(step, event)
        if before is None:
            return _refused(step, event, identity)
        _reverse(step, event, identity, before)
        before_this = named | {"version": event.version, "now": step.wall}
        step.unit.settings.append(("supersede_matches", before_this))
        step.unit.settings.append(("supersede_settlement", before_this | {"correlation_id": identity}))
    step.unit.settings.append(("settlement_posted", named | {"version": event.version}))
    _tell(step, event, identity)
    lines = _bank(step, event) if event.kind == "bank" else _gross(step, event)
    step.post(
        origin=event.origin, correlation_id=identity, document=event.document, entity_id=event.entity_id,
        channel=event.origin, location="", currency=event.currency, lines=lines, owner=OWNER,
    )  # fmt: skip
    unknown = [total for total in event.totals if total.kind == "unknown"]
    if unknown:
        worth = sum(abs(total.amount_minor) for total in unknown)
        words = ", ".join(sorted({total.fee_type for total in unknown}))
        step.raise_exception(
            "settlement_unknown_fee", origin=event.origin, correlation_id=identity, entity="settlement",
            entity_id=event.entity_id, owner=OWNER, detail=f"no account is known for: {words}"[:2000],
            amount_minor=worth, currency=event.currency, channel=event.origin,
        )  # fmt: skip
    return DONE


def _before(step: Step, event: SettlementReceived) -> Sequence[JournalLine] | None:
    """What the version before this one booked, be it just now."""
    if posted := step.unit.posted.get(event.journal_before):
        return posted.lines
    booked = {journal.journal_id: journal.lines for journal, _, _ in step.unit.journals}
    return booked.get(event.journal_before)


def _refused(step: Step, event: SettlementReceived, identity: bytes) -> Verdict:
    detail = f"version {event.version} of {event.settlement_id} came, and {event.journal_before} is not in the books"
    step.raise_exception(
        "settlement_refused", origin=event.origin, correlation_id=identity, entity="settlement",
        entity_id=event.entity_id, owner=OWNER, detail=detail, currency=event.currency, channel=event.origin,
        amount_minor=sum(total.amount_minor for total in event.totals if total.amount_minor > 0),
    )  # fmt: skip
    return Verdict("rejected", detail)


def _gross(step: Step, event: SettlementReceived) -> list[JournalLine]:
    rules, made = step.rules, step.message.provenance
    clearing = rules.clearing(event.origin)
    by_account: defaultdict[tuple[str, str], list[SettlementTotal]] = defaultdict(list)
    for total in event.totals:
        if account := rules.settlement[total.kind]:
            by_account[(account, total.kind)].append(total)
    lines = []
    for (account, kind), totals in by_account.items():
        amount, count = sum(one.amount_minor for one in totals), sum(one.line_count for one in totals)
        if amount:
            reference = event.payout_id if kind == "payout" else ""
            lines.append(JournalLine(clearing, amount, made))
            lines.append(JournalLine(account, -amount, made, kind=kind, line_count=count, reference=reference))
    return lines


def _bank(step: Step, event: SettlementReceived) -> list[JournalLine]:
    """What moved on the account, on both of its sides, until it is known what it was for."""
    accounts, made = step.rules.accounts, step.message.provenance
    return [
        line
        for total in event.totals
        for line in (
            JournalLine(accounts.bank, total.amount_minor, made, kind="bank", line_count=total.line_count),
            JournalLine(accounts.bank_unidentified, -total.amount_minor, made),
        )
    ]


def _reverse(step: Step, event: SettlementReceived, identity: bytes, lines: Sequence[JournalLine]) -> None:
    """What the version before this one booked, and what was booked of its matches, back."""
    accounts, made = step.rules.accounts, step.message.provenance
    booked = step.unit.booked_settlements.get((event.origin, event.settlement_id), BookedMatches())
    difference, written_off = booked.difference_minor, booked.written_off_minor
    account = step.rules.clearing(event.origin)
    of_matches = [JournalLine(account, difference, made)]
    if event.kind == "bank":
        account, matched = accounts.bank_unidentified, booked.matched_minor
        of_matches = [
            JournalLine(account, -matched, made),
            JournalLine(accounts.payouts_in_transit, matched + difference, made),
        ]
    of_matches += [
        JournalLine(accounts.settlement_differences, -difference, made),
        JournalLine(accounts.written_off, written_off, made),
        JournalLine(account, -written_off, made),
    ]
    step.post(
        origin=event.origin, correlation_id=identity, document="settlement_reversal", entity_id=event.entity_id,
        channel=event.origin, location="", currency=event.currency, owner=OWNER,
        lines=[*map(reversal, lines), *of_matches],
    )  # fmt: skip
    about = {"settlement_id": event.settlement_id, "reason": f"version {event.version} came", "provider": event.origin}
    step.tell(
        Hop("settlement.supersede", "transformation", identity, event.origin, "settlement", event.settlement_id,
            "superseded", outcome="compensated", attributes=about)
    )  # fmt: skip


def _tell(step: Step, event: SettlementReceived, identity: bytes) -> None:
    paid = -sum(total.amount_minor for total in event.totals if total.kind == "payout")
    about = {
        "settlement_id": event.settlement_id, "payout_id": event.payout_id, "provider": event.origin,
        "currency": event.currency, "amount_minor": paid, "quantity": sum(one.line_count for one in event.totals),
        "rule_version": step.rules.version, "owner": OWNER,
    }  # fmt: skip
    step.tell(
        Hop("settlement.receive", "source", identity, event.origin, "settlement", event.settlement_id, "received",
            occurred_at=step.message.occurred_at, attributes=about)
    )  # fmt: skip
