-- extent: the times of the oldest and the newest thing that happened, 0 when nothing did: known without reading a row.
SELECT
    if(count() = 0, 0, toUnixTimestamp64Micro(min(occurred_at))),
    if(count() = 0, 0, toUnixTimestamp64Micro(max(occurred_at)))
FROM milestones
