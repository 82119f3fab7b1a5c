-- created_tables has the statement that would create each table as it is now.
SELECT name, create_table_query
FROM system.tables
WHERE database = currentDatabase()
