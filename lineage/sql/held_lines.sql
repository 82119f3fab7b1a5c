-- held_lines: orders, customers and SKUs of the transactions that are held up.
SELECT
    uniqExactIf(correlation_id, entity = 'order' AND milestone = 'captured'),
    uniqExactIf(customer_ref, customer_ref != ''),
    uniqExactArray(skus),
    arraySort(groupUniqArrayArray(100)(skus))
FROM
(
    SELECT correlation_id, entity, milestone, customer_ref,
        arrayFilter(one -> one != '', arrayPushBack(
            arrayMap(event -> event.attrs['sku'], arrayFilter(event -> event.name = 'line', events)), sku)) AS skus
    FROM spans
    WHERE correlation_id IN (SELECT correlation_id FROM (
/*held*/
    ))
)
