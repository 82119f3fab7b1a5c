-- promise_items holds the items of promises as they were judged when something was last heard of their transaction, or
-- their deadline passed: `build` says of which promise, and by which making. What is judged otherwise is taken out by a
-- row with one copy less: an item stands where its copies come to more than none. What is open stands apart from what is
-- decided and over. Times are kept as differences, which take half the room.
CREATE TABLE IF NOT EXISTS promise_items
(
    build UInt64 CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    verdict LowCardinality(String) CODEC(ZSTD(1)),
    open UInt8 CODEC(ZSTD(1)),
    spoiled UInt8 CODEC(ZSTD(1)),
    finished UInt8 CODEC(ZSTD(1)),
    over UInt8 CODEC(ZSTD(1)),
    decided_us Int64 CODEC(T64, ZSTD(1)),
    lasted_us Int64 CODEC(T64, ZSTD(1)),
    given_us Int64 CODEC(T64, ZSTD(1)),
    finish_after_us Int64 CODEC(T64, ZSTD(1)),
    closed_after_us Int64 CODEC(T64, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    owner LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    weight Int64 CODEC(T64, ZSTD(1)),
    copies Int64 CODEC(T64, ZSTD(1)),
    start_us Int64 ALIAS decided_us - lasted_us,
    due_us Int64 ALIAS decided_us - lasted_us + given_us,
    finish_us Int64 ALIAS finished ? decided_us + finish_after_us : 0,
    closed_us Int64 ALIAS over ? decided_us + closed_after_us : 0
)
ENGINE = SummingMergeTree(copies)
PARTITION BY open ? 0 : toYYYYMM(fromUnixTimestamp64Micro(decided_us, 'UTC'))
PRIMARY KEY (build, correlation_id)
ORDER BY (build, correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us,
          given_us, finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency,
          weight)
SETTINGS index_granularity = 1024;

-- promise_changes holds what a generation adds to promise_items and takes out, until it is taken over.
CREATE TABLE IF NOT EXISTS promise_changes
(
    generation UInt64,
    build UInt64,
    correlation_id FixedString(16),
    entity LowCardinality(String),
    entity_id String,
    verdict LowCardinality(String),
    open UInt8,
    spoiled UInt8,
    finished UInt8,
    over UInt8,
    decided_us Int64,
    lasted_us Int64,
    given_us Int64,
    finish_after_us Int64,
    closed_after_us Int64,
    channel LowCardinality(String),
    location LowCardinality(String),
    provider LowCardinality(String),
    kind LowCardinality(String),
    owner LowCardinality(String),
    amount_minor Int64,
    currency LowCardinality(String),
    weight Int64,
    copies Int64,
    start_us Int64 ALIAS decided_us - lasted_us,
    due_us Int64 ALIAS decided_us - lasted_us + given_us,
    closed_us Int64 ALIAS over ? decided_us + closed_after_us : 0
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY build;

-- promise_milestones holds the milestones of the transactions that a generation judges again, and one row without an
-- entity for each of them.
CREATE TABLE IF NOT EXISTS promise_milestones
(
    generation UInt64,
    entity LowCardinality(String),
    entity_id String,
    correlation_id FixedString(16),
    milestone LowCardinality(String),
    occurred_at DateTime64(6, 'UTC'),
    channel LowCardinality(String),
    location LowCardinality(String),
    provider LowCardinality(String),
    owner LowCardinality(String),
    amount_minor Int64,
    currency LowCardinality(String),
    due_at DateTime64(6, 'UTC'),
    kind LowCardinality(String),
    severity LowCardinality(String),
    quantity Int64,
    went_on UInt8
)
ENGINE = MergeTree
PARTITION BY generation
ORDER BY (entity, correlation_id, entity_id);

-- promise_days adds up what of promise_items happened on each local day.
CREATE TABLE IF NOT EXISTS promise_days
(
    build UInt64 CODEC(ZSTD(1)),
    day Int64 CODEC(T64, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    good Int64 CODEC(T64, ZSTD(1)),
    bad Int64 CODEC(T64, ZSTD(1)),
    excused Int64 CODEC(T64, ZSTD(1)),
    refused Int64 CODEC(T64, ZSTD(1)),
    opened Int64 CODEC(T64, ZSTD(1)),
    closed Int64 CODEC(T64, ZSTD(1)),
    overdue_in Int64 CODEC(T64, ZSTD(1)),
    overdue_out Int64 CODEC(T64, ZSTD(1)),
    amount_in Int64 CODEC(T64, ZSTD(1)),
    amount_out Int64 CODEC(T64, ZSTD(1))
)
ENGINE = SummingMergeTree((good, bad, excused, refused, opened, closed, overdue_in, overdue_out, amount_in, amount_out))
PARTITION BY build
ORDER BY (build, day, channel, location, provider, kind, currency);

-- promise_builds says of each promise, by what its items depend on, which build is read, what it has read, and which
-- midnights have been measured by it: those before stale_day, with the newest event that was known.
CREATE TABLE IF NOT EXISTS promise_builds
(
    definition String CODEC(ZSTD(1)),
    build UInt64 CODEC(ZSTD(1)),
    generation UInt64 CODEC(ZSTD(1)),
    milestones_block UInt64 CODEC(ZSTD(1)),
    corrections_block UInt64 CODEC(ZSTD(1)),
    as_of_us Int64 CODEC(ZSTD(1)),
    stale_day Int64 CODEC(ZSTD(1)),
    newest_us Int64 CODEC(ZSTD(1)),
    version UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY definition;
