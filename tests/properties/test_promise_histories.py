"""Every promise between milestones, recomputed from exported hops in plain Python: equal to the digit.

Nothing of lineage's judgement is used: definitions are read as TOML, hops as CSV over HTTP.
"""

import csv
import datetime as dt
import io
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import slas
from lineage.measure import Measurer
from lineage.queries import Queries
from tests.hops import Hops, answering

NOW: Final = dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)
SKEW: Final = dt.timedelta(minutes=2)
JUDGED: Final = ("interval", "ratio")
DECLARED: Final[dict[str, dict[str, Any]]] = {
    name: one for name, one in tomllib.loads(slas.DEFAULT_SLAS.read_text()).items() if one["kind"] in JUDGED
}
DOMAINS: Final = {"fulfilment": "order", "message": "publication", "count": "inventory", "period": "posting",
                  "channel": "master_data"}  # fmt: skip
VERDICTS: Final = ("good", "bad", "pending", "excused", "refused", "overdue_open")
AT_ONCE: Final = 40  # transactions in one request
UNIT: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
Row = dict[str, str]


def milestones(one: dict[str, Any]) -> set[str]:
    pauses = [name for pair in one.get("paused", ()) for name in pair]
    lists = (one.get(key, ()) for key in ("ends", "or_ends", "excused", "spoiled_by"))
    return {one["start"], *pauses, *(name for names in lists for name in names)}


def history(random: Random, reference: str) -> Hops:
    """A transaction in which whatever promises speak of may happen, in any order, twice, and before its cause."""
    hops, identity = Hops(), correlation_id("uci", reference)
    start = NOW - dt.timedelta(seconds=random.randrange(60 * 86400))
    channel = random.choice(("web", "store", "trade", "bazaar"))
    for one in DECLARED.values():
        if random.random() < 0.5:
            continue
        for milestone in sorted(milestones(one)):
            entity, _, reached = milestone.partition(".")
            prefix = one.get("end_id", "{id}").format(id="") if milestone in one.get("ends", ()) else ""
            for again in range(random.choices((0, 1, 2), (3, 6, 1))[0]):
                away = random.choice(
                    (random.randrange(-300, 300), random.randrange(6 * 3600), random.randrange(9 * 86400))
                )
                begins = milestone == one["start"]
                if not (begins and again and random.random() < 0.5):  # else once more at the same instant
                    at = start + dt.timedelta(seconds=len(hops.spans) if begins and not again else away)
                also: dict[str, Any] = {"due_at": Hops.nanos(f"{at + dt.timedelta(hours=3):%Y-%m-%d %H:%M:%S}")}
                hops.hop(
                    identity, f"{DOMAINS.get(entity, entity)}.{reached}_{len(hops.spans)}", f"{at:%Y-%m-%d %H:%M:%S}",
                    entity, f"{prefix}{reference}", reached, channel=channel, location="", quantity=5, amount=700,
                    outcome=random.choices(("ok", "failed", "parked", "duplicate"), (20, 2, 1, 1))[0], **also,
                )  # fmt: skip
                if random.random() < 0.1:
                    hops.spans.append(hops.spans[-1])
    for span in hops.spans:
        span.trace_id = identity
    return hops


def exported(http: httpx.Client, references: Iterable[str]) -> Iterator[list[Row]]:
    """The hops of each transaction."""
    ids = [correlation_id("uci", one).hex() for one in references]
    for first in range(0, len(ids), AT_ONCE):
        answer = http.get("/v1/export/csv", params={"id": ids[first : first + AT_ONCE]})
        assert answer.status_code == 200, answer.text
        found: dict[str, list[Row]] = {}
        for row in csv.DictReader(io.StringIO(answer.text)):
            found.setdefault(row["transaction"], []).append(row)
        yield from found.values()


def moment(row: Row) -> dt.datetime:
    return dt.datetime.fromisoformat(row["at"])


