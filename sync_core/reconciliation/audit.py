"""What ``verify`` asks of the sync core: do the books balance, do counters equal movements, what was committed."""

import datetime as dt
from typing import Any, Final

from msgspec import Struct

from sync_core.ledger.ledger import PostingRules, load_rules
from sync_core.money import text
from sync_core.stock.buckets import COUNTERS, FLAT_EFFECTS
from sync_core.store import Session

SHOWN: Final = 20
"""How many faults of one kind are named."""

BUCKETS: Final = 256


class Check(Struct, frozen=True):
    """One rule of the books: how many things were looked at, and what breaks the rule, by name."""

    name: str
    looked_at: int
    faults: list[str]


class Drift(Struct, frozen=True):
    """Counters of one SKU at one location that differ from their movements; counters that are 0 are left out."""

    sku: str
    location: str
    kept: dict[str, int]
    told: dict[str, int]

    @property
    def counters(self) -> list[str]:
        return [counter for counter in COUNTERS if self.kept.get(counter, 0) != self.told.get(counter, 0)]


class Repair(Struct, frozen=True):
    """Counters as they were and as they were set, by whom and why."""

    document_id: str
    sku: str
    location: str
    at: dt.datetime
    by: str
    reason: str
    before: dict[str, int]
    after: dict[str, int]


class SpanBucket(Struct, frozen=True):
    """Committed span IDs that begin with one byte: their number, and their XOR as a little-endian integer."""

    bucket: int
    count: int
    distinct: int
    xor: int


class KindRow(Struct, frozen=True):
    """A row of the table by kind; lines or units that the row does not state are None."""

    name: str
    lines: int | None
    units: int
    amount_minor: int
    detail: str = ""


class ByKind(Struct, frozen=True):
    """What a file's documents came to, from journal lines tagged ``source=file`` and from parked items."""

    rows: list[KindRow]
    documents: dict[str, int]
    posted_minor: int
    parked_minor: int
    parked_items: int
    residue_micros: int


def checks(session: Session, rules: PostingRules | None = None) -> list[Check]:
    """Every rule that the sync core can check by itself."""
    inbox, done, journals, lines, movements, stock, _ = session.one("audit_counts")
    unbalanced = [
        f"journal {journal_id} is off by {text(int(off))}" if off else f"journal {journal_id} has no lines"
        for journal_id, off in session.rows("unbalanced_journals", limit=SHOWN)
    ]
    drifted = [
        f"stock {one.sku} at {one.location}: " + "; ".join(
            f"{counter.replace('_', ' ')} {one.kept.get(counter, 0)}, movements say {one.told.get(counter, 0)}"
            for counter in one.counters
        )
        for one in drifts(session, SHOWN)
    ]  # fmt: skip
    damaged = [
        f"movement {key} ({kind} at {location}) is damaged: {lines} lines of {units} units, it was written with"
        f" {line_count} of {written}"
        for key, kind, location, line_count, written, lines, units in session.rows("damaged_movements")[:SHOWN]
    ]
    negative = [
        f"stock {sku} at {location} is promised {-free} beyond what is there, and no open exception says so"
        if free < 0
        else f"stock {sku} at {location} has an exception about overselling, and {free} free"
        for sku, location, free in session.rows("negative_free", limit=SHOWN)
    ]
    rules = rules or load_rules()
    accounts = rules.accounts
    held = {"clearing": accounts.clearing.format(provider=""), "banked": list(rules.banked),
            "unidentified": accounts.bank_unidentified}  # fmt: skip
    to_settle = session.rows("held_and_open", **held)
    settled = len(to_settle)
    unsettled = [
        f"{account} holds {text(holds, currency)} {currency}, open are {text(opened, currency)}"
        for account, currency, holds, opened in to_settle
        if holds != opened
    ][:SHOWN]
    return [
        Check(f"every journal balances ({lines} lines)", journals, unbalanced),
        Check("movements are as they were written", movements, damaged),
        Check(f"counters equal movements ({movements} movements)", stock, drifted),
        Check("what is promised is there, or an exception says so", stock, negative),
        Check("what is to be settled is open, and nothing else", settled, unsettled),
        *_sub_ledgers(session, rules),
        Check(f"events accepted ({done} done)", inbox, []),
    ]


def _sub_ledgers(session: Session, rules: PostingRules) -> list[Check]:
    """What a controller compares: accounts against those that they are owed to."""
    cards, orders = session.one("counted_for_checks")
    account = rules.accounts.gift_cards
    wrong_cards = [
        f"gift card {reference} holds {text(kept)}, its account says {text(booked)}"
        for reference, kept, booked in session.rows("gift_cards_differ", account=account, limit=SHOWN)
    ]
    kinds = {kind: one.contract for kind, one in rules.kinds.items()}
    rows = session.rows(
        "contracts_differ", kinds=list(kinds), accounts=list(kinds.values()), cards=account, limit=SHOWN
    )
    wrong_orders = [f"{name} holds {text(booked)}, orders are owed {text(owed)}" for name, owed, booked in rows]
    return [
        Check("gift cards hold what their account says", cards, wrong_cards),
        Check("what is paid and not shipped is what orders are owed", orders, wrong_orders),
    ]


