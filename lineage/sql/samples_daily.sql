-- samples_daily: the newest measurement by {known_us} for each midnight since {since_us}, of every segment or of one
-- place, within {brand} as {mark} has it ('' for all) or of every brand too.
/*samples*/
WHERE sla IN {slas:Array(String)}
    AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND as_of <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND daily
    AND measured_at <= fromUnixTimestamp64Micro({known_us:Int64}, 'UTC')
    AND ({every:UInt8}
        OR (channel = {channel:String} AND location = {location:String} AND provider = '' AND kind = ''))
    AND ({every_brand:UInt8} OR (brand = {brand:String} AND endsWith(definition, {mark:String})))
ORDER BY sla, channel, location, provider, kind, as_of, measured_at DESC
LIMIT 1 BY sla, channel, location, provider, kind, as_of, brand
