import httpx
import pytest

from dashboards import core_status
from dashboards.core_status import CoreStatus
from dashboards.wording import State


def status(inbox: int = 0, outbox: int = 0, oldest: float = 0.0, erp: str = "up") -> CoreStatus:
    return CoreStatus(inbox, outbox, oldest, 0, erp)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "state"),
    [
        (None, State("Core not reachable", "question", "unknown")),
        (status(), State("All work is through", "check", "good")),
        (status(erp="down"), State("ERP not answering", "warning", "warn")),
        (status(erp="none"), State("All work is through", "check", "good")),
        (status(outbox=3, erp="none"), State("No ERP set: 3 journals waiting", "warning", "warn")),
        (status(outbox=1, oldest=2), State("1 journal waiting for the ERP", "flow", "quiet")),
        (status(outbox=12, oldest=190), State("12 journals waiting for the ERP, oldest 3 min 10 s", "clock", "warn")),
        (status(inbox=3, outbox=1, oldest=9), State("3 events and 1 journal waiting", "flow", "quiet")),
        (
            status(outbox=1_200, oldest=7_200, erp="down"),
            State("ERP not answering: 1,200 journals waiting, oldest 2 h", "cross", "bad"),
        ),
    ],
)
def test_lag_in_words(read: CoreStatus | None, state: State) -> None:
    assert core_status.state(read) == state


GOOD = {"inbox_queued": 1, "outbox_waiting": 2, "oldest_waiting_seconds": 3.5, "spans_waiting": 4, "erp": "up"}


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (httpx.Response(200, json=GOOD), CoreStatus(1, 2, 3.5, 4, "up")),
        (httpx.Response(503), None),
        (httpx.Response(200, text="<html>"), None),
        (httpx.Response(200, json={**GOOD, "erp": "perhaps"}), None),
    ],
)
def test_only_an_answer_that_makes_sense_is_read(answer: httpx.Response, read: CoreStatus | None) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _request: answer)) as client:
        assert core_status.read(client, "http://core/") == read


def test_a_core_that_is_not_there_is_none() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
        assert core_status.read(client, "http://core") is None
