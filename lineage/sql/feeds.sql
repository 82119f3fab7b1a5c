-- feeds: how far each feed is up to {now_us}: its source, what we published, and when it was last heard of.
SELECT toString(channel), toString(location), toString(feed), toUnixTimestamp64Micro(max(source_at)),
    toUnixTimestamp64Micro(max(published_at)), toUnixTimestamp(max(minute)) * 1000000
FROM stock_freshness
WHERE minute <= toDateTime(intDiv({now_us:Int64}, 1000000), 'UTC')
GROUP BY channel, location, feed
ORDER BY channel, location, feed
LIMIT 5000
