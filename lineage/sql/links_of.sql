-- links_of: of each of {ids} the first {each} links that end there, with {outward} also of those that leave it.
SELECT of_id, other_id, outward, kind, evidence, toUnixTimestamp64Micro(at), by_whom, amount_minor, currency
FROM links
PREWHERE of_id /*is_one*/ AND outward <= {outward:UInt8}
ORDER BY of_id, other_id
LIMIT {each:UInt32} BY of_id