def due(text: str, start: dt.datetime) -> dt.datetime:
    if plain := re.fullmatch(r"(\d+) (s|min|h|d)", text):
        return start + dt.timedelta(seconds=int(plain[1]) * UNIT[plain[2]])
    if hours := re.fullmatch(r"(\d+) business hours", text):
        left, at = dt.timedelta(hours=int(hours[1])), start
        while True:
            opens, closes = (at.replace(hour=hour, minute=0, second=0, microsecond=0) for hour in (9, 17))
            begin = max(at, opens)
            if at.weekday() < 5 and begin + left <= closes:
                return begin + left
            left -= max(closes - begin, dt.timedelta()) if at.weekday() < 5 else dt.timedelta()
            at = opens.replace(hour=0) + dt.timedelta(days=1)
    days = re.fullmatch(r"(next|\d+) (business )?days?(?: (\d\d):(\d\d))?", text)
    assert days, text
    day = start
    for _ in range(1 if days[1] == "next" else int(days[1])):
        day += dt.timedelta(days=1)
        while days[2] and day.weekday() > 4:
            day += dt.timedelta(days=1)
    return day.replace(hour=int(days[3]), minute=int(days[4]), second=0, microsecond=0) if days[3] else day


def first(rows: Iterable[Row]) -> dt.datetime | None:
    return min(map(moment, rows), default=None)


def earliest(*moments: dt.datetime | None) -> dt.datetime | None:
    return min((one for one in moments if one), default=None)


def paused(one: dict[str, Any], own: list[Row], start: dt.datetime, until: dt.datetime) -> dt.datetime:
    marks = sorted({(moment(row), number, told == pair[0])
                    for number, pair in enumerate(one.get("paused", ())) for told in pair
                    for row in own if f"{row['entity']}.{row['milestone']}" == told})  # fmt: skip
    since: dt.datetime | None = None
    for at, _, begins in marks:  # no promise delivered has pauses that overlap
        if begins and since is None:
            since = max(at, start)
        elif not begins and since is not None:
            until += max(at, start) - since if since < until else dt.timedelta()
            since = None
    return until + (NOW - since) if since is not None and since < until else until


def judged(one: dict[str, Any], rows: list[Row]) -> Iterator[tuple[str, dt.datetime, int, bool, str, int]]:
    """Verdict, when it counts, how many, whether it is overdue, the channel, and the amount."""
    told = [row for row in rows if row["milestone"] and row["outcome"] not in ("failed", "duplicate")
            and moment(row) <= NOW]  # fmt: skip

    def of(names: Iterable[str], among: list[Row]) -> list[Row]:
        return [row for row in among if f"{row['entity']}.{row['milestone']}" in names]

    entity = one["start"].partition(".")[0]
    for entity_id in sorted({row["entity_id"] for row in of([one["start"]], told)}):
        own = [row for row in told if (row["entity"], row["entity_id"]) == (entity, entity_id)]
        starts = sorted(of([one["start"]], own), key=lambda row: (moment(row), row["outcome"] != "parked"))
        last = starts[-1]
        if last["outcome"] == "parked" and not one.get("even_when_parked"):
            continue
        start = moment(starts[0])
        text = one.get("deadline_by_channel", {}).get(last["channel"], one["deadline"])
        text = one.get("deadline_by_kind", {}).get(entity_id.partition("/")[0] if entity == "posting" else "", text)
        until = dt.datetime.fromisoformat(last["due_at"]) if one.get("due_from_hop") else due(text, start)
        until = paused(one, own, start, until)
        end_id = one.get("end_id", "{id}").format(id=entity_id)
        ends = [first(row for row in of([name], told) if row["entity_id"] == end_id) for name in one.get("ends", ())]
        reached = [at for at in ends if at]
        end = earliest(max(reached) if ends and len(reached) == len(ends) else None,
                       first(of(one.get("or_ends", ()), told)))  # fmt: skip
        stop = first(of(one.get("excused", ()), own))
        spoils = [name for name in one.get("spoiled_by", ()) if name.startswith(f"{entity}.")]
        near = of(spoils, own)
        far = of([name for name in one.get("spoiled_by", ()) if name not in spoils], told)
        spoil, weight, spoiled = first([*near, *far]), 1, 1
        if one.get("weighted"):
            weight = int(last["quantity"])
            spoiled = min(
                weight, sum(quantity for _, quantity in {(moment(row), int(row["quantity"])) for row in near})
            )
        amount = int(last["amount_minor"])
        parts = [(spoil, weight, amount)]
        if spoil and one.get("weighted"):
            worth = amount * spoiled // weight
            parts = [(spoil, spoiled, worth), (None, weight - spoiled, amount - worth)]
        for bad_at, count, amount in parts:
            if count:
                verdict, at, overdue = verdict_of(one, start, until, end, stop, bad_at)
                yield verdict, at, count, overdue, last["channel"], amount


