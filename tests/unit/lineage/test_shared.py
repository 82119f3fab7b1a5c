"""Answers that several askers share."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lineage.shared import Shared


class Asked:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


def taking(seconds: float, now: list[float], asked: Asked) -> Callable[[], int]:
    """What takes so long by the clock ``now``."""

    def slowly() -> int:
        now[0] += seconds
        return asked()

    return slowly


def telling(begun: threading.Event, asked: Asked) -> Callable[[], int]:
    """What tells that it has begun."""

    def told() -> int:
        begun.set()
        return asked()

    return told


def test_an_answer_serves_so_long_from_when_its_finding_began() -> None:
    now, asked = [100.0], Asked()
    shared = Shared[str, int](5.0, 5.0, 8, lambda: now[0])
    slowly = taking(2.0, now, asked)
    assert shared.get("one", slowly) == 1
    now[0] = 104.9
    assert shared.get("one", slowly) == 1
    now[0] = 105.0
    assert shared.get("one", slowly) == 2


def test_who_asks_while_it_is_found_waits_for_the_same() -> None:
    asked, begun, go = Asked(), threading.Event(), threading.Event()
    shared = Shared[str, int](60.0, 60.0, 8)

    def slowly() -> int:
        begun.set()
        assert go.wait(10)
        return asked()

    with ThreadPoolExecutor(10) as viewers:
        first = viewers.submit(shared.get, "one", slowly)
        assert begun.wait(10)
        others = [viewers.submit(shared.get, "one", asked) for _ in range(8)]
        assert viewers.submit(shared.get, "two", lambda: 70).result(10) == 70
        go.set()
        assert {one.result(10) for one in (first, *others)} == {1}


def test_different_questions_have_answers_of_their_own() -> None:
    shared = Shared[tuple[str, str], str](60.0, 60.0, 8)
    assert shared.get(("promises", "web"), lambda: "of the web") == "of the web"
    assert shared.get(("promises", "store"), lambda: "of the stores") == "of the stores"
    assert shared.get(("promises", "web"), lambda: "anew") == "of the web"


def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    shared, begun, go = Shared[str, int](60.0, 60.0, 8), threading.Event(), threading.Event()

    def failing() -> int:
        begun.set()
        assert go.wait(10)
        raise ConnectionError("the store does not answer")

    with ThreadPoolExecutor(2) as viewers:
        first = viewers.submit(shared.get, "one", failing)
        assert begun.wait(10)
        second = viewers.submit(shared.get, "one", failing)
        go.set()
        for one in (first, second):
            with pytest.raises(ConnectionError):
                one.result(10)
    assert shared.get("one", lambda: 2) == 2


def test_what_is_forgotten_while_it_is_found_is_not_given_to_those_who_ask_later() -> None:
    shared, begun, go = Shared[str, str](60.0, 60.0, 8), threading.Event(), threading.Event()

    def before() -> str:
        begun.set()
        assert go.wait(10)
        return "before"

    with ThreadPoolExecutor(1) as viewer:
        early = viewer.submit(shared.get, "one", before)
        assert begun.wait(10)
        shared.forget()
        assert shared.get("one", lambda: "after") == "after"
        go.set()
        assert early.result(10) == "before"
    assert shared.get("one", lambda: "anew") == "after"


def test_only_so_many_are_kept() -> None:
    shared, asked = Shared[int, int](60.0, 60.0, 2), Asked()
    for question in (1, 2, 3, 3, 2):
        shared.get(question, asked)
    assert asked.times == 3
    shared.get(1, asked)
    assert asked.times == 4


def awaits(shared: Shared[str, int], answer: int, find: Callable[[], int]) -> bool:
    until = time.monotonic() + 10
    while (given := shared.get("one", find)) != answer and time.monotonic() < until:
        time.sleep(0.01)
    return given == answer


def test_who_asks_a_little_late_gets_the_old_answer_and_the_next_a_new_one() -> None:
    now, asked = [100.0], Asked()
    shared = Shared[str, int](5.0, 10.0, 8, lambda: now[0])
    assert shared.get("one", asked) == 1
    now[0] = 109.9
    assert shared.get("one", asked) == 1
    assert awaits(shared, 2, asked)
    now[0] = 114.8
    assert shared.get("one", asked) == 2
    now[0] = 119.9
    assert shared.get("one", asked) == 3
    assert asked.times == 3


def test_what_cannot_be_found_anew_serves_on_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    now, tried = [100.0], threading.Event()
    shared = Shared[str, int](5.0, 10.0, 8, lambda: now[0])

    def failing() -> int:
        tried.set()
        raise ConnectionError("the store does not answer")

    assert shared.get("one", lambda: 1) == 1
    now[0] = 106.0
    assert shared.get("one", failing) == 1
    assert tried.wait(10)
    assert awaits(shared, 2, lambda: 2)
    assert [record.message for record in caplog.records] == ["'one' could not be found anew"]


def test_what_is_renewed_takes_the_place_of_what_was_known() -> None:
    shared = Shared[str, int](60.0, 60.0, 8)
    assert shared.get("one", lambda: 1) == 1
    shared.renew("one", lambda: 2)
    assert shared.get("one", lambda: 3) == 2


def test_what_is_forgotten_while_it_is_found_anew_stays_forgotten() -> None:
    now, begun, go = [100.0], threading.Event(), threading.Event()
    shared = Shared[str, str](5.0, 10.0, 8, lambda: now[0])

    def before() -> str:
        begun.set()
        assert go.wait(10)
        return "before"

    assert shared.get("one", lambda: "old") == "old"
    now[0] = 106.0
    assert shared.get("one", before) == "old"
    assert begun.wait(10)
    shared.forget()
    assert shared.get("one", lambda: "after") == "after"
    go.set()
    for _ in range(30):
        assert shared.get("one", lambda: "anew") == "after"
        time.sleep(0.01)


def test_what_took_long_serves_longer_and_is_found_anew_beside() -> None:
    now, asked, again = [100.0], Asked(), threading.Event()
    shared = Shared[str, int](1.0, 2.0, 8, lambda: now[0], times=100)
    slowly, beside = taking(0.5, now, asked), telling(again, asked)

    assert shared.get("one", slowly) == 1
    now[0] = 149.9
    assert shared.get("one", slowly) == 1
    now[0] = 150.0
    assert shared.get("one", beside) == 1, "of which nobody waits for the next"
    assert again.wait(10)
    deadline = time.monotonic() + 10
    while shared.get("one", slowly) == 1:
        assert time.monotonic() < deadline
    now[0] = 160.0
    assert shared.get("one", asked) == 3, (
        "the second took no time: it serves a second, as if nothing were said of times"
    )


def test_what_took_long_serves_no_longer_than_is_said() -> None:
    now, asked, again = [100.0], Asked(), threading.Event()
    shared = Shared[str, int](1.0, 2.0, 8, lambda: now[0], times=100, longest_seconds=60)
    slowly, beside = taking(30, now, asked), telling(again, asked)

    assert shared.get("one", slowly) == 1
    now[0] = 159.9
    assert shared.get("one", beside) == 1
    assert not again.is_set()
    now[0] = 160.0
    assert shared.get("one", beside) == 1
    assert again.wait(10)
