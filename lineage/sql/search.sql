-- search: transactions with something in the time asked for, of which some span meets each criterion; newest first.
SELECT lower(hex(correlation_id)), toUnixTimestamp64Micro(max(occurred_at)) AS last_us
FROM spans
WHERE correlation_id != toFixedString('', 16)
    AND start_time > fromUnixTimestamp64Micro({since_us:Int64} - 86400000000, 'UTC')
    AND occurred_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND occurred_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND (/*any*/)
GROUP BY correlation_id
HAVING (last_us, lower(hex(correlation_id))) < ({before_us:Int64}, {before_id:String})
    AND /*each*/
ORDER BY last_us DESC, correlation_id DESC
LIMIT {most:UInt32}
