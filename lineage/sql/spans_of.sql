-- spans_of: every span of the transactions {ids}, each span once; what a settlement settles stands in the links.
SELECT
    lower(hex(correlation_id)),
    lower(hex(span_id)),
    lower(hex(trace_id)),
    name,
    toUnixTimestamp64Micro(start_time),
    toUnixTimestamp64Micro(end_time),
    status_code,
    status_message,
    service,
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
    provider,
    system,
    quantity,
    amount_minor,
    currency,
    owner,
    customer_ref,
    source,
    keys,
    attrs,
    -- by its columns: of a whole event the kinds of its attributes would be read too, half of all that a query reads
    arrayFilter(
        event -> event.2 != 'link' OR event.3['kind'] != 'settles',
        arrayMap((at, name, attrs) -> (toUnixTimestamp64Micro(at), name, attrs), events.at, events.name, events.attrs)
    ),
    dropped_attributes_count + dropped_events_count + dropped_links_count
FROM spans
PREWHERE correlation_id /*is_one*/
ORDER BY correlation_id, start_time, span_id
LIMIT 1 BY correlation_id, span_id
LIMIT {most:UInt32}
