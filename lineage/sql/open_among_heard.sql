-- open_among_heard: of the transactions that generation {generation} judges again.
AND correlation_id IN (SELECT correlation_id FROM open_items WHERE generation = {generation:UInt64} AND watch = '')
