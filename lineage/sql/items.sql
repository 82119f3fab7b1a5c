-- items: judged items decided since {since_us} or still open: overdue first, then bad, then pending.
SELECT
    entity,
    entity_id,
    if(correlation_id = toFixedString('', 16), '', lower(hex(correlation_id))),
    verdict,
    overdue,
    start_us,
    due_us,
    end_us != 0 ? finish_us : 0,
    verdict = 'pending' ? 0 : decided_us,
    channel,
    location,
    provider,
    kind,
    owner,
    amount_minor,
    currency,
    reason,
    weight
FROM
(
/*judged*/
)
WHERE (overdue OR verdict = 'pending' OR decided_us > {since_us:Int64})
    AND (empty({verdicts:Array(String)})
        OR verdict IN {verdicts:Array(String)}
        OR (overdue AND has({verdicts:Array(String)}, 'overdue')))
    AND
/*items_of_place*/
    AND ({provider:String} = '' OR provider = {provider:String})
    AND ({kind:String} = '' OR kind = {kind:String})
ORDER BY overdue DESC, indexOf(['bad', 'pending', 'refused', 'excused', 'good'], verdict), due_us, entity_id
LIMIT {most:UInt32}
