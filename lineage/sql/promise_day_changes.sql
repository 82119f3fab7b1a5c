-- promise_day_changes: what the items of {build}, or what changes of them, did on each local day.
SELECT
    day, 0 AS inside, channel, location, provider, kind, currency,
    sumIf(items, change = 'good') AS good,
    sumIf(items, change = 'bad') AS bad,
    sumIf(items, change = 'excused') AS excused,
    sumIf(items, change = 'refused') AS refused,
    sumIf(items, change = 'opened') AS opened,
    good + bad + excused AS closed,
    bad AS overdue_in,
    sumIf(items, change = 'closed') AS overdue_out,
    sumIf(amount, change = 'bad') AS amount_in,
    sumIf(amount, change = 'closed') AS amount_out,
    0, 0, 0, 0
FROM
(
    SELECT channel, location, provider, kind, currency, items, amount, changed.1 AS day, changed.2 AS change
    FROM
    (
        SELECT
            channel, location, provider, kind, currency,
            weight * copies AS items,
            amount_minor * copies AS amount,
            -- a deadline is missed after it, all else happens up to its moment: midnight ends the day before
            greatest(verdict = 'bad' AND NOT spoiled ? due_us : decided_us - 1, start_us - 1) AS counted_us,
            verdict = 'bad' AND closed_us != 0 ? greatest(closed_us - 1, counted_us) : 0 AS over_us,
            arrayFilter(one -> one.2 != '', [
                (start_us - 1, verdict = 'refused' ? '' : 'opened'),
                (counted_us, verdict = 'pending' ? '' : toString(verdict)),
                (over_us, over_us = 0 ? '' : 'closed')]) AS moments,
            arrayMap(one -> (toInt64(toDate(fromUnixTimestamp64Micro(one.1, 'UTC'), {zone:String})), one.2), moments)
                AS changes
/*changed*/
    )
    ARRAY JOIN changes AS changed
)
GROUP BY day, channel, location, provider, kind, currency
HAVING arrayExists(one -> one != 0, [good, bad, excused, refused, opened, closed, overdue_out, amount_in, amount_out])