def drifts(session: Session, limit: int) -> list[Drift]:
    """Counters that are not what movements say."""
    rows = session.rows("drifted_counters", limit=limit, counters=list(COUNTERS), **FLAT_EFFECTS)
    return [Drift(*row) for row in rows]


def repairs(session: Session, document_id: str, limit: int) -> list[Repair]:
    """What was repaired, newest first."""
    return [Repair(*row) for row in session.rows("repairs", document_id=document_id, limit=limit)]


def span_buckets(session: Session) -> list[SpanBucket]:
    """Counts and checksums of the committed span IDs, by first byte."""
    counts, xors = [0] * BUCKETS, [0] * BUCKETS
    seen: list[set[bytes]] = [set() for _ in range(BUCKETS)]
    for one in _span_ids(session):
        bucket = one[0]
        counts[bucket] += 1
        if one not in seen[bucket]:
            seen[bucket].add(one)
            xors[bucket] ^= int.from_bytes(one, "little")
    return [SpanBucket(n, counts[n], len(seen[n]), xors[n]) for n in range(BUCKETS) if counts[n]]


def spans_in_bucket(session: Session, bucket: int) -> list[str]:
    """The committed span IDs of one bucket, as 16 hex digits."""
    return sorted(one.hex() for one in _span_ids(session) if one[0] == bucket)


def by_kind(session: Session) -> ByKind:
    """Lines, units and money per kind of line and kind of document."""
    found = {(row[0], row[1]): row[2:] for row in session.rows("by_kind")}
    parked = {row[0]: tuple(int(one) for one in row[1:]) for row in session.rows("parked_by_reason")}
    rows = [_row(name, found, cells) for name, cells in _TABLE]
    rows[_MATCHED_AT:_MATCHED_AT] = _matched(found)
    whole, items, units, parked_minor = (sum(one[place] for one in parked.values()) for place in range(4))
    rows.append(KindRow("credit, goods, parked", whole, units, parked_minor, f"{items} items"))
    for reason, (lines, count, parked_units, amount) in sorted(parked.items()):
        name = f"- parked: {reason.replace('_', ' ')}"
        rows.append(KindRow(name, None, parked_units, amount, f"{count} items, {lines} whole lines"))
    return ByKind(
        rows,
        documents=dict(session.rows("documents_by_type")),
        posted_minor=sum(int(one[2]) for one in found.values()),
        parked_minor=parked_minor,
        parked_items=items,
        residue_micros=sum(int(one[4]) for one in found.values()),
    )


Cells = tuple[tuple[str, str], ...]
_TABLE: Final[tuple[tuple[str, Cells], ...]] = (
    ("goods sold", (("order", "goods"),)),
    ("goods given free in orders", (("order", "goods_free"),)),
    ("gift vouchers sold", (("order", "gift"),)),
    ("shipping charged", (("order", "shipping"), ("charge", "shipping"))),
    ("manual charges", (("order", "manual"), ("charge", "manual"))),
    ("fees, positive", (("order", "fee"), ("charge", "fee"))),
    ("samples, positive", (("order", "sample"), ("charge", "sample"))),
    ("bad debt", (("receivable", "bad_debt"),)),
    ("stock adjustment, goods, plus", (("adjustment", "goods_plus"),)),
    ("stock adjustment, goods, minus", (("adjustment", "goods_minus"),)),
    ("stock adjustment, not goods", (("adjustment", "not_goods"),)),
    ("credit, shipping", (("credit_memo", "shipping"),)),
    ("credit, discount", (("credit_memo", "discount"),)),
    ("credit, manual", (("credit_memo", "manual"),)),
    ("credit, fees", (("credit_memo", "fee"),)),
    ("credit, samples", (("credit_memo", "sample"),)),
)
_MATCHED_AT: Final = 11


def _row(name: str, found: dict[tuple[str, str], Any], cells: Cells) -> KindRow:
    held = [found[cell] for cell in cells if cell in found]
    lines, units, amount = (sum(int(one[place]) for one in held) for place in range(3))
    return KindRow(name, lines, units, amount)


def _matched(found: dict[tuple[str, str], Any]) -> list[KindRow]:
    cells = (("credit_memo", "goods_cancelled"), ("credit_memo", "goods_returned"))
    rows = [_row("credit, goods, matched", found, cells)]
    for cell, what in zip(cells, ("cancelled before shipment", "returned"), strict=True):
        if cell in found:
            _, units, amount, pieces, _, notes, orders = found[cell]
            detail = f"{pieces} pieces, {notes} credit notes, {orders} orders"
            rows.append(KindRow(f"- {what}", None, int(units), int(amount), detail))
    return rows


def _span_ids(session: Session) -> Any:
    for (packed,) in session.run("committed_span_ids"):
        for at in range(0, len(packed), 8):
            yield packed[at : at + 8]
