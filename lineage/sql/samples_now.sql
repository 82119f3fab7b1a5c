-- samples_now: the newest measurement of every segment of the promises {slas} within {brand} as {mark} has it, '' for all,
-- among those as of {since_us} or later.
/*samples*/
WHERE sla IN {slas:Array(String)} AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND brand = {brand:String} AND endsWith(definition, {mark:String})
ORDER BY measured_at DESC, as_of DESC
LIMIT 1 BY sla, channel, location, provider, kind
