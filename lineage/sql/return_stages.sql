-- return_stages: of returns that began since {since_us}, how long each took from step to step, by channel.
SELECT channel, step, toInt64(count()), arrayMap(one -> toInt64(one), quantilesTDigest(0.5, 0.95)(seconds))
FROM
(
    SELECT
        channel,
        arrayJoin(arrayFilter(one -> one.2 >= 0, [
            ('authorised', ifNull(dateDiff('second', requested, authorised), -1)),
            ('received', ifNull(dateDiff('second', authorised, received), -1)),
            ('inspected', ifNull(dateDiff('second', received, inspected), -1)),
            ('refunded', ifNull(dateDiff('second', received, refunded), -1)),
            ('closed', ifNull(dateDiff('second', ifNull(requested, received), closed), -1))])) AS leg,
        leg.1 AS step,
        leg.2 AS seconds
    FROM
    (
        SELECT
            correlation_id,
            argMax(milestones.channel, (milestones.channel != '', occurred_at)) AS channel,
            minOrNullIf(occurred_at, milestone = 'requested') AS requested,
            minOrNullIf(occurred_at, milestone = 'authorised') AS authorised,
            minOrNullIf(occurred_at, milestone = 'received') AS received,
            minOrNullIf(occurred_at, milestone = 'inspected') AS inspected,
            minOrNullIf(occurred_at, milestone IN ('refunded', 'issued')) AS refunded,
            minOrNullIf(occurred_at, milestone = 'closed') AS closed
        FROM milestones
        WHERE (entity = 'return' OR (entity = 'refund' AND milestone = 'issued'))
            AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        GROUP BY correlation_id
        HAVING min(occurred_at) > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    )
)
GROUP BY channel, step
ORDER BY channel, step
