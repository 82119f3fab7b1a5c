"""Each of more than two hundred transactions is told as it was written down by hand, and each milestone matters."""

from datetime import UTC, datetime

import pytest

from collector.semconv import correlation_id
from lineage import flows, slas
from lineage.deadlines import Calendar
from lineage.journey import Material, tell
from lineage.lookup import match
from lineage.model import Journey
from lineage.rows import KeyRow, SpanRow, micros
from lineage.standing import Standings
from tests.worked import HOPS, NOON, ORIGIN, Fact, Story, in_words, stories

STANDINGS = Standings(flows.load(promises=slas.load()))
STORIES = stories()


def span(story: Story, fact: Fact, number: int) -> SpanRow:
    name, stage = HOPS.get(fact.word, (f"{fact.entity}.{fact.word}", "source"))
    at = micros(fact.at)
    return SpanRow(
        correlation_id=correlation_id(ORIGIN, story.reference).hex(), span_id=f"{number:016x}", trace_id="0" * 32,
        name=name, start_us=at, end_us=at, status_code=0, status_message="", service="worked", origin=ORIGIN,
        domain=name.partition(".")[0], hop=name.partition(".")[2], stage=stage, outcome=fact.outcome, attempt=1,
        reason="", entity=fact.entity, entity_id=fact.entity_id, milestone=fact.milestone, occurred_us=at,
        due_us=micros(fact.due_at) if fact.due_at else 0, channel=story.channel, location="", provider="", system="",
        quantity=0, amount_minor=story.worth.amount_minor, currency=story.worth.currency, owner=fact.owner,
        customer_ref="", source="file", keys={}, attrs={}, events=(), dropped=0,
    )  # fmt: skip


def told(story: Story, spans: list[SpanRow]) -> Journey:
    identity = correlation_id(ORIGIN, story.reference).hex()
    matched = match(KeyRow(story.reference, "order_id", ORIGIN, identity, 0, 0))
    material = Material(
        query=story.reference, matched=matched, spans={identity: spans}, journal=(), linked=(), linked_cut=False
    )
    return tell(material, STANDINGS, Calendar(), NOON)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.reference)
def test_a_transaction_is_told_as_it_was_written_down(story: Story) -> None:
    spans = [span(story, fact, number) for number, fact in enumerate(story.facts)]
    assert in_words(told(story, spans), story.reference) == story.told


def test_there_are_two_hundred_of_them() -> None:
    assert [story.reference for story in STORIES] == [f"W{number:03}" for number in range(1, len(STORIES) + 1)]
    assert len(STORIES) > 200


def test_every_step_that_is_expected_is_reached_in_one_and_missed_in_another() -> None:
    missed = {line.split()[1] for story in STORIES for line in story.told.awaited}
    reached = {f"{fact.entity}.{fact.milestone}" for story in STORIES for fact in story.facts}
    for step in STANDINGS.flows.expecting:
        assert f"{step.flow}/{step.name}" in missed
        assert step.reached in reached
    assert {f"{need.flow}/{need.step}" for need in STANDINGS.flows.needs} == {
        f"{one.flow}/{one.step}"
        for story in STORIES
        for one in told(story, [span(story, fact, n) for n, fact in enumerate(story.facts)]).findings
        if one.kind in ("missing", "out_of_order")
    }


def everything(journey: Journey) -> tuple[object, ...]:
    return (
        journey.header.state,
        journey.objects,
        journey.expected,
        journey.findings,
        [(hop.title, len(hop.attempts)) for hop in journey.hops],
    )


def test_no_milestone_may_be_flipped_without_being_noticed() -> None:
    """Taken away, put to the end of time, or parked: each changes what is told."""
    flips = 0
    for story in STORIES:
        spans = [span(story, fact, number) for number, fact in enumerate(story.facts)]
        right = everything(told(story, spans))
        for number, one in enumerate(spans):
            others = spans[:number] + spans[number + 1 :]
            later = one._replace(occurred_us=micros(datetime(2026, 3, 16, 11, 59, 30, tzinfo=UTC)))
            variants = [others] if others else []
            if one.milestone:
                variants += [[*others, later], [*others, one._replace(milestone="")]]
            for variant in variants:
                assert everything(told(story, variant)) != right, (story.reference, one.milestone)
                flips += 1
    assert flips > 2000
