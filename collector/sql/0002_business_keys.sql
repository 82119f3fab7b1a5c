-- business_keys finds the transactions that a business key belongs to: '537681' -> order_id of two origins, say.
CREATE TABLE IF NOT EXISTS business_keys
(
    key_value String CODEC(ZSTD(1)),
    key_name LowCardinality(String) CODEC(ZSTD(1)),
    origin LowCardinality(String) CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    first_seen SimpleAggregateFunction(min, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    last_seen SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    ingested_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (key_value, key_name, origin, correlation_id);

-- spans_to_business_keys lists each key of each transaction once for a block of spans.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_business_keys TO business_keys AS
SELECT
    key_value,
    key_name,
    origin,
    correlation_id,
    min(occurred_at) AS first_seen,
    max(occurred_at) AS last_seen
FROM spans
ARRAY JOIN mapKeys(keys) AS key_name, mapValues(keys) AS key_value
WHERE key_value != '' AND correlation_id != toFixedString('', 16)
GROUP BY key_value, key_name, origin, correlation_id;
