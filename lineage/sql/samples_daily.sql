-- samples_daily: the newest measurement by {known_us} for each midnight since {since_us}, of every segment or the whole.
SELECT
    sla,
    channel,
    location,
    provider,
    kind,
    toUnixTimestamp64Micro(toDateTime64(as_of, 6, 'UTC')) AS as_of_us,
    toUnixTimestamp64Micro(toDateTime64(window_start, 6, 'UTC')),
    toUnixTimestamp64Micro(toDateTime64(window_end, 6, 'UTC')),
    good,
    bad,
    pending,
    excused,
    overdue_open,
    target_ppm,
    state,
    toUnixTimestamp64Micro(watermark),
    definition,
    toUnixTimestamp64Micro(toDateTime64(measured_at, 6, 'UTC')),
    details
FROM sli_samples
WHERE sla IN {slas:Array(String)}
    AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND as_of <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND daily
    AND measured_at <= fromUnixTimestamp64Micro({known_us:Int64}, 'UTC')
    AND (NOT {whole_only:UInt8} OR (channel = '' AND location = '' AND provider = '' AND kind = ''))
ORDER BY sla, channel, location, provider, kind, as_of, measured_at DESC
LIMIT 1 BY sla, channel, location, provider, kind, as_of
