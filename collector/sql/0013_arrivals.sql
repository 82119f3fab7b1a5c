-- arrivals says of each kind of fact how many rows ever came and when the newest of it happened, so that a reader knows
-- without looking at them whether anything is new. Rows sent again are counted again.
CREATE TABLE IF NOT EXISTS arrivals
(
    fact LowCardinality(String),
    arrived SimpleAggregateFunction(sum, UInt64),
    newest_at SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY fact;

CREATE MATERIALIZED VIEW IF NOT EXISTS milestones_to_arrivals TO arrivals AS
SELECT concat(entity, '.', milestone) AS fact, count() AS arrived, max(occurred_at) AS newest_at
FROM milestones
GROUP BY fact;

CREATE MATERIALIZED VIEW IF NOT EXISTS corrections_to_arrivals TO arrivals AS
SELECT 'corrections' AS fact, count() AS arrived, max(occurred_at) AS newest_at
FROM corrections
GROUP BY fact;

CREATE MATERIALIZED VIEW IF NOT EXISTS stock_marks_to_arrivals TO arrivals AS
SELECT 'stock_marks' AS fact, count() AS arrived, max(greatest(at, source_at)) AS newest_at
FROM stock_marks
GROUP BY fact;

CREATE MATERIALIZED VIEW IF NOT EXISTS journal_lines_to_arrivals TO arrivals AS
SELECT 'journal_lines' AS fact, count() AS arrived, max(occurred_at) AS newest_at
FROM journal_lines
GROUP BY fact;

CREATE MATERIALIZED VIEW IF NOT EXISTS recon_items_to_arrivals TO arrivals AS
SELECT 'recon_items' AS fact, count() AS arrived, max(reconciled_at) AS newest_at
FROM recon_items
GROUP BY fact;
