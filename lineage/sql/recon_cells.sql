-- recon_cells: the cells of the last run until {as_of_us} over each day from {since} to {until}, the latest day first.
SELECT
    toString(level), business_date, toString(channel), toString(provider), toString(location), toString(kind),
    toString(legal_entity), toString(currency), run, reconciled_at, left_minor, right_minor, left_count, right_count,
    timing_minor, fees_minor, tax_minor, rounding_minor, known_minor, unexplained_minor
FROM recon_items FINAL
/*recon_last_run*/
  AND ({channel:String} = '' OR channel = {channel:String})
  AND ({provider:String} = '' OR provider = {provider:String})
  AND ({currency:String} = '' OR currency = {currency:String})
  AND ({unexplained:UInt8} = 0 OR unexplained_minor != 0) AND kind != ''
ORDER BY business_date DESC, level, channel, provider, location, kind, legal_entity, currency
LIMIT {most:UInt32}
