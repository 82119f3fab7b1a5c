from tallytrace.supervisor import pause_seconds


def test_pauses_double_up_to_a_limit() -> None:
    assert [pause_seconds(failures) for failures in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
