-- promise_partitions: what holds a generation or a build each.
SELECT DISTINCT table, toUInt64(partition)
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('promise_days', 'promise_changes', 'promise_milestones')
