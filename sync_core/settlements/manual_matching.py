"""What people decide about settlements by hand: to match what no rule matches, or to write off what is left."""

import datetime as dt
from collections import Counter
from typing import Annotated, Literal

from msgspec import Meta, Struct

from sync_core.ledger.ledger import JournalLine, PostingRules
from sync_core.messages import Name
from sync_core.model import Hop
from sync_core.settlements import matching
from sync_core.settlements.matching import MANUAL, WRITTEN_OFF, MatchingRules
from sync_core.store import Session, load_books
from sync_core.unit import Step, Unit

Ids = Annotated[tuple[int, ...], Meta(max_length=500)]


class DecisionRefused(Exception):
    """A decision about settlements cannot be carried out; ``field`` is what of it is wrong."""

    def __init__(self, detail: str, field: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines and items by ID, who decides about them, and why."""

    by: Name
    reason: Annotated[str, Meta(min_length=1, max_length=2000)]
    lines: Ids = ()
    items: Ids = ()


class Decided(Struct, frozen=True):
    """What was decided, and what it came to; ``difference_minor`` was written off with it."""

    matches: int
    amount_minor: int
    difference_minor: int
    currency: str


class Side(Struct, frozen=True):
    """A line or an item that somebody chose."""

    id: int
    account: str
    currency: str
    open_minor: int
    identity: bytes
    origin: str
    name: str
    exception_id: str


def decide(
    session: Session,
    action: Literal["match", "write_off"],
    wanted: Decision,
    rules: MatchingRules,
    posting: PostingRules,
    now: dt.datetime,
) -> Decided:
    """Raises DecisionRefused for what is not open, does not belong together, or is above the limit."""
    session.run("lock_matching")
    lines, items = _chosen(session, wanted, posting)
    rest = sum(one.open_minor for one in items) - sum(one.open_minor for one in lines)
    worth = abs(rest) if action == "match" else sum(abs(one.open_minor) for one in [*lines, *items])
    if worth > rules.write_off_limit_minor:
        detail = f"{worth} {_currency(lines, items)} would be written off; the limit is {rules.write_off_limit_minor}"
        raise DecisionRefused(detail, "items" if items else "lines")
    if action == "match":
        return _match(session, wanted, rules, now, lines, items)
    _write_off(session, wanted, rules, posting, now, lines, items)
    return Decided(len(lines) + len(items), 0, rest, _currency(lines, items))


def _currency(lines: list[Side], items: list[Side]) -> str:
    return (lines or items)[0].currency


def _chosen(session: Session, wanted: Decision, posting: PostingRules) -> tuple[list[Side], list[Side]]:
    about = {row[0]: row for row in session.rows("chosen_settlements", ids=list(wanted.lines))} if wanted.lines else {}
    lines = [
        Side(row[0], row[1], row[2], row[3], about[row[0]][1], about[row[0]][2], about[row[0]][3], row[5])
        for row in session.rows("chosen_lines", ids=list(wanted.lines))
    ]
    items = [Side(*row) for row in session.rows("chosen_items", ids=list(wanted.items))]
    for field, asked, found in (("lines", wanted.lines, lines), ("items", wanted.items, items)):
        missing = sorted(set(asked) - {one.id for one in found if one.open_minor})
        if missing or len(set(asked)) < len(asked):
            raise DecisionRefused(f"{field} {missing or list(asked)} are not open, or named twice", field)
    if not (lines or items):
        raise DecisionRefused("name lines, items, or both", "lines")
    to_bank = posting.accounts.payouts_in_transit
    sides = {(to_bank if one.account in posting.banked else one.account, one.currency) for one in [*lines, *items]}
    if len(sides) > 1:
        raise DecisionRefused("they are not of one account and one currency", "items")
    return lines, items


def _match(
    session: Session, wanted: Decision, rules: MatchingRules, now: dt.datetime, lines: list[Side], items: list[Side]
) -> Decided:
    """One line with several items, or several lines with one; what they differ is booked as a difference."""
    if not lines or not items or min(len(lines), len(items)) > 1:
        raise DecisionRefused("a match is of one line and items, or of one item and lines", "lines")
    pairs = [(line, item) for line in lines for item in items]
    amounts = [(line if len(lines) >= len(items) else item).open_minor for line, item in pairs]
    rest = sum(one.open_minor for one in items) - sum(one.open_minor for one in lines)
    since = session.one("last_match")[0]
    for number, ((line, item), amount) in enumerate(zip(pairs, amounts, strict=True), 1):
        difference = rest if number == len(pairs) else 0
        taken = amount - difference if len(items) > len(lines) else amount
        session.run(
            "add_match", line_id=line.id, item_id=item.id, amount_minor=taken, difference_minor=difference,
            rule=MANUAL, version=rules.version, by=wanted.by, reason=wanted.reason, now=now,
        )  # fmt: skip
    matching.use(session, since)
    return Decided(len(pairs), sum(amounts), rest, lines[0].currency)


def _write_off(
    session: Session,
    wanted: Decision,
    rules: MatchingRules,
    posting: PostingRules,
    now: dt.datetime,
    lines: list[Side],
    items: list[Side],
) -> None:
    """Each side by itself: what nobody will pay is an expense, what nobody claims an income."""
    since = session.one("last_match")[0]
    untold = Counter(one.identity for one in lines)
    unit = Unit(posting)
    load_books(session, unit, {now.date()})
    for side, line_id, item_id in [*((one, one.id, None) for one in lines), *((one, None, one.id) for one in items)]:
        session.run(
            "add_match", line_id=line_id, item_id=item_id, amount_minor=side.open_minor, difference_minor=0,
            rule=WRITTEN_OFF, version=rules.version, by=wanted.by, reason=wanted.reason, now=now,
        )  # fmt: skip
        number = session.one("last_match")[0]
        step = Step(unit, matching.cause(side.origin, f"write off/{number}", now.date(), now), now, dt.timedelta())
        owed = side.open_minor if item_id is not None else -side.open_minor
        bank = line_id is not None and side.account in posting.banked
        account = posting.accounts.bank_unidentified if bank else side.account
        made = step.message.provenance
        step.post(
            origin=side.origin, correlation_id=side.identity, document="settlement_write_off", entity_id=f"{number}",
            channel=side.origin, location="", currency=side.currency,
            lines=[JournalLine(posting.accounts.written_off, owed, made), JournalLine(account, -owed, made)],
        )  # fmt: skip
        why = f"written off by {wanted.by}: {wanted.reason}"
        values = {"amount_minor": abs(owed), "currency": side.currency, "reason": why, "rule_version": rules.version}
        by_hand = untold.pop(side.identity, 0) if line_id is not None else 0  # one milestone at an instant, of them all
        step.tell(Hop("settlement.write_off", "transformation", side.identity, side.origin, "settlement", side.name,
                      "hand_matched" if by_hand else "", attributes=values | {"quantity": by_hand}))  # fmt: skip
        if side.exception_id:
            step.resolve_exception(side.exception_id, side.identity, side.origin, why)
    matching.use(session, since)
    matching.save(session, unit, now)
