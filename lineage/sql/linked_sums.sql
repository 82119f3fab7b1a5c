-- linked_sums: how many transactions are joined to {id} by each kind of link, in each direction, and for how much.
SELECT kind, outward, uniqExact(other), sumMap(map(currency, amount_minor))
FROM
(
    SELECT DISTINCT kind, outward, other, evidence, at, amount_minor, currency
    FROM
    (
        SELECT kind, 1 AS outward, to_id AS other, evidence, at, amount_minor, currency
        FROM links
        WHERE from_id = toFixedString(unhex({id:String}), 16)
        UNION ALL
        SELECT kind, 0 AS outward, from_id AS other, evidence, at, amount_minor, currency
        FROM links_by_target
        WHERE to_id = toFixedString(unhex({id:String}), 16)
    )
    WHERE other != toFixedString(unhex({id:String}), 16)
)
GROUP BY kind, outward
ORDER BY kind, outward
