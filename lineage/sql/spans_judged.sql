-- spans_judged: the spans of the transactions {ids} in the shape of spans_of, without what is costly to read.
SELECT
    lower(hex(correlation_id)),
    lower(hex(span_id)),
    lower(hex(trace_id)),
    name,
    toUnixTimestamp64Micro(start_time),
    toUnixTimestamp64Micro(end_time),
    status_code,
    status_message,
    '',
    origin,
    domain,
    hop,
    stage,
    outcome,
    attempt,
    reason,
    entity,
    entity_id,
    milestone,
    toUnixTimestamp64Micro(occurred_at),
    toUnixTimestamp64Micro(due_at),
    channel,
    location,
    '',
    '',
    quantity,
    amount_minor,
    currency,
    owner,
    '',
    source,
    keys,
    map(),
    [],
    0
FROM spans
PREWHERE correlation_id /*is_one*/
ORDER BY correlation_id, start_time, span_id
LIMIT 1 BY correlation_id, span_id
LIMIT {most:UInt32}
