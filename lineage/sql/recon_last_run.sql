-- recon_last_run: what the last run until {as_of_us} said of each day from {since} to {until}.
WHERE business_date BETWEEN {since:Date} AND {until:Date}
  AND (level, business_date, reconciled_at) IN (
    SELECT level, business_date, max(reconciled_at)
    FROM recon_items
    WHERE business_date BETWEEN {since:Date} AND {until:Date} AND ({level:String} = '' OR level = {level:String})
      AND toUnixTimestamp64Micro(reconciled_at) <= {as_of_us:Int64}
    GROUP BY level, business_date)
