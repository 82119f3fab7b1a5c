-- open_disorder: transactions in which something came without, or before, what it needs, since when; the oldest first.
SELECT lower(hex(correlation_id)), min(since_us) AS first_us
FROM open_items
WHERE generation = {generation:UInt64} AND watch IN {watches:Array(String)}
    AND since_us > {since_us:Int64} AND since_us <= {now_us:Int64}
GROUP BY correlation_id
ORDER BY first_us, correlation_id
LIMIT {most:UInt32}
