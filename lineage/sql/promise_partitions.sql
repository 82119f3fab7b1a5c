-- promise_partitions: the parts of tables that hold a generation or a build each.
SELECT DISTINCT table, partition, toUInt64(extract(partition, '[0-9]+'))
FROM system.parts
WHERE active AND database = currentDatabase()
    AND table IN ('promise_items', 'promise_days', 'promise_changes', 'promise_milestones')
