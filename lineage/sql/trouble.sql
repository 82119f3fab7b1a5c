-- trouble: objects whose last span since {since_us} failed, was refused or waits, of {hop} or of any ('').
SELECT
    correlation_id,
    argMax(name, (start_time, attempt, bad)) AS hop,
    entity,
    entity_id,
    argMax(told.stage, (start_time, attempt, bad)) AS stage,
    argMax(outcome, (start_time, attempt, bad)) AS last_outcome,
    argMinIf(if(told.reason = '', status_message, told.reason), (start_time, attempt), bad) AS reason,
    toUInt32(uniqExactIf(span_id, bad)) AS attempts,
    toUnixTimestamp64Micro(toDateTime64(minIf(start_time, bad), 6, 'UTC')) AS since_us,
    argMax(told.channel, (told.channel != '', start_time)) AS channel,
    argMax(told.location, (told.location != '', start_time)) AS location,
    argMax(told.owner, (told.owner != '', start_time)) AS owner,
    argMax(told.amount_minor, (told.amount_minor != 0, start_time)) AS amount_minor,
    argMax(told.currency, (told.amount_minor != 0, start_time)) AS currency
FROM
(
    SELECT *, outcome IN ('failed', 'parked', 'rejected', 'dead_letter') AS bad
    FROM spans
    WHERE outcome != 'duplicate'
        AND (correlation_id, entity, entity_id) IN (
            SELECT correlation_id, entity, entity_id
            FROM spans
            WHERE outcome IN ('failed', 'parked', 'rejected', 'dead_letter')
                AND entity NOT IN ('', 'exception')
                AND ({hop:String} = '' OR name = {hop:String})
                AND start_time > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
                AND start_time <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))
        AND start_time > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND start_time <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
) AS told
GROUP BY correlation_id, entity, entity_id
HAVING last_outcome IN ('rejected', 'dead_letter')
    OR (last_outcome IN ('failed', 'parked') AND since_us < {now_us:Int64} - {grace_us:Int64})
