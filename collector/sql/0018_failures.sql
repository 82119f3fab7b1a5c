-- failures holds each span that says that an object could not go on: one in a hundred, by when it began. What failed of
-- months is found here; read from spans it costs the months.
CREATE TABLE IF NOT EXISTS failures
(
    start_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(NONE),
    name LowCardinality(String) CODEC(ZSTD(1)),
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    stage LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    attempt UInt16 CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    owner LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (start_time, correlation_id, span_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_failures TO failures AS
SELECT start_time, correlation_id, span_id, name, entity, entity_id, stage, outcome, attempt,
    if(spans.reason = '', status_message, spans.reason) AS reason, channel, location, owner, amount_minor, currency
FROM spans
WHERE outcome IN ('failed', 'parked', 'rejected', 'dead_letter') AND entity NOT IN ('', 'exception');

INSERT INTO failures
    (start_time, correlation_id, span_id, name, entity, entity_id, stage, outcome, attempt, reason, channel, location,
     owner, amount_minor, currency)
SELECT start_time, correlation_id, span_id, name, entity, entity_id, stage, outcome, attempt,
    if(spans.reason = '', status_message, spans.reason), channel, location, owner, amount_minor, currency
FROM spans
WHERE outcome IN ('failed', 'parked', 'rejected', 'dead_letter') AND entity NOT IN ('', 'exception');

-- concerns says which customers and SKUs a transaction is about, and which transactions are orders: what a failing hop
-- holds up is counted here. Half of an identity is enough: of ten million transactions two share one by a chance of 1 in
-- 300,000. Small granules: a thousand transactions are read out of ten million.
CREATE TABLE IF NOT EXISTS concerns
(
    half_id UInt64 CODEC(NONE),
    customer_ref String CODEC(ZSTD(1)),
    sku String CODEC(ZSTD(1)),
    is_order SimpleAggregateFunction(max, Bool) CODEC(ZSTD(1)),
    ingested_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (half_id, customer_ref, sku)
SETTINGS index_granularity = 256;

-- spans_to_concerns reads spans that name SKUs, of their own or in `line` events, and those that begin an order.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_concerns TO concerns AS
SELECT reinterpretAsUInt64(correlation_id) AS half_id, customer_ref, sku, entity = 'order' AND milestone = 'captured' AS is_order
FROM
(
    SELECT correlation_id, customer_ref, entity, milestone, arrayDistinct(arrayFilter(one -> one != '', arrayPushBack(
        arrayMap(event -> event.attrs['sku'], arrayFilter(event -> event.name = 'line', events)), spans.sku))) AS skus
    FROM spans
    WHERE spans.sku != '' OR has(events.name, 'line') OR (entity = 'order' AND milestone = 'captured')
)
ARRAY JOIN if(empty(skus), [''], skus) AS sku;

INSERT INTO concerns (half_id, customer_ref, sku, is_order)
SELECT reinterpretAsUInt64(correlation_id), customer_ref, sku, entity = 'order' AND milestone = 'captured'
FROM
(
    SELECT correlation_id, customer_ref, entity, milestone, arrayDistinct(arrayFilter(one -> one != '', arrayPushBack(
        arrayMap(event -> event.attrs['sku'], arrayFilter(event -> event.name = 'line', events)), spans.sku))) AS skus
    FROM spans
    WHERE spans.sku != '' OR has(events.name, 'line') OR (entity = 'order' AND milestone = 'captured')
)
ARRAY JOIN if(empty(skus), [''], skus) AS sku;
