-- held_causes: why {hop} failed first for each object that is held up; {prefix} stands before the IDs it knows them by.
SELECT 'cause', reason, uniqExact(correlation_id) AS transactions, count(), map('', toInt64(0)), min(since_us)
FROM
(
    SELECT
        correlation_id,
        argMin(reason, (start_time, attempt)) AS reason,
        toUnixTimestamp64Micro(toDateTime64(min(start_time), 6, 'UTC')) AS since_us
    FROM failures
    WHERE name = {hop:String}
        AND start_time > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND (correlation_id, entity_id) IN (SELECT correlation_id, concat({prefix:String}, entity_id) FROM (
/*held*/
        ))
    GROUP BY correlation_id, entity, entity_id
)
GROUP BY reason
ORDER BY transactions DESC, reason
LIMIT 100
