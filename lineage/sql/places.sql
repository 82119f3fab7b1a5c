-- places: the channels within {brand} as {mark} has it, '' for all, and the locations of each, that the promises {slas}
-- were measured of since {since_us}.
SELECT DISTINCT channel, location
FROM sli_samples
WHERE sla IN {slas:Array(String)} AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND channel != '' AND provider = '' AND kind = ''
    AND brand = {brand:String} AND endsWith(definition, {mark:String})
ORDER BY channel, location
