-- samples_counted: for each of {instants_us}, what of every segment of the promise had been decided since the first data.
SELECT
    channel,
    location,
    provider,
    instant_us,
    argMax(all_good, (as_of, measured_at)),
    argMax(all_bad, (as_of, measured_at))
FROM
(
    SELECT
        channel,
        location,
        provider,
        as_of,
        measured_at,
        JSONExtractUInt(details, 'all_good') AS all_good,
        JSONExtractUInt(details, 'all_bad') AS all_bad,
        arrayJoin(arrayFilter(
            instant -> as_of_us <= instant AND as_of_us > instant - {within_us:Int64},
            {instants_us:Array(Int64)})) AS instant_us,
        toUnixTimestamp64Micro(toDateTime64(as_of, 6, 'UTC')) AS as_of_us
    FROM sli_samples
    WHERE sla = {sla:String} AND kind = '' AND brand = '' AND as_of > fromUnixTimestamp64Micro({oldest_us:Int64}, 'UTC')
)
GROUP BY channel, location, provider, instant_us
