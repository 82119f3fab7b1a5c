-- promise_taken: what generation {generation} changes stands among the items.
INSERT INTO promise_items
SELECT * EXCEPT (generation)
FROM promise_changes
WHERE generation = {generation:UInt64}
SETTINGS max_partitions_per_insert_block = 0
