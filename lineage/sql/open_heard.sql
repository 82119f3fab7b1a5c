-- open_heard: marks the transactions of which something was heard since the blocks of {prior}, or foretold until {now_us}.
INSERT INTO open_items (generation, watch, correlation_id)
SELECT DISTINCT {generation:UInt64}, '', correlation_id
FROM
(
    SELECT correlation_id FROM milestones WHERE _block_number > {milestones_block:UInt64}
    UNION ALL
    SELECT correlation_id FROM corrections WHERE _block_number > {corrections_block:UInt64}
    UNION ALL
    SELECT correlation_id FROM open_items WHERE generation = {prior:UInt64} AND watch = 'later' AND since_us <= {now_us:Int64}
)
