"""Promises about feeds, cells, backlogs and hours, recomputed in plain Python from the spans told: to the digit.

Nothing of lineage's judgement is used: definitions are read as TOML, what happened from the spans themselves.
"""

import datetime as dt
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import httpx
import pytest

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import slas
from lineage.measure import Measurer
from lineage.queries import Queries
from tests.hops import Hops, answering, nanos
from tests.properties.test_promise_histories import NOW, SKEW, UNIT, due

DECLARED: Final[dict[str, dict[str, Any]]] = tomllib.loads(slas.DEFAULT_SLAS.read_text())
NAMES: Final = ("stock_freshness", "stock_propagation", "reconciliation_variance", "reconciliation_backlog",
                "replay_volume")  # fmt: skip
DERIVED: Final = "system_health"
WORST: Final = ("breached", "at_risk", "stale", "low_volume", "meeting", "no_data")
SINCE: Final = NOW - dt.timedelta(days=28)
MINUTE: Final = dt.timedelta(minutes=1)
TICK: Final = dt.timedelta(microseconds=1)
LEVELS: Final = ("L0", "L1", "L2", "L5")
Told = dict[str, Counter[str]]
"""By channel, or provider where there is no channel; "" is all."""


class Mark(NamedTuple):
    channel: str
    location: str
    at: dt.datetime
    source_at: dt.datetime | None
    published_at: dt.datetime | None
    heartbeat_at: dt.datetime | None


class Cell(NamedTuple):
    level: str
    day: dt.date
    channel: str
    kind: str
    unexplained: int
    due_at: dt.datetime | None
    run_at: dt.datetime


