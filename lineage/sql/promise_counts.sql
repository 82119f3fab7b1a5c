-- promise_counts: what stands of {build}, by segment and currency; apart what was decided in the window that begins at
-- {since_us} (1), and in its end that begins at {recent_us} (2). Days are whole but those {edges}, whose items are read.
SELECT
    0 AS day, inside, channel, location, provider, kind, currency,
    sum(good), sum(bad), sum(excused), sum(refused), sum(opened), sum(closed), sum(overdue_in), sum(overdue_out),
    sum(amount_in), sum(amount_out), 0, 0, 0, 0
FROM
(
    SELECT
        (day >= {since_day:Int64} AND day NOT IN {edges:Array(Int64)})
            + (day >= {recent_day:Int64} AND day NOT IN {edges:Array(Int64)}) AS inside,
        channel, location, provider, kind, currency,
        good, bad, excused, refused, opened, closed, overdue_in, overdue_out, amount_in, amount_out
    FROM promise_days
    WHERE build = {build:UInt64}
    UNION ALL
    SELECT
        moved.1 AS inside,
        channel, location, provider, kind, currency,
        moved.2 * items * (verdict = 'good'),
        moved.2 * items * (verdict = 'bad'),
        moved.2 * items * (verdict = 'excused'),
        moved.2 * items * (verdict = 'refused'),
        0, 0, 0, 0, 0, 0
    FROM
    (
        SELECT
            channel, location, provider, kind, currency, verdict, weight * copies AS items,
            greatest(verdict = 'bad' AND NOT spoiled ? due_us : decided_us - 1, start_us - 1) AS counted_us,
            (counted_us >= {since_us:Int64}) + (counted_us >= {recent_us:Int64}) AS standing_in
        FROM promise_items
        WHERE build = {build:UInt64} AND verdict != 'pending'
            AND (open OR decided_us >= {since_us:Int64})
            AND toInt64(toDate(fromUnixTimestamp64Micro(counted_us, 'UTC'), {zone:String})) IN {edges:Array(Int64)}
            AND standing_in > 0
    )
    ARRAY JOIN [(0, -1), (standing_in, 1)] AS moved
)
GROUP BY inside, channel, location, provider, kind, currency
HAVING arrayExists(one -> one != 0, [sum(good), sum(bad), sum(excused), sum(refused), sum(opened), sum(closed),
                                      sum(overdue_in), sum(overdue_out), sum(amount_in), sum(amount_out)])
