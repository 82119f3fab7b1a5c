-- corrections declares, as EPCIS does, that something told before did not happen so: what was told stays, and counts no more.
CREATE TABLE IF NOT EXISTS corrections
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    milestone LowCardinality(String) CODEC(ZSTD(1)),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    by_whom LowCardinality(String) CODEC(ZSTD(1)),
    declared_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (entity, entity_id, correlation_id, milestone, occurred_at)
SETTINGS enable_block_number_column = 1;

-- spans_to_corrections reads `correction` events: which milestone of which object at which time is not so.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_corrections TO corrections AS
SELECT
    event.attrs['entity'] AS entity,
    event.attrs['entity_id'] AS entity_id,
    correlation_id,
    event.attrs['milestone'] AS milestone,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(event.attrs['occurred_at']), 1000), 'UTC') AS occurred_at,
    event.attrs['reason'] AS reason,
    event.attrs['by'] AS by_whom,
    toDateTime64(event.at, 6, 'UTC') AS declared_at
FROM
(
    SELECT correlation_id, event
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'correction', events) AS event
);
