-- due_after_pauses: items whose deadline moves on while they are paused, the same as judge.paused_until.
SELECT * REPLACE (due_us + (waited.1 != 0 AND waited.2 < due_us ? {now_us:Int64} - waited.2 : 0) AS due_us)
FROM
(
    SELECT * REPLACE (waited.3 AS due_us)
    FROM
    (
        -- the state is (pauses under way as bits, since when, the deadline)
        SELECT
            *,
            arrayFold(
                (state, mark) -> (
                    mark.3 ? bitOr(state.1, bitShiftLeft(toInt64(1), mark.2))
                           : bitAnd(state.1, bitNot(bitShiftLeft(toInt64(1), mark.2))),
                    mark.3 AND state.1 = 0 ? greatest(mark.1, start_us) : state.2,
                    NOT mark.3 AND state.1 = bitShiftLeft(toInt64(1), mark.2) AND state.2 < state.3
                        ? state.3 + greatest(mark.1, start_us) - state.2 : state.3),
                arraySort(marks),
                (toInt64(0), start_us, due_us)
            ) AS waited
        FROM
        (
/*dated*/
        )
    )
)
