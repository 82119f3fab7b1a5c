"""Files of settlements: kept line by line and booked as a whole, or refused as a whole before anything is booked."""

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from collector.semconv import correlation_id
from sync_core import inbox
from sync_core.clock import Clock
from sync_core.connectors import mapped
from sync_core.connectors.known import SETTLEMENT_FILES
from sync_core.connectors.settlement_lines import Connector, SettlementLine
from sync_core.errors import InvalidEventError, UnreadableFileError
from sync_core.ledger.ledger import PostingRules
from sync_core.messages import Cause, SettlementReceived, SettlementTotal, decode_event, message
from sync_core.model import ExceptionItem
from sync_core.store import Row, Session, Store, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, opened

SOURCE: Final = "tallytrace.settlements"
OWNER: Final = "finance"
CORRECTED_WITHIN: Final = dt.timedelta(days=40)
"""A bank's statement of another time under the same number is no correction of it."""
MOST_SETTLEMENTS: Final = 10_000
"""Settlements in one file, at most; their lines are not bounded."""


class Head(Struct):
    """What is known of one settlement, or of one currency of it, when its lines have been read."""

    settlement: int
    origin: str
    number: str
    currency: str
    on: dt.date
    position: int
    lines: int = 0
    payout_id: str = ""
    totals: dict[tuple[str, str], list[int]] = field(default_factory=dict)  # amount, lines
    digest: Any = field(default_factory=hashlib.sha256)


def connector_of(session: Session, name: str) -> Connector | None:
    """The kind of settlement file that a connector reads: one that is known, or one that a mapping describes."""
    if name in SETTLEMENT_FILES:
        return SETTLEMENT_FILES[name]
    rows = session.rows("mapping", name=name)
    return mapped.connector(mapped.parse(rows[0][0].encode())) if rows else None


def read(
    db: Store,
    run: int,
    connector: str,
    name: str,
    lines: Callable[[], Iterator[str]],
    rules: PostingRules,
    clock: Clock,
    *,
    generated: bool = False,
) -> None:
    """Bring a run over a file to its end, in one transaction: a reader that is killed leaves nothing behind."""
    with db.transaction() as session:
        how = connector_of(session, connector)
    assert how is not None, connector
    try:
        with db.transaction() as session, db.transaction() as numbers:
            session.run("lock_staging")
            heads = _keep(session, numbers, how, name, lines(), rules)
            _book(session, run, how, name, heads, clock(), generated=generated)
    except UnreadableFileError as error:
        with db.transaction() as session:
            session.run("finish_file", run=run, state="failed", error=str(error)[:2000], now=clock())
            _refuse(session, run, connector, name, str(error), clock())


def _keep(
    session: Session, numbers: Session, how: Connector, name: str, lines: Iterator[str], rules: PostingRules
) -> list[Head]:
    """Put every line into the database and add up each settlement."""
    heads = dict[tuple[str, str, str], Head]()
    columns = ("settlement", "position", "kind", "fee_type", "account", "currency", "amount_minor", "open_minor",
               "reference", "alternate", "order_id", "business_date")  # fmt: skip

    def rows() -> Iterator[tuple[Any, ...]]:
        for line in how.read(lines, name):
            origin = line.origin or how.origin
            key = (origin, line.settlement_id, line.currency if how.currencies else "")
            head = heads.get(key)
            if head is None:
                if len(heads) == MOST_SETTLEMENTS:
                    raise UnreadableFileError(name, line.position, f"more than {MOST_SETTLEMENTS} settlements")
                number = numbers.one("new_settlement")[0]
                head = heads[key] = Head(number, origin, line.settlement_id, line.currency, line.on, line.position)
            _add(head, line, name)
            account, matched = _account(rules, how, origin, line)
            yield (
                head.settlement, line.position, line.kind, line.fee_type, account, line.currency, line.amount_minor,
                line.amount_minor if matched else 0, line.reference, line.alternate, line.order_id, line.on,
            )  # fmt: skip

    session.copy("settlement_lines", columns, rows())
    if not heads:
        raise UnreadableFileError(name, 1, "there is no line in it")
    return list(heads.values())


def _account(rules: PostingRules, how: Connector, origin: str, line: SettlementLine) -> tuple[str, bool]:
    """The account that a line settles, and whether an open item waits for it there."""
    account = rules.accounts.payouts_in_transit if how.kind == "bank" else rules.clearing(origin)
    return account, not rules.settlement[line.kind]


