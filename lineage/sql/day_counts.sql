-- day_counts: what changed on each local day, by segment and currency; apart what is of the window that begins at
-- {since_us} (1), and of its end that begins at {recent_us} (2).
SELECT
    change.1 AS day,
    change.2 AS inside,
    channel,
    location,
    provider,
    kind,
    currency,
    sumIf(items, change.3 = 'decided' AND verdict = 'good'),
    sumIf(items, change.3 = 'decided' AND verdict = 'bad'),
    sumIf(items, change.3 = 'decided' AND verdict = 'excused'),
    sumIf(items, change.3 = 'decided' AND verdict = 'refused'),
    sumIf(items, change.3 = 'opened'),
    sumIf(items, change.3 = 'decided' AND verdict != 'refused'),
    sumIf(items, change.3 = 'decided' AND verdict = 'bad'),
    sumIf(items, change.3 = 'closed'),
    sumIf(amount, change.3 = 'decided' AND verdict = 'bad'),
    sumIf(amount, change.3 = 'closed'),
    minIf(oldest_us, change.3 = 'decided' AND overdue),
    toInt64(0)
FROM
(
    -- items that went the same way on the same days, counted first: what follows sees days, not items
    SELECT
        toInt64(toDate(fromUnixTimestamp64Micro(start_us - 1, 'UTC'), {zone:String})) AS start_day,
        toInt64(toDate(fromUnixTimestamp64Micro(counted_us, 'UTC'), {zone:String})) AS decided_day,
        verdict = 'bad' AND closed_us != 0
            ? toInt64(toDate(fromUnixTimestamp64Micro(greatest(closed_us - 1, counted_us), 'UTC'), {zone:String})) : -1
            AS closed_day,
        (start_us > {since_us:Int64}) + (start_us > {recent_us:Int64}) AS start_inside,
        (counted_us >= {since_us:Int64}) + (counted_us >= {recent_us:Int64}) AS decided_inside,
        (closed_us > {since_us:Int64}) + (closed_us > {recent_us:Int64}) AS closed_inside,
        channel,
        location,
        provider,
        kind,
        currency,
        verdict,
        overdue,
        sum(weight) AS items,
        sum(amount_minor) AS amount,
        min(due_us) AS oldest_us
    FROM
    (
        -- a deadline is missed after it, all else happens up to its moment: midnight ends the day before
        SELECT
            channel, location, provider, kind, currency, verdict, overdue, weight, amount_minor, start_us, closed_us,
            due_us, verdict = 'bad' AND NOT spoiled ? due_us : decided_us - 1 AS counted_us
        FROM
        (
/*judged*/
        )
    )
    GROUP BY start_day, decided_day, closed_day, start_inside, decided_inside, closed_inside, channel, location,
             provider, kind, currency, verdict, overdue
)
ARRAY JOIN arrayConcat(
    verdict = 'refused' ? [] : [(start_day, start_inside, 'opened')],
    verdict = 'pending' ? [] : [(decided_day, decided_inside, 'decided')],
    closed_day < 0 ? [] : [(closed_day, closed_inside, 'closed')]
) AS change
GROUP BY day, inside, channel, location, provider, kind, currency
ORDER BY day, inside
