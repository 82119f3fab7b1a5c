"""How far orders have come, counted by the store and again in plain Python from the same random history."""

import random
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage import flows, slas
from lineage.order_states import Progress
from tests.hops import Hops, at

NOW = at("2026-03-16 12:00:00")
STATES = {
    "order.captured": "captured", "order.reserved": "reserved", "order.released": "released",
    "fulfilment.picked": "picked", "fulfilment.packed": "packed", "fulfilment.shipped": "shipped",
    "order.cancelled": "cancelled",
}  # fmt: skip
ORDERED = list(STATES.values())


def history(chance: random.Random) -> dict[str, list[tuple[str, str, datetime]]]:
    """By order: its milestones with channel and time; some come out of order, some twice, some before the window."""
    told: dict[str, list[tuple[str, str, datetime]]] = {}
    for number in range(60):
        channel = chance.choice(["web", "store", "kiosk"])
        when = NOW - timedelta(minutes=chance.randint(1, 8 * 24 * 60))
        steps = list(STATES)[: chance.randint(1, len(STATES))]
        hops = []
        for step in steps:
            hops.append((step, channel, when))
            if chance.random() < 0.2:
                hops.append((step, channel, when + timedelta(minutes=chance.randint(1, 300))))
            when += timedelta(minutes=chance.randint(-20, 600))
        told[f"P{number}"] = hops
    return told


def counted(told: dict[str, list[tuple[str, str, datetime]]], days: int) -> dict[tuple[str, str], dict[str, object]]:
    since = NOW - timedelta(days=days)
    stays: dict[tuple[str, str], list[int]] = defaultdict(list)
    ages: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    came: dict[tuple[str, str], int] = defaultdict(int)
    for number, hops in told.items():
        seen = [(ORDERED.index(STATES[step]), when) for step, _, when in hops if since < when <= NOW]
        if not any(state == 0 for state, _ in seen):
            continue
        first = {state: min(when for one, when in seen if one == state) for state, _ in seen}
        reached = sorted(first)
        for channel in ("", hops[0][1]):
            for place, state in enumerate(reached):
                where = (channel, ORDERED[state])
                came[where] += 1
                if state == reached[-1]:
                    ages[where].append((int((NOW - first[state]).total_seconds()), number))
                else:
                    after = max(first[state], first[reached[place + 1]])
                    stays[where].append(int((after - first[state]).total_seconds()))
    found: dict[tuple[str, str], dict[str, object]] = {}
    for where, count in came.items():
        oldest = max(ages[where], default=(0, ""))
        found[where] = {
            "came": count, "standing": len(ages[where]), "oldest_seconds": oldest[0], "went_on": len(stays[where]),
            "held_at_least": 0 if where[1] == "shipped" or not stays[where]
            else sum(age > max(stays[where]) for age, _ in ages[where]),
            "shortest": min(stays[where], default=-1), "longest": max(stays[where], default=-1),
        }  # fmt: skip
    return found


def test_the_states_of_orders_are_what_plain_python_counts(storage: Storage, tmp_path: Path) -> None:
    told = history(random.Random(11))
    hops = Hops()
    for number, steps in told.items():
        for step, channel, when in steps:
            entity, _, milestone = step.partition(".")
            hops.hop(correlation_id("uci", number), step, f"{when:%Y-%m-%d %H:%M:%S}", entity, number, milestone,
                     channel=channel)  # fmt: skip
    hops.store(storage, tmp_path)
    progress = Progress(storage, flows.load(promises=slas.load()), lambda: NOW)
    for days in (2, 30):
        expected = counted(told, days)
        answer = progress.of(days)
        assert answer.as_of == NOW
        assert {(one.channel, one.state) for one in answer.states} == expected.keys()
        for one in answer.states:
            known = expected[one.channel, one.state]
            assert (one.came, one.standing, one.oldest_seconds) == (
                known["came"], known["standing"], known["oldest_seconds"],
            ), one  # fmt: skip
            assert (one.most_seconds >= 0) == bool(known["went_on"])
            assert known["shortest"] <= one.half_seconds <= one.most_seconds <= known["longest"], one  # type: ignore[operator]
            assert known["held_at_least"] <= one.held <= one.standing, one  # type: ignore[operator]
    assert [one.state for one in answer.states if one.channel == ""] == ORDERED
