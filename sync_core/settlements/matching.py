"""Matching of settlements in two legs: orders with processor lines, payouts with bank entries; by rules that are data.

Rules run over whole sets in the database. What they match is told and booked afterwards, in batches: a match whose
hops are not committed yet is found again by its number.
"""

import datetime as dt
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from sync_core import store
from sync_core.clock import Clock
from sync_core.ledger.ledger import JournalLine, PostingRules
from sync_core.messages import Message, SettlementReceived, SettlementTotal, message
from sync_core.model import ExceptionKind, Hop, Link
from sync_core.money import text
from sync_core.store import Row, Session, Store, load_books
from sync_core.telemetry import encode
from sync_core.unit import Step, Unit, link_event

SOURCE: Final = "tallytrace.matching"
RULES_FILE: Final = Path(__file__).with_name("matching_rules.toml")
BATCH: Final = 2_000
"""Matches, lines or overdue items that are told in one commit."""
LONG_AGO: Final = dt.timedelta(days=30)
"""What a line of such a time settles is not on its way any more."""
LOOK_AGAIN: Final = dt.timedelta(minutes=1)
BOOKED_WITHIN: Final = dt.timedelta(minutes=15)
"""A settlement that is not in the books after so long was refused."""
MANUAL: Final = "by hand"
WRITTEN_OFF: Final = "written off"


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One way in which lines and items belong together."""

    name: str
    priority: int
    owner: str
    shape: Literal["exact", "near", "named", "many_to_one", "one_to_many"]
    line_key: Literal["reference", "alternate", "order_id"]
    item_key: Literal["reference", "order_id"]
    days: Annotated[int, Meta(ge=0, le=3650)]
    tolerance_minor: Annotated[int, Meta(ge=0, le=1000)] = 0
    partial: bool = False

    def __post_init__(self) -> None:
        if (self.shape == "near") != (self.tolerance_minor > 0):
            raise ValueError("`tolerance_minor` belongs to the shape near, and to no other")
        if self.partial and self.shape != "many_to_one":
            raise ValueError("`partial` belongs to the shape many_to_one")


class MatchingRules(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of a version, who owns what is open on an account, and what one person may write off."""

    version: str
    line_grace_days: Annotated[int, Meta(ge=0, le=90)]
    write_off_limit_minor: Annotated[int, Meta(ge=0)]
    owners: dict[str, str]
    rules: tuple[Rule, ...]

    def owner(self, account: str) -> str:
        return next((owner for prefix, owner in self.owners.items() if account.startswith(prefix)), "finance")


def load_rules(path: Path = RULES_FILE) -> MatchingRules:
    """Raises msgspec.ValidationError, naming the key, for rules that do not have the form above."""
    rules = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), MatchingRules)
    return msgspec.structs.replace(rules, rules=tuple(sorted(rules.rules, key=lambda rule: rule.priority)))


class Settlement(Struct, frozen=True):
    """A settlement or a statement in the books."""

    settlement: int
    origin: str
    settlement_id: str
    version: int
    kind: Literal["processor", "bank"]
    currency: str
    payout_id: str
    business_date: dt.date
    correlation_id: bytes
    clock_offset: dt.timedelta


class Told(Struct, frozen=True):
    """A match that lineage is to know of."""

    match_id: int
    amount_minor: int
    difference_minor: int
    settlement: int
    position: int
    entry: str
    line_exception: str
    line_open: int
    item_id: int
    account: str
    correlation_id: bytes
    origin: str
    document: str
    reference: str
    item_open: int
    currency: str
    item_exception: str
    rule: str
    rule_version: str
    by: str
    reason: str

    @property
    def was_missing(self) -> bool:
        """Whether nothing at all of a payout, or of cash, was at the bank when it was due."""
        named = [
            f"{self.origin}:{kind}/{self.reference}/{self.item_id}" for kind in ("payout_missing", "deposit_missing")
        ]
        return self.item_exception in named


