-- linked_page: the links of the next {most} transactions after {after} that are joined to {id} by {kind} ('' = any).
SELECT lower(hex(outward ? of_id : other_id)), lower(hex(outward ? other_id : of_id)), kind, evidence,
    toUnixTimestamp64Micro(at), by_whom, amount_minor, currency
FROM links
WHERE of_id = toFixedString(unhex({id:String}), 16)
    AND ({kind:String} = '' OR kind = {kind:String})
    AND ({after:String} = '' OR other_id > toFixedString(unhex({after:String}), 16))
    AND other_id != of_id
ORDER BY other_id, at, evidence
LIMIT 1 BY other_id, kind, evidence, at
LIMIT {most:UInt32}
