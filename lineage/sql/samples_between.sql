-- samples_between: the newest measurement in every {step_us} from {since_us} to {until_us}, at most {most}, newest first.
/*samples*/
WHERE sla = {sla:String}
    AND as_of >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND as_of <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND kind = ''
    AND brand = ''
    AND (location = '' OR {located:UInt8})
ORDER BY as_of_us DESC, channel, location, provider, measured_at DESC
LIMIT 1 BY intDiv(as_of_us, {step_us:Int64}), channel, location, provider
LIMIT {most:UInt32}
