-- stock_freshness says, for each minute of each feed, how far its source was and how far we had published.
CREATE TABLE IF NOT EXISTS stock_freshness
(
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    feed LowCardinality(String) CODEC(ZSTD(1)),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    published_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    heartbeat_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    ingested_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (channel, location, feed, minute);

-- spans_to_stock_freshness reads `watermark` events; a time of 0 means that there was none.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_stock_freshness TO stock_freshness AS
SELECT
    mark.attrs['channel'] AS channel,
    mark.attrs['location'] AS location,
    mark.attrs['feed'] AS feed,
    toStartOfMinute(toDateTime(mark.at, 'UTC')) AS minute,
    max(fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['source_at']), 1000), 'UTC')) AS source_at,
    max(fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['published_at']), 1000), 'UTC')) AS published_at,
    max(fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['heartbeat_at']), 1000), 'UTC')) AS heartbeat_at
FROM
(
    SELECT mark
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'watermark', events) AS mark
)
GROUP BY channel, location, feed, minute;

-- stock_marks holds each watermark as it was told: when a feed's source changed, and when its channel had what changed.
CREATE TABLE IF NOT EXISTS stock_marks
(
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    feed LowCardinality(String) CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    published_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    heartbeat_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (channel, location, feed, at, source_at, published_at, heartbeat_at);

-- spans_to_stock_marks reads `watermark` events.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_stock_marks TO stock_marks AS
SELECT
    mark.attrs['channel'] AS channel,
    mark.attrs['location'] AS location,
    mark.attrs['feed'] AS feed,
    toDateTime64(mark.at, 6, 'UTC') AS at,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['source_at']), 1000), 'UTC') AS source_at,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['published_at']), 1000), 'UTC') AS published_at,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(mark.attrs['heartbeat_at']), 1000), 'UTC') AS heartbeat_at
FROM
(
    SELECT mark
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'watermark', events) AS mark
);