def _add(head: Head, line: SettlementLine, name: str) -> None:
    if line.currency != head.currency:
        detail = f"{line.currency} in settlement {line.settlement_id}, which is in {head.currency}"
        raise UnreadableFileError(name, line.position, detail)
    head.lines += 1
    head.on, head.position = max(head.on, line.on), line.position
    if line.kind == "payout":
        head.payout_id = line.reference
    total = head.totals.setdefault((line.kind, line.fee_type if line.kind == "unknown" else ""), [0, 0])
    total[0] += line.amount_minor
    total[1] += 1
    said = (line.kind, line.amount_minor, line.currency, line.on, line.reference, line.alternate, line.order_id)
    head.digest.update(f"{said}\x1f{line.fee_type}".encode())


def _book(
    session: Session, run: int, how: Connector, name: str, heads: Sequence[Head], now: dt.datetime, *, generated: bool
) -> None:
    """Have what is new booked by the core; what is known is dropped again."""
    counts: defaultdict[str, int] = defaultdict(int)
    currencies = Counter((head.origin, head.number) for head in heads)
    for head in heads:
        origin, digest = head.origin, head.digest.digest()
        number, known = _known(session, head, alone=currencies[origin, head.number] == 1)
        if known and bytes(known[1]) == digest:
            session.run("drop_lines", settlement=head.settlement)
            counts["duplicates"] += head.lines
            continue
        if known and how.kind == "bank" and abs(known[3] - head.on) > CORRECTED_WITHIN:
            detail = f"statement {number} is known of {known[3]}: it has other entries, of {head.on}"
            raise UnreadableFileError(name, head.position, detail)
        event = _received(how, origin, number, head, known[0] + 1 if known else 1, name)
        at = dt.datetime.combine(head.on, dt.time(), dt.UTC)
        session.run(
            "add_settlement", settlement=head.settlement, origin=origin, settlement_id=number, version=event.version,
            kind=how.kind, currency=head.currency, payout_id=head.payout_id, business_date=head.on, digest=digest,
            correlation_id=correlation_id(origin, number), file=name, lines=head.lines, now=now,
            clock_offset=at - now if generated else dt.timedelta(),
        )  # fmt: skip
        told = message(event, source=f"{SOURCE}.{origin}", event_id=f"{number}/{event.version}", occurred_at=at,
                       provenance="generated" if generated else "live")  # fmt: skip
        inbox.accept(session, [told], now)
        counts["accepted"] += head.lines
    total = sum(head.lines for head in heads)
    session.run("file_progress", run=run, messages=len(heads), lines_read=total, lines_total=total,
                accepted=counts["accepted"], duplicates=counts["duplicates"], conflicts=0)  # fmt: skip
    session.run("finish_file", run=run, state="read", error="", now=now)


def _known(session: Session, head: Head, *, alone: bool) -> tuple[str, Row]:
    """The number of a settlement, and the latest version of it. Of several currencies each has a number of its own,
    unless the number alone is known in this one.
    """
    plain, own = (
        session.rows("settlement_versions", origin=head.origin, settlement_id=number)
        for number in (head.number, f"{head.number}/{head.currency}")
    )
    if plain[0][2] == head.currency if plain else alone and not own:
        return head.number, plain[0] if plain else ()
    return f"{head.number}/{head.currency}", own[0] if own else ()


def _received(how: Connector, origin: str, number: str, head: Head, version: int, name: str) -> SettlementReceived:
    """The event that has a settlement booked. Raises UnreadableFileError for what no settlement can be."""
    totals = [
        SettlementTotal(kind=kind, fee_type=fee_type, amount_minor=amount, line_count=count)  # type: ignore[arg-type]
        for (kind, fee_type), (amount, count) in sorted(head.totals.items())
    ]
    event = {"origin": origin, "settlement_id": number, "version": version, "kind": how.kind,
             "currency": head.currency, "payout_id": head.payout_id, "totals": totals}  # fmt: skip
    try:
        made = decode_event("tallytrace.settlement.received.v1", msgspec.json.encode(event))
    except InvalidEventError as error:
        detail = f"settlement {number}: {error.field}: {error.detail}"
        raise UnreadableFileError(name, head.position, detail) from error
    assert isinstance(made, SettlementReceived)
    return made


def _refuse(session: Session, run: int, connector: str, name: str, reason: str, now: dt.datetime) -> None:
    item = ExceptionItem(
        exception_id=f"{connector}:settlement_refused/{name}/{run}", kind="settlement_refused", severity="major",
        correlation_id=correlation_id("files", f"{connector}/{name}"), origin="files", entity="file", entity_id=name,
        owner=OWNER, amount_minor=0, currency="", detail=reason[:2000], cause_source=SOURCE, cause_event_id="",
    )  # fmt: skip
    add_exceptions(session, [(item, now)])
    save_spans(session, encode([Told(opened(item), Cause(SOURCE, f"file/{run}", now.date(), "live"), now)]), now)
