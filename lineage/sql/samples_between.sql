-- samples_between: the newest measurement in every {step_us} from {since_us} to {until_us}, at most {most}, newest first.
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
WHERE sla = {sla:String}
    AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND as_of <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND kind = ''
    AND (location = '' OR {located:UInt8})
ORDER BY as_of_us DESC, channel, location, provider, measured_at DESC
LIMIT 1 BY intDiv(as_of_us, {step_us:Int64}), channel, location, provider
LIMIT {most:UInt32}
