-- linked_sums: how many transactions are joined to {id} by each kind of link, in each direction, and for how much.
SELECT kind, outward, uniqExact(other_id), sumMap(map(currency, amount_minor))
FROM links FINAL
WHERE of_id = toFixedString(unhex({id:String}), 16) AND other_id != of_id
GROUP BY kind, outward
ORDER BY kind, outward
