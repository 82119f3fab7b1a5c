"""The worked estate through the real engine and the lineage API: the journeys, what is overdue, what is wrong."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from collector.semconv import correlation_id
from collector.storage import Storage
from lineage.model import Overdue, Troubles
from tests.hops import Hops, answering, journey_of
from tests.worked import HOPS, NOON, ORIGIN, Story, in_words, owed, stories, what_is_wrong

STORIES = {correlation_id(ORIGIN, story.reference).hex(): story for story in stories()}
UNLISTED = "late canary/"
OBJECT = 2  # its place in the words of a line


def tell(hops: Hops, identity: str, story: Story) -> None:
    for fact in story.facts:
        name, stage = HOPS.get(fact.word, (f"{fact.entity}.{fact.word}", "source"))
        due: dict[str, Any] = {"due_at": hops.nanos(f"{fact.due_at:%Y-%m-%d %H:%M:%S}")} if fact.due_at else {}
        hops.hop(
            bytes.fromhex(identity), name, f"{fact.at:%Y-%m-%d %H:%M:%S}", fact.entity, fact.entity_id, fact.milestone,
            origin=ORIGIN, channel=story.channel, location="", amount=story.worth.amount_minor, outcome=fact.outcome,
            currency=story.worth.currency, stage=stage, owner=fact.owner, order_id=story.reference, **due,
        )  # fmt: skip


@pytest.fixture(scope="module")
def http(
    storage: Storage, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[httpx.Client]:
    hops = Hops()
    for identity, story in STORIES.items():
        tell(hops, identity, story)
    directory = tmp_path_factory.mktemp("segment")
    with answering(storage, lambda: NOON, free_port()) as client:
        for part in hops.scattered(4, random.Random(6)):
            part.store(storage, directory)
            missing = client.get("/v1/findings", params={"kind": "missing"})
            assert missing.status_code == 200, "what was heard so far is judged"
        yield client


@pytest.mark.proves(207)
def test_each_journey_is_told_as_it_was_written_down(http: httpx.Client) -> None:
    for identity, story in STORIES.items():
        assert in_words(journey_of(http, identity), story.reference) == story.told


def test_what_is_overdue_and_what_is_wrong_is_what_the_journeys_say(http: httpx.Client) -> None:
    overdue = msgspec.json.decode(http.get("/v1/overdue").content, type=Overdue)
    late = {
        identity: {
            " ".join(word for number, word in enumerate(line.split()) if number != OBJECT)
            for line in story.told.awaited
            if line.startswith("late ") and not line.startswith(UNLISTED)
        }
        for identity, story in STORIES.items()
    }
    found: dict[str, set[str]] = {identity: set() for identity in STORIES}
    for item in overdue.items:
        found[item.correlation_id].add(owed(item, STORIES[item.correlation_id].reference))
    assert found == late
    assert not overdue.cut
    wrong: dict[str, set[str]] = {identity: set() for identity in STORIES}
    told = msgspec.json.decode(http.get("/v1/findings", params={"limit": 1000}).content, type=Troubles)
    for one in told.items:
        if one.finding.kind != "overdue":
            wrong[one.correlation_id].add(what_is_wrong(one.finding, STORIES[one.correlation_id].reference))
    assert wrong == {identity: set(story.told.wrong) for identity, story in STORIES.items()}
