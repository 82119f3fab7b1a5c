-- links_of: every link that leaves one of {ids}, and every link that ends at one of {ids} or of {ends_only}.
SELECT lower(hex(from_id)), lower(hex(to_id)), kind, evidence, toUnixTimestamp64Micro(at), by_whom, amount_minor,
    currency
FROM
(
    SELECT from_id, to_id, kind, evidence, at, by_whom, amount_minor, currency
    FROM links
    WHERE from_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))
    UNION ALL
    SELECT from_id, to_id, kind, evidence, at, by_whom, amount_minor, currency
    FROM links_by_target
    WHERE to_id IN (SELECT toFixedString(unhex(arrayJoin(
        arrayConcat({ids:Array(String)}, {ends_only:Array(String)}))), 16))
)
ORDER BY at, from_id, to_id, kind, evidence
LIMIT 1 BY from_id, to_id, kind, evidence, at
LIMIT {most:UInt32}
