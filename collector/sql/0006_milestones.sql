-- milestones holds each time a thing reached a milestone; readers take the first and the last of (entity, entity_id,
-- correlation_id, milestone), and with argMax by occurred_at how it stood. One plain row for each time, because states
-- of argMax took ten times the work at insertion and twice the room; sent again, a row replaces itself, but what was
-- parked never what went on at the same instant.
-- Those of a transaction stand together and are read alone; the numbers of blocks say what came since they were last read.
CREATE TABLE IF NOT EXISTS milestones
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    milestone LowCardinality(String) CODEC(ZSTD(1)),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    channel LowCardinality(String) CODEC(ZSTD(1)),
    location LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    owner LowCardinality(String) CODEC(ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency LowCardinality(String) CODEC(ZSTD(1)),
    due_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    severity LowCardinality(String) CODEC(ZSTD(1)),
    quantity Int64 CODEC(T64, ZSTD(1)),
    ingested_on Date DEFAULT today() CODEC(ZSTD(1)),
    went_on UInt8 DEFAULT outcome != 'parked' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(went_on)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (entity, correlation_id, entity_id, milestone, occurred_at)
-- To merge a million of these narrow rows column by column costs 5 s of processor time, row by row 2.
SETTINGS index_granularity = 1024, enable_block_number_column = 1, enable_vertical_merge_algorithm = 0,
         merge_selector_base = 10;

-- spans_to_milestones reads what a span achieved, and the further milestones in its `milestone` events; an attempt that
-- failed achieved nothing, but may tell of milestones. Postings have the kind of document that their ID begins with.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_milestones TO milestones AS
SELECT
    reached.1 AS entity,
    reached.2 AS entity_id,
    correlation_id,
    reached.3 AS milestone,
    reached.4 AS occurred_at,
    channel,
    location,
    provider,
    owner,
    amount_minor,
    currency,
    due_at,
    outcome,
    reached.5 AS kind,
    severity,
    reached.6 AS quantity
FROM
(
    SELECT
        correlation_id, channel, location, provider, owner, amount_minor, currency, due_at, outcome, reached,
        attrs['retail.severity'] AS severity,
        multiIf(attrs['retail.kind'] != '', attrs['retail.kind'],
                entity = 'posting', splitByChar('/', entity_id)[1], '') AS told_kind
    FROM spans
    ARRAY JOIN arrayConcat(
        outcome IN ('ok', 'compensated', 'replayed', 'parked', 'rejected', 'dead_letter')
            ? [(toString(entity), entity_id, toString(milestone), occurred_at, told_kind, quantity)] : [],
        arrayMap(event -> (event.attrs['entity'], event.attrs['entity_id'], event.attrs['milestone'],
                           if(isNull(toInt64OrNull(event.attrs['occurred_at'])), occurred_at,
                              fromUnixTimestamp64Micro(intDiv(toInt64OrZero(event.attrs['occurred_at']), 1000),
                                                       'UTC')),
                           if(event.attrs['kind'] = '', told_kind, event.attrs['kind']),
                           ifNull(toInt64OrNull(event.attrs['quantity']), quantity)),
                 arrayFilter(event -> event.name = 'milestone', events))) AS reached
    WHERE notEmpty(reached.1) AND notEmpty(reached.2) AND notEmpty(reached.3)
);
