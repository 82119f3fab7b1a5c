-- extent: the times of the oldest and the newest thing that happened, up to {now_us}; 0 when nothing did.
SELECT
    if(count() = 0, 0, toUnixTimestamp64Micro(min(occurred_at))),
    if(count() = 0, 0, toUnixTimestamp64Micro(max(occurred_at)))
FROM milestones
WHERE occurred_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