class Matcher:
    """Matches what is open, and tells what was matched, what is overdue and what was disputed."""

    def __init__(
        self, db: Store, posting: PostingRules, clock: Clock, rules: MatchingRules | None = None, *, batch: int = BATCH
    ) -> None:
        self._db = db
        self._posting = posting
        self._clock = clock
        self._rules = rules or load_rules()
        self._batch = batch
        self._idle_at: Row = ()  # where everything stood when there was nothing to do
        self._idle_since = clock()

    def run_once(self) -> int:
        """Do what there is to do; returns how much that was. Deadlines alone are looked at once a minute."""
        with self._db.transaction() as session:
            stand = session.one("matching_stand")
            settled = self._settled(session)
        if stand == self._idle_at and self._clock() < self._idle_since + LOOK_AGAIN:
            return 0
        done = self._pass(settled)
        self._idle_at, self._idle_since = (stand if not done else ()), self._clock()
        return done

    def _pass(self, settled: Row) -> int:
        """``settled``: which settlements there were before it; nothing is passed over by one that came since."""
        done = self.match()
        while count := self.tell_matches():
            done += count
        while count := self._tell_lines():
            done += count
        return done + self._tell_overdue(settled)

    def match(self) -> int:
        """Apply every rule once, in one transaction; returns the number of matches."""
        with self._db.transaction() as session:
            session.run("lock_matching")
            if not (left := session.one("lines_to_match")[0]):
                return 0
            session.run("sort_in_memory")
            accounts = self._posting.accounts
            session.run("name_cash", payouts=accounts.payouts_in_transit, cash=accounts.cash_in_transit)
            total = 0
            for rule in self._rules.rules:
                done = _apply(session, rule, self._rules.version, self._clock())
                total += done
                left -= 0 if rule.shape == "one_to_many" else done  # each other match is of a line of its own
                if not left:  # no look at what this transaction itself has used up
                    break
            return total

    def tell_matches(self) -> int:
        """Book and tell one batch of what was matched; returns how much that was."""
        with self._db.transaction() as session:
            session.run("lock_matching")
            rows = [Told(*row) for row in session.rows("matches_to_tell", limit=self._batch)]
            settlements = _settlements(session, {one.settlement for one in rows})
            unit = Unit(self._posting)
            load_books(session, unit, {one.business_date for one in settlements.values()} | {self._clock().date()})
            by_settlement: defaultdict[int, list[Told]] = defaultdict(list)
            for one in rows:
                by_settlement[one.settlement].append(one)
            for number, told in by_settlement.items():
                step = self._step(unit, settlements[number], f"match/{told[0].match_id}")
                (_bank if settlements[number].kind == "bank" else _processor)(step, settlements[number], told)
            self._name_short(session, unit, rows)
            if rows:
                session.run("matches_told", through=rows[-1].match_id)
            complete = [row[0] for row in session.rows("settlements_matched")] if len(rows) < self._batch else []
            for number, about in sorted(_settlements(session, complete).items()):
                step = self._step(unit, about, f"matched/{number}")
                step.tell(_own_hop(about, "settlement.match", "matched", {"rule_version": self._rules.version}))
            self._save(session, unit)
            return len(rows) + len(complete)

    def _name_short(self, session: Session, unit: Unit, rows: Iterable[Told]) -> None:
        """What nobody had seen at the bank is there in part by now: it is short, and not missing."""
        missing = {one.item_id: one.item_exception for one in rows if one.item_open and one.was_missing}
        items = session.rows("items_of", ids=sorted(missing)) if missing else ()
        raised = []
        for row in items:
            item_id, _, _, _, _, origin, identity, on, *_ = row
            step = self._step_at(unit, "short", f"item/{item_id}", on)
            step.resolve_exception(missing[item_id], identity, origin, "a part of it is there")
            raised.append(self._raise_item(unit, row))
        if raised:
            session.run("items_raised", item_id=[row[0] for row in items], exception_id=raised)

    def _tell_lines(self) -> int:
        """Fees and disputes, each on the transaction that it is about."""
        with self._db.transaction() as session:
            found = session.rows("settlements_to_tell")
            if not found:
                return 0
            about = _settlements(session, [found[0][0]])[found[0][0]]
            rows = session.rows("fees_to_tell", settlement=about.settlement, limit=self._batch)
            unit = Unit(self._posting)
            step = self._step(unit, about, f"lines/{rows[0][0]}")
            disputed = _tell_fees(step, about, rows, self._posting)
            if disputed:
                session.run("lines_raised", line_id=list(disputed), exception_id=list(disputed.values()))
            session.run("fees_told", settlement=about.settlement, through=rows[-1][0])
            self._save(session, unit)
            return len(rows)

    def _tell_overdue(self, settled: Row) -> int:
        now = self._clock()
        with self._db.transaction() as session:
            session.run("lock_matching")
            unit = Unit(self._posting)
            foreign = self._tell_foreign(session, unit)
            items = session.rows("items_overdue", now=now, limit=self._batch)
            if len(items) < self._batch:
                session.run("due_seen", now=now)
                if self._settled(session) == settled and settled[0] == settled[1]:
                    items += self._passed_over(session)
            since = now - dt.timedelta(days=self._rules.line_grace_days)
            long_ago = since.date() - LONG_AGO
            overdue = {"since": since, "long_ago": long_ago, "limit": self._batch}
            lines = session.rows("lines_overdue", **overdue) if self._settled(session) == settled else []
            raised = [self._raise_item(unit, row) for row in items]
            if raised:
                session.run("items_raised", item_id=[row[0] for row in items], exception_id=raised)
            settlements = _settlements(session, {row[-1] for row in lines})
            raised = [self._raise_line(unit, settlements[row[-1]], row) for row in lines]
            if raised:
                session.run("lines_raised", line_id=[row[0] for row in lines], exception_id=raised)
            self._save(session, unit)
            return foreign + len(items) + len(lines)

    def _settled(self, session: Session) -> Row:
        return session.one("settlements_stand", since=self._clock() - BOOKED_WITHIN)

    def _passed_over(self, session: Session) -> list[Row]:
        days = self._posting.expected_days
        clearing = {prefix: days[prefix] for prefix in days if prefix.startswith(self._posting.clearing(""))}
        return session.rows(
            "items_passed_over", clearing=self._posting.clearing(""), prefix=list(clearing),
            days=list(clearing.values()), never=store.NEVER, limit=self._batch,
        )  # fmt: skip

    def _tell_foreign(self, session: Session, unit: Unit) -> int:
        """What was settled in another currency than it was taken in is wrong at once."""
        rows = session.rows("lines_in_other_currency", limit=self._batch)
        settlements = _settlements(session, {row[2] for row in rows})
        lines: dict[int, str] = {}
        items: dict[int, str] = {}
        for line_id, item_id, number, position, theirs, settled, ours, left, reference, origin, identity, on in rows:
            if line_id in lines or item_id in items:
                continue
            about = settlements[number]
            step = self._step_at(unit, "currency", f"line/{line_id}", on)
            step.raise_exception(
                "settlement_currency", origin=origin, correlation_id=identity, entity="item",
                entity_id=f"{reference}/{item_id}", owner="payments", amount_minor=abs(left), currency=ours,
                detail=f"{text(left, ours)} {ours} are settled as {text(settled, theirs)} {theirs} in line {position} "
                       f"of {about.settlement_id}",
            )  # fmt: skip
            lines[line_id] = items[item_id] = unit.exceptions[-1][0].exception_id
        if lines:
            session.run("lines_raised", line_id=list(lines), exception_id=list(lines.values()))
            session.run("items_raised", item_id=list(items), exception_id=list(items.values()))
        return len(lines)

    def _raise_item(self, unit: Unit, row: Row) -> str:
        item_id, account, currency, open_minor, reference, origin, identity, on, document, order_id, partly = row
        accounts = self._posting.accounts
        kind: ExceptionKind = "settlement_missing"
        what = f"{document} {order_id}, {reference}"
        if account == accounts.payouts_in_transit:
            kind, what = "payout_short" if partly else "payout_missing", f"payout {reference}"
        elif account == accounts.cash_in_transit:
            kind, what = "deposit_short" if partly else "deposit_missing", f"cash {reference}"
        step = self._step_at(unit, "overdue", f"item/{item_id}/{kind}", on)
        step.raise_exception(
            kind, origin=origin, correlation_id=identity, entity="item", entity_id=f"{reference}/{item_id}",
            owner=self._rules.owner(account), amount_minor=abs(open_minor), currency=currency,
            detail=f"{text(abs(open_minor), currency)} {currency} of {what} of {on} on {account} are not settled",
        )  # fmt: skip
        return unit.exceptions[-1][0].exception_id

    def _raise_line(self, unit: Unit, about: Settlement, row: Row) -> str:
        line_id, position, kind, currency, open_minor, reference, alternate, order_id, identity, origin, _ = row
        named_by = f"{about.settlement_id}/{about.version}/line/{line_id}"
        step = self._step_at(unit, about.origin, named_by, about.business_date)
        what, given = reference or order_id or alternate[:200], f"{text(-open_minor, currency)} {currency}"
        named: ExceptionKind = "bank_line_unmatched" if about.kind == "bank" else "settlement_line_unmatched"
        detail = f"{kind} {what} in line {position} of {about.settlement_id} settles nothing that is known"
        if identity and about.kind == "bank":
            named, detail = "payout_returned", f"the bank gave {given} of payout {what} back"
        elif identity:  # money went back for a sale of ours
            named = "refund_not_posted"
            detail = f"{given} were given back for {alternate} in {about.settlement_id}: {what}"
        step.raise_exception(
            named, origin=origin or about.origin, correlation_id=identity or about.correlation_id,
            entity="settlement_line", entity_id=f"{about.settlement_id}/{line_id}", detail=detail,
            owner="treasury" if about.kind == "bank" else "finance", amount_minor=abs(open_minor), currency=currency,
        )  # fmt: skip
        return unit.exceptions[-1][0].exception_id

    def _step(self, unit: Unit, about: Settlement, what: str) -> Step:
        """On the settlement's own clock."""
        named = f"{about.settlement_id}/{about.version}/{what}"
        return self._step_at(unit, about.origin, named, about.business_date, about.clock_offset)

    def _step_at(
        self, unit: Unit, origin: str, what: str, on: dt.date, clock_offset: dt.timedelta = dt.timedelta()
    ) -> Step:
        now = self._clock()
        return Step(unit, cause(origin, what, on, now), now + clock_offset, clock_offset)

    def _save(self, session: Session, unit: Unit) -> None:
        save(session, unit, self._clock())


