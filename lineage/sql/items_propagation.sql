-- items_propagation: each change of stock that a feed told, with when the channel had it, or what came later.
SELECT
    'change' AS entity,
    concat(changed.channel, '/', changed.location, '/', changed.feed, '/',
           formatDateTime(changed.source_at, '%Y-%m-%dT%H:%i:%S.%f', 'UTC')) AS entity_id,
    toFixedString('', 16) AS correlation_id,
    changed.channel AS channel,
    changed.location AS location,
    '' AS provider,
    changed.feed AS kind,
    '' AS owner,
    '' AS reason,
    toInt64(0) AS amount_minor,
    '' AS currency,
    1 AS weight,
    toInt64(0) AS spoil_at_us,
    toUnixTimestamp64Micro(changed.source_at) AS start_us,
    toUnixTimestamp64Micro(had.first_at) AS end_us,
    toInt64(0) AS stop_us,
    start_us + {rule_seconds:Array(Int64)}[indexOf({rule_keys:Array(String)}, channel) + 1] * 1000000 AS due_us
FROM
(
    SELECT DISTINCT channel, location, feed, source_at
    FROM stock_marks
    WHERE source_at != heartbeat_at AND toUnixTimestamp64Micro(source_at) != 0
        AND source_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
) AS changed
ASOF LEFT JOIN
(
    -- since when the channel had what was published then, or something later
    SELECT channel, location, feed, published_at,
           min(min(at)) OVER (PARTITION BY channel, location, feed ORDER BY published_at DESC
                              ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS first_at
    FROM stock_marks
    WHERE toUnixTimestamp64Micro(published_at) != 0 AND at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    GROUP BY channel, location, feed, published_at
) AS had
    ON had.channel = changed.channel AND had.location = changed.location AND had.feed = changed.feed
    AND had.published_at >= changed.source_at
