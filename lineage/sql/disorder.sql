-- disorder: what reached {milestone} of {entity} since {since_us} without any of {needed}, or before it.
SELECT
    lower(hex(reached.correlation_id)),
    reached.object_id,
    reached.channel,
    reached.location,
    reached.owner,
    reached.amount_minor,
    reached.currency,
    reached.at_us AS since_at_us,
    needed.needed_us
FROM
(
    SELECT
        correlation_id,
        entity_id AS object_id,
        argMin(channel, occurred_at) AS channel,
        argMin(location, occurred_at) AS location,
        argMin(owner, occurred_at) AS owner,
        argMin(amount_minor, occurred_at) AS amount_minor,
        argMin(currency, occurred_at) AS currency,
        toUnixTimestamp64Micro(min(occurred_at)) AS at_us
    FROM milestones
    WHERE entity = {entity:String} AND milestone = {milestone:String} AND startsWith(entity_id, {prefix:String})
        AND occurred_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
            SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
    GROUP BY correlation_id, object_id
    HAVING argMin(outcome, occurred_at) != 'parked'
) AS reached
LEFT JOIN
(
    SELECT
        correlation_id,
        if({same:UInt8}, entity_id, '') AS object_id,
        toUnixTimestamp64Micro(min(occurred_at)) AS needed_us
    FROM milestones
    WHERE entity IN {entities:Array(String)} AND milestone IN {milestones:Array(String)}
        AND has({needed:Array(String)}, concat(entity, '.', milestone))
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
            SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
    GROUP BY correlation_id, object_id
) AS needed
    ON needed.correlation_id = reached.correlation_id
    AND needed.object_id = if({same:UInt8}, reached.object_id, '')
WHERE (needed.needed_us = 0 AND reached.at_us < {now_us:Int64} - {grace_us:Int64})
    OR needed.needed_us > reached.at_us + {differ_us:Int64}
ORDER BY since_at_us, reached.object_id
LIMIT {most:UInt32}
