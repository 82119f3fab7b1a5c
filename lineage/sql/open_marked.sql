-- open_marked: how many transactions generation {generation} judges again, and how many it will.
SELECT countIf(watch = ''), countIf(watch = 'later')
FROM open_items
WHERE generation = {generation:UInt64} AND watch IN ('', 'later')
