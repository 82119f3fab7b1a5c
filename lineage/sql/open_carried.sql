-- open_carried: what stood open or was foretold in generation {prior}, of transactions of which nothing was heard since.
INSERT INTO open_items
SELECT {generation:UInt64}, * EXCEPT (generation)
FROM open_items
WHERE generation = {prior:UInt64} AND watch != ''
    AND correlation_id NOT IN (
        SELECT correlation_id FROM open_items WHERE generation = {generation:UInt64} AND watch = '')