def save(session: Session, unit: Unit, now: dt.datetime) -> None:
    """Write what a unit of work of the back office adds."""
    store.save(session, unit, now)
    store.save_spans(session, encode(unit.told), now)
    for statement, values in unit.settings:
        session.run(statement, **values)


def cause(origin: str, what: str, on: dt.date, now: dt.datetime) -> Message:
    """What hops and journals of the matching name as their cause."""
    nothing = (SettlementTotal(kind="bank", amount_minor=0, line_count=1),)
    event = SettlementReceived(origin=origin, settlement_id=what[:200], kind="bank", currency="XXX", totals=nothing)
    at = min(now, dt.datetime.combine(on, dt.time(), dt.UTC))
    made = message(event, source=f"{SOURCE}.{origin}", event_id=what, occurred_at=at)
    return msgspec.structs.replace(made, business_date=on)


def _apply(session: Session, rule: Rule, version: str, now: dt.datetime) -> int:
    since = session.one("last_match")[0]
    values = {"rule": rule.name, "version": version, "now": now, "days": rule.days, "partial": rule.partial,
              "tolerance_minor": rule.tolerance_minor}  # fmt: skip
    columns = {"line_key": rule.line_key, "item_key": rule.item_key}
    done = session.run_on(STATEMENTS[rule.shape], columns, **values).rowcount
    if done:
        use(session, since)
    return done


