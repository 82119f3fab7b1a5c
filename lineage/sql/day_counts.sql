-- day_counts: what changed on each day, by segment and currency; days of the window that begins at {since_us} apart.
SELECT
    change.1 AS day,
    change.2 AS inside,
    channel,
    location,
    provider,
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
        intDiv(start_us, 86400000000) AS start_day,
        intDiv(decided_us, 86400000000) AS decided_day,
        verdict = 'bad' AND closed_us != 0 ? intDiv(greatest(closed_us, due_us), 86400000000) : -1 AS closed_day,
        start_us > {since_us:Int64} AS start_inside,
        decided_us > {since_us:Int64} AS decided_inside,
        greatest(closed_us, due_us) > {since_us:Int64} AS closed_inside,
        channel,
        location,
        provider,
        currency,
        verdict,
        overdue,
        count() AS items,
        sum(amount_minor) AS amount,
        min(due_us) AS oldest_us
    FROM
    (
/*judged*/
    )
    GROUP BY start_day, decided_day, closed_day, start_inside, decided_inside, closed_inside, channel, location,
             provider, currency, verdict, overdue
)
ARRAY JOIN arrayConcat(
    verdict = 'refused' ? [] : [(start_day, start_inside, 'opened')],
    verdict = 'pending' ? [] : [(decided_day, decided_inside, 'decided')],
    closed_day < 0 ? [] : [(closed_day, closed_inside, 'closed')]
) AS change
GROUP BY day, inside, channel, location, provider, currency
ORDER BY day, inside
