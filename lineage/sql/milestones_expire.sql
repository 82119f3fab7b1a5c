-- milestones_expire: whether they are stored for a time only.
SELECT count()
FROM system.tables
WHERE database = currentDatabase() AND name = 'milestones' AND create_table_query LIKE '% TTL %'
