-- transactions_in_trace: the transactions that have a span in the trace {id}.
SELECT
    {id:String},
    'trace_id' AS name,
    max(origin),
    lower(hex(correlation_id)),
    toUnixTimestamp64Micro(min(occurred_at)),
    toUnixTimestamp64Micro(max(occurred_at)) AS last_us
FROM spans
WHERE lower(hex(trace_id)) = lower({id:String}) AND correlation_id != toFixedString('', 16)
GROUP BY correlation_id
ORDER BY last_us DESC, correlation_id
LIMIT {most:UInt32}
