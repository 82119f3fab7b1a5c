"""The addresses of the pages: what a path and its query mean, and how to write one."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from msgspec import Struct

from lineage.model import WHOLE, View

PREFIX: Final = "/ui"


class Promises(Struct, frozen=True):
    view: View = WHOLE


class Promise(Struct, frozen=True):
    name: str
    view: View = WHOLE


class Transaction(Struct, frozen=True):
    any_id: str  # "" before anything was looked up
    trace: str = ""  # the technical trace that is drawn beside it


class Desk(Struct, frozen=True):
    """One of the pages that DESKS names, with what its address asks for; what is not asked for is ""."""

    name: str
    asked: Mapping[str, str] = MappingProxyType({})

    def __getitem__(self, parameter: str) -> str:
        return self.asked.get(parameter, "")

    def but(self, **changed: str) -> str:
        """The address of the same page that asks for something else."""
        return desk(self.name, **{**self.asked, **changed})


class Tour(Struct, frozen=True):
    pass


class Nowhere(Struct, frozen=True):
    path: str


Address = Promises | Promise | Transaction | Desk | Tour | Nowhere

DESKS: Final[Mapping[str, tuple[str, ...]]] = {
    "orders": ("channel", "days"),
    "exceptions": ("view", "owner", "kind", "severity", "id"),
    "reconciliation": ("until", "currency", "day", "level", "provider", "period"),
    "inventory": ("channel", "location"),
    "returns": ("channel", "stage", "days"),
    "flow": ("by", "minutes"),
    "alerts": ("view", "owner", "id", "rule", "days"),
}
"""The parameters that each page understands."""

LONGEST: Final = 200


def parse(path: str, query: str) -> Address:
    """``/ui/transaction/<id>`` and ``/ui/transaction?id=<id>`` are the same page; IDs may hold slashes."""
    rest = path.removeprefix(PREFIX).strip("/")
    head, _, tail = rest.partition("/")
    asked = {name: values[0].strip()[:LONGEST] for name, values in parse_qs(query.removeprefix("?")).items()}
    if not rest:
        return Promises(_view(asked))
    if head == "sla" and tail:
        return Promise(unquote(tail), _view(asked))
    if head == "transaction":
        return Transaction(asked.get("id") or unquote(tail).strip(), asked.get("trace", ""))
    if rest in DESKS:
        return Desk(rest, {name: asked[name] for name in DESKS[rest] if asked.get(name)})
    if rest == "tour":
        return Tour()
    return Nowhere(path)


def _view(asked: Mapping[str, str]) -> View:
    """A day that is none is as if it were not asked for."""
    try:
        until = date.fromisoformat(asked.get("until", ""))
    except ValueError:
        until = None
    return View(
        channel=asked.get("channel", ""), location=asked.get("location", ""), brand=asked.get("brand", ""), until=until
    )


def is_still(asked: Address) -> bool:
    """Whether a page is of the moment it was asked for: a rule is not replayed again every few seconds."""
    return isinstance(asked, Desk) and bool(asked["rule"])


def promises(view: View = WHOLE) -> str:
    return f"{PREFIX}/" + _asking(view)


def tour() -> str:
    return f"{PREFIX}/tour"


def promise(name: str, channel: str = "", location: str = "", until: date | None = None) -> str:
    return promise_of(name, View(channel=channel, location=location, until=until))


def promise_of(name: str, view: View) -> str:
    return f"{PREFIX}/sla/{quote(name, safe='')}" + _asking(view)


def _asking(view: View) -> str:
    asked = {
        "brand": view.brand, "channel": view.channel, "location": view.location,
        "until": view.until.isoformat() if view.until else "",
    }  # fmt: skip
    wanted = {parameter: value for parameter, value in asked.items() if value}
    return f"?{urlencode(wanted)}" if wanted else ""


def transaction(any_id: str, trace: str = "") -> str:
    asked = {"id": any_id, "trace": trace}
    wanted = {name: value for name, value in asked.items() if value}
    return f"{PREFIX}/transaction" + (f"?{urlencode(wanted)}" if wanted else "")


def desk(name: str, **asked: str) -> str:
    wanted = {parameter: value for parameter, value in asked.items() if value}
    return f"{PREFIX}/{name}" + (f"?{urlencode(wanted)}" if wanted else "")
