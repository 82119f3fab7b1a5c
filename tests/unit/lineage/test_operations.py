"""How a feed stands beside its promise."""

from datetime import UTC, datetime, timedelta

import pytest

from lineage import slas
from lineage.operations import feed
from lineage.rows import FeedRow, micros

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROMISE = next(one for one in slas.load() if one.kind == "freshness")


def ago(seconds: float) -> int:
    return micros(NOW - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("source_us", "published_us", "heard_us", "state", "lag_seconds"),
    [
        (ago(30), ago(30), ago(10), "fresh", 0.0),
        (ago(30), ago(60), ago(10), "fresh", 30.0),
        (ago(30), ago(30 + 3600), ago(10), "late", 3600.0),
        (ago(30), ago(30), ago(86_400), "silent", 0.0),
        (ago(10), 0, ago(10), "fresh", 10.0),  # never published, and not due yet
        (ago(3600), 0, ago(10), "late", 3600.0),
        (0, 0, ago(10), "fresh", 0.0),  # only a heartbeat: nothing to publish
    ],
)
def test_a_feed_is_late_by_what_its_channel_does_not_have(
    source_us: int, published_us: int, heard_us: int, state: str, lag_seconds: float
) -> None:
    told = feed(FeedRow("marketplace", "", "availability", source_us, published_us, heard_us), PROMISE, NOW)
    assert (told.state, told.lag_seconds) == (state, lag_seconds)
