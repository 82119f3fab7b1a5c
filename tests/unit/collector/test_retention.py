"""What a setting says of retention, and the statements that make it so."""

import pytest

from collector import retention
from collector.retention import RetentionError

WITH_90 = "CREATE TABLE t.spans (...) ENGINE = ReplacingMergeTree TTL ingested_at + toIntervalDay(90) SETTINGS a = 1"


def test_days_by_table() -> None:
    assert retention.parse("") == {}
    assert retention.parse(" spans = 400,links=30, ") == {"spans": 400, "links": 30}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("spans", "'spans' is not of the form"), ("spans=0", "days from 1"), ("spans=-4", "not of the form"),
     ("orders=4", "no table 'orders'; there are spans,")],
)  # fmt: skip
def test_what_says_no_retention_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(RetentionError, match=wrong):
        retention.parse(text)


def test_only_what_differs_is_changed() -> None:
    assert retention.changes({"spans": 90}, {"spans": WITH_90}) == []
    assert retention.changes({"spans": 91}, {"spans": WITH_90}) == [
        "ALTER TABLE spans MODIFY TTL ingested_at + toIntervalDay(91)"
    ]
    assert retention.changes({}, {"spans": WITH_90}) == ["ALTER TABLE spans REMOVE TTL"]
    assert retention.changes({}, {"spans": "CREATE TABLE t.spans"}) == []