STATEMENTS: Final = {
    "exact": "match_exact",
    "near": "match_near",
    "named": "match_named",
    "many_to_one": "match_many_to_one",
    "one_to_many": "match_one_to_many",
}


def use(session: Session, since: int) -> None:
    """Take from lines and items what matches after ``since`` used; a line or an item is used once, or it fails."""
    session.run("use_lines", since=since)
    session.run("use_items", since=since)


def _settlements(session: Session, numbers: Iterable[int]) -> dict[int, Settlement]:
    wanted = sorted(numbers)
    rows = session.rows("settlements_of", settlements=wanted) if wanted else ()
    return {row[0]: Settlement(*row) for row in rows}


def _processor(step: Step, about: Settlement, told: Sequence[Told]) -> None:
    """What a provider settled, on the transaction that it owed it for; what the amounts differ is booked."""
    by_item: defaultdict[int, list[Told]] = defaultdict(list)
    for one in told:
        by_item[one.item_id].append(one)
    for parts in by_item.values():
        one = parts[-1]
        milestone = "settled" if one.item_open == 0 else ""
        settled = sum(part.amount_minor for part in parts)
        values = {"amount_minor": sum(abs(part.amount_minor) for part in parts)}
        entity = "refund" if one.document == "refund" else "payment"
        key = {f"{entity}_id": one.reference}
        step.tell(_match_hop(about, one, settled, "settlement.match", entity, milestone, values | key))
        _close(step, about, parts)
    if by_hand := sum(bool(one.by) for one in told):
        step.tell(_own_hop(about, "settlement.match_by_hand", "hand_matched", {"quantity": by_hand}))
    differences = sum(one.difference_minor for one in told)
    if differences:
        accounts, made = step.rules.accounts, step.message.provenance
        step.post(
            origin=about.origin, correlation_id=about.correlation_id, document="settlement_difference",
            entity_id=f"{about.settlement_id}/{told[0].match_id}", channel=about.origin, location="",
            currency=about.currency,
            lines=[
                JournalLine(accounts.settlement_differences, differences, made),
                JournalLine(step.rules.clearing(about.origin), -differences, made),
            ],
        )  # fmt: skip


