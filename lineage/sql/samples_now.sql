-- samples_now: the newest measurement of every segment of the promises {slas}, among those as of {since_us} or later.
SELECT
    sla,
    channel,
    location,
    provider,
    kind,
    toUnixTimestamp64Micro(toDateTime64(as_of, 6, 'UTC')),
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
WHERE sla IN {slas:Array(String)} AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
ORDER BY measured_at DESC, as_of DESC
LIMIT 1 BY sla, channel, location, provider, kind
