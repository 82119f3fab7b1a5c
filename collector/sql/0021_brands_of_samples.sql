-- The brand that a measurement is of; of each brand the definition has a mark of its own, so that the key tells them apart.
ALTER TABLE sli_samples ADD COLUMN IF NOT EXISTS brand LowCardinality(String) CODEC(ZSTD(1));
