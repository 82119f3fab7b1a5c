"""Tryton as the ERP: journals become posted account moves, found again by their description, which is our key."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from sync_core.erp.port import Answer, DocumentKind, Held, Unavailable
from sync_core.erp.tryton_rpc import (
    ErpAwayError,
    ErpFaultError,
    ErpRefusedError,
    Rpc,
    date,
    decimal,
    iso,
    number,
)
from sync_core.money import DECIMALS

MOVE: Final = "account.move"
KEYS: Final = 500
"""Of so many documents Tryton is asked at a time."""


class TrytonMap(Struct, frozen=True, forbid_unknown_fields=True):
    """What of Tryton's our names stand for. The longest prefix of an account of ours that is named counts."""

    accounts: dict[str, str]
    journal: str = "MISC"


class Line(Struct, frozen=True):
    account: str
    amount_minor: int


class Journal(Struct, frozen=True):
    """A journal as the outbox holds it for the ERP."""

    idempotency_key: str
    business_date: str
    currency: str
    lines: tuple[Line, ...]


class Company(Struct, frozen=True):
    """What of Tryton's does not change while it is posted to."""

    company: int
    currency: str
    journal: int
    accounts: Mapping[str, int]


class Period(Struct, frozen=True):
    period: int
    name: str
    start: str
    end: str
    state: str


class UnusableError(ErpAwayError):
    """Something that every document needs is not in the ERP."""


def load_map(path: Path) -> TrytonMap:
    """Raises msgspec.ValidationError, naming the key, ValueError or OSError."""
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), TrytonMap)


