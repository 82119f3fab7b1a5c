"""Hops, journeys and tiles in which only what a test is about need be said, and a reader of what was drawn."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from dash.development.base_component import Component

from lineage.model import Header, Hop, Journey, Match, SlaTile

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_hop() -> Callable[..., Hop]:
    def made(name: str, at: datetime, **changes: Any) -> Hop:
        fields = {
            "name": name, "title": name, "domain": "", "hop": "", "stage": "", "outcome": "ok", "entity": "order",
            "entity_id": "1", "milestone": "", "at": at, "recorded_at": at, "duration_us": 1, "gap_seconds": 0.0,
            "attempts": (), "duplicates": 0, "reason": "", "owner": "", "service": "", "system": "", "channel": "",
            "location": "", "provider": "", "amount": None, "quantity": 0, "due_at": None, "lines": 0, "source": "live",
            "trace_id": "", "span_id": "", "keys": {}, "attrs": {},
        }  # fmt: skip
        return Hop(**{**fields, **changes})

    return made


@pytest.fixture
def make_journey() -> Callable[..., Journey]:
    def made(**changes: Any) -> Journey:
        match = Match(
            key_value="1", key_name="order_id", origin="web", correlation_id="ab" * 16, first_seen=NOW, last_seen=NOW
        )
        header = Header(
            correlation_id="ab" * 16, origin="web", reference="1", kind="order", channel="", location="",
            state="posted", amount=None, started_at=NOW, last_at=NOW, owner="", customer_ref="", source="live",
        )  # fmt: skip
        fields = {
            "query": "1", "as_of": NOW, "matched": match, "header": header, "hops": (), "lines": (), "objects": (),
            "money": (), "journal": (), "related": (), "related_cut": False, "expected": (), "parked": (), "keys": {},
            "notes": (),
        }  # fmt: skip
        return Journey(**{**fields, **changes})

    return made


@pytest.fixture
def make_tile() -> Callable[..., SlaTile]:
    def made(name: str, **changes: Any) -> SlaTile:
        fields = {
            "name": name, "title": name, "description": "", "unit": "items", "value": 0.995, "target": 0.99,
            "state": "meeting", "reason": "", "good": 995, "bad": 5, "pending": 0, "excused": 0, "refused": 0,
            "overdue_open": 0, "at_risk": (), "budget_left": 0.5, "as_of": NOW, "watermark": NOW, "window_start": NOW,
            "window_end": NOW, "window_days": 28, "deadline": "4 h", "owner": "ops", "history": (), "change": None,
        }  # fmt: skip
        return SlaTile(**{**fields, **changes})

    return made


@pytest.fixture
def read() -> Callable[[Any], list[str]]:
    """Every piece of text in what was drawn, from top to bottom."""

    def texts(drawn: Any) -> Iterator[str]:
        if isinstance(drawn, str):
            yield drawn
        elif isinstance(drawn, list | tuple):
            for each in drawn:
                yield from texts(each)
        elif isinstance(drawn, Component):
            yield from texts(getattr(drawn, "children", None))

    return lambda drawn: [text for text in texts(drawn) if text]
