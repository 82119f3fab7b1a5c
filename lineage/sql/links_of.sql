-- links_of: every link that has one of the transactions {ids} at either end.
SELECT lower(hex(from_id)), lower(hex(to_id)), kind, evidence, toUnixTimestamp64Micro(at), by_whom
FROM
(
    SELECT from_id, to_id, kind, evidence, at, by_whom
    FROM links
    WHERE from_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
    UNION ALL
    SELECT from_id, to_id, kind, evidence, at, by_whom
    FROM links_by_target
    WHERE to_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
)
ORDER BY at, from_id, to_id, kind
LIMIT 1 BY from_id, to_id, kind
LIMIT {most:UInt32}
