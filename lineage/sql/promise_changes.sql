-- promise_changes: by how many copies the items of the transactions judged again differ from what stands in {build}.
INSERT INTO promise_changes
SELECT
    {generation:UInt64}, {build:UInt64},
    correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us, given_us,
    finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency, weight,
    sum(copies) AS net
FROM
(
    SELECT
        correlation_id, entity, entity_id, toString(verdict) AS verdict,
        toUInt8(verdict = 'pending' OR overdue) AS open,
        toUInt8(spoiled) AS spoiled,
        toUInt8(end_us != 0) AS finished,
        toUInt8(closed_us != 0) AS over,
        decided_us,
        decided_us - start_us AS lasted_us,
        due_us - start_us AS given_us,
        finished ? finish_us - decided_us : 0 AS finish_after_us,
        over ? closed_us - decided_us : 0 AS closed_after_us,
        channel, location, provider, kind, owner, amount_minor, currency, toInt64(weight) AS weight,
        toInt64(1) AS copies
    FROM
    (
/*judged*/
    )
    UNION ALL
    SELECT
        correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us, given_us,
        finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency, weight,
        -copies
    FROM promise_items
    WHERE build = {build:UInt64} AND entity_id != '' AND correlation_id IN (
        SELECT correlation_id FROM promise_milestones WHERE generation = {marks:UInt64} AND entity = ''
            AND correlation_id >= toFixedString(unhex({first_id:String}), 16)
            AND correlation_id <= toFixedString(unhex({last_id:String}), 16))
)
GROUP BY
    correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us, given_us,
    finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency, weight
HAVING net != 0
