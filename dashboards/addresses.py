"""The addresses of the pages: what a path and its query mean, and how to write one."""

from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from msgspec import Struct

PREFIX: Final = "/ui"


class Promises(Struct, frozen=True):
    pass


class Promise(Struct, frozen=True):
    name: str


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
    if head == "sla" and tail:
        return Promise(unquote(tail))
    if head == "transaction":
        asked = parse_qs(query.removeprefix("?")).get("id", [""])[0]
        return Transaction((asked or unquote(tail)).strip())
    return Nowhere(path)


def promises() -> str:
    return f"{PREFIX}/"


def promise(name: str) -> str:
    return f"{PREFIX}/sla/{quote(name, safe='')}"


def transaction(any_id: str) -> str:
    return f"{PREFIX}/transaction?{urlencode({'id': any_id})}"
