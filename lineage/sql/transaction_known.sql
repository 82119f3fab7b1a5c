-- transaction_known: whether the transaction {id} has spans, and since when.
SELECT
    lower(hex(correlation_id)) AS key_value,
    'correlation_id' AS name,
    max(origin),
    key_value,
    toUnixTimestamp64Micro(min(occurred_at)),
    toUnixTimestamp64Micro(max(occurred_at))
FROM spans
WHERE correlation_id = toFixedString(unhex({id:String}), 16)
GROUP BY correlation_id
