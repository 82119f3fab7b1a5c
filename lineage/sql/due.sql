-- due: items with their deadline: the one that their hop told, a moment of the calendar, or so long after the start.
SELECT
    *,
    multiIf(
        {due_from_hop:UInt8} AND hop_due_us != 0, hop_due_us,
        empty({rule_tables:Array(Array(Int64))}[rule]), start_us + {rule_seconds:Array(Int64)}[rule] * 1000000,
        ({rule_shifts:Array(UInt8)}[rule] ? start_us : 0) + {rule_tables:Array(Array(Int64))}[rule][day_no] * 1000000
    ) AS due_us
FROM
(
/*timed*/
)
