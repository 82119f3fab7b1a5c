-- fresh_day_counts: fresh and stale minutes of each day, by segment, in the shape of day_counts.
SELECT
    intDiv(begin_minute, 1440) AS day,
    begin_minute * 60000000 > {since_us:Int64} AS inside,
    channel,
    location,
    '',
    '',
    sum(fresh),
    sum(counted - fresh),
    0, 0, 0, 0, 0, 0, 0, 0, 0,
    max(life_us)
FROM
(
/*fresh_stretches*/
)
GROUP BY day, inside, channel, location
ORDER BY day, inside
