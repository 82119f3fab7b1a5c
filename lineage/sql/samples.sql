-- samples: measurements as they are read back, in the order of SampleRow.
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
    details,
    brand
FROM sli_samples
