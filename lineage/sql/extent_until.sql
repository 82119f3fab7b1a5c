-- extent_until: the time of the newest thing that happened from {from_us} to {now_us}; 0 when nothing did.
SELECT if(count() = 0, 0, toUnixTimestamp64Micro(max(occurred_at)))
FROM milestones
WHERE occurred_at >= fromUnixTimestamp64Micro({from_us:Int64}, 'UTC')
    AND occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
