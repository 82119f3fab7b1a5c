-- recon_sums: the cells of the last run until {as_of_us} over each day, added up by level, day, provider and currency.
SELECT
    toString(level), business_date, toString(provider), toString(currency), max(reconciled_at),
    toInt64(count()), toInt64(countIf(unexplained_minor != 0)),
    sum(left_minor), sum(right_minor), sum(timing_minor), sum(fees_minor), sum(tax_minor), sum(rounding_minor),
    sum(known_minor), sum(unexplained_minor), toInt64(sum(abs(unexplained_minor)))
FROM recon_items FINAL
/*recon_last_run*/
  AND kind != ''
GROUP BY level, business_date, provider, currency
ORDER BY business_date DESC, level, provider, currency
LIMIT {most:UInt32}
