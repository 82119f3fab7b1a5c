-- overdue_by_owner: how many items are past their deadline and still open, by owner and currency, and the oldest.
SELECT owner, currency, count(), sum(amount_minor), min(due_us)
FROM
(
/*judged*/
)
WHERE overdue
GROUP BY owner, currency
ORDER BY owner, currency
