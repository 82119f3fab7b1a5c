-- open_items holds what transactions still owe, by generation: a generation is the one before with those transactions
-- judged again of which something was heard since. `watch` is what is waited for; '' marks a transaction to judge again,
-- 'later' one that tells of what has not happened yet.
CREATE TABLE IF NOT EXISTS open_items
(
    generation UInt64 CODEC(ZSTD(1)),
    watch LowCardinality(String) CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    since_us Int64 CODEC(T64, ZSTD(1)),
    due_us Int64 CODEC(T64, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    owner LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY (watch, correlation_id);

-- open_generations says of the newest whole generation up to which blocks and until when it has read.
CREATE TABLE IF NOT EXISTS open_generations
(
    definition String CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1)),
    milestones_block UInt64 CODEC(ZSTD(1)),
    corrections_block UInt64 CODEC(ZSTD(1)),
    as_of_us Int64 CODEC(ZSTD(1)),
    later UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(generation)
ORDER BY definition;
