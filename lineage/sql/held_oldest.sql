-- held_oldest: the {most} objects that are held up longest.
SELECT lower(hex(correlation_id)), hop, entity, entity_id, stage, last_outcome, reason, attempts, since_us, channel,
    location, owner, amount_minor, currency
FROM
(
/*held*/
)
ORDER BY since_us, entity_id
LIMIT {most:UInt32}
