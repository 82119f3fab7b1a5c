-- judged: each item with its verdict as of {now_us} by the deadline rule, the same as judge.judge. Each step is a query
-- of its own: an alias that others use is analysed again for each of them.
SELECT
    *,
    multiIf(verdict = 'good', finish_us, verdict = 'excused', stop_us,
            verdict = 'bad', spoiled ? spoilt_us : due_us, start_us) AS decided_us,
    verdict = 'bad' AND end_us = 0 AND stop_us = 0 AS overdue,
    multiIf(end_us != 0 AND stop_us != 0, least(finish_us, stop_us), end_us != 0, finish_us, stop_us) AS closed_us
FROM
(
    SELECT
        *,
        spoil_at_us != 0 AND spoilt_us <= due_us AND NOT (end_us != 0 AND finish_us < spoilt_us)
            AND NOT (stop_us != 0 AND stop_us < spoilt_us) AS spoiled,
        multiIf(
            end_us != 0 AND start_us - end_us > 120000000, 'refused',
            spoiled, 'bad',
            end_us != 0 AND finish_us <= due_us AND NOT (stop_us != 0 AND stop_us < finish_us), 'good',
            stop_us != 0 AND stop_us <= due_us, 'excused',
            {now_us:Int64} <= due_us, 'pending',
            'bad'
        ) AS verdict
    FROM
    (
        SELECT *, greatest(end_us, start_us) AS finish_us, greatest(spoil_at_us, start_us) AS spoilt_us
        FROM
        (
/*items*/
        )
    )
)
