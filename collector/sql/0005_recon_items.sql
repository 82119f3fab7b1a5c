-- recon_items holds, for each day and leg, what two sides said and what nobody could explain; the last run counts.
CREATE TABLE IF NOT EXISTS recon_items
(
    level LowCardinality(String) CODEC(ZSTD(1)),
    business_date Date CODEC(Delta, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    left_minor Int64 CODEC(T64, ZSTD(1)),
    right_minor Int64 CODEC(T64, ZSTD(1)),
    unexplained_minor Int64 CODEC(T64, ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    due_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    reconciled_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(reconciled_at)
ORDER BY (level, business_date, channel, provider, kind, currency);

-- spans_to_recon_items reads `recon.item` events; the time of the event is the time of the run.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_recon_items TO recon_items AS
SELECT
    item.attrs['level'] AS level,
    toDateOrZero(item.attrs['business_date']) AS business_date,
    item.attrs['channel'] AS channel,
    item.attrs['provider'] AS provider,
    item.attrs['kind'] AS kind,
    item.attrs['currency'] AS currency,
    toInt64OrZero(item.attrs['left_minor']) AS left_minor,
    toInt64OrZero(item.attrs['right_minor']) AS right_minor,
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
