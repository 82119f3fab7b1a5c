-- The mark of the brands that the midnights of a promise have been measured of; '' for none.
ALTER TABLE promise_builds ADD COLUMN IF NOT EXISTS brands String CODEC(ZSTD(1));
