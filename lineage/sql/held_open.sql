-- held_open: what is open of {watch} that began since {since_us}, whether due yet or not.
SELECT correlation_id, '' AS hop, entity, entity_id, '' AS stage, '' AS last_outcome, '' AS reason, 0 AS attempts,
    since_us, channel, location, owner, amount_minor, currency
FROM open_items
WHERE generation = {generation:UInt64} AND watch = {watch:String} AND since_us > {since_us:Int64}
