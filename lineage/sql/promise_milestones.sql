-- promise_milestones: copies what the marked transactions {first_id} to {last_id} reached by {now_us}.
INSERT INTO promise_milestones
SELECT
    {generation:UInt64}, entity, entity_id, correlation_id, milestone, occurred_at, channel, location, provider, owner,
    amount_minor, currency, due_at, kind, severity, quantity, went_on
FROM milestones
WHERE entity IN {entities:Array(String)}
    AND correlation_id >= toFixedString(unhex({first_id:String}), 16)
    AND correlation_id <= toFixedString(unhex({last_id:String}), 16)
    /*which*/
    AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
    AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
        SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
