"""How long a loop rests between looks."""

import pytest

from sync_core.workers import REST_SECONDS, Loop


@pytest.mark.parametrize(
    ("idle", "found", "pauses"),
    [
        (0.1, [0, 0, 0, 0, 0], [0.1, 0.2, 0.4, REST_SECONDS, REST_SECONDS]),
        (0.1, [0, 0, 3, 0, 0], [0.1, 0.2, 0.1, 0.2]),
        (5.0, [0, 0], [5.0, 5.0]),
    ],
)
def test_pauses_grow_while_there_is_nothing_to_do(
    idle: float, found: list[int], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[float] = []

    def pause(loop: Loop, seconds: float) -> bool:
        rested.append(seconds)
        return False

    monkeypatch.setattr(Loop, "_pause", pause)
    left = iter(found)

    def work() -> int:
        done = next(left, None)
        if done is None:
            loop._stopping = True
            return 1
        return done

    loop = Loop("looks", work, idle_seconds=idle)
    loop.start()
    loop._thread.join()
    assert rested == pauses
