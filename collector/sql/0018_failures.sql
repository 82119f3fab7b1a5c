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

-- concerns says what a transaction is about, each in a row: 'o' an order, 'c...' a customer, 's...' a SKU. What a failing
-- hop holds up is counted here. Half of an identity is enough: of ten million transactions two share one by a chance of 1
-- in 300,000. Small granules in small blocks: ten thousand transactions are read out of ten million in 0.3 s of processor
-- time, in blocks of the usual size in 0.8 s.
CREATE TABLE IF NOT EXISTS concerns
(
    half_id UInt64 CODEC(Delta, ZSTD(1)),
    about String CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (half_id, about)
SETTINGS index_granularity = 256, min_compress_block_size = 4096, max_compress_block_size = 4096;

-- spans_to_concerns reads spans that name SKUs, of their own or in `line` events, and those that begin an order.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_concerns TO concerns AS
SELECT reinterpretAsUInt64(correlation_id) AS half_id, about
FROM
(
    SELECT correlation_id, arrayConcat(
        entity = 'order' AND milestone = 'captured' ? ['o'] : [],
        customer_ref != '' ? [concat('c', customer_ref)] : [],
        arrayMap(one -> concat('s', one), arrayFilter(one -> one != '', arrayPushBack(
            arrayMap(event -> event.attrs['sku'], arrayFilter(event -> event.name = 'line', events)), spans.sku))))
        AS concerned
    FROM spans
    WHERE spans.sku != '' OR has(events.name, 'line') OR (entity = 'order' AND milestone = 'captured')
)
ARRAY JOIN arrayDistinct(concerned) AS about;

INSERT INTO concerns (half_id, about)
SELECT reinterpretAsUInt64(correlation_id), about
FROM
(
    SELECT correlation_id, arrayConcat(
        entity = 'order' AND milestone = 'captured' ? ['o'] : [],
        customer_ref != '' ? [concat('c', customer_ref)] : [],
        arrayMap(one -> concat('s', one), arrayFilter(one -> one != '', arrayPushBack(
            arrayMap(event -> event.attrs['sku'], arrayFilter(event -> event.name = 'line', events)), spans.sku))))
        AS concerned
    FROM spans
    WHERE spans.sku != '' OR has(events.name, 'line') OR (entity = 'order' AND milestone = 'captured')
)
ARRAY JOIN arrayDistinct(concerned) AS about;
