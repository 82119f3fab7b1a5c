-- keys_exactly: the transactions that know one of the numbers {values}, newest first.
SELECT
    key_value,
    min(key_name) AS name,
    origin,
    lower(hex(correlation_id)),
    toUnixTimestamp64Micro(min(first_seen)),
    toUnixTimestamp64Micro(max(last_seen)) AS last_us
FROM business_keys
WHERE key_value IN {values:Array(String)}
GROUP BY key_value, origin, correlation_id
ORDER BY last_us DESC, correlation_id
LIMIT {most:UInt32}
