-- held_feed: orders that were captured at {channel} and {location} ('' = any) since {since_us}: sold by old figures.
SELECT correlation_id, '' AS hop, entity, entity_id, '' AS stage, outcome AS last_outcome, '' AS reason, 0 AS attempts,
    toUnixTimestamp64Micro(occurred_at) AS since_us, channel, location, owner, amount_minor, currency
FROM milestones
WHERE entity = 'order' AND milestone = 'captured'
    AND ({channel:String} = '' OR channel = {channel:String})
    AND ({location:String} = '' OR location = {location:String})
    AND occurred_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
LIMIT 1 BY correlation_id, entity_id
