-- fresh_day_counts: fresh and stale minutes of each local day, by segment, in the shape of day_counts.
SELECT
    toInt64(toDate(fromUnixTimestamp64Micro(begin_minute * 60000000, 'UTC'), {zone:String})) AS day,
    (begin_minute * 60000000 > {since_us:Int64}) + (begin_minute * 60000000 > {recent_us:Int64}) AS inside,
    channel,
    location,
    '',
    '',
    '',
    sum(fresh),
    sum(counted - fresh),
    0, 0, 0, 0, 0, 0, 0, 0, 0,
    max(life_us),
    min(begin_minute) * 60000000 - 1,
    0
FROM
(
/*fresh_stretches*/
)
GROUP BY day, inside, channel, location
ORDER BY day, inside