def _bank(step: Step, about: Settlement, told: Sequence[Told]) -> None:
    """What the bank took in is identified: the payout, or the cash, is no longer in transit."""
    accounts, made = step.rules.accounts, step.message.provenance
    for one in told:
        entry = one.entry or f"{about.settlement_id}/{one.position}"
        about_entry = {"amount_minor": one.amount_minor, "bank_line_id": entry}
        payout = one.account == accounts.payouts_in_transit
        milestone = "banked" if payout and one.item_open == 0 else ""
        about_entry |= {"payout_id": one.reference} if payout else {}
        entity = "settlement" if payout else "fact"
        step.tell(_match_hop(about, one, one.amount_minor, "settlement.bank", entity, milestone, about_entry))
        step.post(
            origin=about.origin, correlation_id=one.correlation_id, document="bank_match",
            entity_id=f"{entry}/{one.match_id}", channel=about.origin, location="", currency=one.currency,
            lines=[
                JournalLine(accounts.bank_unidentified, one.amount_minor, made),
                JournalLine(accounts.settlement_differences, one.difference_minor, made),
                JournalLine(one.account, -one.amount_minor - one.difference_minor, made),
            ],
        )  # fmt: skip
        _close(step, about, [one])


def _match_hop(
    about: Settlement, one: Told, settled: int, name: str, entity: str, milestone: str, values: dict[str, Any]
) -> Hop:
    evidence = f"{one.reference}: {one.rule}, rules {one.rule_version}"
    link = Link(about.correlation_id, one.correlation_id, "settles", evidence, settled, one.currency)
    why = f"{one.rule}: {one.by}: {one.reason}" if one.by else one.rule
    attributes = {
        "provider": about.origin, "currency": one.currency, "rule_version": one.rule_version,
        "reason": f"in {about.settlement_id}: {why}",
    }  # fmt: skip
    return Hop(name, "transformation", one.correlation_id, one.origin, entity, one.reference, milestone,
               attributes=attributes | values, events=[link_event(link)])  # fmt: skip


