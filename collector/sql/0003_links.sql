-- links joins transactions to each other; each link stands at both of its ends (`of_id`), as it points from there
-- (`outward`) or to there. Two are joined as often as there is evidence: a settlement holds a sale, its fee and its refund
-- of one order, each with its amount. Two tables, one for each end, took twice the processor time to ask.
CREATE TABLE IF NOT EXISTS links
(
    of_id FixedString(16) CODEC(ZSTD(1)),
    other_id FixedString(16) CODEC(ZSTD(1)),
    outward Bool CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(1)),
    at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    by_whom LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (of_id, other_id, outward, kind, evidence, at);

-- spans_to_links reads `link` events; one whose ends are not two identities of 32 hex digits joins nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_links TO links AS
SELECT
    end.1 AS of_id,
    end.2 AS other_id,
    end.3 AS outward,
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
)
ARRAY JOIN
    [(toFixedString(unhex(event.attrs['from']), 16), toFixedString(unhex(event.attrs['to']), 16), true),
     (toFixedString(unhex(event.attrs['to']), 16), toFixedString(unhex(event.attrs['from']), 16), false)] AS end;
