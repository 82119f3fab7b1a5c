"""Tryton as the ERP: account moves, sales and internal shipments, each found again by the field that has our key."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from sync_core.erp.port import Answer, DocumentKind, Held, Unavailable
from sync_core.erp.tryton_documents import (
    FORMS,
    Amendment,
    Cancellation,
    Company,
    Document,
    GoodsMovement,
    Journal,
    Period,
    Product,
    SalesOrder,
    Sold,
    SoldLine,
    amended,
    in_currency,
    major,
    minor,
    sale,
    shipment,
)
from sync_core.erp.tryton_rpc import (
    ErpAwayError,
    ErpFaultError,
    ErpRefusedError,
    Rpc,
    date,
    iso,
    number,
)

MOVE: Final = "account.move"
KEYS: Final = 500
"""Of so many documents Tryton is asked at a time."""
AMENDABLE: Final = frozenset({"processing", "done"})
LACKS_AMENDMENTS: Final = "the ERP lacks the module sale_amendment, without which no sale can be amended"


class TrytonMap(Struct, frozen=True, forbid_unknown_fields=True):
    """What of Tryton's our names stand for, all by code. Of ``accounts`` the longest prefix of ours counts; ``places``
    has our locations, and where goods come from and go to: supplier, customer, adjustment, transit, scrap.
    ``customer`` is the party that sales orders are for.
    """

    accounts: dict[str, str]
    journal: str = "MISC"
    places: dict[str, str] = {}
    customer: str = ""


class Model(Struct, frozen=True):
    """A kind of document there: the fields that have our key and its number; how one in a state is taken further."""

    name: str
    key: str
    steps: dict[str, str]
    done: frozenset[str]
    number: str = "number"


MODELS: Final[Mapping[DocumentKind, Model]] = {
    "journal": Model(MOVE, "description", {"draft": "post"}, frozenset({"posted"})),
    "sales_order": Model(
        "sale.sale", "reference", {"draft": "quote", "quotation": "confirm"},
        frozenset({"confirmed", "processing", "done"}),
    ),
    "sales_order_amendment": Model(
        "sale.amendment", "description", {"draft": "validate_amendment"}, frozenset({"validated"}), number="id"
    ),
    "sales_order_cancellation": Model(
        "sale.sale", "reference", {"draft": "cancel", "quotation": "cancel"}, frozenset({"cancelled"})
    ),
    "goods_movement": Model(
        "stock.shipment.internal", "reference",
        {"request": "draft", "draft": "wait", "waiting": "assign_force", "assigned": "do"}, frozenset({"done"}),
    ),
}  # fmt: skip


Known = dict[str, list[dict[str, Any]]]
"""Records of a model by our keys."""


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
        """Offer documents; one that Tryton has already is finished, not made again."""
        try:
            if kind == "sales_order_amendment":
                return self._amend([msgspec.json.decode(body, type=Amendment) for body in bodies])
            if kind == "sales_order_cancellation":
                return self._cancel([msgspec.json.decode(body, type=Cancellation) for body in bodies])
            documents = [msgspec.json.decode(body, type=FORMS[kind]) for body in bodies]
            return self._post(MODELS[kind], {one.idempotency_key: one for one in documents})
        except ErpAwayError as away:
            self._kept = None
            return Unavailable(str(away), away.retry_after_seconds)
        except (ErpRefusedError, ErpFaultError) as error:  # it lets us not even look
            return Unavailable(str(error))

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

    def _post(self, model: Model, documents: Mapping[str, Document]) -> list[Answer]:
        company = self._company()
        failed: dict[str, Answer] = {}
        known = self._known(model, documents)
        new = {key: one for key, one in documents.items() if key not in known}
        if new:
            values: dict[str, dict[str, Any]] = {}
            values_of = self._ready(company, new.values())
            for key, document in new.items():
                try:
                    values[key] = values_of(document)
                except ErpRefusedError as refused:
                    failed[key] = Answer(key, "rejected", reason=str(refused))
            create = f"model.{model.name}.create"
            failed |= self._each(lambda keys: self._rpc.call(create, [values[key] for key in keys]), values)
            known = self._alone(model, self._known(model, documents))
        for _ in model.steps:
            known, more = self._further(model, known)
            failed |= more
        return [failed.get(key) or _answer(model, key, known.get(key, [])) for key in documents]

    def _amend(self, amendments: Sequence[Amendment]) -> list[Answer]:
        """Of several versions of a sale the highest one counts, of those offered and of those that Tryton has."""
        model = MODELS["sales_order_amendment"]
        if not self._rpc.call("model.sale.sale.fields_get", ["amendments"]):
            return [Answer(one.idempotency_key, "rejected", reason=LACKS_AMENDMENTS) for one in amendments]
        newest = {one.sales_order: one for one in sorted(amendments, key=lambda one: one.idempotency_key)}
        sales = self._known(MODELS["sales_order"], newest)
        there = self._amended([found[0]["id"] for found in sales.values()])
        answers: dict[str, Answer] = {}
        fresh: dict[str, Amendment] = {}
        for key, one in newest.items():
            answer = _changeable(one.idempotency_key, key, sales.get(key, []))
            validated = there.get(sales[key][0]["id"], []) if key in sales else []
            if answer.status == "accepted" and one.idempotency_key > max(
                (other for other in validated if other.startswith(one.versions)), default=""
            ):
                fresh[one.idempotency_key] = one
            answers[key] = answer
        for made in self._post(model, fresh):
            key = fresh[made.idempotency_key].sales_order
            if made.status != "accepted":
                answers[key] = made
        return [msgspec.structs.replace(answers[one.sales_order], idempotency_key=one.idempotency_key)
                for one in amendments]  # fmt: skip

    def _amended(self, sales: Collection[int]) -> dict[int, list[str]]:
        """What amendments that hold say of themselves, by the sale."""
        told: defaultdict[int, list[str]] = defaultdict(list)
        domain = [["sale", "in", list(sales)], ["state", "=", "validated"]]
        for row in self._rpc.found("sale.amendment", domain, ["sale", "description"]):
            told[row["sale"]].append(row["description"] or "")
        return told

    def _cancel(self, cancellations: Sequence[Cancellation]) -> list[Answer]:
        """Give sales up; one that Tryton works on already is for its clerk."""
        model = MODELS["sales_order_cancellation"]
        known, failed = self._further(model, self._known(model, [one.sales_order for one in cancellations]))
        answers = []
        for one in cancellations:
            key, found, refused = one.idempotency_key, known.get(one.sales_order), failed.get(one.sales_order)
            if not found:
                answers.append(Answer(key, "retry", reason=f"the ERP has no sale {one.sales_order} yet"))
            elif found[0]["state"] in model.done:
                answers.append(Answer(key, "accepted", document=found[0]["number"] or ""))
            elif refused:
                answers.append(Answer(key, refused.status, reason=refused.reason))
            else:
                reason = f"sale {found[0]['number']} is {found[0]['state']} there"
                answers.append(Answer(key, "rejected", reason=reason))
        return answers

    def _further(self, model: Model, known: Known) -> tuple[Known, dict[str, Answer]]:
        """Take what is not done one step further; what is so far, and what could not be."""
        failed: dict[str, Answer] = {}
        for state in {found[0]["state"] for found in known.values()} & model.steps.keys():
            ids = {key: found[0]["id"] for key, found in known.items() if found[0]["state"] == state}
            step = f"model.{model.name}.{model.steps[state]}"
            failed |= self._each(partial(self._step, step, ids), ids)
            known = known | self._known(model, ids)
        return known, failed

    def _step(self, method: str, ids: Mapping[str, int], keys: Sequence[str]) -> None:
        self._rpc.call(method, [ids[key] for key in keys])

    def _ready(self, company: Company, documents: Collection[Document]) -> Callable[[Document], dict[str, Any]]:
        """What makes the values of a document, with all looked up that these need; it raises ErpRefusedError."""
        match next(iter(documents)):
            case Journal():
                named = {line.account for one in documents if isinstance(one, Journal) for line in one.lines}
                if any(self.account(account) not in company.accounts for account in named):
                    self._kept = None  # somebody may have added it since
                    company = self._company()
                periods = self._periods(company, [one.business_date for one in documents])
                return lambda one: self._move(one, company, periods)
            case SalesOrder():
                products, customer = self._products(documents), self._customer()
                return lambda one: sale(one, company, products, customer)
            case Amendment():
                sales = self._sold(documents)
                return lambda one: amended(one, company, sales)
            case GoodsMovement():
                products, places = self._products(documents), self._places(documents)
                return lambda one: shipment(one, company, products, places)

    def _sold(self, documents: Iterable[Any]) -> dict[str, Sold]:
        """The sales that are changed, as they stand, by our keys of sales orders."""
        known = self._known(MODELS["sales_order"], [one.sales_order for one in documents])
        sales = {found[0]["id"]: Sold(found[0]["id"], []) for found in known.values()}
        fields = ["sale", "product", "product.code", "description", "quantity", "unit", "unit_price"]
        for row in self._rpc.found("sale.line", [["sale", "in", list(sales)], ["type", "=", "line"]], fields):
            sales[row["sale"]].lines.append(SoldLine.of(row))
        return {key: sales[found[0]["id"]] for key, found in known.items()}

    def _products(self, documents: Iterable[Any]) -> dict[str, Product]:
        skus = sorted({line.sku for one in documents for line in one.lines})
        rows = self._rpc.found("product.product", [["code", "in", skus]], ["code", "default_uom"])
        return {one["code"]: Product(one["id"], one["default_uom"]) for one in rows}

    def _customer(self) -> dict[str, Any] | None:
        rows = self._rpc.found("party.party", [["code", "=", self._named.customer]], ["addresses"])
        return next((one for one in rows if one["addresses"]), None)

    def _places(self, documents: Iterable[Any]) -> dict[str, int]:
        """Locations of Tryton by our names of places."""
        names = {place for one in documents for place in (one.from_place, one.to_place)}
        codes = {name: self._named.places.get(name, name) for name in names}
        rows = self._rpc.found("stock.location", [["code", "in", sorted(set(codes.values()))]], ["code"])
        by_code = {one["code"]: one["id"] for one in rows}
        return {name: by_code[code] for name, code in codes.items() if code in by_code}

    def _move(self, journal: Any, company: Company, periods: Sequence[Period]) -> dict[str, Any]:
        """The values of a move. Raises ErpRefusedError when Tryton lacks something that it needs."""
        day = journal.business_date
        in_currency(company, journal.currency)
        period = next((one for one in periods if one.start <= day <= one.end), None)
        if period is None or period.state != "open":
            named = f"period {period.name} is {period.state}" if period else "no period"
            raise ErpRefusedError(f"{named} in the ERP for {day}")
        lines = []
        for line in journal.lines:
            account = company.accounts.get(self.account(line.account))
            if account is None:
                raise ErpRefusedError(f"the ERP lacks an account for {line.account}")
            debit, credit = max(line.amount_minor, 0), max(-line.amount_minor, 0)
            lines.append({"account": account, "debit": major(debit, company.currency),
                          "credit": major(credit, company.currency), "description": line.description})  # fmt: skip
        return {
            "company": company.company, "journal": company.journal, "period": period.period, "date": date(day),
            "description": journal.idempotency_key, "lines": [["create", lines]],
        }  # fmt: skip

    def _each(self, call: Callable[[list[str]], Any], keys: Iterable[str]) -> dict[str, Answer]:
        """Do it to all at once; when Tryton refuses, to halves, until those that it refuses are alone."""
        some = list(keys)
        if not some:
            return {}
        try:
            call(some)
        except (ErpRefusedError, ErpFaultError) as error:
            if len(some) == 1:
                status = "rejected" if isinstance(error, ErpRefusedError) else "retry"
                return {some[0]: Answer(some[0], status, reason=str(error))}  # type: ignore[arg-type]
            middle = len(some) // 2
            return self._each(call, some[:middle]) | self._each(call, some[middle:])
        return {}

    def _known(self, model: Model, keys: Iterable[str]) -> Known:
        """What Tryton has by our keys, oldest first."""
        known: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        wanted = list(keys)
        for start in range(0, len(wanted), KEYS):
            domain = [[model.key, "in", wanted[start : start + KEYS]]]
            for one in self._rpc.found(model.name, domain, [model.key, model.number, "state"]):
                known[one[model.key]].append(one)
        return dict(known)

    def _alone(self, model: Model, known: Known) -> Known:
        """One per key: a draft that an attempt of which no answer came has left beside another is taken away."""
        alone, spare = {}, []
        for key, found in known.items():
            found.sort(key=lambda one: (one["state"] not in model.done, one["id"]))
            spare += [one["id"] for one in found[1:] if one["state"] == "draft"]
            alone[key] = found[:1]
        if spare:
            self._rpc.call(f"model.{model.name}.delete", spare)
        return alone

    def _held(self, keys: Sequence[str]) -> list[Held]:
        company = self._company()
        domain = [["description", "in", list(keys)]]
        moves = {one["id"]: one for one in self._rpc.found(MOVE, domain, ["description", "number", "state", "date"])}
        accounts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        ids = list(moves)
        for start in range(0, len(ids), KEYS):
            of_moves = [["move", "in", ids[start : start + KEYS]]]
            fields = ["move", "account.code", "debit", "credit"]
            for line in self._rpc.found("account.move.line", of_moves, fields):
                amount = minor(number(line["debit"]) - number(line["credit"]), company.currency)
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
            currency = next((one["currency."] for one in companies if one["id"] == own), None)
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
            self._kept = Company(own, currency["code"], currency["id"], journals[0]["id"], accounts)
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


def _answer(model: Model, key: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    if found and found[0]["state"] in model.done:
        return Answer(key, "accepted", document=str(found[0][model.number] or ""))
    return Answer(key, "retry", reason="the ERP has not finished it")


def _changeable(key: str, sales_order: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    """What is said of an amendment before it is made; accepted when its sale can be amended."""
    if not found:
        return Answer(key, "retry", reason=f"the ERP has no sale {sales_order} yet")
    sold = found[0]
    if sold["state"] == "cancelled":
        return Answer(key, "rejected", reason=f"sale {sold['number']} is cancelled there")
    if sold["state"] not in AMENDABLE:
        return Answer(key, "retry", reason=f"the ERP has not finished sale {sales_order}")
    return Answer(key, "accepted", document=sold["number"] or "")
