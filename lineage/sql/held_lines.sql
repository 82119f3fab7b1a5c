-- held_lines: orders, customers and SKUs of the transactions that are held up.
SELECT
    uniqExactIf(half_id, is_order),
    uniqExactIf(customer_ref, customer_ref != ''),
    uniqExactIf(sku, sku != ''),
    arraySort(groupUniqArrayIf(100)(sku, sku != ''))
FROM concerns
WHERE half_id IN (SELECT reinterpretAsUInt64(correlation_id) FROM (
/*held*/
))
