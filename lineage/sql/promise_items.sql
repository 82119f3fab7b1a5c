-- promise_items: items of {build} decided since {since_us} or still open: overdue first, then bad, then pending. Only
-- those are added up of which something was taken out and is not merged yet: to add up a million takes half a second.
WITH changed AS
(
    SELECT correlation_id
    FROM promise_items
    WHERE build = {build:UInt64} AND (open OR decided_us > {since_us:Int64}) AND copies < 0
)
SELECT
    entity,
    entity_id,
    if(correlation_id = toFixedString('', 16), '', lower(hex(correlation_id))),
    verdict,
    open AND verdict = 'bad' AS overdue,
    decided_us - lasted_us,
    decided_us - lasted_us + given_us AS due,
    finished ? decided_us + finish_after_us : 0,
    verdict = 'pending' ? 0 : decided_us,
    channel,
    location,
    provider,
    kind,
    owner,
    amount_minor,
    currency,
    '' AS reason,
    weight
FROM
(
    SELECT * EXCEPT (copies)
    FROM promise_items
    WHERE build = {build:UInt64}
        AND (open OR decided_us > {since_us:Int64})
        AND correlation_id NOT IN changed
    UNION ALL
    SELECT * EXCEPT (copies)
    FROM promise_items
    WHERE build = {build:UInt64}
        AND (open OR decided_us > {since_us:Int64})
        AND correlation_id IN changed
    GROUP BY
        build, correlation_id, entity, entity_id, verdict, open, spoiled, finished, over, decided_us, lasted_us,
        given_us, finish_after_us, closed_after_us, channel, location, provider, kind, owner, amount_minor, currency,
        weight
    HAVING sum(copies) > 0
)
WHERE entity_id != ''
    AND (empty({verdicts:Array(String)})
        OR verdict IN {verdicts:Array(String)}
        OR (open AND verdict = 'bad' AND has({verdicts:Array(String)}, 'overdue')))
    AND
/*items_of_place*/
    AND ({provider:String} = '' OR provider = {provider:String})
    AND ({kind:String} = '' OR kind = {kind:String})
ORDER BY overdue DESC, indexOf(['bad', 'pending', 'refused', 'excused', 'good'], verdict), due, entity_id
LIMIT {most:UInt32}
