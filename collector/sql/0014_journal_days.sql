-- journal_days says since when the journal has something of a business day in a channel and currency, so that a day that
-- nobody reconciled is found without reading the journal.
CREATE TABLE IF NOT EXISTS journal_days
(
    business_date Date,
    channel LowCardinality(String),
    currency LowCardinality(String),
    since SimpleAggregateFunction(min, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (business_date, channel, currency);

CREATE MATERIALIZED VIEW IF NOT EXISTS journal_lines_to_journal_days TO journal_days AS
SELECT business_date, channel, currency, min(occurred_at) AS since
FROM journal_lines
WHERE kind != '' AND amount_minor != 0
GROUP BY business_date, channel, currency;

INSERT INTO journal_days
SELECT business_date, channel, currency, min(occurred_at)
FROM journal_lines
WHERE kind != '' AND amount_minor != 0
GROUP BY business_date, channel, currency;
