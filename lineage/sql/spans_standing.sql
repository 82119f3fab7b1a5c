-- spans_standing: the spans of the transactions {ids} in the shape of spans_of, with what their standing is made of.
SELECT
    lower(hex(correlation_id)),
    lower(hex(span_id)),
    '',
    name,
    toUnixTimestamp64Micro(start_time),
    toUnixTimestamp64Micro(start_time),
    0,
    '',
    '',
    origin,
    domain,
    '',
    stage,
    outcome,
    attempt,
    '',
    entity,
    entity_id,
    milestone,
    toUnixTimestamp64Micro(occurred_at),
    0,
    '',
    '',
    '',
    '',
    0,
    amount_minor,
    currency,
    '',
    '',
    '',
    keys,
    map(),
    [],
    0
FROM spans
PREWHERE correlation_id /*is_one*/
ORDER BY correlation_id, start_time, span_id
LIMIT 1 BY correlation_id, span_id
LIMIT {most:UInt32}
