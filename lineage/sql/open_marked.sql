-- open_marked: how many transactions generation {generation} judges again, and the first moment foretold to it.
SELECT countIf(watch = ''), minIf(since_us, watch = 'later')
FROM open_items
WHERE generation = {generation:UInt64} AND watch IN ('', 'later')
