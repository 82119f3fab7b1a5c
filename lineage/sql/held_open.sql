-- held_open: the open items of a step that began since {since_us}, whether due yet or not.
SELECT correlation_id, '' AS hop, entity, entity_id, '' AS stage, verdict AS last_outcome, reason, 0 AS attempts,
    start_us AS since_us, channel, location, owner, amount_minor, currency
FROM
(
/*judged*/
)
WHERE end_us = 0 AND stop_us = 0 AND start_us > {since_us:Int64}
