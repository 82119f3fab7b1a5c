-- generate_settlements: one span for each 10,000 of the orders {first} to {first} + {many} of {total}, with a link each.
INSERT INTO spans
    (correlation_id, start_time, end_time, trace_id, span_id, name, service, origin, domain, hop, stage, outcome,
     attempt, entity, entity_id, milestone, occurred_at, business_date, provider, amount_minor, currency, owner, source,
     keys, events)
SELECT
    toFixedString(substring(SHA256(concat('bench', char(31), reference)), 1, 16), 16) AS correlation_id,
    toDateTime64('2025-01-01 00:00:00', 9, 'UTC') + toIntervalMillisecond(
        intDiv((settlement_no + 1) * 10000 * 31449600000, {total:UInt64})) AS start_time,
    start_time + toIntervalMillisecond(3) AS end_time,
    toFixedString(substring(SHA256(concat(reference, 'trace')), 1, 16), 16) AS trace_id,
    toFixedString(substring(SHA256(reference), 1, 8), 8) AS span_id,
    'settlement.receive', 'tallytrace-core', 'bench', 'settlement', 'receive', 'source', 'ok', 1, 'settlement',
    reference, 'received', toDateTime64(start_time, 6, 'UTC') AS occurred_at, toDate(start_time), 'stripe', 10000000,
    'GBP', 'finance', 'generated', map('settlement_id', reference),
    arrayMap(order_no -> (start_time, 'link', map(
        'from', lower(hex(correlation_id)),
        'to', lower(hex(substring(SHA256(concat('bench', char(31), 'B', toString(order_no))), 1, 16))),
        'kind', 'settles', 'evidence', concat('sale of PB', toString(order_no)), 'by', 'generated',
        'amount_minor', toString(1000 + order_no % 9000), 'currency', 'GBP'), [], 0),
        range(settlement_no * 10000, (settlement_no + 1) * 10000)) AS events
FROM
(
    SELECT number AS settlement_no, concat('PO', toString(number)) AS reference
    FROM numbers(intDiv({first:UInt64}, 10000), intDiv({many:UInt64}, 10000))
)
