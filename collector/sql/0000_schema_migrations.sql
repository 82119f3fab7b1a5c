-- schema_migrations remembers each applied statement, so that a migration killed between two goes on where it was.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    statement UInt32,
    name String,
    digest String,
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (version, statement);
