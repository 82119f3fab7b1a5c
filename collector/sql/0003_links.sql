-- links joins transactions to each other, read from the one that points (`from_id`). Two are joined as often as there is
-- evidence: a settlement holds a sale, its fee and its refund of one order, each with its amount.
CREATE TABLE IF NOT EXISTS links
(
    from_id FixedString(16) CODEC(ZSTD(1)),
    to_id FixedString(16) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    by_whom LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (from_id, to_id, kind, evidence, at);

-- links_by_target is the same links read from the one that is pointed at (`to_id`).
CREATE TABLE IF NOT EXISTS links_by_target
(
    from_id FixedString(16) CODEC(ZSTD(1)),
    to_id FixedString(16) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    by_whom LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (to_id, from_id, kind, evidence, at);

-- links_to_target keeps links_by_target equal to links; it exists before links is fed, so that it misses nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS links_to_target TO links_by_target AS
SELECT from_id, to_id, kind, evidence, at, by_whom, amount_minor, currency
FROM links;

-- spans_to_links reads `link` events; one whose ends are not two identities of 32 hex digits joins nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_links TO links AS
SELECT
    toFixedString(unhex(event.attrs['from']), 16) AS from_id,
    toFixedString(unhex(event.attrs['to']), 16) AS to_id,
    event.attrs['kind'] AS kind,
    event.attrs['evidence'] AS evidence,
    toDateTime64(event.at, 6, 'UTC') AS at,
    event.attrs['by'] AS by_whom,
    toInt64OrZero(event.attrs['amount_minor']) AS amount_minor,
    event.attrs['currency'] AS currency
FROM
(
    SELECT event
    FROM spans
    ARRAY JOIN arrayFilter(
        event -> event.name = 'link'
            AND match(event.attrs['from'], '^[0-9a-fA-F]{32}$')
            AND match(event.attrs['to'], '^[0-9a-fA-F]{32}$'),
        events) AS event
);
