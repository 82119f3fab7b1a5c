-- trouble: objects whose last span since {since_us} failed, was refused or waits, of {hop} or of any ('').
WITH recent AS
(
    SELECT *
    FROM failures
    WHERE start_time > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND start_time <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
)
SELECT
    correlation_id, hop, entity, entity_id, stage, last_outcome, reason, attempts, since_us, channel, location, owner,
    amount_minor, currency
FROM
(
    SELECT
        correlation_id,
        entity,
        entity_id,
        max((start_time, attempt)) AS last,
        argMax(name, (start_time, attempt)) AS hop,
        argMax(recent.stage, (start_time, attempt)) AS stage,
        argMax(outcome, (start_time, attempt)) AS last_outcome,
        argMin(recent.reason, (start_time, attempt)) AS reason,
        toUInt32(uniqExact(span_id)) AS attempts,
        toUnixTimestamp64Micro(toDateTime64(min(start_time), 6, 'UTC')) AS since_us,
        argMax(recent.channel, (recent.channel != '', start_time)) AS channel,
        argMax(recent.location, (recent.location != '', start_time)) AS location,
        argMax(recent.owner, (recent.owner != '', start_time)) AS owner,
        argMax(recent.amount_minor, (recent.amount_minor != 0, start_time)) AS amount_minor,
        argMax(recent.currency, (recent.amount_minor != 0, start_time)) AS currency
    FROM recent
    WHERE {hop:String} = '' OR (correlation_id, entity, entity_id) IN (
        SELECT correlation_id, entity, entity_id FROM recent WHERE name = {hop:String})
    GROUP BY correlation_id, entity, entity_id
    HAVING last_outcome IN ('rejected', 'dead_letter') OR since_us < {now_us:Int64} - {grace_us:Int64}
) AS told
LEFT JOIN
(
    SELECT correlation_id, entity, entity_id, max((start_time, attempt)) AS last
    FROM spans
    PREWHERE correlation_id IN (
        SELECT correlation_id FROM recent WHERE {hop:String} = '' OR name = {hop:String})
    WHERE outcome NOT IN ('failed', 'parked', 'rejected', 'dead_letter', 'duplicate')
        AND start_time > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND start_time <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY correlation_id, entity, entity_id
) AS healed USING (correlation_id, entity, entity_id)
WHERE told.last >= healed.last
