-- links_of: every link that ends at one of {ids}, and with {outward} every link that leaves one of them.
SELECT of_id, other_id, outward, kind, evidence, toUnixTimestamp64Micro(at) AS at_us, by_whom, amount_minor, currency
FROM links
WHERE of_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16)) AND outward <= {outward:UInt8}
ORDER BY at_us, of_id, other_id, outward, kind, evidence
LIMIT 1 BY of_id, other_id, outward, kind, evidence, at_us
LIMIT {most:UInt32}
