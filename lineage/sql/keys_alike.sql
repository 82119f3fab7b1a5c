-- keys_alike: numbers that begin with {typed}, or that share {stem} with it and differ in at most two characters.
SELECT
    key_value,
    min(key_name) AS name,
    origin,
    lower(hex(correlation_id)),
    toUnixTimestamp64Micro(min(first_seen)),
    toUnixTimestamp64Micro(max(last_seen)) AS last_us
FROM business_keys
WHERE startsWith(key_value, {stem:String})
    AND (startsWith(key_value, {typed:String})
        OR (length(key_value) <= length({typed:String}) + 2 AND editDistance(key_value, {typed:String}) <= 2))
GROUP BY key_value, origin, correlation_id
ORDER BY NOT startsWith(key_value, {typed:String}), length(key_value), key_value
LIMIT {most:UInt32}
