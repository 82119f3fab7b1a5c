"""What a story says of a promise, checked through the lineage API; and every way in which a definition could change."""

import copy
import datetime as dt
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct

from collector.storage import Storage
from lineage import slas
from lineage.definitions import DefinitionError
from lineage.measure import Measurer
from lineage.queries import Queries
from lineage.rows import moment
from tests.hops import answering

VERDICTS: Final = ("good", "bad", "pending", "excused")
WORDS: Final = ("number", "title", "description", "unit", "owner", "measured_every")
"""Keys by which nothing is judged."""


class Promised(Struct, frozen=True, kw_only=True):
    """How a story ends for a promise: these items are judged so, and due then; its tile says so; it has these segments.

    An item that is in parts has the verdicts of all of them, and None is one that there is not.
    """

    items: Mapping[str, str | None] = {}
    due: Mapping[str, str] = {}
    tile: Mapping[str, Any] = {}
    segments: Sequence[str] = ()
    targets: Mapping[str, float] = {}  # of channels
    counts: Mapping[str, tuple[int, int]] = {}  # good and bad, of channel/location
    states: Mapping[str, str] = {}  # of channel/location
    rule: str = ""
    stale_after: dt.timedelta = dt.timedelta(hours=26)


def listed(lineage: httpx.Client, name: str) -> list[dict[str, Any]]:
    answer = lineage.get(f"/v1/slas/{name}/items", params={"limit": 1000})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def check(lineage: httpx.Client, name: str, promised: Promised) -> None:
    """Also that the tile counts just what the items are."""
    found = listed(lineage, name)
    verdicts: dict[str, list[str]] = {}
    for one in found:
        verdicts.setdefault(one["entity_id"], []).append("overdue" if one["overdue"] else one["verdict"])
    told = {one: ", ".join(sorted(verdicts.get(one, ()))) or None for one in promised.items}
    assert told == promised.items, _unlike(told, promised.items)
    due = {one["entity_id"]: one["due_at"] for one in found}
    on = {one: due.get(one) for one in promised.due}
    assert on == promised.due, _unlike(on, promised.due)
    detail = lineage.get(f"/v1/slas/{name}").json()
    tile, parts = detail["tile"], detail["segments"]
    if found and tile["kind"] != "freshness":
        counted = [one for one in found if not one["decided_at"] or one["decided_at"] > tile["window_start"]]
        weighed = {kind: sum(one["weight"] for one in counted if one["verdict"] == kind) for kind in VERDICTS}
        assert {kind: tile[kind] for kind in VERDICTS} == weighed, weighed
        assert tile["overdue_open"] == sum(one["weight"] for one in found if one["overdue"])
    assert promised.rule in ("", detail["rule"]), detail["rule"]
    shown = {key: tile[key] for key in promised.tile}
    assert shown == promised.tile, _unlike(shown, promised.tile)
    cut = {" ".join(key for key in ("channel", "location", "provider", "kind") if one[key]) for one in parts}
    assert cut == set(promised.segments), cut
    places = {f"{one['channel']}/{one['location']}": one for one in parts}
    counts = {one: (places[one]["good"], places[one]["bad"]) for one in promised.counts}
    assert counts == promised.counts, _unlike(counts, promised.counts)
    states = {one: places[one]["state"] for one in promised.states}
    assert states == promised.states, _unlike(states, promised.states)
    targets = {one["channel"]: one["target"] for one in parts if one["channel"] and not one["location"]}
    assert {one: targets.get(one) for one in promised.targets} == promised.targets


def _unlike(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {one: (value, expected[one]) for one, value in found.items() if value != expected[one]}


def unnoticed(
    storage: Storage, end: dt.datetime, port: int, expected: Mapping[str, Promised], directory: Path
) -> list[tuple[str, str]]:
    """The changes of definitions by which nothing that is expected is missed."""
    path = directory / "slas.toml"
    return [
        (name, what)
        for name, what, text in changed(expected)
        if path.write_text(text) and _holds(storage, end, port, name, expected[name], path)
    ]


def _holds(
    storage: Storage, end: dt.datetime, port: int, name: str, promised: Promised, path: Path = slas.DEFAULT_SLAS
) -> bool:
    try:
        [promise] = [one for one in slas.load(defaults=path) if one.name == name]
    except DefinitionError:
        return False
    storage.execute("TRUNCATE TABLE sli_samples")
    queries = Queries(storage)
    Measurer(queries, [promise], lambda: end).tick(end)
    with answering(storage, lambda: end, port, defaults=path) as client:
        try:
            check(client, name, promised)
        except AssertionError:
            return False
    heard = moment(queries.extent(end)[1])
    at = {late: heard + promised.stale_after + dt.timedelta(seconds=late) for late in (0, 1)}
    states = {late: Measurer(queries, [promise], lambda: end).tick(now)[0].state for late, now in at.items()}
    return promise.kind == "freshness" or (states[0] != "stale" and states[1] in ("stale", "no_data"))


def changed(names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """A file for each promise with each of its keys, and each element of a key, left out and each value another."""
    declared = tomllib.loads(slas.DEFAULT_SLAS.read_text())
    for name in names:
        for key in declared[name]:
            if key in (*WORDS, "kind"):
                continue
            for what, made in _changes(declared[name], key):
                whole = declared | {name: made}
                yield name, what, "".join(f"[{one}]\n{_toml(keys)}\n" for one, keys in whole.items())


def _changes(one: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield f"without {key}", {other: value for other, value in one.items() if other != key}
    value = one[key]
    if isinstance(value, list | dict):
        for part in list(value) if isinstance(value, dict) else range(len(value)):
            if len(value) > 1:
                made = copy.deepcopy(one)
                del made[key][part]
                yield f"{key} without {part}", made
            if isinstance(value, dict):
                yield f"{key}.{part} another", one | {key: value | {part: _another(value[part])}}
    elif not isinstance(value, bool):
        yield f"{key} another", one | {key: _another(value)}


def _another(value: Any) -> Any:
    if isinstance(value, float):
        return value / 2
    if isinstance(value, int):
        return value + 1
    number = next((word for word in value.split() if word.isdigit()), "")
    if number:
        return value.replace(number, str(int(number) * 2), 1)
    return value.replace("next", "2", 1).replace("day ", "days ") if value.startswith("next") else f"{value[:-1]}1"


def _toml(keys: dict[str, Any]) -> str:
    return "".join(f"{key} = {_literal(value)}\n" for key, value in keys.items())


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_literal(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)
