-- day_counts: what changed on each local day, by segment and currency; apart what was decided in the window that begins
-- at {since_us} (1), and in its end that begins at {recent_us} (2).
SELECT
    day,
    inside,
    channel,
    location,
    provider,
    kind,
    currency,
    sumIf(items, change = 'good'),
    sumIf(items, change = 'bad'),
    sumIf(items, change = 'excused'),
    sumIf(items, change = 'refused'),
    sumIf(items, change = 'opened'),
    sumIf(items, change IN ('good', 'bad', 'excused')),
    sumIf(items, change = 'bad'),
    sumIf(items, change = 'closed'),
    sumIf(amount, change = 'bad'),
    sumIf(amount, change = 'closed'),
    minIf(due_us, change = 'bad' AND overdue),
    toInt64(0),
    minIf(first_us, inside != 0),
    minIf(due_us, change = 'opened' AND pending)
FROM
(
    SELECT
        channel, location, provider, kind, currency, overdue, pending, items, amount, due_us, first_us,
        changes.1 AS day,
        changes.2 AS inside,
        changes.3 AS change
    FROM
    (
        SELECT
            channel, location, provider, kind, currency, overdue, items, amount, due_us, first_us,
            verdict = 'pending' AS pending,
            arrayJoin(arrayFilter(one -> one.3 != '', [
                (start_day, 0, verdict = 'refused' ? '' : 'opened'),
                (decided_day, inside, pending ? '' : verdict),
                (closed_day, 0, closed_day = 0 ? '' : 'closed')])) AS changes
        FROM
        (
            -- items that went the same way on the same days, counted first: what follows sees days, not items
            SELECT
                channel, location, provider, kind, currency, verdict, overdue, start_day, decided_day, closed_day,
                inside,
                sum(weight) AS items,
                sum(amount_minor) AS amount,
                min(least_due_us) AS due_us,
                min(counted_us) AS first_us
            FROM
            (
                SELECT
                    channel, location, provider, kind, currency, verdict, overdue, weight, amount_minor, counted_us,
                    due_us AS least_due_us,
                    toInt64(toDate(fromUnixTimestamp64Micro(start_us - 1, 'UTC'), {zone:String})) AS start_day,
                    -- what ended before it began, by another clock, did not end on a day before
                    greatest(toInt64(toDate(fromUnixTimestamp64Micro(counted_us, 'UTC'), {zone:String})), start_day)
                        AS decided_day,
                    over_us = 0 ? 0 : toInt64(toDate(fromUnixTimestamp64Micro(over_us, 'UTC'), {zone:String})) AS closed_day,
                    (counted_us >= {since_us:Int64}) + (counted_us >= {recent_us:Int64}) AS inside
                FROM
                (
                    SELECT
                        *, verdict = 'bad' AND closed_us != 0 ? greatest(closed_us - 1, counted_us) : 0 AS over_us
                    FROM
                    (
                        -- a deadline is missed after it, all else happens up to its moment: midnight ends the day before
                        SELECT
                            channel, location, provider, kind, currency, verdict, overdue, weight, amount_minor,
                            start_us, closed_us, due_us,
                            verdict = 'bad' AND NOT spoiled ? due_us : decided_us - 1 AS counted_us
                        FROM
                        (
/*judged*/
                        )
                    )
                )
            )
            GROUP BY channel, location, provider, kind, currency, verdict, overdue, start_day, decided_day, closed_day,
                     inside
        )
    )
)
GROUP BY day, inside, channel, location, provider, kind, currency
ORDER BY day, inside
