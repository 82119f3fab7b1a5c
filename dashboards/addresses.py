"""The addresses of the pages: what a path and its query mean, and how to write one."""

from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from msgspec import Struct

PREFIX: Final = "/ui"


class Promises(Struct, frozen=True):
    pass


class Promise(Struct, frozen=True):
    name: str
    channel: str = ""  # whose items are listed; "" for all


class Transaction(Struct, frozen=True):
    any_id: str  # "" before anything was looked up


class Nowhere(Struct, frozen=True):
    path: str


Address = Promises | Promise | Transaction | Nowhere


def parse(path: str, query: str) -> Address:
    """``/ui/transaction/<id>`` and ``/ui/transaction?id=<id>`` are the same page; IDs may hold slashes."""
    rest = path.removeprefix(PREFIX).strip("/")
    head, _, tail = rest.partition("/")
    if not rest:
        return Promises()
    asked = {name: values[0].strip() for name, values in parse_qs(query.removeprefix("?")).items()}
    if head == "sla" and tail:
        return Promise(unquote(tail), asked.get("channel", ""))
    if head == "transaction":
        return Transaction(asked.get("id") or unquote(tail).strip())
    return Nowhere(path)


def promises() -> str:
    return f"{PREFIX}/"


def promise(name: str, channel: str = "") -> str:
    return f"{PREFIX}/sla/{quote(name, safe='')}" + (f"?{urlencode({'channel': channel})}" if channel else "")


def transaction(any_id: str) -> str:
    return f"{PREFIX}/transaction?{urlencode({'id': any_id})}"
