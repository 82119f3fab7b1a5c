-- generate_spans: ten spans each of the orders {first} to {first} + {many} of {total}, spread over the year 2025. Of the
-- last twelfth some are open: the ERP refuses 1 %, was never asked about 0.5 %, and 0.5 % are not shipped.
INSERT INTO spans
    (correlation_id, start_time, end_time, trace_id, span_id, name, service, origin, domain, hop, stage, outcome,
     attempt, reason, entity, entity_id, milestone, occurred_at, business_date, due_at, channel, location, quantity,
     amount_minor, currency, owner, customer_ref, source, keys, events)
SELECT
    toFixedString(substring(SHA256(concat('bench', char(31), reference)), 1, 16), 16) AS correlation_id,
    began + toIntervalSecond(step.5) AS start_time,
    start_time + toIntervalMillisecond(3) AS end_time,
    toFixedString(substring(SHA256(concat(reference, step.1)), 1, 16), 16) AS trace_id,
    toFixedString(substring(SHA256(concat(reference, step.1, step.3)), 1, 8), 8) AS span_id,
    step.1 AS name,
    'tallytrace-core' AS service,
    'bench' AS origin,
    splitByChar('.', name)[1] AS domain,
    splitByChar('.', name)[2] AS hop,
    step.6 AS stage,
    if(name = 'posting.send' AND step.4 = '', 'rejected', 'ok') AS outcome,
    1 AS attempt,
    if(outcome = 'ok', '', 'the period is closed') AS reason,
    step.2 AS entity,
    step.3 AS entity_id,
    step.4 AS milestone,
    toDateTime64(start_time, 6, 'UTC') AS occurred_at,
    toDate(start_time) AS business_date,
    if(step.4 = 'journaled', occurred_at + toIntervalHour(4), toDateTime64(0, 6, 'UTC')) AS due_at,
    ['web', 'store', 'marketplace', 'phone'][1 + order_no % 4] AS channel,
    concat('ST', toString(order_no % 400)) AS location,
    2 AS quantity,
    1000 + order_no % 9000 AS amount_minor,
    'GBP' AS currency,
    if(entity = 'posting', 'finance', '') AS owner,
    concat('c', toString(order_no % 1000003)) AS customer_ref,
    'generated' AS source,
    map(step.7, step.8) AS keys,
    multiIf(
        name = 'order.capture',
        arrayMap(line -> (start_time, 'line', map('sku', concat('SKU-', toString((order_no * 7 + line) % 50000)),
            'quantity', '1', 'amount_minor', toString(intDiv(amount_minor, 2))), [], 0), [1, 2]),
        name = 'posting.journal',
        arrayMap(line -> (start_time, 'journal.line', map('line_no', toString(line),
            'account', if(line = 1, 'assets:receivable', 'revenue:goods'),
            'amount_minor', toString(if(line = 1, amount_minor, -amount_minor)), 'currency', 'GBP'), [], 0), [1, 2]),
        []) AS events
FROM
(
    SELECT
        number AS order_no,
        concat('B', toString(number)) AS reference,
        toDateTime64('2025-01-01 00:00:00', 9, 'UTC')
            + toIntervalMillisecond(intDiv(number * 31449600000, {total:UInt64})) AS began,
        number * 12 > {total:UInt64} * 11 AS recent,
        recent AND number % 200 = 3 AS unshipped,
        recent AND number % 100 = 1 AS refused,
        recent AND number % 200 = 2 AS unasked
    FROM numbers({first:UInt64}, {many:UInt64})
)
ARRAY JOIN arrayFilter(step -> step.1 != '', [
    ('order.capture', 'order', reference, 'captured', 0, 'source', 'order_id', reference),
    ('inventory.reserve', 'order', reference, 'reserved', 1, 'transformation', 'order_id', reference),
    ('payment.capture', 'payment', concat('P', reference), 'captured', 2, 'source', 'payment_id',
     concat('P', reference)),
    ('posting.journal', 'posting', concat('order/', reference), 'journaled', 3, 'transformation', 'journal_id',
     concat('JO', reference)),
    ('posting.send', 'posting', concat('order/', reference), 'erp_accepted', 60, 'erp', 'erp_document_id',
     concat('EO', reference)),
    ('order.release', 'order', reference, 'released', 3600, 'source', 'order_id', reference),
    ('fulfilment.pick', 'fulfilment', concat('S', reference), 'picked', 7200, 'source', 'shipment_id',
     concat('S', reference)),
    (if(unshipped, '', 'order.ship'), 'fulfilment', concat('S', reference), 'shipped', 86400, 'source', 'tracking_id',
     concat('T', reference)),
    (if(unshipped, '', 'posting.journal'), 'posting', concat('shipment/S', reference), 'journaled', 86401,
     'transformation', 'journal_id', concat('JS', reference)),
    (if(unshipped OR unasked, '', 'posting.send'), 'posting', concat('shipment/S', reference),
     if(refused, '', 'erp_accepted'), 86460, 'erp', if(refused, 'order_id', 'erp_document_id'),
     if(refused, reference, concat('ES', reference)))]) AS step
