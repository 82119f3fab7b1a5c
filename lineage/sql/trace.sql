-- trace: every span of the trace {id}, each once.
SELECT
    lower(hex(span_id)),
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))),
    name,
    service,
    toUnixTimestamp64Micro(start_time),
    toUnixTimestamp64Micro(end_time),
    status_code,
    status_message,
    outcome,
    if(correlation_id = toFixedString('', 16), '', lower(hex(correlation_id))),
    mapUpdate(attrs, keys),
    arrayMap(event -> (toUnixTimestamp64Micro(event.at), event.name, event.attrs), events)
FROM spans
WHERE lower(hex(trace_id)) = lower({id:String})
ORDER BY start_time, span_id
LIMIT 1 BY span_id
LIMIT {most:UInt32}
