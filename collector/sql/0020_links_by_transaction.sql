-- A transaction has links in one part of ten; without this index all ten are read.
ALTER TABLE links ADD INDEX IF NOT EXISTS by_transaction of_id TYPE bloom_filter(0.01) GRANULARITY 1;
