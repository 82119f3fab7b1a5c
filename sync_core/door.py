"""What an event must not say, beside what its schema says: found at the door, before anything of it is kept."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from sync_core.ledger import finance
from sync_core.ledger.ledger import PostingRules
from sync_core.messages import FinanceRecorded, Message, OrderCaptured, OrderEdited, PaymentCaptured
from sync_core.returns.messages import ReturnReceived

EARLIEST: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
AHEAD: Final = dt.timedelta(days=1)
"""By how much a sender's clock may be ahead of ours."""
LONGEST: Final = dt.timedelta(days=366)
"""How far ahead of its event a time may be by which something must happen."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Fault(Struct, frozen=True):
    """The field of an event that cannot be, and why."""

    field: str
    detail: str


def fault(message: Message, now: dt.datetime, rules: PostingRules | None = None) -> Fault | None:
    """The first thing that is wrong with a message; None when nothing is. Fields of its event are below ``data``."""
    event = message.event
    if rules and isinstance(event, FinanceRecorded) and (wrong := finance.fault(rules, event)):
        return Fault(f"data.{wrong[0]}", wrong[1])
    if not EARLIEST <= message.occurred_at <= now + AHEAD:
        when = f"{message.occurred_at:%Y-%m-%d %H:%M} UTC"
        return Fault("time", f"{when} is not between {EARLIEST:%Y-%m-%d} and a day from now: check the sender's clock")
    return next(_faults(message), None)


def _faults(message: Message) -> Iterator[Fault]:
    yield from _names(message)
    match event := message.event:
        case OrderCaptured():
            yield from _priced(event.lines, 1)
            if sum(line.amount_minor for line in event.lines) < 0:
                yield Fault("data.lines", "its lines come to less than nothing")
            if event.tax_by_code and event.tax_minor:
                yield Fault("data.tax_minor", "it is stated, and asked for with tax_by_code")
            if event.tax_minor < 0:
                yield Fault("data.tax_minor", "the tax of an order is nothing or more")
            if (of_lines := sum(line.tax_minor or 0 for line in event.lines)) > event.tax_minor:
                yield Fault("data.tax_minor", f"its lines alone are taxed with {of_lines}")
            by = event.acknowledge_by
            if by and not message.occurred_at - LONGEST <= by <= message.occurred_at + LONGEST:
                yield Fault("data.acknowledge_by", "it is more than a year away from the order")
        case OrderEdited():
            yield from _priced(event.lines, 0)
            if len({line.line_no for line in event.lines}) < len(event.lines):
                yield Fault("data.lines", "a line is edited twice")
        case ReturnReceived():
            yield from _priced(event.lines, 1)
            if event.tax_minor < 0:
                yield Fault("data.tax_minor", "the tax of a return is nothing or more")
        case PaymentCaptured() if event.amount_minor < 0:
            yield Fault("data.amount_minor", "a payment is of nothing or more")
        case _:
            pass


def _priced(lines: Iterable[Any], least: int) -> Iterator[Fault]:
    for number, line in enumerate(lines):
        if line.kind == "goods" and line.quantity < least:
            yield Fault(f"data.lines[{number}].quantity", f"goods are ordered by the unit, from {least}")
        if line.kind == "goods" and line.amount_minor < 0:
            yield Fault(f"data.lines[{number}].amount_minor", "goods cost nothing or more")


def _names(message: Message) -> Iterator[Fault]:
    """Numbers that name nothing; and text that no database keeps, which JSON can only hold behind a backslash."""
    for name in message.event.__struct_fields__:
        value = getattr(message.event, name)
        if name.endswith("_id") and isinstance(value, str) and value and not value.strip(" #"):
            yield Fault(f"data.{name}", "it is blank")
    if b"\\" in message.body:
        for path, value in _texts("data", msgspec.to_builtins(message.event)):
            if "\0" in value or (path.endswith("_id") and _CONTROL.search(value)):
                yield Fault(path, "it holds a control character")
    for name, value in (("source", message.source), ("id", message.event_id)):
        if _CONTROL.search(value):
            yield Fault(name, "it holds a control character")


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for name, one in value.items():
                yield from _texts(f"{path}.{name}", one)
        case list() | tuple():
            for number, one in enumerate(value):
                yield from _texts(f"{path}[{number}]", one)
        case _:
            pass
