-- samples_daily: the newest measurement for each midnight since {since_us}, of every segment or only of the whole.
SELECT
    sla,
    channel,
    location,
    provider,
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
    AND toUnixTimestamp64Milli(as_of) % 86400000 = 0
    AND (NOT {whole_only:UInt8} OR (channel = '' AND location = '' AND provider = ''))
ORDER BY sla, channel, location, provider, as_of, measured_at DESC
LIMIT 1 BY sla, channel, location, provider, as_of
