-- otel_traces shows the spans under the names and in the types of the OpenTelemetry Collector's ClickHouse exporter, so
-- that what reads its tables reads ours. Columns that were attributes are attributes here.
CREATE VIEW IF NOT EXISTS otel_traces AS
SELECT
    start_time AS Timestamp,
    lower(hex(trace_id)) AS TraceId,
    lower(hex(span_id)) AS SpanId,
    if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS ParentSpanId,
    trace_state AS TraceState,
    name AS SpanName,
    toLowCardinality(transform(kind, [1, 2, 3, 4, 5], ['Internal', 'Server', 'Client', 'Producer', 'Consumer'],
                               'Unspecified')) AS SpanKind,
    service AS ServiceName,
    CAST(mapUpdate(if(service = '', map(), map('service.name', toString(service))),
                   CAST(resource_attrs, 'Map(String, String)')),
         'Map(LowCardinality(String), String)') AS ResourceAttributes,
    toString(scope_name) AS ScopeName,
    toString(scope_version) AS ScopeVersion,
    CAST(mapUpdate(
             mapUpdate(
                 mapFilter((key, text) -> text != '', map(
                     'retail.correlation_id',
                     if(correlation_id = toFixedString('', 16), '', lower(hex(correlation_id))),
                     'retail.origin', toString(origin), 'retail.domain', toString(domain), 'retail.hop', toString(hop),
                     'retail.stage', toString(stage), 'retail.outcome', toString(outcome),
                     'retail.attempt', if(attempt = 0, '', toString(attempt)), 'retail.reason', reason,
                     'retail.entity', toString(entity), 'retail.entity_id', entity_id,
                     'retail.milestone', toString(milestone),
                     'retail.occurred_at',
                     if(occurred_at = toDateTime64(start_time, 6, 'UTC'), '',
                        toString(toUnixTimestamp64Micro(occurred_at) * 1000)),
                     'retail.business_date', if(business_date = toDate(0), '', toString(business_date)),
                     'retail.due_at',
                     if(due_at = toDateTime64(0, 6, 'UTC'), '', toString(toUnixTimestamp64Micro(due_at) * 1000)),
                     'retail.channel', toString(channel), 'retail.location', toString(location),
                     'retail.region', toString(region), 'retail.brand', toString(brand),
                     'retail.legal_entity', toString(legal_entity), 'retail.provider', toString(provider),
                     'retail.system', toString(system), 'retail.sku', sku,
                     'retail.quantity', if(quantity = 0, '', toString(quantity)),
                     'retail.amount_minor', if(amount_minor = 0 AND currency = '', '', toString(amount_minor)),
                     'retail.currency', toString(currency), 'retail.owner', toString(owner),
                     'retail.rule_version', toString(rule_version), 'retail.customer_ref', customer_ref,
                     'retail.source', toString(source))),
                 CAST(mapApply((key, text) -> (concat('retail.', key), text), keys), 'Map(String, String)')),
             CAST(attrs, 'Map(String, String)')),
         'Map(LowCardinality(String), String)') AS SpanAttributes,
    toUInt64(toUnixTimestamp64Nano(end_time) - toUnixTimestamp64Nano(start_time)) AS Duration,
    toLowCardinality(transform(status_code, [1, 2], ['Ok', 'Error'], 'Unset')) AS StatusCode,
    status_message AS StatusMessage,
    events.at AS `Events.Timestamp`,
    CAST(events.name, 'Array(LowCardinality(String))') AS `Events.Name`,
    CAST(events.attrs, 'Array(Map(LowCardinality(String), String))') AS `Events.Attributes`,
    arrayMap(id -> lower(hex(id)), links.trace_id) AS `Links.TraceId`,
    arrayMap(id -> lower(hex(id)), links.span_id) AS `Links.SpanId`,
    links.trace_state AS `Links.TraceState`,
    CAST(links.attrs, 'Array(Map(LowCardinality(String), String))') AS `Links.Attributes`
FROM spans
FINAL;

-- otel_traces_trace_id_ts says from when to when a trace goes, in which months to look for its spans.
CREATE VIEW IF NOT EXISTS otel_traces_trace_id_ts AS
SELECT
    lower(hex(trace_id)) AS TraceId,
    min(start_time) AS Start,
    max(start_time) AS End
FROM spans
GROUP BY TraceId;
