-- hop_minutes: runs of business hops since {since_us} by slices of {slice_s} seconds, and those of them that failed.
SELECT
    toStartOfInterval(ended_at, toIntervalSecond({slice_s:UInt32})) AS slice, toInt64(count()),
    toInt64(countIf(outcome IN ('failed', 'rejected', 'dead_letter')))
FROM hop_runs FINAL
WHERE ended_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AND ended_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
GROUP BY slice
ORDER BY slice