class History:
    """What happened, and the spans that tell it."""

    def __init__(self, random: Random, seed: int) -> None:
        self._random = random
        self.hops = Hops()
        self.marks: set[Mark] = set()
        self.cells: set[Cell] = set()
        self.journal: set[tuple[dt.date, str, dt.datetime]] = set()
        self.hours: dict[str, list[tuple[dt.datetime, str, str, int]]] = defaultdict(list)
        self.settled: dict[str, list[tuple[str, dt.datetime]]] = defaultdict(list)
        for number in range(12):
            self._feed(number)
        for number in range(60):
            self._day(number)
        for number in range(80):
            self._hour(number)
        for number in range(150):
            self._settlement(f"{seed}-{number}")

    def _ago(self, most_days: float) -> dt.datetime:
        return NOW - dt.timedelta(seconds=self._random.randrange(int(most_days * 86400)))

    def _feed(self, number: int) -> None:
        channel = ("web", "store", "dotcom", "bazaar")[number % 4]
        start = (SINCE, NOW - dt.timedelta(days=1), self._ago(40))[number % 3] - dt.timedelta(minutes=30)
        for _ in range(40):
            at = start + dt.timedelta(seconds=self._random.randrange(3600 * self._random.choice((1, 5, 40))))
            if at > NOW:
                continue
            changed_at = at - dt.timedelta(seconds=self._random.choice((0, 0, 30, 100, 400, 6000)))
            published_at = changed_at - dt.timedelta(seconds=self._random.choice((-5, 0, 30, 100, 400, 6000)))
            self._mark(Mark(
                channel, f"L{number}", at, changed_at if self._random.random() < 0.8 else None,
                published_at if self._random.random() < 0.8 else None, at if self._random.random() < 0.7 else None,
            ))  # fmt: skip

    def _mark(self, one: Mark) -> None:
        times = {name: nanos(value) if (value := getattr(one, name)) else 0
                 for name in ("source_at", "published_at", "heartbeat_at")}  # fmt: skip
        event = {"at": one.at, "feed": "tills", "channel": one.channel, "location": one.location, **times}
        self.marks.add(one)
        self.hops.hop(b"\0" * 16, "publication.publish", _text(one.at), "", "", events=[("watermark", event)])

    def _day(self, number: int) -> None:
        day, channel = (NOW - dt.timedelta(days=number)).date(), self._random.choice(("web", "store"))
        identity = correlation_id("books", f"{day}")
        if self._random.random() < 0.7:
            at = dt.datetime.combine(day, dt.time(12), dt.UTC)
            self.journal.add((day, channel, at))
            self.hops.post(identity, f"charge/{day}", _text(at), lines=[("assets", 5), ("revenue", -5)],
                           channel=channel)  # fmt: skip
        for level in self._random.sample(LEVELS, self._random.randrange(4)):
            for again in range(self._random.choice((1, 1, 2, 3))):
                run_at = dt.datetime.combine(day, dt.time(0), dt.UTC) + dt.timedelta(
                    hours=self._random.choice((23, 25, 30, 40, 100)), minutes=again
                )
                if run_at > NOW:
                    continue
                due_at = run_at + dt.timedelta(hours=self._random.choice((-1, 1))) if number % 5 == 0 else None
                found = [Cell(level, day, one, "order", self._random.choice((0, 0, 0, 7, -3)), due_at, run_at)
                         for one in ("web", "store") if self._random.random() < 0.8]  # fmt: skip
                found = found or [Cell(level, day, "", "", 0, due_at, run_at)]
                self.cells.update(found)
                self.hops.hop(identity, "posting.reconcile", _text(run_at), "period", f"{level}/{day}", "reconciled",
                              events=[("recon.item", _item(cell)) for cell in found])  # fmt: skip

    def _hour(self, number: int) -> None:
        begin = self._ago(40).replace(minute=0, second=0)
        accepted = self._random.choice((5, 400, 5000))
        sent = {"accepted": accepted, "replayed": self._random.choice((0, 20, 21, accepted // 100, accepted // 99)),
                "redelivered": self._random.choice((0, 21, accepted // 20, accepted // 19)),
                "replay_announced": self._random.choice((0, 1, 21, accepted // 99))}  # fmt: skip
        for milestone, count in sent.items():
            if self._random.random() < 0.2:
                continue
            self.hours[f"src/{number}"].append((begin, f"source{number % 2}", milestone, count))
            self.hops.hop(correlation_id("src", f"{number}"), f"publication.{milestone}", _text(begin), "message",
                          f"src/{number}", milestone, quantity=count, provider=f"source{number % 2}")  # fmt: skip

    def _settlement(self, number: str) -> None:
        start = self._ago(45)
        happened = [("received", start)]
        if self._random.random() < 0.99:
            hours = self._random.randrange(-1, 60) + self._random.choices((0, 100), (97, 3))[0]
            happened.append(("matched", start + dt.timedelta(hours=hours)))
        if self._random.random() < 0.1:
            happened.append(("superseded", start + dt.timedelta(hours=self._random.randrange(100))))
        for milestone, at in happened:
            if at <= NOW:
                self.settled[number].append((milestone, at))
                self.hops.hop(correlation_id("set", number), f"settlement.{milestone}", _text(at), "settlement",
                              number, milestone, channel="", provider="card", amount=300)  # fmt: skip


def _item(cell: Cell) -> dict[str, Any]:
    return {"at": cell.run_at, "level": cell.level, "business_date": f"{cell.day}", "channel": cell.channel,
            "provider": "", "kind": cell.kind, "currency": "GBP" if cell.kind else "", "left_minor": 9,
            "right_minor": 9 - cell.unexplained, "unexplained_minor": cell.unexplained,
            "due_at": nanos(cell.due_at) if cell.due_at else 0}  # fmt: skip


def _text(at: dt.datetime) -> str:
    return f"{at.replace(tzinfo=None)}"


def count(told: Told, verdict: str, at: dt.datetime, place: str, *, overdue: bool = False) -> None:
    """``at``: an instant inside the window when it is not before it."""
    for one in ("", place):
        if verdict == "pending" or at >= SINCE:
            told[one][verdict] += 1
        told[one]["overdue_open"] += overdue


def judge(start: dt.datetime, until: dt.datetime, end: dt.datetime | None) -> tuple[str, dt.datetime, bool]:
    if end and start - end > SKEW:
        return "refused", start - TICK, False
    end = max(end, start) if end else None
    if end and end <= until:
        return "good", end - TICK, False
    return ("pending", start, False) if until >= NOW else ("bad", until, end is None)


def seconds(one: dict[str, Any], key: str, channel: str) -> float:
    number, unit = one.get(f"{key}_by_channel", {}).get(channel, one[key]).split()
    return int(number) * UNIT[unit]


def fresh(one: dict[str, Any], marks: Iterable[Mark]) -> Told:
    told: Told = defaultdict(Counter)
    feeds: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in marks:
        feeds[mark.channel, mark.location].append(mark)
    for (channel, _), of in feeds.items():
        limit = dt.timedelta(seconds=seconds(one, "deadline", channel))
        silence = dt.timedelta(seconds=seconds(one, "interval", channel) * one["heartbeats_missed"])
        by_minute: dict[dt.datetime, list[Mark]] = defaultdict(list)
        for mark in of:
            by_minute[mark.at.replace(second=0, microsecond=0)].append(mark)
        source = published = life = dt.datetime.fromtimestamp(0, dt.UTC)
        last = max(by_minute)
        minute = min(by_minute)
        while minute <= last:
            here = by_minute.get(minute, ())
            source = max(source, *(mark.source_at or source for mark in here), source)
            published = max(published, *(mark.published_at or published for mark in here), published)
            beats = [mark.heartbeat_at for mark in here if mark.heartbeat_at]
            if here:
                life = max(life, max(beats, default=minute))
            same_day = [other for other in by_minute if other.date() == minute.date()]
            if same_day and min(same_day) <= minute <= max(same_day):
                alive = minute <= life + silence
                verdict = "good" if source - published <= limit and alive else "bad"
                count(told, verdict, minute - TICK, channel)
            minute += MINUTE
    return told


def propagated(one: dict[str, Any], marks: Iterable[Mark]) -> Told:
    told: Told = defaultdict(Counter)
    known = list(marks)
    changes = {(m.channel, m.location, m.source_at) for m in known if m.source_at and m.source_at != m.heartbeat_at}
    for channel, location, source_at in changes:
        assert source_at
        had = [m.at for m in known if (m.channel, m.location) == (channel, location)
               and m.published_at and m.published_at >= source_at]  # fmt: skip
        until = source_at + dt.timedelta(seconds=seconds(one, "deadline", channel))
        verdict, at, overdue = judge(source_at, until, min(had, default=None))
        count(told, verdict, at, channel, overdue=overdue)
    return told


def reconciled(one: dict[str, Any], cells: Iterable[Cell], journal: Iterable[tuple[dt.date, str, dt.datetime]]) -> Told:
    told: Told = defaultdict(Counter)
    known = list(cells)
    runs: dict[tuple[str, dt.date], set[dt.datetime]] = defaultdict(set)
    stated: dict[tuple[str, dt.date, str], dict[dt.datetime, Cell]] = defaultdict(dict)
    for cell in known:
        runs[cell.level, cell.day].add(cell.run_at)
        if cell.kind:
            stated[cell.level, cell.day, cell.channel][cell.run_at] = cell
    items = []
    for (level, day, channel), of in stated.items():
        agreed, difference = None, 0
        for run_at in sorted(one for one in runs[level, day] if one >= min(of)):
            difference = of[run_at].unexplained if run_at in of else 0
            agreed = None if difference else agreed or run_at
        items.append((day, channel, of[max(of)].due_at, agreed, difference))
    run = {cell.day for cell in known}
    items += [(day, channel, None, None, 0) for day, channel, _ in journal if day not in run]
    for day, channel, due_at, end, unexplained in items:
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        start = midnight + dt.timedelta(days=1)
        if start > NOW:
            continue
        verdict, at, overdue = judge(start, due_at or due(one["deadline"], midnight), end)
        count(told, verdict, at, channel, overdue=overdue)
        told[""]["at_risk"] += abs(unexplained) if overdue else 0
    return told


def backlogged(one: dict[str, Any], settled: dict[str, list[tuple[str, dt.datetime]]]) -> Told:
    told: Told = defaultdict(Counter)
    items = []
    for happened in settled.values():
        times = dict(happened)
        start, end, stop = times["received"], times.get("matched"), times.get("superseded")
        until = due(one["deadline"], start)
        refused = end and start - end > SKEW
        closed = min((max(at, start) for at in (end, stop) if at), default=None)
        excused = stop and stop <= until and not (end and max(end, start) <= min(stop, until))
        if not refused and not excused:
            items.append((start, until, closed))
    day = min(start for start, _, _ in items).date() - dt.timedelta(days=2)
    first = min(at for happened in settled.values() for _, at in happened)
    while day <= NOW.date():
        instant = dt.datetime.combine(day, dt.time(9), dt.UTC)
        day += dt.timedelta(days=1)
        if instant.weekday() > 4 or not first <= instant <= NOW:
            continue
        before, left = instant, 3
        while left:
            before -= dt.timedelta(days=1)
            left -= before.weekday() < 5
        counted = sum(instant - dt.timedelta(days=28) < start <= instant for start, _, _ in items)
        overdue = [until for _, until, closed in items if until < instant and (not closed or closed > instant)]
        if not counted and not overdue:
            continue
        bad = len(overdue) > one["allowed_share"] * counted or any(until <= before for until in overdue)
        count(told, "bad" if bad else "good", instant - (not bad) * TICK, "card")
    return told


def repeated(one: dict[str, Any], hours: dict[str, list[tuple[dt.datetime, str, str, int]]]) -> Told:
    told: Told = defaultdict(Counter)
    for rows in hours.values():
        sent = {milestone: quantity for _, _, milestone, quantity in rows}
        until = rows[0][0] + dt.timedelta(hours=1)
        above = {name: sent.get(name.partition(".")[2], 0) - max(share * sent.get("accepted", 0), one["floor"])
                 for name, share in one["allowed_shares"].items()}  # fmt: skip
        said = {name: sent.get(one["announced"].get(name, "").partition(".")[2], 0) for name in above}
        bad = any(more > said[name] for name, more in above.items())
        excused = not bad and any(more > 0 for more in above.values())
        pending = until > NOW or (bad and until == NOW)
        verdict = "pending" if pending else "bad" if bad else "excused" if excused else "good"
        count(told, verdict, until - (not bad) * TICK, rows[0][1])
    return told


def expected(history: History) -> dict[str, Told]:
    return {
        "stock_freshness": fresh(DECLARED["stock_freshness"], history.marks),
        "stock_propagation": propagated(DECLARED["stock_propagation"], history.marks),
        "reconciliation_variance": reconciled(
            DECLARED["reconciliation_variance"], history.cells, history.journal
        ),
        "reconciliation_backlog": backlogged(DECLARED["reconciliation_backlog"], history.settled),
        "replay_volume": repeated(DECLARED["replay_volume"], history.hours),
    }  # fmt: skip


def compare(http: httpx.Client, told: dict[str, Told]) -> None:
    for name, of in told.items():
        detail = http.get(f"/v1/slas/{name}").json()
        places = {one["channel"] or one["provider"]: one for one in detail["segments"]
                  if not (one["location"] or one["kind"])}  # fmt: skip
        for place, one in {"": detail["tile"], **places}.items():
            found = {key: one[key] for key in ("good", "bad", "pending", "excused", "overdue_open")}
            assert found == {key: of[place][key] for key in found}, (name, place)
        assert detail["tile"]["refused"] == of[""]["refused"], name
        at_risk = {money["currency"]: money["amount_minor"] for money in detail["tile"]["at_risk"]}
        if name == "reconciliation_variance":
            assert at_risk == {"GBP": of[""]["at_risk"]} if of[""]["at_risk"] else {}


def compare_derived(http: httpx.Client) -> None:
    """By kind, the worst of those that know the kind, and the counts of the first."""
    parts = [http.get(f"/v1/slas/{name}").json() for name in DECLARED[DERIVED]["of"]]
    whole = http.get(f"/v1/slas/{DERIVED}").json()

    def of_kind(detail: dict[str, Any], kind: str) -> list[dict[str, Any]]:
        if not kind:
            return [detail["tile"]]
        return [one for one in detail["segments"] if (one["kind"], one["channel"], one["provider"]) == (kind, "", "")]

    kinds = {one["kind"] for one in parts[0]["segments"] if one["kind"] and not one["channel"]}
    assert {one["kind"] for one in whole["segments"]} == kinds
    for kind in ("", *kinds):
        [shown], [first] = of_kind(whole, kind), of_kind(parts[0], kind)
        states = [one["state"] for detail in parts for one in of_kind(detail, kind)]
        assert shown["state"] == min(states, key=WORST.index), kind
        assert (shown["good"], shown["bad"]) == (first["good"], first["bad"]), kind
        amounts = [sum(money["amount_minor"] for money in one["at_risk"])
                   for detail in parts for one in of_kind(detail, kind)]  # fmt: skip
        assert sum(money["amount_minor"] for money in shown["at_risk"]) == max(amounts)


def measured_histories(storage: Storage, directory: Path, port: int, seed: int) -> dict[str, Told]:
    """Half of it comes late, and much of it twice."""
    random = Random(seed)
    history = History(random, seed)
    spans = list(history.hops.spans)
    early, late = Hops(), Hops()
    for span in spans:
        for _ in range(random.choice((1, 1, 2))):
            random.choice((early, late)).spans.append(span)
    promises = [one for one in slas.load() if one.name in NAMES]

    def measure(part: Hops, at: dt.datetime) -> None:
        part.store(storage, directory)
        Measurer(Queries(storage), promises, lambda: at).tick(NOW)

    told = expected(history)
    with answering(storage, lambda: NOW, port) as http:
        measure(early, NOW)
        measure(late, NOW + MINUTE)
        compare(http, told)
    return told


def test_measurements_equal_what_spans_say(storage: Storage, tmp_path: Path, free_port: Callable[[], int]) -> None:
    told = measured_histories(storage, tmp_path, free_port(), seed=7)
    for name in NAMES:
        assert told[name][""]["good"], name
        assert told[name][""]["bad"], name
    assert told["stock_propagation"][""]["overdue_open"]
    assert told["replay_volume"][""]["excused"]


def test_what_is_made_of_others_equals_their_worst(
    storage: Storage, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    random, hops = Random(3), Hops()
    for number in range(400):
        reference, kind = f"D{number}", random.choice(("order", "refund", "count"))
        identity, at = correlation_id("der", reference), NOW - dt.timedelta(seconds=random.randrange(10 * 86400))
        hops.hop(identity, "order.capture", _text(at), "order", reference, "captured")
        late = at + dt.timedelta(seconds=random.choice((1, 30, 90, 5000)))
        accepted = _text(late) if random.random() < 0.9 and late < NOW else ""
        hops.post(identity, f"{kind}/{reference}", _text(at), accepted, amount=random.randrange(900))
        if kind == "refund" and random.random() < 0.5:
            hops.hop(identity, "publication.fail", _text(at), "message", reference, "failed", kind=kind)
        if kind == "count":
            hops.hop(identity, "exception.open", _text(at), "exception", reference, "opened", kind=kind)
    hops.store(storage, tmp_path)
    own = tmp_path / "slas.toml"
    own.write_text("".join(f"[{name}]\ntarget = {target}\n" for name, target in
                           zip(DECLARED[DERIVED]["of"], (0.9, 0.6, 0.3, 0.2, 0.5), strict=True)))  # fmt: skip
    promises = [one for one in slas.load(own) if one.name in (DERIVED, *DECLARED[DERIVED]["of"])]
    Measurer(Queries(storage), promises, lambda: NOW).tick(NOW)
    with answering(storage, lambda: NOW, free_port(), own) as http:
        compare_derived(http)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_measurements_equal_what_spans_say_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], seed: int
) -> None:
    storage = Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")
    storage.migrate()
    measured_histories(storage, tmp_path_factory.mktemp("segments"), free_port(), seed)
    storage.close()
