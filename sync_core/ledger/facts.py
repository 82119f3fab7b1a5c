"""Rules for what only finance knows and no goods move for: event kind, accounts, and what each account gets."""

import ast
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction

from msgspec import Struct

Amounts = Mapping[str, int]


class Expression:
    """Arithmetic over named amounts: ``+ - * /``, whole numbers and brackets. Raises ValueError for anything else."""

    def __init__(self, text: str) -> None:
        try:
            self._tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"{text!r} is no expression") from error
        self.text = text
        self.names = frozenset(self._checked(self._tree))

    def _checked(self, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Name(id=name):
                yield name
            case ast.Constant(value=int()):
                pass
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                yield from self._checked(inner)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right=right):
                yield from self._checked(left)
                yield from self._checked(right)
            case _:
                raise ValueError(f"{self.text!r} has something other than names, whole numbers and + - * /")

    def value(self, amounts: Amounts) -> int:
        """In minor units, half away from zero. Raises ZeroDivisionError."""
        exact = _value(self._tree, amounts)
        rounded = (2 * abs(exact.numerator) + exact.denominator) // (2 * exact.denominator)
        return rounded if exact >= 0 else -rounded

    def parts(self) -> Counter[str]:
        """How often each name counts. Raises ValueError unless it is a sum of names."""
        return _parts(self._tree, self.text)


def _value(node: ast.expr, amounts: Amounts) -> Fraction:
    match node:
        case ast.Name(id=name):
            return Fraction(amounts[name])
        case ast.Constant(value=int() as number):
            return Fraction(number)
        case ast.UnaryOp(operand=inner):
            return -_value(inner, amounts)
        case ast.BinOp(left=left, op=operator, right=right):
            one, two = _value(left, amounts), _value(right, amounts)
            match operator:
                case ast.Add():
                    return one + two
                case ast.Sub():
                    return one - two
                case ast.Mult():
                    return one * two
            return one / two
    raise AssertionError(ast.dump(node))


def _parts(node: ast.expr, text: str) -> Counter[str]:
    match node:
        case ast.Name(id=name):
            return Counter({name: 1})
        case ast.Constant(value=0):
            return Counter()
        case ast.UnaryOp(operand=inner):
            return Counter({name: -count for name, count in _parts(inner, text).items()})
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = _parts(left, text), _parts(right, text)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            taken = _parts(right, text)
            sides = _parts(left, text), Counter({name: -count for name, count in taken.items()})
        case _:
            raise ValueError(f"{text!r} is no sum of amounts: work it out under `works_out`")
    total = Counter(sides[0])
    for name, count in sides[1].items():
        total[name] += count
    return total


class FactRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What a kind of fact posts: the accounts and the sum of amounts that each is debited with, credits below zero.

    Accounts may hold ``{names}`` that the fact gives. ``works_out`` are amounts that follow from those of the fact,
    rounded once. Refused when the lines do not balance whatever the amounts.
    """

    lines: dict[str, str]
    works_out: dict[str, str] = {}
    functional: dict[str, str] = {}  # what lines are worth in the currency of the books, where the fact says so
    owner: str = "finance"
    deadline_minutes: int = 1440

    def __post_init__(self) -> None:
        for wanted in (self.lines, self.functional):
            total: Counter[str] = Counter()
            for text in wanted.values():
                for name, count in Expression(text).parts().items():
                    total[name] += count
            if left := {name: count for name, count in total.items() if count}:
                raise ValueError(f"`lines` do not balance: {left} is left")
        if unknown := self.functional.keys() - self.lines.keys():
            raise ValueError(f"`functional` has accounts that `lines` has not: {sorted(unknown)}")
        for text in self.works_out.values():
            Expression(text)

    @property
    def asks(self) -> frozenset[str]:
        """The amounts that a fact of this kind must give."""
        texts = (*self.lines.values(), *self.functional.values(), *self.works_out.values())
        wanted = {name for text in texts for name in Expression(text).names}
        return frozenset(wanted - self.works_out.keys())

    @property
    def names(self) -> frozenset[str]:
        """What its accounts are named for."""
        return frozenset(name for account in self.lines for _, name, _, _ in string.Formatter().parse(account) if name)

    def posts(self, amounts: Amounts, names: Mapping[str, str]) -> list[tuple[str, int, int | None]]:
        """Account, amount and, where the fact says it, functional amount of each line. Raises ZeroDivisionError."""
        known = dict(amounts)
        for name, text in self.works_out.items():
            known[name] = Expression(text).value(known)
        return [
            (
                account.format(**names),
                Expression(text).value(known),
                Expression(self.functional[account]).value(known) if self.functional else None,
            )
            for account, text in self.lines.items()
        ]


def lacking(rule: FactRule, amounts: Amounts, names: Mapping[str, str]) -> tuple[str, str] | None:
    """The first field of a fact that its rule asks for and it has not, or has and nobody asks for, and why."""
    for name in sorted(rule.asks - amounts.keys()):
        return f"amounts.{name}", "it is missing"
    for name in sorted(amounts.keys() - rule.asks):
        return f"amounts.{name}", f"nobody asks for it; asked for: {', '.join(sorted(rule.asks))}"
    for name in sorted(rule.names - {key for key, value in names.items() if value}):
        return f"names.{name}", "it is missing"
    try:
        rule.posts(amounts, dict.fromkeys(rule.names, "x"))
    except ZeroDivisionError:
        return "amounts", "they divide by zero"
    return None