class Tryton:
    """Safe to share between threads."""

    def __init__(self, rpc: Rpc, named: TrytonMap) -> None:
        self._rpc = rpc
        self._named = named
        self._kept: Company | None = None

    def post(self, kind: DocumentKind, bodies: Sequence[bytes]) -> list[Answer] | Unavailable:
        """Offer journals; one that Tryton has already is finished, not made again."""
        journals = {one.idempotency_key: one for one in (msgspec.json.decode(body, type=Journal) for body in bodies)}
        try:
            return self._post(journals)
        except ErpAwayError as away:
            self._kept = None
            return Unavailable(str(away), away.retry_after_seconds)

    def held(self, keys: Sequence[str]) -> list[Held] | Unavailable:
        """Every move under one of these keys, also when there are several."""
        try:
            return self._held(keys)
        except (ErpAwayError, ErpRefusedError, ErpFaultError) as error:
            return Unavailable(str(error))

    def account(self, ours: str) -> str:
        found = max((one for one in self._named.accounts if ours.startswith(one)), key=len, default=None)
        return "" if found is None else self._named.accounts[found]

    def check(self) -> list[str]:
        try:
            company = self._company()
        except (ErpAwayError, ErpRefusedError, ErpFaultError) as error:
            return [str(error)]
        return [
            f"account {code} for {ours} is not in Tryton, is closed, is a view or needs a party"
            for ours, code in sorted(self._named.accounts.items())
            if code not in company.accounts
        ]

    def close(self) -> None:
        self._rpc.close()

    def _post(self, journals: Mapping[str, Journal]) -> list[Answer]:
        company = self._company()
        periods = self._periods(company, [one.business_date for one in journals.values()])
        failed: dict[str, Answer] = {}
        moves: dict[str, dict[str, Any]] = {}
        known = self._known(list(journals))
        for key, journal in journals.items():
            if key in known:
                continue
            try:
                moves[key] = self._move(journal, company, periods)
            except ErpRefusedError as refused:
                failed[key] = Answer(key, "rejected", reason=str(refused))
        if moves:
            failed |= self._each(lambda keys: self._rpc.call(f"model.{MOVE}.create", [moves[k] for k in keys]), moves)
            known = self._alone(self._known(list(journals)))
        drafts = {key: found[0]["id"] for key, found in known.items() if found[0]["state"] == "draft"}
        if drafts:
            failed |= self._each(lambda keys: self._rpc.call(f"model.{MOVE}.post", [drafts[k] for k in keys]), drafts)
            known = self._known(list(journals))
        return [failed.get(key) or _answer(key, known.get(key, [])) for key in journals]

    def _move(self, journal: Journal, company: Company, periods: Sequence[Period]) -> dict[str, Any]:
        """The values of a move. Raises ErpRefusedError when Tryton lacks something that it needs."""
        day = journal.business_date
        if journal.currency != company.currency:
            raise ErpRefusedError(f"the ERP's books are in {company.currency}, the journal is in {journal.currency}")
        period = next((one for one in periods if one.start <= day <= one.end), None)
        if period is None or period.state != "open":
            named = f"period {period.name} is {period.state}" if period else "no period"
            raise ErpRefusedError(f"{named} in the ERP for {day}")
        lines = []
        for line in journal.lines:
            account = company.accounts.get(self.account(line.account))
            if account is None:
                self._kept = None  # somebody may add it
                raise ErpRefusedError(f"the ERP lacks an account for {line.account}")
            debit, credit = max(line.amount_minor, 0), max(-line.amount_minor, 0)
            lines.append({"account": account, "debit": _major(debit, company.currency),
                          "credit": _major(credit, company.currency), "description": line.account})  # fmt: skip
        return {
            "company": company.company, "journal": company.journal, "period": period.period, "date": date(day),
            "description": journal.idempotency_key, "lines": [["create", lines]],
        }  # fmt: skip

    def _each(self, call: Callable[[list[str]], Any], keys: Iterable[str]) -> dict[str, Answer]:
        """Do it to all at once; when Tryton refuses, to halves, until those that it refuses are alone."""
        some = list(keys)
        try:
            call(some)
        except (ErpRefusedError, ErpFaultError) as error:
            if len(some) == 1:
                status = "rejected" if isinstance(error, ErpRefusedError) else "retry"
                return {some[0]: Answer(some[0], status, reason=str(error))}  # type: ignore[arg-type]
            middle = len(some) // 2
            return self._each(call, some[:middle]) | self._each(call, some[middle:])
        return {}

    def _known(self, keys: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """What Tryton has by our keys, oldest first."""
        known: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for start in range(0, len(keys), KEYS):
            domain = [["description", "in", list(keys[start : start + KEYS])]]
            for one in self._rpc.found(MOVE, domain, ["description", "number", "state", "date"]):
                known[one["description"]].append(one)
        return known

    def _alone(self, known: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """One per key: a draft that an attempt of which no answer came has left beside another is taken away."""
        spare = []
        for key, found in known.items():
            found.sort(key=lambda one: (one["state"] == "draft", one["id"]))
            spare += [one["id"] for one in found[1:] if one["state"] == "draft"]
            known[key] = found[:1]
        if spare:
            self._rpc.call(f"model.{MOVE}.delete", spare)
        return known

    def _held(self, keys: Sequence[str]) -> list[Held]:
        company = self._company()
        moves = {one["id"]: one for found in self._known(keys).values() for one in found}
        accounts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        ids = list(moves)
        for start in range(0, len(ids), KEYS):
            domain = [["move", "in", ids[start : start + KEYS]]]
            fields = ["move", "account.code", "debit", "credit"]
            for line in self._rpc.found("account.move.line", domain, fields):
                amount = _minor(number(line["debit"]) - number(line["credit"]), company.currency)
                accounts[line["move"]][line["account."]["code"] or ""] += amount
        return [
            Held(
                idempotency_key=one["description"], document=one["number"] or "", business_date=iso(one["date"]),
                currency=company.currency, accounts=accounts[move],
                posted=one["state"] == "posted",
            )
            for move, one in moves.items()
        ]  # fmt: skip

    def _company(self) -> Company:
        """Raises UnusableError when Tryton has no company or no journal for us."""
        if self._kept is None:
            companies = self._rpc.found("company.company", [], ["currency.code"])
            own = self._rpc.company
            currency = next((one["currency."]["code"] for one in companies if one["id"] == own), None)
            if own is None or currency is None:
                raise UnusableError("the ERP's user belongs to no company")
            journals = self._rpc.found("account.journal", [["code", "=", self._named.journal]], ["code"])
            if not journals:
                raise UnusableError(f"the ERP has no account journal {self._named.journal}")
            domain = [
                ["company", "=", own], ["code", "in", sorted(set(self._named.accounts.values()))],
                ["type", "!=", None], ["closed", "!=", True], ["party_required", "!=", True],
            ]  # fmt: skip
            accounts = {one["code"]: one["id"] for one in self._rpc.found("account.account", domain, ["code"])}
            self._kept = Company(own, currency, journals[0]["id"], accounts)
        return self._kept

    def _periods(self, company: Company, days: Sequence[str]) -> list[Period]:
        domain = [
            ["company", "=", company.company], ["type", "=", "standard"],
            ["start_date", "<=", date(max(days))], ["end_date", ">=", date(min(days))],
        ]  # fmt: skip
        rows = self._rpc.found("account.period", domain, ["name", "start_date", "end_date", "state"])
        return [
            Period(one["id"], one["name"], iso(one["start_date"]), iso(one["end_date"]), one["state"]) for one in rows
        ]


def _answer(key: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    if found and found[0]["state"] == "posted":
        return Answer(key, "accepted", document=found[0]["number"] or "")
    return Answer(key, "retry", reason="the ERP has not posted it")


def _major(amount_minor: int, currency: str) -> dict[str, str]:
    return decimal(Decimal(amount_minor).scaleb(-DECIMALS.get(currency, 2)))


def _minor(amount: Decimal, currency: str) -> int:
    return int(amount.scaleb(DECIMALS.get(currency, 2)))
