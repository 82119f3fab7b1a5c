-- held_lines: orders, customers and SKUs of the transactions that are held up.
SELECT
    uniqExactIf(half_id, about = 'o'),
    uniqExactIf(about, startsWith(about, 'c')),
    uniqExactIf(about, startsWith(about, 's')),
    arraySort(groupUniqArrayIf(100)(substring(about, 2), startsWith(about, 's')))
FROM concerns
WHERE half_id IN (SELECT reinterpretAsUInt64(correlation_id) FROM (
/*held*/
))
