-- search: transactions with something in the time asked for, of which some span meets each criterion; newest first.
SELECT lower(hex(correlation_id)), toUnixTimestamp64Micro(max(occurred_at)) AS last_us
FROM spans
WHERE correlation_id != toFixedString('', 16)
    AND start_time > fromUnixTimestamp64Micro({since_us:Int64} - 86400000000, 'UTC')
    AND occurred_at > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND occurred_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND ({unconditional:UInt8}
        OR ({channel:String} != '' AND channel = {channel:String})
        OR ({location:String} != '' AND location = {location:String})
        OR ({provider:String} != '' AND provider = {provider:String})
        OR ({system:String} != '' AND system = {system:String})
        OR ({service:String} != '' AND service = {service:String})
        OR ({hop:String} != '' AND name = {hop:String})
        OR ({stage:String} != '' AND stage = {stage:String})
        OR ({outcome:String} != '' AND outcome = {outcome:String})
        OR ({customer:String} != '' AND customer_ref = {customer:String})
        OR ({currency:String} != '' AND currency = {currency:String})
        OR ({ranged:UInt8} AND amount_minor BETWEEN {least_minor:Int64} AND {most_minor:Int64})
        OR ({sku:String} != '' AND (sku = {sku:String} OR has(
            arrayMap(event -> event.attrs['sku'], events), {sku:String})))
        OR ({attribute:String} != '' AND attrs[{attribute:String}] = {value:String}))
GROUP BY correlation_id
HAVING (last_us, lower(hex(correlation_id))) < ({before_us:Int64}, {before_id:String})
    AND ({channel:String} = '' OR countIf(channel = {channel:String}) > 0)
    AND ({location:String} = '' OR countIf(location = {location:String}) > 0)
    AND ({provider:String} = '' OR countIf(provider = {provider:String}) > 0)
    AND ({system:String} = '' OR countIf(system = {system:String}) > 0)
    AND ({service:String} = '' OR countIf(service = {service:String}) > 0)
    AND ({hop:String} = '' OR countIf(name = {hop:String}) > 0)
    AND ({stage:String} = '' OR countIf(stage = {stage:String}) > 0)
    AND ({outcome:String} = '' OR countIf(outcome = {outcome:String}) > 0)
    AND ({customer:String} = '' OR countIf(customer_ref = {customer:String}) > 0)
    AND ({currency:String} = '' OR countIf(currency = {currency:String}) > 0)
    AND (NOT {ranged:UInt8} OR countIf(amount_minor BETWEEN {least_minor:Int64} AND {most_minor:Int64}) > 0)
    AND ({sku:String} = '' OR countIf(sku = {sku:String} OR has(
        arrayMap(event -> event.attrs['sku'], events), {sku:String})) > 0)
    AND ({attribute:String} = '' OR countIf(attrs[{attribute:String}] = {value:String}) > 0)
ORDER BY last_us DESC, correlation_id DESC
LIMIT {most:UInt32}
