import pytest

from tests.capabilities import Outcome, checked, proven


def test_a_number_is_proven_when_every_test_that_names_it_passes() -> None:
    outcomes = {
        "a": Outcome((1, 2), "passed"),
        "b": Outcome((2, 3), "failed"),
        "c": Outcome((4,), "skipped"),
        "d": Outcome((1,), "passed"),
    }
    assert proven(outcomes) == {1}


@pytest.mark.parametrize("numbers", [(), (1, 2, 3, 4, 5, 6), (0,), (307,), ("1",), (1, 1)])
def test_one_to_five_different_numbers(numbers: tuple[object, ...]) -> None:
    with pytest.raises(pytest.UsageError, match="here: proves"):
        checked(numbers, "here")
    assert checked((1, 306), "here") == (1, 306)
