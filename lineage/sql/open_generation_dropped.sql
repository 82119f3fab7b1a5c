-- open_generation_dropped: what a generation held goes, when newer ones have long been read.
ALTER TABLE open_items DROP PARTITION {generation:UInt64}
