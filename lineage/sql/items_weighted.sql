-- items_weighted: items that count as many, in two: how many of each were spoiled, and how many were not.
SELECT
    * REPLACE (
        part.1 ? spoil_at_us : 0 AS spoil_at_us,
        part.2 AS weight)
FROM
(
/*whole*/
)
ARRAY JOIN arrayFilter(
    part -> part.2 > 0,
    spoil_at_us = 0 ? [(0, weight)] : [(1, spoiled_weight), (0, weight - spoiled_weight)]) AS part
