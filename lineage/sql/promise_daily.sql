-- promise_daily: what happened of {build} on each local day since {first_day}, all before as one day.
SELECT
    greatest(day, {first_day:Int64} - 1) AS on_day, 0, channel, location, provider, kind, currency,
    sum(good), sum(bad), sum(excused), sum(refused), sum(opened), sum(closed), sum(overdue_in), sum(overdue_out),
    sum(amount_in), sum(amount_out), 0, 0, 0, 0
FROM promise_days
WHERE build = {build:UInt64}
GROUP BY on_day, channel, location, provider, kind, currency
HAVING arrayExists(one -> one != 0, [sum(good), sum(bad), sum(excused), sum(refused), sum(opened), sum(closed),
                                      sum(overdue_in), sum(overdue_out), sum(amount_in), sum(amount_out)])
ORDER BY on_day