def verdict_of(
    one: dict[str, Any], start: dt.datetime, until: dt.datetime, end: dt.datetime | None, stop: dt.datetime | None,
    spoil: dt.datetime | None,
) -> tuple[str, dt.datetime, bool]:  # fmt: skip
    spoil = max(spoil, start) if spoil else None
    if one["kind"] == "ratio":
        if spoil and spoil <= until:
            return "bad", spoil, False
        return ("good", until - dt.timedelta(microseconds=1), False) if until <= NOW else ("pending", start, False)
    if end and start - end > SKEW:
        return "refused", start - dt.timedelta(microseconds=1), False
    end = max(end, start) if end else None
    if spoil and all(spoil <= other for other in (until, end, stop) if other):
        return "bad", spoil - dt.timedelta(microseconds=1), end is None and stop is None
    if end and end <= until and not (stop and stop < end):
        return "good", end - dt.timedelta(microseconds=1), False
    if stop and stop <= until:
        return "excused", stop - dt.timedelta(microseconds=1), False
    return ("pending", start, False) if until >= NOW else ("bad", until, end is None and stop is None)


def recomputed(name: str, since: dt.datetime, transactions: list[list[Row]]) -> dict[str, Counter[str]]:
    """By channel, '' being all: how many are of each verdict."""
    found: dict[str, Counter[str]] = {}
    for rows in transactions:
        for verdict, at, count, overdue, channel, amount in judged(DECLARED[name], rows):
            for place in ("", channel):
                told = found.setdefault(place, Counter())
                if verdict == "pending" or at >= since:
                    told[verdict] += count
                if overdue:
                    told["overdue_open"] += count
                    told["at_risk"] += amount
    return found


def compare(
    storage: Storage, http: httpx.Client, references: list[str], names: list[str], measured_at: dt.datetime
) -> Counter[str]:
    """These promises equal what is recomputed; returns how many items were of each verdict."""
    promises = [one for one in slas.load() if one.name in names]
    Measurer(Queries(storage), promises, lambda: measured_at).tick(NOW)
    transactions = list(exported(http, references))
    all_of = Counter[str]()
    for name in names:
        detail = http.get(f"/v1/slas/{name}").json()
        tile = detail["tile"]
        expected = recomputed(name, dt.datetime.fromisoformat(tile["window_start"]), transactions)
        places = [one for one in detail["segments"] if not (one["location"] or one["provider"] or one["kind"])]
        shown = {"": tile} | {one["channel"]: one for one in places}
        for place, one in shown.items():
            asked = [verdict for verdict in VERDICTS if verdict in one]
            assert {key: one[key] for key in asked} == {key: expected.get(place, Counter())[key] for key in asked}, (
                name,
                place,
            )
            worth = sum(money["amount_minor"] for money in one["at_risk"])
            assert worth == expected.get(place, Counter())["at_risk"], (name, place)
        all_of += expected.get("", Counter())
    return all_of


def judge_histories(
    storage: Storage, directory: Path, port: int, seed: int, count: int, every: int = 1
) -> Counter[str]:
    """Much of what is told comes late: each ``every``th promise is compared, some before too."""
    random = Random(seed)
    told = {f"{seed}-{number}": history(random, f"{seed}-{number}") for number in range(count)}
    early, late = Hops(), Hops()
    names = list(DECLARED)[::every]
    for one in told.values():
        for number, span in enumerate(one.spans):
            (early if number == 0 or random.random() < 0.6 else late).spans.append(span)
    with answering(storage, lambda: NOW, port) as http:
        early.store(storage, directory)
        known = [name for name, one in told.items() if one.spans]
        compare(storage, http, known, names[::2], NOW + dt.timedelta(minutes=seed))
        late.store(storage, directory)
        return compare(storage, http, known, names, NOW + dt.timedelta(minutes=seed, seconds=30))


def test_promises_equal_what_exported_hops_say(storage: Storage, tmp_path: Path, free_port: Callable[[], int]) -> None:
    found = judge_histories(storage, tmp_path, free_port(), seed=8, count=60, every=3)
    assert all(found[verdict] for verdict in VERDICTS), found
