-- applied_migrations lists what this database has already been given.
SELECT version, statement, digest
FROM schema_migrations
FINAL
