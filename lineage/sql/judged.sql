-- judged: each item with its verdict as of {now_us} by the deadline rule, the same as judge.judge.
SELECT
    *,
    stop_us != 0 AS stopped,
    end_us != 0 AS ended,
    ended AND start_us - end_us > 120000000 AS before_start,
    greatest(end_us, start_us) AS finish_us,
    multiIf(
        before_start, 'refused',
        ended AND finish_us <= due_us AND NOT (stopped AND stop_us < finish_us), 'good',
        stopped AND stop_us <= due_us, 'excused',
        {now_us:Int64} <= due_us, 'pending',
        'bad'
    ) AS verdict,
    multiIf(verdict = 'good', finish_us, verdict = 'excused', stop_us, verdict = 'bad', due_us, start_us) AS decided_us,
    verdict = 'bad' AND NOT ended AND NOT stopped AS overdue,
    multiIf(ended AND stopped, least(finish_us, stop_us), ended, finish_us, stop_us) AS closed_us
FROM
(
/*items*/
)
