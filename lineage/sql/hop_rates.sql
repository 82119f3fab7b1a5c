-- hop_rates: runs since {since_us}, their outcomes and how long they took, by {by} (hop, channel or location), busiest first.
SELECT
    multiIf({by:String} = 'channel', toString(channel), {by:String} = 'location', toString(location), toString(hop)) AS name,
    toInt64(count()), toInt64(countIf(outcome = 'failed')), toInt64(countIf(outcome IN ('rejected', 'dead_letter'))),
    toInt64(countIf(outcome = 'parked')), toInt64(countIf(outcome = 'duplicate')), toInt64(countIf(outcome = 'replayed')),
    arrayMap(one -> toInt64(if(isNaN(one), -1, one)), quantilesTDigestIf(0.5, 0.95, 0.99)(took_us, took_us > 0)),
    arrayMap(one -> toInt64(if(isNaN(one), -1, one)), quantilesTDigestIf(0.5, 0.95, 0.99)(since_us, since_us > 0)),
    max(ended_at)
FROM hop_runs FINAL
WHERE ended_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AND ended_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
GROUP BY name
ORDER BY count() DESC, name
LIMIT 200
