-- promise_heard: marks the transactions of which something was heard since the blocks read last, whose hour came since
-- {prior_us}, or of whose open items in {builds} a deadline has passed by {now_us}.
INSERT INTO promise_milestones (generation, correlation_id)
SELECT DISTINCT {generation:UInt64}, correlation_id
FROM
(
    SELECT correlation_id FROM milestones
    WHERE toUInt64(splitByChar('_', _part)[3]) > {milestones_block:UInt64}
        AND _block_number > {milestones_block:UInt64}
    UNION ALL
    SELECT correlation_id FROM corrections
    WHERE toUInt64(splitByChar('_', _part)[3]) > {corrections_block:UInt64}
        AND _block_number > {corrections_block:UInt64}
    UNION ALL
    SELECT correlation_id FROM milestones
    WHERE occurred_at > fromUnixTimestamp64Micro({prior_us:Int64}, 'UTC')
        AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    UNION ALL
    SELECT correlation_id FROM promise_items
    WHERE build IN {builds:Array(UInt64)} AND open AND verdict = 'pending' AND due_us <= {now_us:Int64}
    GROUP BY build, correlation_id, entity, entity_id, decided_us, lasted_us, given_us, weight, amount_minor, currency
    HAVING sum(copies) > 0
)