def _close(step: Step, about: Settlement, parts: Sequence[Told]) -> None:
    """What was overdue and is settled is nobody's any more."""
    one = parts[-1]
    why = f"matched with {about.settlement_id}: {one.rule}"
    if one.item_exception and one.item_open == 0:
        step.resolve_exception(one.item_exception, one.correlation_id, one.origin, why)
    for part in parts:
        if part.line_exception and part.line_open == 0:
            step.resolve_exception(part.line_exception, about.correlation_id, about.origin, why)


def _own_hop(about: Settlement, name: str, milestone: str, values: dict[str, Any]) -> Hop:
    attributes = {"settlement_id": about.settlement_id, "payout_id": about.payout_id, "provider": about.origin}
    return Hop(name, "transformation", about.correlation_id, about.origin, "settlement", about.settlement_id, milestone,
               attributes=attributes | values)  # fmt: skip


def _tell_fees(step: Step, about: Settlement, rows: Sequence[Row], posting: PostingRules) -> dict[int, str]:
    """Tell what was kept of each transaction, and open what is disputed; returns the exception of each such line."""
    kept: defaultdict[tuple[bytes, str, str], list[Row]] = defaultdict(list)
    disputed: dict[int, str] = {}
    for row in rows:
        line_id, kind, _, amount, _, reference, identity, origin, item = row
        where = (identity or about.correlation_id, origin or about.origin)
        if kind == "chargeback":
            disputed |= _dispute(step, about, line_id, where, item or reference, row)
        elif posting.settlement[kind] and kind not in ("payout", "carried") and amount and identity:
            kept[(*where, item)].append(row)
    for (identity, origin, item), lines in kept.items():
        amount = -sum(row[3] for row in lines)
        kinds = ", ".join(sorted({row[1] for row in lines}))
        link = Link(about.correlation_id, identity, "settles", f"{kinds} of {item}", -amount, about.currency)
        values = {"provider": about.origin, "currency": about.currency, "payment_id": item, "amount_minor": amount,
                  "reason": f"in {about.settlement_id}: {kinds}"}  # fmt: skip
        step.tell(Hop("settlement.fee", "transformation", identity, origin, "payment", item, attributes=values,
                      events=[link_event(link)]))  # fmt: skip
    return disputed


def _dispute(
    step: Step, about: Settlement, line_id: int, where: tuple[bytes, str], payment: str, row: Row
) -> dict[int, str]:
    """Money taken back by a cardholder is somebody's to answer; given back, the dispute is won."""
    identity, origin = where
    amount, currency, reference = row[3], row[4], row[5]
    lost = amount < 0
    values = {"provider": about.origin, "currency": currency, "amount_minor": abs(amount), "payment_id": payment,
              "dispute_id": reference, "reason": f"in {about.settlement_id}", "owner": "payments"}  # fmt: skip
    link = Link(about.correlation_id, identity, "settles", f"chargeback {reference}", amount, currency)
    events = [link_event(link)] if identity != about.correlation_id else []
    step.tell(Hop("payment.dispute", "source", identity, origin, "payment", payment,
                  "disputed" if lost else "dispute_won", attributes=values, events=events))  # fmt: skip
    exception_id = f"{origin}:chargeback/{about.origin}/{reference or payment}"
    if not lost:
        step.resolve_exception(exception_id, identity, origin, f"given back in {about.settlement_id}")
        return {}
    step.raise_exception(
        "chargeback", origin=origin, correlation_id=identity, entity="payment",
        entity_id=f"{about.origin}/{reference or payment}", owner="payments", amount_minor=-amount, currency=currency,
        detail=f"payment {payment} is disputed under {reference or 'no number'}, in {about.settlement_id}",
    )  # fmt: skip
    return {line_id: exception_id}
