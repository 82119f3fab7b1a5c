-- open_foretold: marks the transactions that tell of something after {now_us}, with the first of it.
INSERT INTO open_items (generation, watch, correlation_id, since_us)
SELECT {generation:UInt64}, 'later', correlation_id, toUnixTimestamp64Micro(min(occurred_at))
FROM milestones
WHERE occurred_at > fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    /*which*/
GROUP BY correlation_id
