-- milestones says when each thing first and last reached each milestone, and how it stood at the last.
CREATE TABLE IF NOT EXISTS milestones
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    milestone LowCardinality(String) CODEC(ZSTD(1)),
    first_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    last_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta, ZSTD(1)),
    channel AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    location AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    provider AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    owner AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    amount_minor AggregateFunction(argMax, Int64, DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    currency AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    due_at AggregateFunction(argMax, DateTime64(6, 'UTC'), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    outcome AggregateFunction(argMax, LowCardinality(String), DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    INDEX by_first_at first_at TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, entity_id, correlation_id, milestone)
SETTINGS non_replicated_deduplication_window = 10000;

-- spans_to_milestones reads what a span achieved, and the further milestones in its `milestone` events.
CREATE MATERIALIZED VIEW IF NOT EXISTS spans_to_milestones TO milestones AS
SELECT
    reached.1 AS entity,
    reached.2 AS entity_id,
    correlation_id,
    reached.3 AS milestone,
    min(reached.4) AS first_at,
    max(reached.4) AS last_at,
    argMaxState(channel, reached.4) AS channel,
    argMaxState(location, reached.4) AS location,
    argMaxState(provider, reached.4) AS provider,
    argMaxState(owner, reached.4) AS owner,
    argMaxState(amount_minor, reached.4) AS amount_minor,
    argMaxState(currency, reached.4) AS currency,
    argMaxState(due_at, reached.4) AS due_at,
    argMaxState(outcome, reached.4) AS outcome
FROM
(
    SELECT correlation_id, channel, location, provider, owner, amount_minor, currency, due_at, outcome, reached
    FROM spans
    ARRAY JOIN arrayConcat(
        [(toString(entity), entity_id, toString(milestone), occurred_at)],
        arrayMap(event -> (event.attrs['entity'], event.attrs['entity_id'], event.attrs['milestone'],
                           if(isNull(toInt64OrNull(event.attrs['occurred_at'])), occurred_at,
                              fromUnixTimestamp64Micro(intDiv(toInt64OrZero(event.attrs['occurred_at']), 1000),
                                                       'UTC'))),
                 arrayFilter(event -> event.name = 'milestone', events))) AS reached
    WHERE outcome IN ('ok', 'compensated', 'replayed', 'parked', 'rejected', 'dead_letter')
        AND notEmpty(reached.1) AND notEmpty(reached.2) AND notEmpty(reached.3)
)
GROUP BY entity, entity_id, correlation_id, milestone;
