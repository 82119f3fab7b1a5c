"""How long something that failed is left alone: twice as long each time, up to a cap, however often it failed."""

import datetime as dt

import pytest

from sync_core.flows import Retry
from sync_core.stock.pauses import pause_seconds


def test_the_relay_doubles_its_pause_up_to_the_cap() -> None:
    pauses = [pause_seconds(failures, base_seconds=0.5, cap_seconds=10) for failures in range(7)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("failures", [64, 1024, 10**9])
def test_a_long_outage_does_not_overflow(failures: int) -> None:
    assert pause_seconds(failures, base_seconds=0.5, cap_seconds=10) == 10


def test_an_event_is_tried_again_after_doubling_pauses() -> None:
    retry = Retry(attempts=6, base_seconds=1, cap_seconds=10)
    assert [retry.pause(attempts) / dt.timedelta(seconds=1) for attempts in range(6)] == [1, 2, 4, 8, 10, 10]
