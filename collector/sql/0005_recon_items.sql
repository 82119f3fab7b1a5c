-- recon_items holds, for each run over a day's level, what two sides said, what explains the difference and what nobody
-- could explain. Of a day the last run counts; those before it stay.
CREATE TABLE IF NOT EXISTS recon_items
(
    level LowCardinality(String) CODEC(ZSTD(1)),
    business_date Date CODEC(Delta, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    legal_entity LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    run UInt32 CODEC(T64, ZSTD(1)),
    left_minor Int64 CODEC(T64, ZSTD(1)),
    right_minor Int64 CODEC(T64, ZSTD(1)),
    left_count Int64 CODEC(T64, ZSTD(1)),
    right_count Int64 CODEC(T64, ZSTD(1)),
    timing_minor Int64 CODEC(T64, ZSTD(1)),
    fees_minor Int64 CODEC(T64, ZSTD(1)),
    tax_minor Int64 CODEC(T64, ZSTD(1)),
    rounding_minor Int64 CODEC(T64, ZSTD(1)),
    known_minor Int64 CODEC(T64, ZSTD(1)),
    unexplained_minor Int64 CODEC(T64, ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    due_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    reconciled_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (level, business_date, reconciled_at, channel, provider, location, kind, legal_entity, currency);

-- spans_to_recon_items reads `recon.item` events; the time of the event is the time of the run.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_recon_items TO recon_items AS
SELECT
    item.attrs['level'] AS level,
    toDateOrZero(item.attrs['business_date']) AS business_date,
    item.attrs['channel'] AS channel,
    item.attrs['provider'] AS provider,
    item.attrs['location'] AS location,
    item.attrs['kind'] AS kind,
    item.attrs['legal_entity'] AS legal_entity,
    item.attrs['currency'] AS currency,
    toUInt32OrZero(item.attrs['run']) AS run,
    toInt64OrZero(item.attrs['left_minor']) AS left_minor,
    toInt64OrZero(item.attrs['right_minor']) AS right_minor,
    toInt64OrZero(item.attrs['left_count']) AS left_count,
    toInt64OrZero(item.attrs['right_count']) AS right_count,
    toInt64OrZero(item.attrs['timing_minor']) AS timing_minor,
    toInt64OrZero(item.attrs['fees_minor']) AS fees_minor,
    toInt64OrZero(item.attrs['tax_minor']) AS tax_minor,
    toInt64OrZero(item.attrs['rounding_minor']) AS rounding_minor,
    toInt64OrZero(item.attrs['known_minor']) AS known_minor,
    toInt64OrZero(item.attrs['unexplained_minor']) AS unexplained_minor,
    item.attrs['reason'] AS reason,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(item.attrs['due_at']), 1000), 'UTC') AS due_at,
    toDateTime64(item.at, 6, 'UTC') AS reconciled_at
FROM
(
    SELECT item
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'recon.item', events) AS item
);

-- recon_entries holds what the differences of a run are made of, transaction by transaction.
CREATE TABLE IF NOT EXISTS recon_entries
(
    level LowCardinality(String) CODEC(ZSTD(1)),
    business_date Date CODEC(Delta, ZSTD(1)),
    reconciled_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    place UInt32 CODEC(T64, ZSTD(1)),
    run UInt32 CODEC(T64, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    legal_entity LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    origin String CODEC(ZSTD(1)),
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    left_minor Int64 CODEC(T64, ZSTD(1)),
    right_minor Int64 CODEC(T64, ZSTD(1)),
    why LowCardinality(String) CODEC(ZSTD(1)),
    cause LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (level, business_date, reconciled_at, place);

-- spans_to_recon_entries reads `recon.entry` events.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_recon_entries TO recon_entries AS
SELECT
    entry.attrs['level'] AS level,
    toDateOrZero(entry.attrs['business_date']) AS business_date,
    toDateTime64(entry.at, 6, 'UTC') AS reconciled_at,
    toUInt32OrZero(entry.attrs['place']) AS place,
    toUInt32OrZero(entry.attrs['run']) AS run,
    entry.attrs['channel'] AS channel,
    entry.attrs['provider'] AS provider,
    entry.attrs['location'] AS location,
    entry.attrs['kind'] AS kind,
    entry.attrs['legal_entity'] AS legal_entity,
    entry.attrs['currency'] AS currency,
    toFixedString(substring(unhex(entry.attrs['correlation_id']), 1, 16), 16) AS correlation_id,
    entry.attrs['origin'] AS origin,
    entry.attrs['entity'] AS entity,
    entry.attrs['entity_id'] AS entity_id,
    toInt64OrZero(entry.attrs['left_minor']) AS left_minor,
    toInt64OrZero(entry.attrs['right_minor']) AS right_minor,
    entry.attrs['why'] AS why,
    entry.attrs['cause'] AS cause,
    toInt64OrZero(entry.attrs['amount_minor']) AS amount_minor
FROM
(
    SELECT entry
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'recon.entry', events) AS entry
);
