"""Tax by code: which code the tax of a line has, and how an amount of it is split over codes. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sync_core.fields import Line
from sync_core.ledger.ledger import Accounts, JournalLine, PostingRules
from sync_core.money import shared

TAX = "tax"
"""The kind of tax among what is owed of an order; with a code it is ``tax:<code>``."""


def kind_of(code: str) -> str:
    return f"{TAX}:{code}" if code else TAX


def code_of(kind: str) -> str:
    return kind.partition(":")[2]


def is_tax(kind: str) -> bool:
    return kind.partition(":")[0] == TAX


def among(amounts: Mapping[str, int]) -> int:
    """What of amounts by kind is tax."""
    return sum(amount for kind, amount in amounts.items() if is_tax(kind))


def split(total: int, by_code: Mapping[str, int], default: str = "") -> dict[str, int]:
    """``total`` in proportion to what there is of each code, to the largest remainders; all of it is exactly that."""
    there = {code: amount for code, amount in sorted(by_code.items()) if amount > 0}
    if not there:
        return {default: total} if total else {}
    return dict(zip(there, shared(total, list(there.values())), strict=True))


def of_lines(lines: Sequence[Line], tax_minor: int, default: str) -> dict[str, int]:
    """The tax of an order by code: what its lines state, the rest by the amounts of those that state none.

    Of lines that are no goods nobody needs to say a code: they are taxed as the goods are.
    """
    stated, rest = Counter[str](), Counter[str]()
    for line in lines:
        code = line.tax_code or default
        if line.tax_minor is not None:
            stated[code] += line.tax_minor
        elif line.tax_code or line.kind == "goods":
            rest[code] += line.amount_minor
    known = Counter(stated)
    left = tax_minor - sum(stated.values())
    known.update(split(left, rest if any(rest.values()) else stated, default))
    return {code: amount for code, amount in known.items() if amount}


def accounts_of(rules: PostingRules) -> tuple[str, ...]:
    """Where tax stands: payable, not payable before its goods leave, and to be reclaimed with a refund."""
    accounts: Accounts = rules.accounts
    return accounts.sales_tax, rules.kinds[TAX].contract, accounts.refund_tax_pending


def note(into: dict[str, int], lines: Iterable[JournalLine], accounts: Iterable[str], sign: int = 1) -> None:
    """Count the lines on accounts of tax, by code."""
    wanted = set(accounts)
    for line in lines:
        if line.account in wanted and line.amount_minor:
            into[line.tax_code] = into.get(line.tax_code, 0) + sign * line.amount_minor
            if not into[line.tax_code]:
                del into[line.tax_code]
