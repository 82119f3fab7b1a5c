"""Reconciliation of our ledger with the ERP's: what it accepted is read back, and compared account by account."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from sync_core.clock import Clock
from sync_core.erp.port import Erp, Held, Unavailable
from sync_core.exceptions.exceptions import DIFFERS
from sync_core.messages import Cause
from sync_core.model import ExceptionItem, ExceptionKind
from sync_core.store import Row, Session, Store, add_exceptions, save_spans
from sync_core.telemetry import encode
from sync_core.unit import Told, closing, opened

BATCH: Final = 200
NOT_SO: Final = "the ERP was read back, and it is not so any more"
MOST_TOLD: Final = 5
"""Accounts that the reason of a difference names."""
SETTLED_AFTER: Final = dt.timedelta(minutes=1)
"""A journal is read back so long after it was queued: the ERP has other work while it takes them."""


class Sent(Struct, frozen=True):
    """A journal that the ERP has accepted: amounts by the ERP's accounts, in minor units, debit positive."""

    document_id: str
    erp_document: str
    business_date: str
    currency: str
    accounts: Mapping[str, int]


class Difference(Struct, frozen=True):
    reason: str
    worth_minor: int
    kind: ExceptionKind = "posting_differs"


def compare(sent: Sent, held: Sequence[Held]) -> Difference | None:
    """What is not in the ERP as it was sent; None when all is, also when a second document corrected the first."""
    debits = sum(amount for amount in sent.accounts.values() if amount > 0)
    if not held:
        return Difference(f"the ERP has no document {sent.erp_document} of it", debits)
    if unlike := next((one for one in held if one.currency != sent.currency), None):
        return Difference(f"it is in {unlike.currency} in the ERP, and in {sent.currency} here", debits)
    there: Counter[str] = Counter()
    for one in held:
        there.update(one.accounts)
    wrong = {
        account: amount
        for account in sorted(sent.accounts.keys() | there.keys())
        if (amount := there[account] - sent.accounts.get(account, 0))
    }
    if wrong:
        numbers = ", ".join(sorted(one.document or "a draft" for one in held))
        times = f"the ERP has it {len(held)} times ({numbers}); " if len(held) > 1 else ""
        balance = there.total()
        unbalanced = f"it does not balance there by {balance} minor units; " if balance else ""
        told = ", ".join(f"{account} by {amount}" for account, amount in list(wrong.items())[:MOST_TOLD])
        more = max(sum(one for one in wrong.values() if one > 0), -sum(one for one in wrong.values() if one < 0))
        kind: ExceptionKind = "erp_unbalanced" if balance else "posting_differs"
        return Difference(f"{times}{unbalanced}accounts differ there: {told}", more, kind)
    if not all(one.posted for one in held):
        return Difference("the ERP has not posted it", debits)
    days = [one.business_date for one in held]
    if sent.business_date not in days:
        other = all(day[:7] != sent.business_date[:7] for day in days)
        reason = f"it is of {days[0]} in the ERP, and of {sent.business_date} here"
        return Difference(reason, debits, "erp_wrong_period" if other else "posting_differs")
    if sent.erp_document not in [one.document for one in held]:
        return Difference(f"it is document {held[0].document} in the ERP, which had said {sent.erp_document}", debits)
    return None


class ReadBack:
    """Reads back what the ERP accepted while nothing waits for it; of what differs it tells finance."""

    def __init__(
        self, db: Store, erp: Erp, clock: Clock, *, settled_after: dt.timedelta = SETTLED_AFTER, name: str = ""
    ) -> None:
        self._name = name
        self._db = db
        self._erp = erp
        self._clock = clock
        self._settled_after = settled_after

    def run_once(self) -> int:
        """Compare one batch; returns how many journals it was."""
        now = self._clock()
        with self._db.transaction() as session:
            rows = session.rows("documents_to_compare", erp=self._name, now=now, until=now - self._settled_after,
                                limit=BATCH)  # fmt: skip
            found = self._erp.held([row[0] for row in rows]) if rows else []
            if not rows or isinstance(found, Unavailable):
                return 0
            held = defaultdict(list)
            for one in found:
                held[one.idempotency_key].append(one)
            self._tell(session, rows, [compare(self._sent(row), held[row[0]]) for row in rows], now)
            return len(rows)

    def _sent(self, row: Row) -> Sent:
        document_id, erp_document, business_date, currency, *_, accounts, amounts = row
        sums: Counter[str] = Counter()
        for account, amount in zip(accounts, amounts, strict=True):
            sums[self._erp.account(account)] += amount
        return Sent(document_id, erp_document, business_date.isoformat(), currency, sums)

    def _tell(
        self, session: Session, rows: Sequence[Row], differences: Sequence[Difference | None], now: dt.datetime
    ) -> None:
        """Open what differs, close what does no longer."""
        open_ids = defaultdict(list)
        for document_id, exception_id in session.rows(
            "documents_compared", now=now, ids=[row[0] for row in rows], kinds=list(DIFFERS),
            difference=[one.kind if one else "" for one in differences],
            differs_minor=[one.worth_minor if one else 0 for one in differences],
        ):  # fmt: skip
            open_ids[document_id].append(exception_id)
        told: list[Told] = []
        items: list[tuple[ExceptionItem, dt.datetime]] = []
        closed: list[str] = []
        for row, difference in zip(rows, differences, strict=True):
            identity, origin, channel = row[4], row[5], row[8]
            cause, at = Cause(row[9], row[10], row[2], row[11]), now + row[12]
            item = _differs(row, difference) if difference else None
            if item and item.exception_id not in open_ids[row[0]]:
                items.append((item, at))
                told.append(Told(opened(item, channel), cause, at))
            for exception_id in open_ids[row[0]]:
                if item is None or exception_id != item.exception_id:
                    closed.append(exception_id)
                    told.append(Told(closing(exception_id, identity, origin, NOT_SO), cause, at))
        add_exceptions(session, items)
        if closed:
            session.run("resolve_exceptions", exception_id=closed, at=[now] * len(closed),
                        resolution=[NOT_SO] * len(closed))  # fmt: skip
        save_spans(session, encode(told), now)


def _differs(row: Row, difference: Difference) -> ExceptionItem:
    return ExceptionItem(
        exception_id=f"{row[0]}:{difference.kind}", kind=difference.kind, severity="critical", correlation_id=row[4],
        origin=row[5], entity="posting", entity_id=f"{row[6]}/{row[7]}", owner="finance",
        amount_minor=difference.worth_minor, currency=row[3], detail=difference.reason, cause_source=row[9],
        cause_event_id=row[10],
    )  # fmt: skip
