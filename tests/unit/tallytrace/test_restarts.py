from tallytrace.supervisor import failures_after, pause_seconds


def test_pauses_double_up_to_a_limit() -> None:
    assert [pause_seconds(failures) for failures in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_only_a_process_that_ends_by_itself_soon_counts_against_it() -> None:
    assert failures_after(1, 2.0, before=3) == 4
    assert failures_after(0, 2.0, before=3) == 4
    assert failures_after(1, 31.0, before=3) == 1
    assert failures_after(-9, 2.0, before=3) == 1
