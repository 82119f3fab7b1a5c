-- recon_entries: what the differences of the last run until {as_of_us} over each day are made of, the unexplained first.
SELECT
    toString(level), business_date, toString(channel), toString(provider), toString(location), toString(kind),
    toString(legal_entity), toString(currency), run, lower(hex(correlation_id)), origin, toString(entity), entity_id,
    left_minor, right_minor, toString(why), toString(cause), amount_minor
FROM recon_entries FINAL
/*recon_last_run*/
  AND ({channel:String} = '' OR channel = {channel:String})
  AND ({provider:String} = '' OR provider = {provider:String})
  AND ({currency:String} = '' OR currency = {currency:String})
  AND ({kind:String} = '' OR kind = {kind:String})
  AND ({why:String} = '' OR why = {why:String})
ORDER BY why = 'unexplained' DESC, business_date DESC, level, place
LIMIT {most:UInt32}
