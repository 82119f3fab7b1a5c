-- day_counts: what changed on each day, by segment and currency; days of the window that begins at {since_us} apart.
SELECT
    toInt64(intDiv(change.1, 86400000000)) AS day,
    change.1 > {since_us:Int64} AS inside,
    channel,
    location,
    provider,
    currency,
    countIf(change.2 = 'good'),
    countIf(change.2 = 'bad'),
    countIf(change.2 = 'excused'),
    countIf(change.2 = 'refused'),
    countIf(change.2 = 'opened'),
    countIf(change.2 = 'closed'),
    countIf(change.2 = 'overdue_in'),
    countIf(change.2 = 'overdue_out'),
    sumIf(amount_minor, change.2 = 'overdue_in'),
    sumIf(amount_minor, change.2 = 'overdue_out'),
    minIf(due_us, change.2 = 'overdue_in' AND overdue),
    toInt64(0)
FROM
(
/*judged*/
)
ARRAY JOIN arrayConcat(
    verdict = 'pending' ? [] : [(decided_us, verdict)],
    verdict = 'refused' ? [] : [(start_us, 'opened')],
    verdict IN ('refused', 'pending') ? [] : [(decided_us, 'closed')],
    verdict = 'bad' ? [(due_us, 'overdue_in')] : [],
    verdict = 'bad' AND closed_us != 0 ? [(greatest(closed_us, due_us), 'overdue_out')] : []
) AS change
GROUP BY day, inside, channel, location, provider, currency
ORDER BY day, inside
