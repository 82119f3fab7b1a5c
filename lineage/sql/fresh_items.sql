-- fresh_items: the stretches with stale minutes since {since_us}, newest first.
SELECT channel, location, feed, begin_minute, counted, fresh, lag_us, limit_us, life_us
FROM
(
/*fresh_stretches*/
)
WHERE fresh < counted
    AND begin_minute * 60000000 > {since_us:Int64}
    AND
/*items_of_place*/
ORDER BY begin_minute DESC, channel, location, feed
LIMIT {most:UInt32}
