-- items_weighted: items that count as many, in two: how many of each were spoiled, and how many were not, each with its
-- share of the amount.
SELECT
    * REPLACE (
        part.1 ? spoil_at_us : 0 AS spoil_at_us,
        part.2 AS weight,
        part.3 AS amount_minor)
FROM
(
    SELECT *, intDiv(amount_minor * spoiled_weight, greatest(weight, 1)) AS spoiled_minor
    FROM
    (
/*whole*/
    )
)
ARRAY JOIN arrayFilter(
    part -> part.2 > 0,
    spoil_at_us = 0
        ? [(0, weight, amount_minor)]
        : [(1, spoiled_weight, spoiled_minor), (0, weight - spoiled_weight, amount_minor - spoiled_minor)]) AS part
