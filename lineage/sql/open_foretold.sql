-- open_foretold: marks the transactions that tell of something after {now_us}.
INSERT INTO open_items (generation, watch, correlation_id)
SELECT DISTINCT {generation:UInt64}, 'later', correlation_id
FROM milestones
WHERE occurred_at > fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    /*which*/
