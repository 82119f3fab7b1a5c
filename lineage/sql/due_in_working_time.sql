-- due_in_working_time: items with their deadline, where some have a length of working time to be done in.
SELECT
    * EXCEPT (plain_due_us),
    empty(opens) ? plain_due_us
        : opens[work_day] * 1000000 + work_us - (work_day = 1 ? 0 : worked[work_day - 1]) * 1000000 AS due_us
FROM
(
    SELECT
        *,
        day_no - 1 + arrayFirstIndex(until -> until * 1000000 >= work_us,
                                     arraySlice(worked, day_no, {work_days:UInt32})) AS work_day
    FROM
    (
        -- working time up to the start, and with what the deadline gives
        SELECT
            *,
            before_seconds * 1000000
                + least(greatest(start_us - opens[day_no] * 1000000, 0), (worked[day_no] - before_seconds) * 1000000)
                + {rule_seconds:Array(Int64)}[rule] * 1000000 AS work_us
        FROM
        (
            SELECT
                *,
                {rule_opens:Array(Array(Int64))}[rule] AS opens,
                {rule_worked:Array(Array(Int64))}[rule] AS worked,
                day_no = 1 ? 0 : {rule_worked:Array(Array(Int64))}[rule][day_no - 1] AS before_seconds
            FROM
            (
                SELECT * EXCEPT (due_us), due_us AS plain_due_us
                FROM
                (
/*due*/
                )
            )
        )
    )
)
