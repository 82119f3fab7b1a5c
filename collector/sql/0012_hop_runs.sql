-- hop_runs holds each run of a hop by when it ended, for what flows now: spans are ordered by transaction, so that the
-- last minutes of them would be a scan of all. Sent again, a row replaces itself; after three days it is no news. Half of
-- a span's ID tells it from others that ended in the same millisecond: of 100 each millisecond one is lost in 14 minutes.
CREATE TABLE IF NOT EXISTS hop_runs
(
    ended_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    half_id UInt32 CODEC(NONE),
    hop LowCardinality(String) CODEC(ZSTD(1)),
    stage LowCardinality(String) CODEC(ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    took_us UInt64 CODEC(T64, ZSTD(1)),
    since_us Int64 CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ended_at)
ORDER BY (ended_at, half_id)
TTL toDateTime(ended_at) + INTERVAL 3 DAY
SETTINGS merge_selector_base = 10;

-- spans_to_hop_runs reads spans of business hops: how long each ran, and how long after its business time it ended.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_hop_runs TO hop_runs AS
SELECT
    end_time AS ended_at,
    reinterpretAsUInt32(span_id) AS half_id,
    concat(domain, '.', hop) AS hop,
    stage,
    channel,
    location,
    outcome,
    toUInt64(greatest(0, toUnixTimestamp64Micro(toDateTime64(end_time, 6)) - toUnixTimestamp64Micro(toDateTime64(start_time, 6)))) AS took_us,
    if(toUnixTimestamp64Micro(occurred_at) = 0, -1,
       greatest(0, toUnixTimestamp64Micro(toDateTime64(end_time, 6)) - toUnixTimestamp64Micro(occurred_at))) AS since_us
FROM spans
WHERE domain != '' AND spans.hop != '' AND end_time > now() - INTERVAL 3 DAY;
