-- linked_sums: how many transactions are joined to {id} by each kind of link, in each direction, and for how much.
SELECT kind, outward, uniqExact(other_id), sumMap(map(currency, amount_minor))
FROM
(
    SELECT DISTINCT kind, outward, other_id, evidence, at, amount_minor, currency
    FROM links
    WHERE of_id = toFixedString(unhex({id:String}), 16) AND other_id != of_id
)
GROUP BY kind, outward
ORDER BY kind, outward
