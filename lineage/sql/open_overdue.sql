-- open_overdue: what is past its deadline, of the watches asked for; the longest due first.
SELECT watch, entity, entity_id, lower(hex(correlation_id)), since_us, due_us, channel, location, provider, owner,
    amount_minor, currency
FROM open_items
WHERE generation = {generation:UInt64} AND watch IN {watches:Array(String)} AND due_us < {now_us:Int64}
ORDER BY due_us, entity, entity_id
LIMIT {most:UInt32}
