-- journal_lines holds the lines of our double entry as the posting hops told them; debits are positive.
CREATE TABLE IF NOT EXISTS journal_lines
(
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    journal_id String CODEC(ZSTD(1)),
    line_no UInt16 CODEC(ZSTD(1)),
    account LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    functional_minor Int64 CODEC(T64, ZSTD(1)),
    functional_currency LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    quantity Int64 CODEC(T64, ZSTD(1)),
    line_count UInt32 CODEC(T64, ZSTD(1)),
    source LowCardinality(String) CODEC(ZSTD(1)),
    business_date Date CODEC(Delta, ZSTD(1)),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (correlation_id, journal_id, line_no);

-- spans_to_journal_lines reads `journal.line` events; a line without a source of its own has that of its span.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_journal_lines TO journal_lines AS
SELECT
    correlation_id,
    keys['journal_id'] AS journal_id,
    toUInt16OrZero(line.attrs['line_no']) AS line_no,
    line.attrs['account'] AS account,
    toInt64OrZero(line.attrs['amount_minor']) AS amount_minor,
    line.attrs['currency'] AS currency,
    toInt64OrZero(line.attrs['functional_minor']) AS functional_minor,
    line.attrs['functional_currency'] AS functional_currency,
    line.attrs['kind'] AS kind,
    toInt64OrZero(line.attrs['quantity']) AS quantity,
    toUInt32OrZero(line.attrs['line_count']) AS line_count,
    if(empty(line.attrs['source']), source, line.attrs['source']) AS source,
    business_date,
    occurred_at,
    channel,
    location,
    span_id
FROM
(
    SELECT correlation_id, keys, line, source, business_date, occurred_at, channel, location, span_id
    FROM spans
    ARRAY JOIN arrayFilter(event -> event.name = 'journal.line', events) AS line
);
