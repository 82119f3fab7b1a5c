-- sli_samples holds each measurement of a promise once: tile, chart, rule and report read the same row. A window that is
-- measured again has another row, whose time of measurement is its version; `daily` are those of a local midnight.
CREATE TABLE IF NOT EXISTS sli_samples
(
    sla LowCardinality(String) CODEC(ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    as_of DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    window_start DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    good UInt64 CODEC(T64, ZSTD(1)),
    bad UInt64 CODEC(T64, ZSTD(1)),
    pending UInt64 CODEC(T64, ZSTD(1)),
    excused UInt64 CODEC(T64, ZSTD(1)),
    overdue_open UInt64 CODEC(T64, ZSTD(1)),
    value_at_risk_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    target_ppm UInt32 CODEC(T64, ZSTD(1)),
    state LowCardinality(String) CODEC(ZSTD(1)),
    watermark DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    definition LowCardinality(String) CODEC(ZSTD(1)),
    measured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    daily UInt8 CODEC(T64, ZSTD(1)),
    details String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (sla, channel, location, provider, kind, as_of, definition, measured_at);
