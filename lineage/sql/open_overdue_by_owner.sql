-- open_overdue_by_owner: how much is past its deadline, by owner and currency, and the oldest.
SELECT owner, currency, count(), sum(amount_minor), min(due_us)
FROM open_items
WHERE generation = {generation:UInt64} AND watch IN {watches:Array(String)} AND due_us < {now_us:Int64}
GROUP BY owner, currency
ORDER BY owner, currency
