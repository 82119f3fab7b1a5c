-- fresh_day_counts: fresh and stale minutes of each local day, by segment, in the shape of day_counts. A stretch that
-- begins before the window, or before its end, is cut there.
SELECT
    toInt64(toDate(fromUnixTimestamp64Micro(part.1 * 60000000, 'UTC'), {zone:String})) AS day,
    part.3 AS inside,
    channel,
    location,
    '',
    '',
    '',
    sum(least(greatest(begin_minute + fresh - part.1, 0), part.2 - part.1)) AS fresh_minutes,
    sum(part.2 - part.1) - fresh_minutes,
    0, 0, 0, 0, 0, 0, 0, 0, 0,
    max(life_us),
    min(part.1) * 60000000 - 1,
    0
FROM
(
/*fresh_stretches*/
)
ARRAY JOIN arrayFilter(
    part -> part.2 > part.1,
    [(begin_minute, least(begin_minute + counted, intDiv({since_us:Int64}, 60000000) + 1), 0),
     (greatest(begin_minute, intDiv({since_us:Int64}, 60000000) + 1),
      least(begin_minute + counted, intDiv({recent_us:Int64}, 60000000) + 1), 1),
     (greatest(begin_minute, intDiv({recent_us:Int64}, 60000000) + 1), begin_minute + counted, 2)]) AS part
GROUP BY day, inside, channel, location
ORDER BY day, inside
