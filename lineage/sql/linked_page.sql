-- linked_page: the links of the next {most} transactions after {after} that are joined to {id} by {kind} ('' = any).
SELECT lower(hex(from_id)), lower(hex(to_id)), kind, evidence, toUnixTimestamp64Micro(at), by_whom, amount_minor,
    currency
FROM
(
    SELECT from_id, to_id, kind, evidence, at, by_whom, amount_minor, currency, to_id AS other
    FROM links
    WHERE from_id = toFixedString(unhex({id:String}), 16)
    UNION ALL
    SELECT from_id, to_id, kind, evidence, at, by_whom, amount_minor, currency, from_id AS other
    FROM links_by_target
    WHERE to_id = toFixedString(unhex({id:String}), 16)
)
WHERE ({kind:String} = '' OR kind = {kind:String})
    AND ({after:String} = '' OR other > toFixedString(unhex({after:String}), 16))
    AND other != toFixedString(unhex({id:String}), 16)
ORDER BY other, at, evidence
LIMIT 1 BY other, kind, evidence, at
LIMIT {most:UInt32}
