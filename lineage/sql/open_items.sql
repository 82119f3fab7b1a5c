-- open_items: what has begun and not ended in the transactions {first_id} to {last_id}, by watch. A role is 0 for a start,
-- 1 for an end under an ID with a prefix, 2 for an end on any object, 3 for an end of the same object. Where a watch is
-- for order, an end that came late is as none.
SELECT
    watch_no,
    lower(hex(correlation_id)),
    item.1,
    item.2,
    item.4.1, item.4.2, item.4.3, item.4.4, item.4.5, item.4.6, item.4.7
FROM
(
    SELECT
        correlation_id,
        watch_no,
        groupArrayIf((object_id, since_us, end_us, stood), started) AS items,
        minIf(end_us, anywhere) AS anywhere_us
    FROM
    (
        SELECT
            correlation_id,
            role.1 AS watch_no,
            multiIf(role.2 = 2, '', role.2 = 1, substring(entity_id, length({prefixes:Array(String)}[watch_no]) + 1),
                    entity_id) AS object_id,
            max(role.2 = 0) AS started,
            max(role.2 = 2) AS anywhere,
            toUnixTimestamp64Micro(minIf(occurred_at, role.2 = 0)) AS since_us,
            toUnixTimestamp64Micro(minIf(occurred_at, role.2 != 0)) AS end_us,
            argMaxIf((toUnixTimestamp64Micro(due_at), channel, location, provider, owner, amount_minor, currency,
                      went_on), toUnixTimestamp64Micro(occurred_at) * 2 + went_on, role.2 = 0) AS stood
        FROM milestones
        ARRAY JOIN {roles:Array(Array(Tuple(UInt16, UInt8)))}[indexOf({reached:Array(String)},
                                                                       concat(entity, '.', milestone))] AS role
        WHERE entity IN {entities:Array(String)}
            AND correlation_id >= toFixedString(unhex({first_id:String}), 16)
            AND correlation_id <= toFixedString(unhex({last_id:String}), 16)
            /*which*/
            AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
            AND (entity, entity_id, correlation_id, milestone, occurred_at) NOT IN (
                SELECT entity, entity_id, correlation_id, milestone, occurred_at FROM corrections)
            AND (role.2 != 1 OR startsWith(entity_id, {prefixes:Array(String)}[role.1]))
            AND (role.2 != 0 OR (
                startsWith(entity_id, {start_prefixes:Array(String)}[role.1])
                AND NOT arrayExists(prefix -> startsWith(entity_id, prefix),
                                    {left_to_others:Array(Array(String))}[role.1])))
        GROUP BY correlation_id, watch_no, object_id
        HAVING anywhere OR (started AND (end_us = 0 OR {for_order:Array(UInt8)}[watch_no]))
    )
    GROUP BY correlation_id, watch_no
)
ARRAY JOIN items AS item
WHERE ({parked_too:Array(UInt8)}[watch_no] OR item.4.8)
    AND ((arrayMin(arrayFilter(at -> at != 0, [item.3, anywhere_us])) AS ended_us) = 0
         OR ({for_order:Array(UInt8)}[watch_no] AND ended_us > item.2 + {differ_us:Int64}))
